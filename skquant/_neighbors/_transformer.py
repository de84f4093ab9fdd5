"""The graph of nearest neighbours as a transformer, from rows that are held compressed."""

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from .._base import Estimator
from .._progress import reported
from .._sklearn_compat import StrOptions, fit_context, validate_data
from ._base import QuantizedNeighborsMixin
from ._metric import as_searched

_BLOCK_BYTES = 2**22  # of codes to compare at once


class QuantizedKNeighborsTransformer(
    ClassNamePrefixFeaturesOutMixin, QuantizedNeighborsMixin, TransformerMixin, Estimator
):
    """Turn rows into the sparse graph of their nearest training rows, which are held as codes.

    A stand-in for `sklearn.neighbors.KNeighborsTransformer`: what follows in a pipeline takes the
    graph with ``metric="precomputed"``. It keeps about `bits` bits per feature of the training rows
    instead of 32 or 64.

    Parameters
    ----------
    n_neighbors : int, default=5
        Number of neighbours of each row. With ``mode="distance"`` there is one more, as in
        scikit-learn, because a training row is its own first neighbour.
    mode : {"distance", "connectivity"}, default="distance"
        Whether an edge holds the distance or 1.
    bits : float, default=4.0
        Bits per feature for the code words of a training row. Not used when `quantizer` is given.
    metric : {"euclidean", "sqeuclidean", "cosine", "inner_product"}, default="euclidean"
        What nearest means. "cosine" compresses rows of unit length; a row of zeros stays zero, and
        is at distance 1 from every other row up to the error of the codes. "inner_product" takes
        negated products for distances, and does not go with ``mode="distance"``.
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
    QuantizedNearestNeighbors : The search itself, also within a radius.
    sklearn.neighbors.KNeighborsTransformer : The transformer that keeps all floats.

    Notes
    -----
    Distances are estimated from codes, yet estimators that take a precomputed graph rely on a row
    being at distance zero from itself. A row is therefore taken for a training row, at distance
    zero from it, where both compress to the same code; `transform` recognises the rows of `fit` by
    that, if they are given in the same dtype.

    Examples
    --------
    >>> from sklearn.cluster import DBSCAN
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from skquant import QuantizedKNeighborsTransformer
    >>> X, _ = load_digits(return_X_y=True)
    >>> graph = QuantizedKNeighborsTransformer(n_neighbors=10, random_state=0).fit_transform(X)
    >>> graph.shape, graph.nnz
    ((1797, 1797), 19767)
    >>> pipe = make_pipeline(
    ...     QuantizedKNeighborsTransformer(n_neighbors=10, random_state=0),
    ...     DBSCAN(eps=22, min_samples=5, metric="precomputed"),
    ... )
    >>> pipe.fit_predict(X).shape
    (1797,)
    """

    _parameter_constraints: dict = {
        **QuantizedNeighborsMixin._parameter_constraints,
        "mode": [StrOptions({"distance", "connectivity"})],
    }

    def __init__(
        self,
        n_neighbors=5,
        *,
        mode="distance",
        bits=4.0,
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
        self.mode = mode
        self.bits = bits
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
        self : QuantizedKNeighborsTransformer
            The fitted transformer.

        Raises
        ------
        TypeError
            If `X` is sparse.
        ValueError
            If a parameter is out of its range, `mode` does not suit `metric`, `X` is empty or
            holds NaN or infinity, or `rescore_source` does not hold its rows.
        """
        self._check_mode_suits_metric(self.metric)
        X = validate_data(self, X, dtype="numeric")
        with reported(self, "fit", X):
            self._fit_codes(X)
        return self

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
        self : QuantizedKNeighborsTransformer
            The transformer with more rows: its graphs have as many columns.

        Raises
        ------
        TypeError, ValueError
            As `fit` does, and ValueError if `X` has another width than the rows before.
        """
        if not hasattr(self, "quantizer_"):
            return self.fit(X)
        X = validate_data(self, X, reset=False, dtype="numeric")
        with reported(self, "partial_fit", X):
            self._add_codes(X)
        return self

    def transform(self, X):
        """Give the graph of the nearest training rows of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        graph : sparse CSR matrix of shape (n_samples, `n_samples_fit_`), float
            ``graph[i, j]`` is the edge from row i to training row j, nearest first; where row i
            is a training row, it is the first, explicit also at distance zero.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As `kneighbors` does, and ValueError if `mode` does not suit `metric`.
        """
        check_is_fitted(self)
        self._check_mode_suits_metric(self.effective_metric_)
        X = self._validate_queries(X)
        n_edges = self.n_neighbors + (self.mode == "distance")
        self._check_enough_rows(n_edges, X, None)
        distances, indices = self._search(X, n_edges, None)
        if self.effective_metric_ != "inner_product":  # by which others may be nearer
            self._put_same_code_first(X, distances, indices)
        counts = np.full(len(X), n_edges)
        return self._graph(distances.ravel(), indices.ravel(), counts, self.mode)

    @property
    def _n_features_out(self):
        return self.n_samples_fit_

    def _put_same_code_first(self, X, distances, indices):
        """Put training rows that have the code of the query before all others, at distance zero."""
        X = as_searched(X, self.effective_metric_, np.float32)
        own_codes, codes = self._codes_of_queries(X), self._codes_in_order()
        own = _find_codes(own_codes, codes)
        missing = (own >= 0) & (indices != own[:, None]).all(axis=1)
        indices[missing, -1] = own[missing]
        block_rows = max(1, _BLOCK_BYTES // (codes.shape[1] * indices.shape[1]))
        for block in gen_batches(len(X), block_rows):
            same = (codes[indices[block]] == own_codes[block, None]).all(axis=2)
            distances[block][same] = 0
            order = np.lexsort((indices[block], ~same, distances[block]), axis=1)
            for array in (distances, indices):
                array[block] = np.take_along_axis(array[block], order, axis=1)

    def _codes_of_queries(self, X):
        """Code queries as training rows were, (n_queries, bytes)."""
        if self._has_lists:
            return _with_lists(*self._held.coder.encode(X, self.n_jobs))
        return self._compress_more(X)._rows[:]

    def _codes_in_order(self):
        """Give the codes of the training rows in the order of their numbers; with lists, a copy."""
        if self._has_lists:
            return _with_lists(*self._held.stored(np.arange(self.n_samples_fit_)))
        return self.codes_._rows

    def _check_mode_suits_metric(self, metric):
        if self.mode == "distance" and metric == "inner_product":
            raise ValueError(
                'mode="distance" cannot be used with metric="inner_product": negated products are '
                "no distances, and a precomputed graph must not hold negative ones."
            )


def _with_lists(lists, codes):
    """Put the list of each row before its code."""
    return np.hstack([lists.astype("<u4")[:, None].view(np.uint8), codes])


def _find_codes(wanted, codes):
    """Find the first row that has each of some codes, -1 where none has."""
    candidates = np.flatnonzero(np.isin(_last_bytes(codes), _last_bytes(wanted)))
    first = {codes[row].tobytes(): row for row in candidates[::-1]}
    return np.array([first.get(code.tobytes(), -1) for code in wanted], np.intp)


def _last_bytes(codes):
    """Give up to eight bytes of each code as a number: terms, which tell most rows apart."""
    last = np.zeros((len(codes), 8), np.uint8)
    last[:, : codes.shape[1]] = codes[:, -8:]
    return last.view(np.uint64)[:, 0]
