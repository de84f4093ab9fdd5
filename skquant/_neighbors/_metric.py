"""What nearest means: how rows and queries enter a search, and the units of what it finds.

A search minimises the squared euclidean distance or the negated product. The other metrics follow
from these: the cosine is the product of rows of unit length.
"""

import numpy as np
from sklearn.utils import gen_batches

SEARCHED_AS = {
    "euclidean": "sqeuclidean",
    "sqeuclidean": "sqeuclidean",
    "cosine": "inner_product",
    "inner_product": "inner_product",
}

_BLOCK_FLOATS = 2**20


def as_searched(rows, metric, dtype=None):
    """Give rows or queries the form in which the metric searches them.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
        Of any real dtype.
    metric : str
        A key of `SEARCHED_AS`.
    dtype : dtype, default=None
        The dtype of what is normalised; None means that of `rows`.

    Returns
    -------
    ndarray of shape (n_rows, n_features)
        Rows of unit length for "cosine", else `rows` themselves.
    """
    return unit_rows(rows, dtype or rows.dtype) if metric == "cosine" else rows


def as_floats(queries):
    """Give queries in the precision of a search: float16 and short integers take float32."""
    if queries.dtype in (np.float32, np.float64):
        return queries
    return queries.astype(np.float32 if np.can_cast(queries.dtype, np.float32) else np.float64)


def in_units(distances, metric):
    """Turn what a search minimises into distances; those below the least possible are raised.

    Parameters
    ----------
    distances : float64 ndarray
        Squared distances or negated products.
    metric : str
        A key of `SEARCHED_AS`.

    Returns
    -------
    float64 ndarray
        Distances in the units of the metric.
    """
    if metric == "cosine":
        return np.clip(1 + distances, 0, 2)
    if metric == "sqeuclidean":
        return np.maximum(distances, 0)
    if metric == "euclidean":
        return np.sqrt(np.maximum(distances, 0))
    return distances


def from_units(distance, metric):
    """Undo `in_units` for a distance that is possible."""
    if metric == "cosine":
        return distance - 1
    return distance**2 if metric == "euclidean" else distance


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
        # The squares of float16 or int8 would overflow, and the order is that of the sums.
        block = np.asarray(X[rows], np.float64, order="C")
        largest = np.abs(block).max(axis=1, keepdims=True, initial=0.0)
        if largest.max(initial=0.0) > 1e150 or (largest[largest > 0] < 1e-150).any():
            block = np.ldexp(block, -np.frexp(largest)[1])  # whose squares are no extremes
        lengths = np.linalg.norm(block, axis=1, keepdims=True)
        unit[rows] = block / np.where(lengths == 0, 1, lengths)
    return unit
