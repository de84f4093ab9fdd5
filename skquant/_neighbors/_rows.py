"""Rows that come in chunks, go by index, and are searched in part."""

import numpy as np
from sklearn.utils import gen_batches

from ..quantized_matrix import QuantizedMatrix
from . import _list_scan, _list_search, _scan
from ._lists import InvertedLists
from ._radius_search import search_within
from ._scan import FEW_QUERIES
from ._search import search
from ._slabs import concatenate_apart, lies_apart, take_matrix

COST_OF_CANDIDATE, COST_OF_SCANNED = 2.5, 0.05  # over that of a row; see benchmarks/few_queries.py
_SUBSET_ROWS = 2**18  # selected rows are copied, so many at a time


def join_chunks(chunks):
    """Collapse a list of chunks to a single one, in place, and return that one.

    Called when the whole is read, not when a chunk is added, so adding n chunks costs one copy.

    Parameters
    ----------
    chunks : list of QuantizedMatrix, of InvertedLists or of ndarray
        At least one chunk.

    Returns
    -------
    chunk : QuantizedMatrix, InvertedLists or ndarray
        The joined chunks, now the only item of the list.
    """
    if len(chunks) > 1:
        join = getattr(type(chunks[0]), "concatenate", np.concatenate)
        if isinstance(chunks[0], QuantizedMatrix) and lies_apart(chunks[0]):
            join = concatenate_apart
        chunks[:] = [join(chunks)]
    return chunks[0]


def keep_rows(chunk, kept):
    """Give the rows of a chunk that a mask selects, a chunk of the same kind."""
    if isinstance(chunk, QuantizedMatrix) and lies_apart(chunk):
        return take_matrix(chunk, np.flatnonzero(kept))
    return chunk[kept]


def without_own(own, indices, *values):
    """Leave each query out of what was found for it.

    Where it is not among the rows found (duplicates, longer rows by inner product), the farthest of
    them is left out instead.

    Parameters
    ----------
    own : int ndarray of shape (n_queries,)
        The row that each query is.
    indices : int ndarray of shape (n_queries, n_found)
        Rows, nearest first.
    *values : ndarrays of shape (n_queries, n_found)
        What goes with them, such as distances.

    Returns
    -------
    tuple of ndarrays of shape (n_queries, n_found - 1)
        `indices` and `values`.
    """
    others = indices != own[:, None]
    others[others.all(axis=1), -1] = False
    return tuple(each[others].reshape(len(each), -1) for each in (indices, *values))


def reconstruct(held, rows):
    """Decode some training rows.

    Parameters
    ----------
    held : QuantizedMatrix or InvertedLists
        The rows.
    rows : slice or intp ndarray of shape (n_chosen,)

    Returns
    -------
    ndarray of shape (n_chosen, n_features)
    """
    return held.take(rows) if isinstance(held, InvertedLists) else held[rows].toarray()


def row_indices(selection, n_rows, name):
    """Read a selection of rows.

    Parameters
    ----------
    selection : array-like of bool of shape (n_rows,), or of int
        A mask, or indices in any order.
    n_rows : int
        The number of rows to choose from.
    name : str
        The parameter to name in errors.

    Returns
    -------
    intp ndarray
        Ascending indices without repetition.

    Raises
    ------
    ValueError
        If a mask has another length, or indices are no integers or do not exist.
    """
    selection = np.asarray(selection)
    if selection.ndim != 1 or (selection.dtype.kind not in "biu" and selection.size):
        raise ValueError(
            f"{name} must be a boolean mask or integer indices in one dimension, got "
            f"{selection.dtype} of shape {selection.shape}."
        )
    if selection.dtype.kind == "b":
        if len(selection) != n_rows:
            raise ValueError(
                f"{name} is a mask of length {len(selection)}, but there are {n_rows} rows."
            )
        return np.flatnonzero(selection)
    missing = selection[(selection < 0) | (selection >= n_rows)]
    if missing.size:
        raise ValueError(
            f"{name} must be at least 0 and less than the number of rows, {n_rows}, "
            f"but holds {missing[0]}."
        )
    return np.unique(selection.astype(np.intp))


