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
def _scan(products, query, start, stop, weight, offset, first_row, distances, indices):
    """Take some rows of a panel into a query's heap."""
    for row in range(start, stop):
        distance = offset[row] + weight * products[query, row]
        if distance < distances[query, 0]:
            _push(distances, indices, query, distance, first_row + row)


@inlined
def _rough_limit(farthest, inverse, largest):
    """Bound on product + offset / weight for what may be nearer, with room for rounding."""
    bound = farthest * inverse
    return np.float32(min(bound + 1e-6 * (abs(bound) + largest * inverse), 1e38))


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
    rough_offset, largest = offset.astype(np.float32), 0.0
    for row in range(n_rows):
        largest = max(largest, abs(offset[row]))
    for query in range(products.shape[0]):
        w = weight[query]
        inverse = 1.0 / w if w > 0 else 1e30
        # Is single precision wide enough for the offsets, as they are and divided by the weight?
        single = largest == 0 or (1e-30 < largest < 1e30 and 1e-30 < largest * inverse < 1e30)
        whole = n_rows // LANES * LANES if single else 0
        limit = _rough_limit(distances[query, 0], inverse, largest)
        for row in range(0, whole, LANES):
            # Most rows are far, and single precision can tell.
            rough = load(products, (query, row)) + load(rough_offset, row) * np.float32(inverse)
            if any_lane(rough < limit):
                _scan(products, query, row, row + LANES, w, offset, first_row, distances, indices)
                limit = _rough_limit(distances[query, 0], inverse, largest)
        _scan(products, query, whole, n_rows, w, offset, first_row, distances, indices)
