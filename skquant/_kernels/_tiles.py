"""Round decoded rows to small integers and multiply them by queries, a tile of 32 rows at a time.

A tile has the shape (n_steps, LANES): a step is an int32 for each row (`_dot`). The first steps
have four bytes of the row in it, the others two 16-bit integers. Queries come in blocks of QUERIES,
(n_steps, QUERIES), laid out alike. What rows and queries lack to fill steps and blocks is zero.
"""

import numpy as np
from numba import njit

from ._amx import (
    AMX_QUERIES,
    AMX_STEPS,
    TILE_SHAPES,
    add_products,
    add_signed_products,
    begin_tiles,
    clear_sums,
    end_tiles,
    store_sums,
)
from ._dot import BYTE_OFFSET, LARGEST_BYTE, LARGEST_NORM, QUERIES, dot_bytes, dot_shorts
from ._lanes import lane_bits
from ._memory import (
    load,
    room,
    store,
)
from ._registers import registers
from ._top_k import push_lanes, push_numbered, rough_limit, rough_offsets
from ._vectors import (
    LANES,
    bits,
    cast,
    inlined,
    least,
    most,
    multiply_add,
    rint,
    root,
    splat,
)

# Columns of a table of pieces of lists.
FIRST_TILE, N_ROWS, FIRST_BLOCK, N_BLOCKS = 0, 1, 2, 3
_CACHED_STEPS = 2**8  # of tiles that fit the first level of the cache beside a block of queries
_ROUND = 1.5 * 2.0**23  # added to a float32, it leaves the nearest integer in the low bits


@inlined
def _round(panels, panel, first, last, per_step, scale, shift):
    """Round some coordinates to integers and lay them side by side in 32 bits."""
    word, width = splat(np.int32(0)), 32 // per_step
    for i in range(per_step):
        if first + i < last:
            value = load(panels, (panel, first + i, 0)) * scale + shift
            word = word | (bits(value) & ((1 << width) - 1)) << width * i
    return word


@inlined
def _choose_units(panels, panel, n_bytes, stretch):
    """Give the least units of rows in which no integer is too large."""
    peak = largest = splat(np.float32(1e-30))
    for i in range(n_bytes):
        peak = most(peak, abs(load(panels, (panel, i, 0))))
    for start in range(n_bytes, panels.shape[1], stretch):
        energy = splat(np.float32(0))
        for i in range(start, least(start + stretch, panels.shape[1])):
            value = load(panels, (panel, i, 0))
            energy = energy + value * value
        largest = most(energy, largest)
    return most(peak / np.float32(LARGEST_BYTE), root(largest) / np.float32(LARGEST_NORM))


@inlined
def _store_halves(panels, tile, n_bytes, scale, tiles, step, n_steps):
    """Round coordinates to 16-bit integers; lay their upper bytes side by side, and the lower."""
    for nth in range(n_steps):
        upper, lower = splat(np.int32(0)), splat(np.int32(0))
        for i in range(4):
            place = n_bytes + 4 * nth + i
            if place < panels.shape[1]:
                value = cast(rint(load(panels, (tile, place, 0)) * scale), np.int32)
                rounded = (value + 128) >> 8
                upper = upper | (rounded & 255) << 8 * i
                lower = lower | (value - (rounded << 8) & 255) << 8 * i
        store(tiles, (tile, step + nth, 0), upper)
        store(tiles, (tile, step + n_steps + nth, 0), lower)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")
