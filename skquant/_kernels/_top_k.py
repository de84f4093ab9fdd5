"""Keep the k nearest rows of each query while panels of products pass by."""

import numpy as np
from numba import njit

CHUNK = 128


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _count_nearer(products, query, start, stop, weight, offset, bound):
    """Count the rows of a chunk that are nearer than a bound.

    Unsigned indices and a narrow count let the compiler turn this into vector instructions.
    """
    count = np.int32(0)
    for row in range(np.uintp(start), np.uintp(stop)):
        distance = offset[row] + weight * products[query, row]
        count += np.int32(distance < bound)
    return count


@njit(cache=True, nogil=True)
def update_top_k(products, weight, offset, first_row, distances, indices):
    """Take a panel of products into the k nearest rows of each query.

    The distance of query i and row j is ``offset[j] + weight[i] * products[i, j]``.

    Parameters
    ----------
    products : float32 ndarray of shape (n_queries, n_rows)
    weight : float64 ndarray of shape (n_queries,)
    offset : float64 ndarray of shape (n_rows,)
    first_row : int
        Index of the panel's first row; panels come in ascending order.
    distances : float64 ndarray of shape (n_queries, k)
        Heaps, the farthest first; infinite at the start. Updated.
    indices : int64 ndarray of shape (n_queries, k)
        Rows of the heaps. Updated. Of equal distances the smallest rows stay.
    """
    n_rows = products.shape[1]
    for query in range(products.shape[0]):
        for start in range(0, n_rows, CHUNK):
            stop = min(start + CHUNK, n_rows)
            bound = distances[query, 0]
            if not _count_nearer(products, query, start, stop, weight[query], offset, bound):
                continue
            for row in range(start, stop):
                distance = offset[row] + weight[query] * products[query, row]
                if distance < distances[query, 0]:
                    _push(distances, indices, query, distance, first_row + row)
