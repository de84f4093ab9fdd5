"""What the quantized neighbour estimators share: codes for training rows, and their search."""

from numbers import Integral, Real

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from .._lattice_quantizer import LatticeQuantizer
from .._sklearn_compat import (
    HasMethods,
    Interval,
    StrOptions,
    follow_sparse_interface,
    validate_data,
)
from ..quantized_matrix import QuantizedMatrix
from ._search import search

# What `search` minimises for each metric; `kneighbors` turns the result into the metric itself.
_SEARCHED_AS = {
    "euclidean": "sqeuclidean",
    "sqeuclidean": "sqeuclidean",
    "cosine": "inner_product",
    "inner_product": "inner_product",
}

# Floats in a block of rows that is decoded or normalised at once: 8 MB as float64.
_BLOCK_FLOATS = 2**20


class QuantizedNeighborsMixin:
    """Fit codes of the training rows, and find the nearest of them.

    An estimator that uses it has the parameters `n_neighbors`, `bits`, `metric`, `quantizer`,
    `random_state` and `n_jobs`, and calls `_fit_codes` with validated training rows.

    Attributes
    ----------
    codes_ : QuantizedMatrix of shape (`n_samples_fit_`, `n_features_in_`)
        The compressed training rows, at unit length when ``effective_metric_ == "cosine"``.
    quantizer_ : estimator
        The fitted quantizer that made them.
    effective_metric_ : str
        The metric that the codes were made for.
    n_samples_fit_ : int
        Number of compressed rows.
    """

    _parameter_constraints: dict = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "bits": [Interval(Real, 0, None, closed="neither")],
        "metric": [StrOptions(set(_SEARCHED_AS))],
        "quantizer": [HasMethods(["fit", "compress"]), None],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    @property
    def codes_(self):
        """The compressed training rows, a `QuantizedMatrix`."""
        return join_chunks(self._code_chunks, QuantizedMatrix.concatenate)

    def _fit_codes(self, X):
        """Fit the quantizer to the rows of X and hold their codes.

        For the cosine metric this takes one more float32 matrix of the shape of X while it runs,
        because a quantizer fits on all rows at once; the other metrics take none.
        """
        self.effective_metric_ = self.metric
        X = self._rows_to_code(X)
        self.quantizer_ = self._make_quantizer().fit(X)
        self._code_chunks = [self.quantizer_.compress(X)]
        self.n_samples_fit_ = len(X)

    def _add_codes(self, X):
        """Hold the codes of more rows, made by the quantizer that is already fitted."""
        self._code_chunks.append(self.quantizer_.compress(self._rows_to_code(X)))
        self.n_samples_fit_ += len(X)

    def _make_quantizer(self):
        if self.quantizer is None:
            return LatticeQuantizer(
                bits=self.bits, random_state=self.random_state, n_jobs=self.n_jobs
            )
        quantizer = clone(self.quantizer)
        # Who seeds the neighbour estimator expects the same result from every fit.
        if getattr(quantizer, "random_state", "no such parameter") is None:
            quantizer.set_params(random_state=self.random_state)
        return quantizer

    def _rows_to_code(self, X):
        return unit_rows(X, np.float32) if self.effective_metric_ == "cosine" else X

    def kneighbors(self, X=None, n_neighbors=None, return_distance=True):
        """Find the nearest compressed rows of each query.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), default=None
            The queries, used as they are: only the training rows are compressed. None asks for
            the neighbours of each training row, as decoded from its code and not counted among
            its own neighbours.
        n_neighbors : int, default=None
            Number of neighbours; None means the one given to the constructor.
        return_distance : bool, default=True
            Whether to return the distances as well.

        Returns
        -------
        neigh_dist : ndarray of shape (n_queries, n_neighbors), float
            Estimated distances in the units of `metric`, ascending. Estimates below the least
            possible distance are raised to it. Only present when ``return_distance=True``.
        neigh_ind : ndarray of shape (n_queries, n_neighbors), int
            Indices of the neighbours among the training rows; of equal distances, the smaller
            index comes first.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If `n_neighbors` is not an integer, or `X` is sparse.
        ValueError
            If `n_neighbors` is not positive or exceeds the number of rows to choose from, or if
            `X` has another width than the training rows, or holds NaN or infinity.
        """
        check_is_fitted(self)
        n_neighbors = self._resolve_n_neighbors(n_neighbors)
        if X is not None:
            X = validate_data(self, X, reset=False, dtype=[np.float32, np.float64])
        self._check_enough_rows(n_neighbors, X)
        if X is None:
            distances, indices = self._search_leave_one_out(n_neighbors)
        else:
            distances, indices = self._search(X, n_neighbors)
        return (distances, indices) if return_distance else indices

    def kneighbors_graph(self, X=None, n_neighbors=None, mode="connectivity"):
        """Give the graph of nearest neighbours as a sparse matrix.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), default=None
            The queries; None means the training rows, as in `kneighbors`.
        n_neighbors : int, default=None
            Number of neighbours; None means the one given to the constructor.
        mode : {"connectivity", "distance"}, default="connectivity"
            Whether an edge holds 1 or the distance.

        Returns
        -------
        graph : sparse CSR matrix of shape (n_queries, `n_samples_fit_`), float
            ``graph[i, j]`` is the edge from query i to training row j. It is a sparse array where
            scikit-learn's setting ``sparse_interface`` asks for one.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As `kneighbors` does, and ValueError if `mode` is unknown.
        """
        if mode not in ("connectivity", "distance"):
            raise ValueError(f'mode must be "connectivity" or "distance", got {mode!r} instead.')
        distances, indices = self.kneighbors(X, n_neighbors)
        n_queries, n_neighbors = indices.shape
        edges = np.ones(indices.size) if mode == "connectivity" else distances.ravel()
        row_starts = np.arange(0, indices.size + 1, n_neighbors)
        shape = (n_queries, self.n_samples_fit_)
        return follow_sparse_interface(csr_array((edges, indices.ravel(), row_starts), shape=shape))

    def _resolve_n_neighbors(self, n_neighbors):
        if n_neighbors is None:
            return self.n_neighbors
        if not isinstance(n_neighbors, Integral):
            raise TypeError(
                f"n_neighbors does not take {type(n_neighbors)} value, enter integer value"
            )
        if n_neighbors <= 0:
            raise ValueError(f"Expected n_neighbors > 0. Got {n_neighbors}")
        return n_neighbors

    def _check_enough_rows(self, n_neighbors, X):
        n_rows = self.n_samples_fit_
        if n_neighbors > (n_rows - 1 if X is None else n_rows):
            # In scikit-learn's words, which its common tests look for.
            raise ValueError(
                f"Expected n_neighbors {'<' if X is None else '<='} n_samples_fit, but "
                f"n_neighbors = {n_neighbors}, n_samples_fit = {n_rows}, "
                f"n_samples = {n_rows if X is None else len(X)}"
            )

    def _search(self, queries, n_neighbors):
        """Distances in the units of the metric, and indices, of the nearest rows of each query."""
        metric = self.effective_metric_
        if metric == "cosine":
            queries = unit_rows(queries, queries.dtype)
        distances, indices = search(
            self.codes_, queries, n_neighbors, metric=_SEARCHED_AS[metric], n_jobs=self.n_jobs
        )
        if metric == "cosine":
            distances = np.clip(1 + distances, 0, 2)
        elif metric == "sqeuclidean":
            distances = np.maximum(distances, 0)
        elif metric == "euclidean":
            distances = np.sqrt(np.maximum(distances, 0))
        return distances, indices

    def _search_leave_one_out(self, n_neighbors):
        """Search the decoded training rows block by block, leaving each row out of its result."""
        block_rows = max(1, _BLOCK_FLOATS // self.codes_.shape[1])
        found = []
        for rows in gen_batches(self.n_samples_fit_, block_rows):
            distances, indices = self._search(self.codes_[rows].toarray(), n_neighbors + 1)
            others = indices != np.arange(rows.start, rows.stop)[:, None]
            # A row with as many nearer ones (duplicates, longer ones by inner product) is not
            # in its own result: leave out the farthest instead.
            others[others.all(axis=1), -1] = False
            shape = (len(indices), n_neighbors)
            found.append((distances[others].reshape(shape), indices[others].reshape(shape)))
        distances, indices = zip(*found, strict=True)
        return np.concatenate(distances), np.concatenate(indices)


def check_weights_suit_metric(weights, metric):
    """Refuse to weight by the inverse of something that is no distance.

    Parameters
    ----------
    weights : {"uniform", "distance"} or callable
        The estimator's parameter.
    metric : str
        The estimator's parameter.

    Raises
    ------
    ValueError
        If `weights` is "distance" and `metric` "inner_product".
    """
    if weights == "distance" and metric == "inner_product":
        raise ValueError(
            'weights="distance" cannot be used with metric="inner_product": negated products are '
            "no distances and have no meaningful inverse."
        )


def neighbor_weights(distances, weights):
    """Weigh each neighbour of each query.

    Parameters
    ----------
    distances : ndarray of shape (n_queries, n_neighbors)
        Distances as `kneighbors` gives them.
    weights : {"uniform", "distance"} or callable
        The estimator's parameter.

    Returns
    -------
    ndarray of shape (n_queries, n_neighbors), float
        The weights, at least one of each query not zero. By distance, the neighbours at distance
        zero have weight 1 and leave 0 to the others of their query.

    Raises
    ------
    ValueError
        If a callable returns another shape, or only zeros for a query.
    """
    if weights == "uniform":
        return np.ones(distances.shape)
    if weights == "distance":
        with np.errstate(divide="ignore", over="ignore"):
            weight = 1.0 / distances
        infinite = np.isinf(weight)
        at_zero = infinite.any(axis=1)
        weight[at_zero] = infinite[at_zero]
        return weight
    weight = np.asarray(weights(distances))
    if weight.shape != distances.shape:
        raise ValueError(
            f"weights must return an array of the shape of the distances, {distances.shape}, "
            f"but returned {weight.shape}."
        )
    if not weight.any(axis=1).all():
        raise ValueError(
            "All neighbors of some sample is getting zero weights. Please modify 'weights' to "
            "avoid this case if you are using a user-defined function."
        )
    return weight


def unit_rows(X, dtype):
    """Scale rows to unit Euclidean length; a row of zeros stays zero.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        The rows, of any real dtype.
    dtype : dtype
        The dtype of the result.

    Returns
    -------
    ndarray of shape (n_rows, n_features), `dtype`
        The scaled rows.
    """
    unit = np.empty(X.shape, dtype)
    for rows in gen_batches(len(X), max(1, _BLOCK_FLOATS // X.shape[1])):
        block = X[rows].astype(np.float64)  # the squares of float16 or int8 would overflow
        lengths = np.linalg.norm(block, axis=1, keepdims=True)
        unit[rows] = block / np.where(lengths == 0, 1, lengths)
    return unit


def join_chunks(chunks, concatenate):
    """Collapse a list of chunks to a single one, in place, and return that one.

    Called when the whole is read, not when a chunk is added, so adding n chunks costs one copy.

    Parameters
    ----------
    chunks : list
        At least one chunk.
    concatenate : callable
        What joins a list of them.

    Returns
    -------
    chunk
        The joined chunks, now the only item of the list.
    """
    if len(chunks) > 1:
        chunks[:] = [concatenate(chunks)]
    return chunks[0]