def round_rows(panels, n_bytes, stretch, in_halves, tiles, units):
    """Round rows to bytes and 16-bit integers, as finely as both allow.

    The largest byte of a row is at most LARGEST_BYTE, and the norm of a stretch of its 16-bit
    integers at most LARGEST_NORM: no product with a stretch of at most that norm exceeds 32 bits.

    Parameters
    ----------
    panels : float32 ndarray of shape (n_tiles, n_coordinates, LANES)
    n_bytes : int
        How many of the coordinates, the first, become bytes.
    stretch : int
        Of how many of the others products are summed.
    in_halves : bool
        Whether the upper bytes of the others come first, and then the lower, both with signs; or
        two integers to a step.
    tiles : int32 ndarray of shape (n_tiles, n_steps, LANES)
        Written to; ceil(n_bytes / 4) steps of bytes and as many more as the others fill.
    units : float32 ndarray of shape (n_tiles * LANES,)
        Written to: what an integer of each row stands for.
    """
    n_coordinates, byte_steps = panels.shape[1], -(-n_bytes // 4)
    for tile in range(tiles.shape[0]):
        unit = _choose_units(panels, tile, n_bytes, stretch)
        store(units, tile * LANES, unit)
        scale, shift = np.float32(1) / unit, np.float32(_ROUND + BYTE_OFFSET)
        for step in range(byte_steps):
            word = _round(panels, tile, 4 * step, n_bytes, 4, scale, shift)
            store(tiles, (tile, step, 0), word)
        if in_halves:
            n_steps = (tiles.shape[1] - byte_steps) // 2
            _store_halves(panels, tile, n_bytes, scale, tiles, byte_steps, n_steps)
            continue
        shift = np.float32(_ROUND)
        for step in range(byte_steps, tiles.shape[1]):
            first = n_bytes + 2 * (step - byte_steps)
            word = _round(panels, tile, first, n_coordinates, 2, scale, shift)
            store(tiles, (tile, step, 0), word)


@inlined
def _multiply(tiles, tile, queries, block, start, byte_steps, sums):
    """Multiply a tile by a block of queries."""
    for q in range(QUERIES):
        sums[q] = splat(start[block * QUERIES + q])
    for step in range(byte_steps):
        row = load(tiles, (tile, step, 0))
        for q in range(QUERIES):
            sums[q] = dot_bytes(sums[q], row, queries[block, step, q])
    for step in range(byte_steps, tiles.shape[1]):
        row = load(tiles, (tile, step, 0))
        for q in range(QUERIES):
            sums[q] = dot_shorts(sums[q], row, queries[block, step, q])


@inlined
def _no_limits(n):
    """Make limits that no row is below; `np.full` would take tenths of a second to compile."""
    inverse, limit = room(np.float32(0), n), room(np.float32(0), n)
    inverse[:], limit[:] = 1, -np.inf
    return inverse, limit


@inlined
def _first_limits(weight, distances, largest, n):
    """Give the limits of n queries, of which those beyond the last take no rows."""
    inverse, limit = _no_limits(n)
    for query in range(len(weight)):
        inverse[query], limit[query] = rough_limit(weight[query], distances[query, 0], largest)
    return inverse, limit


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")
def search_tiles(
    tiles, scale, queries, start, byte_steps, weight, offset, first_row, distances, indices
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
    byte_steps : int
        How many steps, the first, have four bytes; the others have two 16-bit integers.
    weight : float64 ndarray of shape (n_queries,)
        Not negative.
    offset : float64 ndarray of shape (n_rows,)
    first_row, distances, indices
        As in `update_top_k`.
    """
    sums, products = registers(np.int32(0), QUERIES), room(np.float32(0), (1, LANES))
    rough_offset, largest = rough_offsets(offset, tiles.shape[0] * LANES)
    inverse, limit = _first_limits(weight, distances, largest, len(start))
    for tile in range(tiles.shape[0]):
        row = tile * LANES
        row_scale, row_offset = load(scale, row), load(rough_offset, row)
        for block in range(queries.shape[0]):
            _multiply(tiles, tile, queries, block, start, byte_steps, sums)
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


@inlined
def _multiply_by_amx(tiles, tile, queries, halves, block, byte_steps, sums):
    """Multiply a tile by a block of queries: bytes, and products of halves by their weight."""
    n_upper = (tiles.shape[1] - byte_steps) // 2
    for part in range(3 if n_upper > 0 else 1):
        clear_sums()
        if part == 0:
            for step in range(0, queries.shape[1], AMX_STEPS):
                add_products(queries, block, tiles, tile, step, step)
        first = part * queries.shape[0] + block
        first_step = byte_steps + n_upper if part == 0 else byte_steps
        for step in range(0, 2 * n_upper if part == 1 else n_upper, AMX_STEPS):
            add_signed_products(halves, first, tiles, tile, step, first_step + step)
        store_sums(sums, part)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")
def search_tiles_by_amx(
    tiles, scale, queries, halves, start, byte_steps, weight, offset, first_row, distances, indices
):
    """Do what `search_tiles` does with the matrix unit, which is faster.

    Parameters
    ----------
    tiles : int32 ndarray of shape (n_tiles, n_steps, LANES)
        With 16-bit integers in halves. There is memory for AMX_STEPS more steps behind it.
    queries : int32 ndarray of shape (a multiple of AMX_QUERIES, a multiple of AMX_STEPS)
        Their steps of bytes, and zeros.
    halves : int32 ndarray of shape (3 times as many queries, a multiple of AMX_STEPS)
        What meets the upper bytes of rows and, behind them, the lower ones. The lower bytes of each
        query meet the lower ones; then, of each, lower and upper ones meet upper and lower; then
        upper ones the upper. The products weigh 1, 2^8 and 2^16. The last axis is empty if there
        are none.
    scale, start, byte_steps, weight, offset, first_row, distances, indices
        As in `search_tiles`.
    """
    sums = room(np.int32(0), (3, AMX_QUERIES + 1, LANES))  # parts of 4 KiB would alias
    sums[:] = 0
    products = room(np.float32(0), (1, LANES))
    rough_offset, largest = rough_offsets(offset, tiles.shape[0] * LANES)
    inverse, limit = _first_limits(weight, distances, largest, len(weight))
    at_once = most(1, _CACHED_STEPS // tiles.shape[1])
    begin_tiles(TILE_SHAPES)
    for first_tile in range(0, tiles.shape[0], at_once):
        for block in range(0, queries.shape[0], AMX_QUERIES):
            for tile in range(first_tile, least(first_tile + at_once, tiles.shape[0])):
                _multiply_by_amx(tiles, tile, queries, halves, block, byte_steps, sums)
                row = tile * LANES
                row_scale, row_offset = load(scale, row), load(rough_offset, row)
                for query in range(block, least(block + AMX_QUERIES, len(weight))):
                    q = query - block
                    integers = load(sums, (0, q, 0)) + start[query]
                    if halves.shape[1] > 0:
                        parts = load(sums, (1, q, 0)) + (load(sums, (2, q, 0)) << 8)
                        integers = integers + (parts << 8)
                    total = cast(integers, np.float32)
                    rough = multiply_add(total, row_scale, row_offset * inverse[query])
                    near = lane_bits(rough < limit[query])
                    if near != 0:
                        w = weight[query]
                        store(products, (0, 0), total * row_scale)
                        push_lanes(
                            near, products, 0, 0, row, query, w, offset, first_row, distances,
                            indices,
                        )  # fmt: skip
                        _, limit[query] = rough_limit(w, distances[query, 0], largest)
    end_tiles()


@njit(cache=True, nogil=True, error_model="numpy")
def search_lists(
    tiles, scale, offset, numbers, pieces, queries, start, byte_steps,
    owner, base, weight, distances, indices,
):  # fmt: skip
    """Take the rows of some lists into the k nearest of the queries that visit them.

    The distance of the query in slot i and row j is ``base[i] + offset[j] + weight[i] * scale[j] *
    product``. It does not depend on what else there is.

    Parameters
    ----------
    tiles, scale, start, byte_steps
        As in `search_tiles`.
    offset : float64 ndarray of shape (n_tiles * LANES,)
    numbers : int64 ndarray of shape (n_tiles * LANES,)
        What the rows go by.
    pieces : int64 ndarray of shape (n_pieces, at least 4)
        Lists, or parts of them: the first tile, the number of rows, and the first of the blocks of
        queries that visit it, and their number.
    queries : int32 ndarray of shape (n_blocks, n_steps, QUERIES)
    owner : int64 ndarray of shape (n_blocks * QUERIES,)
        The query in each slot, less than 0 where there is none.
    base, weight : float64 ndarray of shape (n_blocks * QUERIES,)
    distances : float64 ndarray of shape (n_queries, k)
        Heaps, the farthest first; infinite at the start. Updated.
    indices : int64 ndarray of shape (n_queries, k)
        Numbers in the heaps. Updated. Of equal distances the smallest numbers stay.
    """
    sums, products = registers(np.int32(0), QUERIES), room(np.float32(0), (1, LANES))
    rough_offset, largest = rough_offsets(offset, len(offset))
    inverse, limit = _no_limits(len(start))
    for piece in range(len(pieces)):
        n_rows, first_block = pieces[piece, N_ROWS], pieces[piece, FIRST_BLOCK]
        blocks = range(first_block, first_block + pieces[piece, N_BLOCKS])
        for slot in range(first_block * QUERIES, blocks.stop * QUERIES):
            if owner[slot] >= 0:
                farthest = distances[owner[slot], 0] - base[slot]
                inverse[slot], limit[slot] = rough_limit(weight[slot], farthest, largest)
        for nth in range(-(-n_rows // LANES)):
            tile, n_lanes = pieces[piece, FIRST_TILE] + nth, least(LANES, n_rows - nth * LANES)
            row, present = tile * LANES, np.uint64(0xFFFFFFFF) >> np.uint64(LANES - n_lanes)
            row_scale, row_offset = load(scale, row), load(rough_offset, row)
            for block in blocks:
                _multiply(tiles, tile, queries, block, start, byte_steps, sums)
                for q in range(QUERIES):
                    slot = block * QUERIES + q
                    total = cast(sums[q], np.float32)
                    rough = multiply_add(total, row_scale, row_offset * inverse[slot])
                    near = lane_bits(rough < limit[slot]) & present
                    if near != 0:
                        query, b, w = owner[slot], base[slot], weight[slot]
                        store(products, (0, 0), total * row_scale)
                        push_numbered(
                            near, products, row, b, w, offset, numbers, distances, indices, query
                        )
                        _, limit[slot] = rough_limit(w, distances[query, 0] - b, largest)
