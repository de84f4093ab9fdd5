"""Which rows can be among the nearest of a few queries, from products with the codes as they are.

Decoding panels is more work than multiplying them by a few queries, and codes multiply without
keeping what they decode to. Such products are not rounded as the search rounds them, and what is
found must not depend on how many queries there are. So they only tell which rows are worth the
search: all whose distance is not above the k-th least by more than rounding may change both.
"""

import numpy as np

from ._estimates import scale_and_offset

CHUNK_FLOATS = 2**21  # decoded at once where a code cannot do without
_EPS, _EPS_SINGLE = np.finfo(np.float64).eps, np.finfo(np.float32).eps
_HALF_UNIT = 2.0**-16  # of 16-bit integers up to one


def find_possible_rows(codes, queries, rows, k, metric):
    """Find the rows of a slice that can be among its k nearest of any query.

    Parameters
    ----------
    codes : QuantizedMatrix
        With a finite `peak`.
    queries : _FloatQueries or _IntegerQueries of `_search`
        At most FEW_VECTORS.
    rows : slice
    k : int
    metric : {"sqeuclidean", "inner_product"}

    Returns
    -------
    int64 ndarray
        Rows, ascending; at least min(k, their number).
    """
    codec, found = codes._codec, []
    least = np.full((k, len(queries.length)), np.inf)  # that distances can be at most
    step = max(64, CHUNK_FLOATS // codec.row_code.n_coordinates)
    for first in range(rows.start, rows.stop, step):
        packed = codes._rows[first : min(first + step, rows.stop)]
        distances, margin = estimate_distances(codec, packed, queries, metric)
        least = np.partition(np.vstack([least, distances + margin]), k - 1, axis=0)[:k]
        lowest = distances - margin
        near = np.flatnonzero((lowest <= least[-1]).any(axis=1))
        found.append((first + near, lowest[near]))
    possible, lowest = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return possible[(lowest <= least[-1]).any(axis=1)]


def estimate_distances(codec, packed, queries, metric):
    """Estimate distances, less the query's own part, and bound how far they are from the search's.

    Returns
    -------
    distances, margin : float64 ndarray of shape (n_rows, n_queries)
    """
    products, energy = codec.row_code.multiply(packed, queries.coordinates, codec.dither)
    norm = np.sqrt(energy)
    scale, offset = scale_and_offset(codec.unpack_terms(packed), norm, metric)
    weight = scale[:, None] * queries.length
    products, offset = weight * products, offset[:, None]
    margin = np.abs(weight) * _bound_errors(queries, norm[:, None])
    margin += 4 * _EPS * (np.abs(offset) + np.abs(products))
    return offset + products, margin


def _bound_errors(queries, norm):
    """Bound how far products of the search differ from those with the codes as they are.

    The latter round vectors to 16-bit integers, and both sum in single precision.
    """
    n = queries.coordinates.shape[1]
    inexact = n * _EPS_SINGLE + np.sqrt(n) * _HALF_UNIT
    size = np.linalg.norm(queries.coordinates, axis=1)
    return 1.001 * queries.bound_errors(norm) + inexact * size * norm
