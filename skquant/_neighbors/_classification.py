"""A k-nearest-neighbours classifier that holds its training rows compressed."""

import numpy as np
from scipy.sparse import issparse
from sklearn.base import ClassifierMixin, MultiOutputMixin
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from .._base import Estimator
from .._progress import reported
from .._sklearn_compat import StrOptions, fit_context, validate_data
from ._base import QuantizedNeighborsMixin
from ._rows import join_chunks
from ._weights import check_weights_suit_metric, neighbor_weights


class QuantizedKNeighborsClassifier(
    QuantizedNeighborsMixin, ClassifierMixin, MultiOutputMixin, Estimator
):
    """Classify by the vote of the nearest training rows, which are held as nested-lattice codes.

    A stand-in for `sklearn.neighbors.KNeighborsClassifier` with brute-force search: it keeps about
    `bits` bits per feature of the training rows instead of 32 or 64, and searches the codes.
    Queries are not compressed, and only their product with a row, not the row's length, is
    estimated.

    Parameters
    ----------
    n_neighbors : int, default=5
        Number of neighbours that vote.
    bits : float, default=4.0
        Bits per feature for the code words of a training row. Not used when `quantizer` is given.
    weights : {"uniform", "distance"} or callable, default="uniform"
        The weight of a neighbour's vote: the same for all, the inverse of its distance (neighbours
        at distance zero then outvote all others), or what the callable returns for an array of
        distances, in an array of the same shape.
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
    classes_ : ndarray of shape (n_classes,), or list of n_outputs such arrays
        The class labels, sorted; a list when `y` had two dimensions.
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
    outputs_2d_ : bool
        Whether `y` had more than one column.
    quantizer_ : estimator
        The fitted quantizer.
    rescore_codes_ : QuantizedMatrix of shape (`n_samples_fit_`, `n_features_in_`)
        The second codes, when `rescore` was given without `rescore_source`.

    See Also
    --------
    LatticeQuantizer : The quantizer, as a transformer of its own.
    sklearn.neighbors.KNeighborsClassifier : The classifier that keeps all floats.

    Notes
    -----
    Of classes with equal votes, the first in `classes_` is predicted; of rows at equal distance,
    the first in the training data is the nearer one.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skquant import QuantizedKNeighborsClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> knn = QuantizedKNeighborsClassifier(bits=4, random_state=0).fit(X[:1000], y[:1000])
    >>> bool(knn.score(X[1000:], y[1000:]) > 0.94)
    True
    >>> knn.codes_.nbytes < X[:1000].nbytes / 8
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
        """Compress the training rows and remember their labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows of any real dtype. They are read in blocks and not kept; only
            ``metric="cosine"`` needs a normalised float32 copy while it fits.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels.

        Returns
        -------
        self : QuantizedKNeighborsClassifier
            The fitted classifier.

        Raises
        ------
        TypeError
            If `X` or `y` is sparse.
        ValueError
            If a parameter is out of its range, `weights` does not suit `metric`, `X` holds NaN or
            infinity, or `X` and `y` are empty or differ in length.
        """
        X, y = self._validate_training_data(X, y, reset=True)
        return self._fit(X, y, [np.unique(column) for column in _as_columns(y).T])

    @fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X, y, classes=None):
        """Add training rows; the first call also fits the quantizer, to its rows alone.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows of any real dtype.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels.
        classes : array-like of shape (n_classes,), or list of n_outputs of them, default=None
            All labels that will ever occur. Required by the first call, unless `fit` came before
            it; later calls need not repeat it.

        Returns
        -------
        self : QuantizedKNeighborsClassifier
            The classifier with more rows.

        Raises
        ------
        TypeError
            If `X` or `y` is sparse.
        ValueError
            As `fit` does, and if `classes` is missing in the first call or changes in a later one,
            or `y` holds other labels or another number of outputs.
        """
        is_first = not hasattr(self, "classes_")
        if is_first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        X, y = self._validate_training_data(X, y, reset=is_first)
        if classes is not None:
            classes = [np.unique(labels) for labels in (classes if y.ndim == 2 else [classes])]
        if is_first:
            return self._fit(X, y, classes)
        if classes is not None and not all(map(np.array_equal, classes, self._classes)):
            raise ValueError("classes must be the same in every call to partial_fit and fit.")
        labels = _encode_labels(y, self._classes)
        with reported(self, "partial_fit", X, y):
            self._add_codes(X)
            self._target_chunks.append(labels)
        return self

    def predict(self, X):
        """Predict the class of each query.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), or None
            The queries; None predicts each training row from the others.

        Returns
        -------
        y : ndarray of shape (n_queries,) or (n_queries, n_outputs)
            The class with the most votes.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As `kneighbors` does, and ValueError if `weights` are all zero for a query.
        """
        predicted = [classes[votes.argmax(axis=1)] for classes, votes in self._votes_by_output(X)]
        return np.stack(predicted, axis=1) if self.outputs_2d_ else predicted[0]

    def predict_proba(self, X):
        """Give each class's share of the votes.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), or None
            The queries; None takes each training row, judged by the others.

        Returns
        -------
        p : ndarray of shape (n_queries, n_classes), or list of n_outputs of them
            Shares that sum to 1 over the classes, which are ordered as in `classes_`.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As `predict` does.
        """
        shares = [votes / votes.sum(axis=1, keepdims=True) for _, votes in self._votes_by_output(X)]
        return shares if self.outputs_2d_ else shares[0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @property
    def _classes(self):
        """The classes of each output, a list also when there is one output."""
        return self.classes_ if self.outputs_2d_ else [self.classes_]

    @property
    def _labels(self):
        """Index into `classes_` of each training row and output, (n_samples_fit_, n_outputs)."""
        return join_chunks(self._target_chunks)

    def _validate_training_data(self, X, y, reset):
        check_weights_suit_metric(self.weights, self.metric)
        X, y = validate_data(self, X, y, reset=reset, dtype="numeric", multi_output=True)
        if issparse(y):
            raise TypeError("Sparse data was passed for y, but dense data is required.")
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        return X, y

    def _fit(self, X, y, classes):
        labels = _encode_labels(y, classes)
        with reported(self, "fit", X, y):
            self._fit_codes(X)
            self._target_chunks = [labels]
            self.outputs_2d_ = y.ndim == 2
            self.classes_ = classes if self.outputs_2d_ else classes[0]
        return self

    def _votes_by_output(self, X):
        """Yield, for each output, its classes and their votes of shape (n_queries, n_classes)."""
        distances, neighbors = self.kneighbors(X)
        check_weights_suit_metric(self.weights, self.effective_metric_)
        weights = neighbor_weights(distances, self.weights)
        n_queries = len(neighbors)
        for output, classes in enumerate(self._classes):
            ballots = self._labels[neighbors, output]
            ballots += classes.size * np.arange(n_queries)[:, None]  # one box a query and class
            votes = np.bincount(ballots.ravel(), weights.ravel(), n_queries * classes.size)
            yield classes, votes.reshape(n_queries, classes.size)


def _as_columns(y):
    return y.reshape(len(y), -1)


def _encode_labels(y, classes):
    """Replace labels, column by column, by their indices in sorted arrays of classes."""
    columns = _as_columns(y).T
    if len(columns) != len(classes):
        raise ValueError(f"y has {len(columns)} outputs, but there are classes for {len(classes)}.")
    labels = np.empty(columns.shape, dtype=np.intp)
    for column, known, label in zip(columns, classes, labels, strict=True):
        label[:] = np.searchsorted(known, column)
        unseen = known.take(label, mode="clip") != column
        if unseen.any():
            raise ValueError(f"y has labels that are not in classes: {np.unique(column[unseen])}.")
    return np.ascontiguousarray(labels.T)