def as_given(indices, removed):
    """Give rows the numbers that they had before others were removed.

    Parameters
    ----------
    indices : int ndarray
        Rows, counted among those that are left.
    removed : intp ndarray of shape (n_removed,)
        The removed rows, ascending, counted as they were given.

    Returns
    -------
    int ndarray
        The same rows, counted as they were given.
    """
    left_before = removed - np.arange(len(removed))
    return indices + np.searchsorted(left_before, indices, side="right")


def search_among(held, rows, queries, k, *, n_probe, metric, n_jobs):
    """Find the k nearest of some of the compressed rows.

    Parameters
    ----------
    held : QuantizedMatrix or InvertedLists
        All rows.
    rows : intp ndarray of shape (n_chosen,), or None
        Ascending indices of the rows to choose from; None means all.
    queries, k, n_probe, metric, n_jobs
        As the searches take them; only lists have an `n_probe`.

    Returns
    -------
    distances, indices : ndarray of shape (n_queries, k)
        As the searches give them; indices count all rows.
    """
    if isinstance(held, InvertedLists):
        some = held if rows is None else held.among(rows)
        return _list_search.search(some, queries, k, n_probe, metric=metric, n_jobs=n_jobs)
    if rows is None:
        return search(held, queries, k, metric=metric, n_jobs=n_jobs)
    distances, indices = np.empty((len(queries), 0)), np.empty((len(queries), 0), np.intp)
    for part in gen_batches(len(rows), _SUBSET_ROWS):
        chosen = rows[part]
        found, places = search(
            held[chosen], queries, min(k, len(chosen)), metric=metric, n_jobs=n_jobs
        )
        distances = np.concatenate([distances, found], axis=1)
        indices = np.concatenate([indices, chosen[places]], axis=1)
        distances, indices = nearest(distances, indices, k)
    return distances, indices


def scan_is_faster(held, n_queries, n_candidates, n_probe):
    """Tell whether to scan a coarse layer for each query, or to decode rows for all of them.

    In lists, many queries decode what they visit together, and scans measure candidates of each.
    """
    if n_queries <= FEW_QUERIES:
        return True
    if not isinstance(held, InvertedLists):
        return False
    n_scanned = len(held) * min(1, n_probe / held.n_lists)
    scan = COST_OF_CANDIDATE * n_candidates + COST_OF_SCANNED * n_scanned
    return n_queries * scan <= min(len(held), n_queries * n_scanned)


def search_few_among(held, rows, queries, k, n_candidates, *, n_probe, metric, n_jobs):
    """Find the k nearest of some of the rows by scans of their coarse layer.

    Parameters
    ----------
    held, rows
        As `search_among` takes them.
    queries, k, n_candidates, n_probe, metric, n_jobs
        As the searches take them; only lists have an `n_probe`.

    Returns
    -------
    distances, indices : ndarray of shape (n_queries, k)
        As the searches give them; indices count all rows.
    """
    how = {"metric": metric, "n_jobs": n_jobs}
    if isinstance(held, InvertedLists):
        some = held if rows is None else held.among(rows)
        return _list_scan.search_few(some, queries, k, n_candidates, n_probe, **how)
    return _scan.search_few(held, rows, queries, k, n_candidates, **how)


def within_among(held, rows, queries, limit, *, n_probe, metric, n_jobs):
    """Find those of some of the compressed rows that are within a limit of each query.

    Parameters
    ----------
    held, rows
        As `search_among` takes them.
    queries, limit, n_probe, metric, n_jobs
        As the searches take them; only lists have an `n_probe`.

    Returns
    -------
    distances, indices, counts : ndarray
        As `search_within` gives them; indices count all rows.
    """
    if isinstance(held, InvertedLists):
        some = held if rows is None else held.among(rows)
        return _list_search.search_within(
            some, queries, limit, n_probe, metric=metric, n_jobs=n_jobs
        )
    some = held if rows is None else held[rows]
    distances, indices, counts = search_within(some, queries, limit, metric=metric, n_jobs=n_jobs)
    return distances, indices if rows is None else rows[indices], counts


def nearest(distances, indices, k):
    """Give the k least distances of each query and their rows; of equal ones the smallest row."""
    order = np.lexsort((indices, distances), axis=1)[:, :k]
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(indices, order, axis=1)
