"""Products of rows with rows, both of 16-bit integers in tiles as in `_tiles`, by the matrix unit.

It multiplies bytes. An integer is 2^8 u + l, with two bytes u and l that have signs, and a product

    l l' + 2^8 (u l' + l u') + 2^16 u u',

each part of which is summed by itself. Some tiles at a time are cut into tiles of the upper and of
the lower bytes, four to a step; those on the left are then turned to lines, a row after the other.
"""

import numpy as np
from numba import njit

from ._amx import (
    AMX_QUERIES,
    AMX_STEPS,
    TILE_SHAPES,
    add_signed_products,
    begin_tiles,
    clear_sums,
    end_tiles,
    store_sums,
)
from ._memory import load, store
from ._squares import turn_to_lines
from ._vectors import LANES, cast, inlined, multiply_add, splat

TILES_AT_ONCE = 8
STEPS_AT_ONCE = 256  # of bytes; as many as stay in the cache


@inlined
def _aligned(n_words):
    """Make room for words, from where a line of the cache starts."""
    room = np.zeros(n_words + 16, np.int32)
    start = (-room.ctypes.data % 64) // 4
    return room[start : start + n_words]


@inlined
def _cut_tile(tiles, tile, start, n_steps, cut, upper, lower):
    """Cut a tile's integers into bytes: one step of upper and one of lower ones for every two."""
    for step in range(n_steps):
        pair = start + 2 * step
        first = second = splat(np.int32(0))
        if pair < tiles.shape[1]:
            first = load(tiles, (tile, pair, 0))
        if pair + 1 < tiles.shape[1]:
            second = load(tiles, (tile, pair + 1, 0))
        low = first & 0xFF | first >> 8 & 0xFF00
        low = low | (second & 0xFF | second >> 8 & 0xFF00) << 16
        high = first + 0x80 >> 8 & 0xFF | first + 0x800000 >> 16 & 0xFF00
        high = high | (second + 0x80 >> 8 & 0xFF | second + 0x800000 >> 16 & 0xFF00) << 16
        store(cut, (upper, step, 0), high)
        store(cut, (lower, step, 0), low)


@inlined
def _cut_tiles(tiles, first, last, start, n_steps, cut):
    """Cut some tiles, whose upper bytes come first, and then the lower ones."""
    for tile in range(first, last):
        upper = tile - first
        _cut_tile(tiles, tile, start, n_steps, cut, upper, TILES_AT_ONCE + upper)


@inlined
def _line_of(tile, step):
    """Give the first line of some steps of a tile."""
    return (step // AMX_STEPS * 2 * TILES_AT_ONCE + tile) * LANES


@inlined
def _multiply_cut(lines, cut, i, j, n_steps, sums):
    """Multiply a tile of lines by a cut tile, part by part."""
    for part in range(3):
        clear_sums()
        for step in range(0, n_steps, AMX_STEPS):
            upper, lower = _line_of(i, step), _line_of(TILES_AT_ONCE + i, step)
            if part == 0:
                add_signed_products(lines, lower, cut, TILES_AT_ONCE + j, 0, step)
            elif part == 1:
                add_signed_products(lines, upper, cut, TILES_AT_ONCE + j, 0, step)
                add_signed_products(lines, lower, cut, j, 0, step)
            else:
                add_signed_products(lines, upper, cut, j, 0, step)
        store_sums(sums, part)


@inlined
def _add_scaled(sums, left_factor, right_factor, row, column, products):
    """Join the parts of the sums, scale them, and add them to the products."""
    factor = load(right_factor, column)
    for r in range(LANES):
        low, middle = load(sums, (0, r, 0)), load(sums, (1, r, 0))
        total = cast(middle, np.float32) * np.float32(2**8) + cast(low, np.float32)
        total = cast(load(sums, (2, r, 0)), np.float32) * np.float32(2**16) + total
        place = row + r, column
        scaled = multiply_add(total * left_factor[row + r], factor, load(products, place))
        store(products, place, scaled)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")
def multiply_tiles_by_amx(left, left_factor, right, right_factor, products):
    """Do what `multiply_tiles` does with the matrix unit, which is faster.

    Integers are at most 127 * 2^8 + 127.
    """
    lines = _aligned(2 * TILES_AT_ONCE * LANES * STEPS_AT_ONCE).reshape((-1, AMX_STEPS))
    cut = _aligned(2 * TILES_AT_ONCE * STEPS_AT_ONCE * LANES)
    cut = cut.reshape((2 * TILES_AT_ONCE, STEPS_AT_ONCE, LANES))
    sums = np.zeros((3, AMX_QUERIES + 1, LANES), np.int32)  # parts of 4 KiB would alias
    begin_tiles(TILE_SHAPES)
    for first in range(0, left.shape[0], TILES_AT_ONCE):
        last = min(first + TILES_AT_ONCE, left.shape[0])
        for start in range(0, left.shape[1], 2 * STEPS_AT_ONCE):
            n_steps = min(STEPS_AT_ONCE, -(-(left.shape[1] - start) // (2 * AMX_STEPS)) * AMX_STEPS)
            _cut_tiles(left, first, last, start, n_steps, cut)
            for tile in range(cut.shape[0]):
                for step in range(0, n_steps, AMX_STEPS):
                    turn_to_lines(cut, tile, step, lines, _line_of(tile, step))
            for first_right in range(0, right.shape[0], TILES_AT_ONCE):
                last_right = min(first_right + TILES_AT_ONCE, right.shape[0])
                _cut_tiles(right, first_right, last_right, start, n_steps, cut)
                for i in range(first, last):
                    for j in range(first_right, last_right):
                        _multiply_cut(lines, cut, i - first, j - first_right, n_steps, sums)
                        row, column = i * LANES, j * LANES
                        _add_scaled(sums, left_factor, right_factor, row, column, products)
    end_tiles()
