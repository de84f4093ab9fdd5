"""Keep the k nearest rows of each query while panels of products pass by."""

import numpy as np
from numba import njit

from ._lanes import lane_bits, lowest_bit
from ._memory import (
    load,
    room,
)
from ._vectors import (
    LANES,
    inlined,
    least,
    most,
)


@njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy")
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
def push_lanes(
    near, products, line, column, row, query, weight, offset, first_row, distances, indices
):
    """Take the rows of some lanes into a query's heap.

    `near` has a bit for each of LANES rows, from `row` on, whose products start at
    products[line, column].
    """
    while near != 0:
        lane = lowest_bit(near)
        near &= near - np.uint64(1)
        if row + lane >= len(offset):
            break
        distance = offset[row + lane] + weight * products[line, column + lane]
        if distance < distances[query, 0]:
            _push(distances, indices, query, distance, first_row + row + lane)


@inlined
def push_numbered(near, products, row, base, weight, offset, numbers, distances, indices, query):
    """Take the rows of some lanes, which come in any order, into a query's heap.

    `near` has a bit for each of LANES rows, from `row` on, whose products start at products[0, 0]
    and which go by their numbers.
    """
    while near != 0:
        lane = lowest_bit(near)
        near &= near - np.uint64(1)
        distance = base + (offset[row + lane] + weight * products[0, lane])
        number, farthest = numbers[row + lane], distances[query, 0]
        if distance < farthest or (distance == farthest and number < indices[query, 0]):
            _push(distances, indices, query, distance, number)


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
        1 / weight; zero where single precision is not wide enough for the offsets, as they are or
        divided by the weight.
    limit : float32
        With room for rounding; infinite in that case.
    """
    inverse = 1.0 / weight if weight > 0 else 1e30
    bound = farthest * inverse
    limit = least(bound + 1e-6 * (abs(bound) + largest * inverse), 1e38)
    if largest > 0 and not (1e-30 < largest < 1e30 and 1e-30 < largest * inverse < 1e30):
        inverse, limit = 0.0, np.inf
    return np.float32(inverse), np.float32(limit)


@inlined
def rough_offsets(offset, n):
    """Round offsets to n numbers in single precision, and give the largest magnitude."""
    rough, largest = room(np.float32(0), n), 0.0
    rough[len(offset) :] = 0
    for row in range(len(offset)):
        rough[row] = least(most(offset[row], -1e38), 1e38)
        largest = most(largest, abs(offset[row]))
    return rough, largest


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
    n_rows = len(offset)
    rough_offset, largest = rough_offsets(offset, n_rows)
    for query in range(products.shape[0]):
        w = weight[query]
        inverse, limit = rough_limit(w, distances[query, 0], largest)
        for row in range(0, n_rows, LANES):
            near = np.uint64(0xFFFFFFFF)
            if row + LANES <= n_rows:
                rough = load(products, (query, row)) + load(rough_offset, row) * inverse
                near = lane_bits(rough < limit)
            if near != 0:
                push_lanes(
                    near, products, query, row, row, query, w, offset, first_row, distances, indices
                )
                inverse, limit = rough_limit(w, distances[query, 0], largest)
