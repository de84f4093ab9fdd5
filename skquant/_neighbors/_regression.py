"""A k-nearest-neighbours regressor that holds its training rows compressed."""

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin

from .._base import Estimator
from .._progress import reported
from .._sklearn_compat import StrOptions, fit_context, validate_data
from ._base import QuantizedNeighborsMixin
from ._rows import join_chunks
from ._weights import check_weights_suit_metric, neighbor_weights


class QuantizedKNeighborsRegressor(
    QuantizedNeighborsMixin, RegressorMixin, MultiOutputMixin, Estimator
):
    """Predict the mean target of the nearest training rows, which are held as codes.

    A stand-in for `sklearn.neighbors.KNeighborsRegressor` with brute-force search: it keeps about
    `bits` bits per feature of the training rows instead of 32 or 64, and searches the codes.
    Queries are not compressed, and only their product with a row, not the row's length, is
    estimated.

    Parameters
    ----------
    n_neighbors : int, default=5
        Number of neighbours whose targets are averaged.
    bits : float, default=4.0
        Bits per feature for the code words of a training row. Not used when `quantizer` is given.
    weights : {"uniform", "distance"} or callable, default="uniform"
        The weight of a neighbour's target: the same for all, the inverse of its distance
        (neighbours at distance zero then outweigh all others), or what the callable returns for an
        array of distances, in an array of the same shape.
    metric : {"euclidean", "sqeuclidean", "cosine", "inner_product"}, default="euclidean"
        What nearest means. "cosine" compresses rows of unit length; a row of zeros stays zero, and
        is at distance 1 from every other row up to the error of the codes. "inner_product" takes
        negated products for distances, and does not go with ``weights="distance"``.
    quantizer : estimator, default=None
        The quantizer of the training rows, with `fit` and with `compress`, which gives a
        `QuantizedMatrix`. It is cloned. None means
        ``LatticeQuantizer(bits=bits, random_state=random_state)``.
    n_lists : int, "auto" or None, default=None
        Number of inverted lists. k-means parts the rows, and a query is compared with those in the
        `n_probe` lists whose centroids are nearest, by products for ``metric="inner_product"``. The
        quantizer is then fitted to residuals, what rows are from the centroid of their list, and
        must centre features. None makes no lists and compares with every row; "auto" makes twice
        the root of the number of rows, or none for fewer than 4096. Rows that are too much alike
        come in fewer lists.
    n_probe : int, default=8
        Lists that a query visits; more where these hold fewer rows than are asked for. From the
        number of lists on, all rows are compared. It may be set after fitting.
    rescore : float, default=None
        Candidates for each neighbour, at least 1: the nearest ``rescore * n_neighbors`` rows by
        their codes are measured again and the nearest of them kept. None takes the order of the
        codes.
    rescore_source : str or os.PathLike, default=None
        An ``.npy`` file of the training rows in the order in which they are given, of any real
        dtype. It is mapped into memory, and candidates are measured exactly. It has to hold rows
        before `partial_fit` gives them. None compresses a second time, with the same quantizer,
        what the codes leave over, which doubles the bits that are held; candidates are then
        measured by both codes. Not used unless `rescore` is given.
    n_candidates : int, default=None
        For calls with few queries: how many rows are measured by their codes, at least
        `n_neighbors`, after a coarse layer of the codes was scanned for those that look nearest.
        The layer takes 1.5 bits per feature and 4 bytes a row on top of what `bits` pays for; the
        other bits are spent on what it leaves over, so that all distances become finer. None makes
        codes without such a layer and measures all rows. With `n_lists`, it is the rows of the
        visited lists that are scanned or measured; queries are few as long as these lists hold
        several times as many rows as all queries have candidates.
    random_state : int, RandomState instance or None, default=None
        The randomness of the quantizer, unless a given one has a `random_state` of its own; an int
        gives the same codes in every fit.
    n_jobs : int, default=None
        Number of threads; None means 1, -1 all processors. It does not change the results.

    Attributes
    ----------
    codes_ : QuantizedMatrix of shape (`n_samples_fit_`, `n_features_in_`)
        The compressed training rows; ``codes_.nbytes`` is what they cost. With lists, it has their
        residuals, in the order in which `lists_` holds them.
    effective_metric_ : str
        The metric that the codes were made for.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, when `X` had names that are all strings.
    lists_ : InvertedLists
        The rows in their lists, when `n_lists` was given; ``lists_.nbytes`` is what they cost.
    n_features_in_ : int
        Number of features.
    n_samples_fit_ : int
        Number of training rows.
    quantizer_ : estimator
        The fitted quantizer.
    rescore_codes_ : QuantizedMatrix of shape (`n_samples_fit_`, `n_features_in_`)
        The second codes, when `rescore` was given without `rescore_source`.

    See Also
    --------
    QuantizedKNeighborsClassifier : The same for class labels.
    sklearn.neighbors.KNeighborsRegressor : The regressor that keeps all floats.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skquant import QuantizedKNeighborsRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> knn = QuantizedKNeighborsRegressor(n_neighbors=15, random_state=0).fit(X[:300], y[:300])
    >>> bool(knn.score(X[300:], y[300:]) > 0.4)
    True
    """

    _parameter_constraints: dict = {
        **QuantizedNeighborsMixin._parameter_constraints,
        "weights": [StrOptions({"uniform", "distance"}), callable],
    }

    def __init__(
        self,
        n_neighbors=5,
        *,
        bits=4.0,
        weights="uniform",
        metric="euclidean",
        quantizer=None,
        n_lists=None,
        n_probe=8,
        rescore=None,
        rescore_source=None,
        n_candidates=None,
        random_state=None,
        n_jobs=None,
    ):
        self.n_neighbors = n_neighbors
        self.bits = bits
        self.weights = weights
        self.metric = metric
        self.quantizer = quantizer
        self.n_lists = n_lists
        self.n_probe = n_probe
        self.rescore = rescore
        self.rescore_source = rescore_source
        self.n_candidates = n_candidates
        self.random_state = random_state
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y):
        """Compress the training rows and remember their targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows of any real dtype. They are read in blocks and not kept; only
            ``metric="cosine"`` needs a normalised float32 copy while it fits.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.

        Returns
        -------
        self : QuantizedKNeighborsRegressor
            The fitted regressor.

        Raises
        ------
        TypeError
            If `X` or `y` is sparse.
        ValueError
            If a parameter is out of its range, `weights` does not suit `metric`, `X` or `y` holds
            NaN or infinity, `X` and `y` are empty or differ in length, or `rescore_source` does
            not hold the rows of `X`.
        """
        X, y = self._validate_training_data(X, y, reset=True)
        with reported(self, "fit", X, y):
            self._fit_codes(X)
            self._target_chunks = [y]
        return self

    @fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X, y):
        """Add training rows; the first call also fits the quantizer, to its rows alone.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows of any real dtype.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.

        Returns
        -------
        self : QuantizedKNeighborsRegressor
            The regressor with more rows.

        Raises
        ------
        TypeError, ValueError
            As `fit` does, and ValueError if `X` has another width, or `y` another number of
            outputs, than before.
        """
        if not hasattr(self, "_target_chunks"):
            return self.fit(X, y)
        X, y = self._validate_training_data(X, y, reset=False)
        before = self._target_chunks[0].shape[1:]
        if y.shape[1:] != before:
            raise ValueError(
                f"y must have the shape (n_samples, *{before}) as before, got {y.shape}."
            )
        with reported(self, "partial_fit", X, y):
            self._add_codes(X)
            self._target_chunks.append(y)
        return self

    def predict(self, X):
        """Predict the targets of each query.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), or None
            The queries; None predicts each training row from the others.

        Returns
        -------
        y : ndarray of shape (n_queries,) or (n_queries, n_outputs)
            The weighted mean of the neighbours' targets: of the dtype of the targets where that is
            a float, else float64.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As `kneighbors` does, and ValueError if `weights` are all zero for a query.
        """
        distances, neighbors = self.kneighbors(X)
        check_weights_suit_metric(self.weights, self.effective_metric_)
        weights = neighbor_weights(distances, self.weights)
        targets = join_chunks(self._target_chunks)
        sums = np.einsum("qk,qk...->q...", weights, targets[neighbors])
        means = (sums.T / weights.sum(axis=1)).T
        is_float = np.issubdtype(targets.dtype, np.floating)
        return means.astype(targets.dtype if is_float else np.float64, copy=False)

    def _validate_training_data(self, X, y, reset):
        check_weights_suit_metric(self.weights, self.metric)
        return validate_data(
            self, X, y, reset=reset, dtype="numeric", multi_output=True, y_numeric=True
        )
