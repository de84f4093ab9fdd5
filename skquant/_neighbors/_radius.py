"""Neighbours within a radius, and their graph."""

from numbers import Real

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._base import check_mode
from ._metric import SEARCHED_AS, as_searched, from_units, in_units
from ._rows import row_indices, within_among

_SLACK = 1e-9  # relative; rows within it are compared in the units of the metric


class RadiusNeighborsMixin:
    """Find all compressed rows within a radius.

    An estimator that uses it is a `QuantizedNeighborsMixin` and has a parameter `radius`.
    """

    def radius_neighbors(
        self, X=None, radius=None, return_distance=True, sort_results=False, *, subset=None
    ):
        """Find the compressed rows within a radius of each query.

        Distances are estimated from the codes; `rescore` does not apply, because there is no
        number of candidates. With lists, only rows in the `n_probe` lists that a query visits are
        found.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), default=None
            The queries; None asks for the neighbours of each training row, not counted among its
            own neighbours, as in `kneighbors`.
        radius : float, default=None
            The largest distance, itself included, in the units of `metric`; None means the one
            given to the constructor.
        return_distance : bool, default=True
            Whether to return the distances as well.
        sort_results : bool, default=False
            Whether to order the neighbours of a query by distance; else they are ordered by index.
        subset : array-like of bool of shape (`n_samples_fit_`,), or of int, default=None
            The training rows that may be found, as a mask or as indices; None means all.

        Returns
        -------
        neigh_dist : ndarray of shape (n_queries,) of float arrays
            Estimated distances. Only present when ``return_distance=True``.
        neigh_ind : ndarray of shape (n_queries,) of int arrays
            Indices of the neighbours among the training rows.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If `X` is sparse.
        ValueError
            If `radius` is no number, NaN, or negative for a metric that never is; if
            `sort_results` is asked for without distances; if `X` or `subset` is refused by
            `kneighbors`.
        """
        if sort_results and not return_distance:
            raise ValueError("return_distance must be True if sort_results is True.")
        distances, indices, counts = self._within(X, radius, sort_results, subset)
        ends = np.cumsum(counts)[:-1]
        if return_distance:
            return _array_of_arrays(distances, ends), _array_of_arrays(indices, ends)
        return _array_of_arrays(indices, ends)

    def radius_neighbors_graph(self, X=None, radius=None, mode="connectivity", sort_results=False):
        """Give the graph of neighbours within a radius as a sparse matrix.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), default=None
            The queries; None means the training rows, as in `radius_neighbors`.
        radius : float, default=None
            The largest distance; None means the one given to the constructor.
        mode : {"connectivity", "distance"}, default="connectivity"
            Whether an edge holds 1 or the distance.
        sort_results : bool, default=False
            Whether to order the edges of a query by distance; else they are ordered by index.

        Returns
        -------
        graph : sparse CSR matrix of shape (n_queries, `n_samples_fit_`), float
            ``graph[i, j]`` is the edge from query i to training row j, as in `kneighbors_graph`.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As `radius_neighbors` does, and ValueError if `mode` is unknown.
        """
        check_mode(mode)
        return self._graph(*self._within(X, radius, sort_results, None), mode)

    def _within(self, X, radius, sort_results, subset):
        """Distances and indices of all queries one after the other, and how many each query has."""
        check_is_fitted(self)
        radius = self._check_radius(self.radius if radius is None else radius)
        rows = None if subset is None else row_indices(subset, self.n_samples_fit_, "subset")
        if X is None:
            found = self._search_within_but_self(radius, rows)
        else:
            found = self._search_within(self._validate_queries(X), radius, rows)
        if not sort_results:
            return found
        distances, indices, counts = found
        order = np.lexsort((indices, distances, np.repeat(np.arange(len(counts)), counts)))
        return distances[order], indices[order], counts

    def _check_radius(self, radius):
        if not isinstance(radius, Real) or np.isnan(radius):
            raise ValueError(f"radius must be a number, got {radius!r}.")
        if radius < 0 and self.effective_metric_ != "inner_product":
            raise ValueError(f"radius must not be negative, got {radius!r}.")
        return float(radius)

    def _search_within(self, queries, radius, rows):
        metric = self.effective_metric_
        if rows is not None and len(rows) == 0:
            return np.empty(0), np.empty(0, np.int64), np.zeros(len(queries), np.int64)
        limit = from_units(radius, metric)
        distances, indices, counts = within_among(
            self._held,
            rows,
            as_searched(queries, metric),
            limit + _SLACK * max(abs(limit), 1),
            n_probe=self._n_probe,
            metric=SEARCHED_AS[metric],
            n_jobs=self.n_jobs,
        )
        distances = in_units(distances, metric)
        return _keep(distances <= radius, distances, indices, counts)

    def _search_within_but_self(self, radius, rows):
        """Search the training rows block by block, leaving each row out of its result."""
        parts = []
        for block, queries in self._training_blocks():
            distances, indices, counts = self._search_within(queries, radius, rows)
            others = indices != np.repeat(np.arange(block.start, block.stop), counts)
            parts.append(_keep(others, distances, indices, counts))
        return tuple(map(np.concatenate, zip(*parts, strict=True)))


def _keep(chosen, distances, indices, counts):
    """Keep some of what was found, and count anew."""
    owners = np.repeat(np.arange(len(counts)), counts)[chosen]
    return distances[chosen], indices[chosen], np.bincount(owners, minlength=len(counts))


def _array_of_arrays(flat, ends):
    """Split an array into an object array of arrays."""
    parts = np.split(flat, ends)
    nested = np.empty(len(parts), object)
    nested[:] = parts
    return nested
