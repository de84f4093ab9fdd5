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
def _least_offsets(offset):
    """Least offset of each chunk of rows."""
    least = np.full(-(-offset.shape[0] // CHUNK), np.inf)
    for row in range(offset.shape[0]):
        least[row // CHUNK] = min(least[row // CHUNK], offset[row])
    return least


@njit(cache=True, nogil=True)
def _count_below(products, query, start, stop, limit):
    """Count the products of a chunk that are below a limit.

    Unsigned indices and a narrow count let the compiler turn this into vector instructions.
    """
    count = np.int32(0)
    for row in range(np.uintp(start), np.uintp(stop)):
        count += np.int32(products[query, row] < limit)
    return count


@njit(cache=True, nogil=True)
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
    least_offset = _least_offsets(offset)
    for query in range(products.shape[0]):
        w = weight[query]
        for chunk in range(least_offset.shape[0]):
            start, stop = chunk * CHUNK, min((chunk + 1) * CHUNK, n_rows)
            # Most chunks hold nothing near, and the product alone can tell: it would have to be
            # below this limit, which is rounded up, even with the chunk's least offset.
            limit = (distances[query, 0] - least_offset[chunk]) / w if w > 0 else np.inf
            limit = np.float32(limit + 1e-6 * abs(limit))
            if not _count_below(products, query, start, stop, limit):
                continue
            for row in range(np.uintp(start), np.uintp(stop)):
                if products[query, row] < limit:
                    distance = offset[row] + w * products[query, row]
                    if distance < distances[query, 0]:
                        _push(distances, indices, query, distance, first_row + np.int64(row))
