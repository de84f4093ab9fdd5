"""Neighbour search without targets, among rows that are held compressed."""

from numbers import Real

from .._base import Estimator
from .._progress import reported
from .._sklearn_compat import Interval, fit_context, validate_data
from ._base import QuantizedNeighborsMixin
from ._lists import InvertedLists
from ._radius import RadiusNeighborsMixin


class QuantizedNearestNeighbors(QuantizedNeighborsMixin, RadiusNeighborsMixin, Estimator):
    """Find the nearest training rows, which are held as nested-lattice codes.

    A stand-in for `sklearn.neighbors.NearestNeighbors` with brute-force search: it keeps about
    `bits` bits per feature of the training rows instead of 32 or 64, and searches the codes.
    Queries are not compressed, and only their product with a row, not the row's length, is
    estimated.

    Parameters
    ----------
    n_neighbors : int, default=5
        Number of neighbours that `kneighbors` finds.
    bits : float, default=4.0
        Bits per feature for the code words of a training row. Not used when `quantizer` is given.
    radius : float, default=1.0
        The largest distance of the neighbours that `radius_neighbors` finds.
    metric : {"euclidean", "sqeuclidean", "cosine", "inner_product"}, default="euclidean"
        What nearest means. "cosine" compresses rows of unit length; a row of zeros stays zero, and
        is at distance 1 from every other row up to the error of the codes. "inner_product" takes
        negated products for distances.
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
    QuantizedKNeighborsTransformer : The graph of neighbours as a step of a pipeline.
    sklearn.neighbors.NearestNeighbors : The search that keeps all floats.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skquant import QuantizedNearestNeighbors
    >>> X, y = load_digits(return_X_y=True)
    >>> search = QuantizedNearestNeighbors(n_neighbors=3, bits=4, random_state=0).fit(X)
    >>> distances, indices = search.kneighbors(X[:2])
    >>> y[indices]
    array([[0, 0, 0],
           [1, 1, 1]])
    >>> search.kneighbors(X[:1], subset=y == 8, return_distance=False).shape
    (1, 3)
    >>> distances, indices = search.radius_neighbors(X[:1], radius=25)
    >>> set(y[indices[0]].tolist())
    {0}
    >>> lists = QuantizedNearestNeighbors(n_lists=40, n_probe=6, random_state=0).fit(X)
    >>> lists.kneighbors(X[:2], n_neighbors=2, return_distance=False)
    array([[  0, 877],
           [  1,  93]])
    """

    _parameter_constraints: dict = {
        **QuantizedNeighborsMixin._parameter_constraints,
        "radius": [Interval(Real, None, None, closed="both")],
    }

    def __init__(
        self,
        n_neighbors=5,
        *,
        bits=4.0,
        radius=1.0,
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
        self.radius = radius
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
    def fit(self, X, y=None):
        """Compress the training rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows of any real dtype. They are read in blocks and not kept; only
            ``metric="cosine"`` needs a normalised float32 copy while it fits.
        y : None
            Ignored.

        Returns
        -------
        self : QuantizedNearestNeighbors
            The fitted search.

        Raises
        ------
        TypeError
            If `X` is sparse.
        ValueError
            If a parameter is out of its range, `X` is empty or holds NaN or infinity, or
            `rescore_source` does not hold its rows.
        """
        return self._fit(validate_data(self, X, dtype="numeric"))

    @fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X, y=None):
        """Add training rows; the first call also fits the quantizer, to its rows alone.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows of any real dtype.
        y : None
            Ignored.

        Returns
        -------
        self : QuantizedNearestNeighbors
            The search with more rows.

        Raises
        ------
        TypeError, ValueError
            As `fit` does, and ValueError if `X` has another width than the rows before.
        """
        is_first = not hasattr(self, "n_samples_fit_")
        X = validate_data(self, X, reset=is_first, dtype="numeric")
        if is_first:
            return self._fit(X)
        with reported(self, "partial_fit", X):
            self._add_codes(X)
        return self

    def _fit(self, X):
        with reported(self, "fit", X):
            self._fit_codes(X)
        return self

    @classmethod
    def from_lists(cls, lists, **parameters):
        """Make a search of lists that are there, for example those of a file.

        Parameters
        ----------
        lists : InvertedLists
            The rows in their lists.
        **parameters
            Those of the constructor. `metric` is that of the lists, and `n_lists` their number.

        Returns
        -------
        search : QuantizedNearestNeighbors
            A fitted search. It has no `quantizer_`; `partial_fit` codes rows as those of the lists
            were.

        Raises
        ------
        TypeError
            If `lists` is no `InvertedLists`.
        ValueError
            If a parameter is out of its range, `metric` is not that of the lists, or `rescore` is
            given without a `rescore_source`.
        """
        if not isinstance(lists, InvertedLists):
            raise TypeError(f"lists must be an InvertedLists, got {type(lists).__name__}.")
        search = cls(**{"metric": lists.metric, "n_lists": lists.n_lists, **parameters})
        search._validate_params()
        search._hold_lists(lists)
        return search
