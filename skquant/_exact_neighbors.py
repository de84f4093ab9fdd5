"""Exact nearest neighbours, which compressed searches are held against."""

import numpy as np
from sklearn.utils import gen_batches

from ._neighbors._metric import SEARCHED_AS, as_searched
from ._neighbors._rows import nearest

_BLOCK_FLOATS = 2**22


def exact_neighbors(X, queries, n_neighbors, metric):
    """Find the nearest rows of queries by their exact distances, in bounded memory.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Rows of any real dtype; may be memory-mapped.
    queries : ndarray of shape (n_queries, n_features)
    n_neighbors : int
        At most n_rows.
    metric : str
        A key of `SEARCHED_AS`.

    Returns
    -------
    intp ndarray of shape (n_queries, n_neighbors)
        Nearest first; of equal distances the smaller index first.
    """
    height = max(1, _BLOCK_FLOATS // max(X.shape[1], len(queries)))
    blocks = ((rows, X[rows]) for rows in gen_batches(len(X), height))
    return nearest_in_blocks(blocks, queries, n_neighbors, metric)


def nearest_in_blocks(blocks, queries, n_neighbors, metric):
    """Find the nearest rows of queries as `exact_neighbors` does, among rows that come in blocks.

    Parameters
    ----------
    blocks : iterable of (slice or int ndarray, ndarray of shape (n_block, n_features))
        The places of rows, and the rows.
    queries, n_neighbors, metric
        As for `exact_neighbors`.

    Returns
    -------
    intp ndarray of shape (n_queries, n_neighbors)
    """
    queries = as_searched(queries.astype(np.float64), metric)
    distances, indices = np.empty((len(queries), 0)), np.empty((len(queries), 0), np.intp)
    for places, block in blocks:
        if isinstance(places, slice):
            places = np.arange(places.start, places.stop)
        found = _distances(queries, as_searched(block.astype(np.float64), metric), metric)
        if n_neighbors < found.shape[1]:
            best = np.argpartition(found, n_neighbors - 1, axis=1)[:, :n_neighbors]
        else:
            best = np.broadcast_to(np.arange(found.shape[1]), found.shape)
        distances = np.hstack([distances, np.take_along_axis(found, best, axis=1)])
        indices = np.hstack([indices, places[best]])
        distances, indices = nearest(distances, indices, n_neighbors)
    return indices


def _distances(queries, rows, metric):
    """Give what a search minimises, but for what is the same for all rows."""
    products = queries @ rows.T
    if SEARCHED_AS[metric] == "inner_product":
        return -products
    return np.einsum("ij,ij->i", rows, rows) - 2 * products
