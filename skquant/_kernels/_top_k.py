"""Keep the k nearest rows of each query while panels of products pass by."""

import numpy as np
from numba import njit

from ._vectors import LANES, any_lane, inlined, load


@njit(cache=True, nogil=True, error_model="numpy")
def _push(distances, indices, query, distance, index):
    """Replace the root of a query's heap, whose root is its farthest (distance, index)."""
    k = distances.shape[1]
    parent = 0
    while True:
        child = 2 * parent + 1
        if child >= k:
            break
        right = child + 1
        if right < k and (
            distances[query, right] > distances[query, child]
            or (
                distances[query, right] == distances[query, child]
                and indices[query, right] > indices[query, child]
            )
        ):
            child = right
        if distances[query, child] < distance or (
            distances[query, child] == distance and indices[query, child] < index
        ):
            break
        distances[query, parent] = distances[query, child]
        indices[query, parent] = indices[query, child]
        parent = child
    distances[query, parent] = distance
    indices[query, parent] = index


@inlined
def scan(products, line, shift, start, stop, query, weight, offset, first_row, distances, indices):
    """Take rows into a query's heap; the product of a row is products[line, row - shift]."""
    for row in range(start, stop):
        distance = offset[row] + weight * products[line, row - shift]
        if distance < distances[query, 0]:
            _push(distances, indices, query, distance, first_row + row)


@inlined
def rough_limit(weight, farthest, largest):
    """Bound product + offset / weight in single precision, which can tell that most rows are far.

    Parameters
    ----------
    weight : float
    farthest : float
        Distance of the farthest row that is kept.
    largest : float
        Largest magnitude of an offset.

    Returns
    -------
    inverse : float32
        1 / weight.
    limit : float32
        With room for rounding; infinite where single precision is not wide enough for the offsets,
        as they are or divided by the weight.
    """
    inverse = 1.0 / weight if weight > 0 else 1e30
    bound = farthest * inverse
    limit = min(bound + 1e-6 * (abs(bound) + largest * inverse), 1e38)
    if largest > 0 and not (1e-30 < largest < 1e30 and 1e-30 < largest * inverse < 1e30):
        limit = np.inf
    return np.float32(inverse), np.float32(limit)


@njit(cache=True, nogil=True, error_model="numpy")
def update_top_k(products, weight, offset, first_row, distances, indices):
    """Take a panel of products into the k nearest rows of each query.

    The distance of query i and row j is ``offset[j] + weight[i] * products[i, j]``.

    Parameters
    ----------
    products : float32 ndarray of shape (n_queries, n_rows)
    weight : float64 ndarray of shape (n_queries,)
        Not negative.
    offset : float64 ndarray of shape (n_rows,)
    first_row : int
        Index of the panel's first row; panels come in ascending order.
    distances : float64 ndarray of shape (n_queries, k)
        Heaps, the farthest first; infinite at the start. Updated.
    indices : int64 ndarray of shape (n_queries, k)
        Rows of the heaps. Updated. Of equal distances the smallest rows stay.
    """
    n_rows = products.shape[1]
    whole = n_rows // LANES * LANES
    rough_offset, largest = offset.astype(np.float32), 0.0
    for row in range(n_rows):
        largest = max(largest, abs(offset[row]))
    for query in range(products.shape[0]):
        w = weight[query]
        inverse, limit = rough_limit(w, distances[query, 0], largest)
        for row in range(0, whole, LANES):
            rough = load(products, (query, row)) + load(rough_offset, row) * inverse
            if limit == np.inf or any_lane(rough < limit):
                stop = row + LANES
                scan(products, query, 0, row, stop, query, w, offset, first_row, distances, indices)
                inverse, limit = rough_limit(w, distances[query, 0], largest)
        scan(products, query, 0, whole, n_rows, query, w, offset, first_row, distances, indices)
