"""Round decoded rows to small integers and multiply them by queries, a tile of 32 rows at a time.

A tile has the shape (n_steps, LANES): a step is an int32 for each row, with four bytes or two
16-bit integers of the row in it (`_dot`). Queries come in blocks of QUERIES, (n_steps, QUERIES),
laid out alike. What rows and queries lack to fill steps and blocks is zero.
"""

import numpy as np
from numba import njit

from ._dot import BYTE_OFFSET, QUERIES, dot_bytes, dot_shorts
from ._top_k import push_lanes, rough_limit, rough_offsets
from ._vectors import (
    LANES,
    bits,
    cast,
    inlined,
    lane_bits,
    load,
    most,
    multiply_add,
    registers,
    root,
    splat,
    store,
)  # fmt: skip

_ROUND = 1.5 * 2.0**23  # added to a float32, it leaves the nearest integer in the low bits


@inlined
def _round(panels, panel, step, per_step, scale, shift):
    """Round some coordinates to integers and lay them side by side in 32 bits."""
    word, width = splat(np.int32(0)), 32 // per_step
    for i in range(per_step):
        if per_step * step + i < panels.shape[1]:
            value = load(panels, (panel, per_step * step + i, 0)) * scale + shift
            word = word | (bits(value) & ((1 << width) - 1)) << width * i
    return word


@njit(cache=True, nogil=True, error_model="numpy")
def round_to_bytes(panels, tiles, units):
    """Round rows to bytes, the largest coordinate of a row to 127.

    Parameters
    ----------
    panels : float32 ndarray of shape (n_tiles, n_coordinates, LANES)
    tiles : int32 ndarray of shape (n_tiles, ceil(n_coordinates / 4), LANES)
        Written to.
    units : float32 ndarray of shape (n_tiles * LANES,)
        Written to: what an integer of each row stands for.
    """
    shift = np.float32(_ROUND + BYTE_OFFSET)
    for tile in range(tiles.shape[0]):
        peak = splat(np.float32(1e-30))
        for i in range(panels.shape[1]):
            peak = most(peak, abs(load(panels, (tile, i, 0))))
        store(units, tile * LANES, peak / np.float32(127))
        scale = np.float32(127) / peak
        for step in range(tiles.shape[1]):
            store(tiles, (tile, step, 0), _round(panels, tile, step, 4, scale, shift))


@njit(cache=True, nogil=True, error_model="numpy")
def round_to_shorts(panels, tiles, units):
    """Round rows to 16-bit integers, the norm of a row to 32767.

    No product with a row of at most that norm exceeds 32 bits. The arguments are those of
    `round_to_bytes`, with two coordinates in a step.
    """
    shift = np.float32(_ROUND)
    for tile in range(tiles.shape[0]):
        energy = splat(np.float32(1e-30))
        for i in range(panels.shape[1]):
            value = load(panels, (tile, i, 0))
            energy = energy + value * value
        norm = root(energy)
        store(units, tile * LANES, norm / np.float32(32767))
        scale = np.float32(32767) / norm
        for step in range(tiles.shape[1]):
            store(tiles, (tile, step, 0), _round(panels, tile, step, 2, scale, shift))


@inlined
def _multiply(tiles, tile, queries, block, start, in_bytes, sums):
    """Multiply a tile by a block of queries."""
    for q in range(QUERIES):
        sums[q] = splat(start[block * QUERIES + q])
    if in_bytes:
        for step in range(tiles.shape[1]):
            row = load(tiles, (tile, step, 0))
            for q in range(QUERIES):
                sums[q] = dot_bytes(sums[q], row, queries[block, step, q])
    else:
        for step in range(tiles.shape[1]):
            row = load(tiles, (tile, step, 0))
            for q in range(QUERIES):
                sums[q] = dot_shorts(sums[q], row, queries[block, step, q])


@njit(cache=True, nogil=True, error_model="numpy")
def search_tiles(
    tiles, scale, queries, start, in_bytes, weight, offset, first_row, distances, indices
):
    """Take the rows of tiles into the k nearest of each query.

    The distance of query i and row j is ``offset[j] + weight[i] * scale[j] * product``, with the
    product of the integers.

    Parameters
    ----------
    tiles : int32 ndarray of shape (n_tiles, n_steps, LANES)
    scale : float32 ndarray of shape (n_tiles * LANES,)
    queries : int32 ndarray of shape (n_blocks, n_steps, QUERIES)
    start : int32 ndarray of shape (n_blocks * QUERIES,)
        What the sums of products start from.
    in_bytes : bool
        Whether steps have four bytes or two 16-bit integers.
    weight : float64 ndarray of shape (n_queries,)
        Not negative.
    offset : float64 ndarray of shape (n_rows,)
    first_row, distances, indices
        As in `update_top_k`.
    """
    sums, products = registers(np.int32(0), QUERIES), np.empty((1, LANES), np.float32)
    rough_offset, largest = rough_offsets(offset, tiles.shape[0] * LANES)
    inverse, limit = np.ones(len(start), np.float32), np.full(len(start), np.float32(-np.inf))
    for query in range(len(weight)):
        inverse[query], limit[query] = rough_limit(weight[query], distances[query, 0], largest)
    for tile in range(tiles.shape[0]):
        row = tile * LANES
        row_scale, row_offset = load(scale, row), load(rough_offset, row)
        for block in range(queries.shape[0]):
            _multiply(tiles, tile, queries, block, start, in_bytes, sums)
            for q in range(QUERIES):
                query = block * QUERIES + q
                total = cast(sums[q], np.float32)
                rough = multiply_add(total, row_scale, row_offset * inverse[query])
                near = lane_bits(rough < limit[query])
                if near != 0:
                    w = weight[query]
                    store(products, (0, 0), total * row_scale)
                    push_lanes(
                        near, products, 0, 0, row, query, w, offset, first_row, distances, indices
                    )
                    _, limit[query] = rough_limit(w, distances[query, 0], largest)
