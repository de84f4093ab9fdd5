"""What the quantized neighbour estimators share: codes for training rows, and their search."""

from numbers import Integral

import numpy as np
from scipy.sparse import csr_array
from sklearn.utils.validation import check_is_fitted

from .._sklearn_compat import Interval, follow_sparse_interface, validate_data
from ._list_search import count_scanned
from ._metric import SEARCHED_AS, as_floats, as_searched, in_units
from ._rescore import rerank
from ._rows import (
    row_indices,
    scan_is_faster,
    search_among,
    search_few_among,
    without_own,
)
from ._scan import FEW_QUERIES
from ._training_rows import TrainingRowsMixin


class QuantizedNeighborsMixin(TrainingRowsMixin):
    """Fit codes of the training rows, and find the nearest of them.

    An estimator that uses it has the parameters `n_neighbors`, `bits`, `metric`, `quantizer`,
    `n_lists`, `n_probe`, `rescore`, `rescore_source`, `n_candidates`, `random_state` and `n_jobs`.

    Attributes
    ----------
    codes_ : QuantizedMatrix of shape (`n_samples_fit_`, `n_features_in_`)
        The compressed training rows, at unit length when ``effective_metric_ == "cosine"``; with
        lists, their residuals in the order in which they are stored.
    lists_ : InvertedLists
        The rows in their lists, where there are any.
    quantizer_ : estimator
        The fitted quantizer that made them.
    rescore_codes_ : QuantizedMatrix of shape (`n_samples_fit_`, `n_features_in_`)
        The compressed residuals of the training rows, when `rescore` was given without a
        `rescore_source`.
    effective_metric_ : str
        The metric that the codes were made for.
    n_samples_fit_ : int
        Number of compressed rows.
    """

    _parameter_constraints: dict = {
        **TrainingRowsMixin._parameter_constraints,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
    }

    def kneighbors(self, X=None, n_neighbors=None, return_distance=True, *, subset=None):
        """Find the nearest compressed rows of each query.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), default=None
            The queries, used as they are: only the training rows are compressed. None asks for
            the neighbours of each training row, not counted among its own neighbours; its place is
            read from `rescore_source`, or else decoded from its code.
        n_neighbors : int, default=None
            Number of neighbours; None means the one given to the constructor.
        return_distance : bool, default=True
            Whether to return the distances as well.
        subset : array-like of bool of shape (`n_samples_fit_`,), or of int, default=None
            The training rows that may be found, as a mask or as indices; None means all.

        Returns
        -------
        neigh_dist : ndarray of shape (n_queries, n_neighbors), float
            Estimated distances in the units of `metric`, ascending. Estimates below the least
            possible distance are raised to it. Only present when ``return_distance=True``.
        neigh_ind : ndarray of shape (n_queries, n_neighbors), int
            Indices of the neighbours among the training rows, not within `subset`; of equal
            distances, the smaller index comes first.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If `n_neighbors` is not an integer, or `X` is sparse.
        ValueError
            If `n_neighbors` is not positive or exceeds the number of rows to choose from, if `X`
            has another width than the training rows, or holds NaN or infinity, if `subset` is a
            mask of another length or holds indices of no rows, or if `rescore_source` does not
            cover the training rows.
        """
        if not hasattr(self, "n_samples_fit_"):  # the check takes its time
            check_is_fitted(self)
        n_neighbors = resolve_n_neighbors(n_neighbors, self.n_neighbors)
        if X is not None:
            X = self._validate_queries(X)
        rows = None if subset is None else row_indices(subset, self.n_samples_fit_, "subset")
        self._check_enough_rows(n_neighbors, X, rows)
        if X is None:
            distances, indices = self._search_leave_one_out(n_neighbors, rows)
        else:
            distances, indices = self._search(X, n_neighbors, rows)
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
        check_mode(mode)
        distances, indices = self.kneighbors(X, n_neighbors)
        counts = np.full(len(indices), indices.shape[1])
        return self._graph(distances.ravel(), indices.ravel(), counts, mode)

    def _graph(self, distances, indices, counts, mode):
        """Give the sparse matrix of edges that are listed query by query."""
        edges = np.ones(indices.size) if mode == "connectivity" else distances
        row_starts = np.append(0, np.cumsum(counts))
        shape = (len(counts), self.n_samples_fit_)
        return follow_sparse_interface(csr_array((edges, indices, row_starts), shape=shape))

    def _validate_queries(self, X):
        if self._is_plain(X):
            return X
        return as_floats(validate_data(self, X, reset=False, dtype="numeric", order="C"))

    def _is_plain(self, X):
        """Tell whether queries need no validation, which takes longer than to search for one."""
        return (
            type(X) is np.ndarray
            and X.dtype in (np.float32, np.float64)
            and X.ndim == 2
            and 0 < len(X) <= FEW_QUERIES
            and X.shape[1] == self.n_features_in_
            and X.flags.c_contiguous
            and not hasattr(self, "feature_names_in_")
            and bool(np.isfinite(X).all())
        )

    def _check_enough_rows(self, n_neighbors, X, rows):
        n_rows = self.n_samples_fit_ if rows is None else len(rows)
        if n_neighbors > (n_rows - 1 if X is None else n_rows):
            # In scikit-learn's words, which its common tests look for.
            choice = "n_samples_fit" if rows is None else "the number of rows in subset"
            raise ValueError(
                f"Expected n_neighbors {'<' if X is None else '<='} {choice}, but "
                f"n_neighbors = {n_neighbors}, {choice} = {n_rows}, "
                f"n_samples = {self.n_samples_fit_ if X is None else len(X)}"
            )

    def _search(self, queries, n_neighbors, rows):
        """Distances in the units of the metric, and indices, of the nearest rows of each query."""
        metric = self.effective_metric_
        queries = as_searched(queries, metric)
        finer = self._finer_rows()
        n_rows = self.n_samples_fit_ if rows is None else len(rows)
        n_found = n_neighbors
        if finer is not None:
            n_found = min(int(np.ceil(self.rescore * n_neighbors)), n_rows)
        how = {"metric": SEARCHED_AS[metric], "n_jobs": self.n_jobs}
        n_probe, count = self._n_probe, min(max(self.n_candidates or 0, n_found), n_rows)
        if self._has_coarse_layer() and scan_is_faster(self._held, len(queries), count, n_probe):
            distances, indices = search_few_among(
                self._held, rows, queries, n_found, count, n_probe=n_probe, **how
            )
        else:
            distances, indices = search_among(
                self._held, rows, queries, n_found, n_probe=n_probe, **how
            )
        if not np.isfinite(distances).all():
            raise ValueError(
                "X has queries too large to be compared: distances from them overflow. Scale them "
                "and the training rows down."
            )
        if finer is not None:
            distances, indices = rerank(finer, queries, indices, n_neighbors, metric, self.n_jobs)
        return in_units(distances, metric), indices

    def _share_scanned(self, X, n_neighbors):
        """Give the share of the rows in lists that a query is compared with on average."""
        queries = as_searched(self._validate_queries(X), self.effective_metric_)
        metric = SEARCHED_AS[self.effective_metric_]
        n_scanned = count_scanned(self.lists_, queries, n_neighbors, self._n_probe, metric=metric)
        return n_scanned / (len(queries) * self.n_samples_fit_)

    def _search_leave_one_out(self, n_neighbors, subset):
        """Search the training rows block by block, leaving each row out of its result."""
        found = []
        for rows, queries in self._training_blocks():
            distances, indices = self._search(queries, n_neighbors + 1, subset)
            own = np.arange(rows.start, rows.stop)
            found.append(without_own(own, indices, distances))
        indices, distances = zip(*found, strict=True)
        return np.concatenate(distances), np.concatenate(indices)


def resolve_n_neighbors(n_neighbors, default):
    """Check a number of neighbours, and take the default for None."""
    if n_neighbors is None:
        return default
    if not isinstance(n_neighbors, Integral):
        raise TypeError(f"n_neighbors does not take {type(n_neighbors)} value, enter integer value")
    if n_neighbors <= 0:
        raise ValueError(f"Expected n_neighbors > 0. Got {n_neighbors}")
    return int(n_neighbors)


def check_mode(mode):
    """Refuse an unknown kind of graph."""
    if mode not in ("connectivity", "distance"):
        raise ValueError(f'mode must be "connectivity" or "distance", got {mode!r} instead.')
