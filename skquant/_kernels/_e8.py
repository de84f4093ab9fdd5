"""Decode nested codes of E8 in 16-bit integers.

The decoder must find e = (y - a)/q - Q((y - a)/q) for y = G c. In units of 2^-16, a coordinate of
(y - a)/q and the same coordinate less the nearest integer are one and the same 16-bit integer, as
the arithmetic wraps around: no coordinate is ever rounded. Only the parity of what was dropped is
needed, and the sums of all coordinates, of y known and of e measured, tell it. The units round; but
the shift a keeps (y - a)/q far from the boundaries of the cell, which roots v bound:
⟨v, (y - a)/q⟩ is 1/(30 q) or more away from all integers. Up to LARGEST_Q that is far enough.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from ._nested import FEW_VECTORS
from ._traced import traced
from ._vectors import (
    LANES,
    cast,
    high_half,
    inlined,
    least,
    load,
    most,
    multiply_add,
    pick,
    registers,
    splat,
    store,
    where,
)  # fmt: skip
from ._words import get_bytes

BLOCK = 8
BLOCKS_AT_ONCE = 64
BLOCKS_OF_A_LINE = 16  # about as many as have their words in a line of the cache
N_SUMS = FEW_VECTORS + 1  # products, and the squares
LARGEST_Q = 16  # then four digits fit 16 bits
MOST_SCALES = 8
NONE = 0xFFFF  # no coordinate's size
LOST = 4  # what eight shifts to the right lose on average


class E8Code(NamedTuple):
    """A nested code of E8 as these kernels take it.

    Units: a *part* is 2^-16 q. A power or a reciprocal of q has its exponent in its name.
    """

    n_bits: int
    scales: np.ndarray  # halved, as they multiply doubled points; MOST_SCALES, the last repeated
    centres: np.ndarray  # doubled; a row for each block, or one for all
    q: np.uint16
    q2: np.uint16
    q4: np.uint16
    inverse_q4: float
    magic_q: np.uint16  # quotients by q and q2 are (x * magic >> 16) >> shift
    magic_q2: np.uint16
    shift_q: np.uint16
    shift_q2: np.uint16
    half: np.uint16  # 1/2 in parts
    shift: np.ndarray  # a in parts, repeated for all lanes
    shift_of_fours: np.ndarray  # the same in four parts, and what rounds points to nearest
    eight_q: np.int16
    two_of_sums: np.uint16  # 2 in 16 parts
    shift_of_sums: np.uint16  # what makes sums round to nearest


@traced
def _split_half(code, half):
    """Split numbers below q^4 into four digits."""
    upper = high_half(half, code.magic_q2) >> code.shift_q2
    lower = half - upper * code.q2
    upper_rest = high_half(upper, code.magic_q) >> code.shift_q
    lower_rest = high_half(lower, code.magic_q) >> code.shift_q
    low, high = lower - lower_rest * code.q, upper - upper_rest * code.q
    return [low, lower_rest, high, upper_rest]


@traced
def _split_words(code, words):
    """Split words into eight digits and the scale's index, which is on top."""
    upper = cast((cast(words, np.float64) + 0.5) * code.inverse_q4, np.int32)
    scale = cast((cast(upper, np.float32) + 0.5) * code.inverse_q4, np.int32)
    upper_half = cast(upper, np.uint16)
    lower = _split_half(code, cast(words, np.uint16) - upper_half * code.q4)
    upper = _split_half(code, upper_half - cast(scale, np.uint16) * code.q4)
    return lower + upper, scale


@traced
def _fractions(code, digits):
    """Combine the generator's rows: (y - a)/q less nearest integers, in parts."""
    half, double = digits[0] * code.half, splat(code.half) << 1
    first = half - digits[1] * double + digits[7] * (double << 1)
    middle = [half + (digits[i] - digits[i + 1]) * double for i in range(1, 6)]
    fractions = [first, *middle, half + digits[6] * double, half]
    return [fraction - load(code.shift, (i, 0)) for i, fraction in enumerate(fractions)]


@traced
def _leaders(code, digits):
    """Find the coset leaders that digits name, doubled: they are integers.

    As in `_nested`, both candidates for the closest point follow from the errors of rounding: the
    one from D8 flips the largest, the one from D8 + 1/2 the smallest, where its sum is odd. To take
    1/2 off a fraction, whatever its sign, is to change its leading bit, and to take 1 off one in
    fours of parts the leading two.
    """
    fractions, keys, points = _fractions(code, digits), [], []
    zero = total = signs = digits[0] - digits[0]
    sums = (digits[0] + digits[0] + digits[7]) * code.two_of_sums + code.shift_of_sums
    smallest, largest = zero | NONE, zero
    for i in range(BLOCK):
        fraction = cast(fractions[i], np.int16)
        size = cast(abs(fraction), np.uint16)
        keys.append(size & 0xFFF8 | i)
        smallest, largest = least(smallest, keys[i]), most(largest, keys[i])
        signs, total = signs ^ fractions[i], total + (size >> 3)
        sums = sums - cast(fraction >> 4, np.uint16)
    odd, half_odd = sums & 0x1000 != 0, (sums << 3 ^ signs) & 0x8000 != 0
    integer_cost = where(odd, 0x2000 - (largest >> 2), 0)
    half_cost = where(half_odd, smallest >> 2, 0)
    halves = total + integer_cost + LOST > half_cost + 0x4000
    flipped = where(halves, where(half_odd, smallest, NONE), where(odd, largest, NONE))
    less_half = where(halves, zero | 0x8000, 0)
    for i in range(BLOCK):
        error = cast(fractions[i] ^ less_half, np.int16) >> 2
        error = where(keys[i] == flipped, error ^ -0x4000, error)
        points.append(high_half(error + load(code.shift_of_fours, (i, 0)), code.eight_q))
    return points


@traced
def _decode_words(code, words, centre, out):
    """Decode words to points less centres; give their scales."""
    digits, scale = _split_words(code, words)
    for i, point in enumerate(_leaders(code, digits)):
        out[i] = cast(point, np.float32) - code.centres[centre, i]
    return pick(code.scales, least(scale, MOST_SCALES - 1))


@inlined
def _decode_block(code, codes, row, block, bit, lanes, out):
    """Decode a block of a row in each lane to points less centres; give their scales."""
    start = bit + block * code.n_bits
    words = get_bytes(codes, row, start >> 3, lanes) >> (start & 7) & ((1 << code.n_bits) - 1)
    return _decode_words(code, words, min(block, code.centres.shape[0] - 1), out)


@njit(cache=True, nogil=True, error_model="numpy")
def decode_e8_blocks(code, codes, first, n_blocks, bit, panels, energy):
    """Decode n_blocks blocks of each row; `_nested.decode_blocks` explains the arguments.

    All rows take turns with some blocks each: a row's coordinates may lie far apart in memory.
    """
    width, lanes, sums = panels.shape[2], np.empty(LANES, np.uint64), np.empty(LANES)
    out = registers(np.float32(0), 8)
    at_once = n_blocks if width == LANES else BLOCKS_OF_A_LINE
    for start in range(0, n_blocks, at_once):
        for row in range(0, codes.shape[0], LANES):
            panel, lane, total = row // width, row % width, splat(0.0)
            for block in range(start, min(start + at_once, n_blocks)):
                scale = _decode_block(code, codes, row, block, bit, lanes, out)
                square = scale - scale
                for i in range(BLOCK):
                    value = scale * out[i]
                    store(panels, (panel, first + block * BLOCK + i, lane), value)
                    square = square + value * value
                total = total + cast(square, np.float64)
            store(sums, 0, total)
            for j in range(min(LANES, codes.shape[0] - row)):
                energy[row + j] += sums[j]


@njit(cache=True, nogil=True, error_model="numpy")
def multiply_e8_blocks(code, codes, first, n_blocks, bit, vectors, products, energy):
    """Multiply what blocks decode to by vectors; `_nested.multiply_blocks` explains the arguments.

    Sums of BLOCKS_AT_ONCE blocks are taken in single precision.
    """
    lanes, sums = np.empty(LANES, np.uint64), np.empty((N_SUMS, LANES), np.float32)
    out, totals = registers(np.float32(0), 8), registers(np.float32(0), N_SUMS)
    for row in range(0, codes.shape[0], LANES):
        for start in range(0, n_blocks, BLOCKS_AT_ONCE):
            for v in range(N_SUMS):
                totals[v] = splat(np.float32(0))
            for block in range(start, min(start + BLOCKS_AT_ONCE, n_blocks)):
                scale = _decode_block(code, codes, row, block, bit, lanes, out)
                square = out[0] * out[0]
                for i in range(1, BLOCK):
                    square = multiply_add(out[i], out[i], square)
                totals[FEW_VECTORS] = multiply_add(square, scale * scale, totals[FEW_VECTORS])
                for v in range(FEW_VECTORS):
                    if v < vectors.shape[0]:
                        product = out[0] * vectors[v, first + block * BLOCK]
                        for i in range(1, BLOCK):
                            entry = splat(vectors[v, first + block * BLOCK + i])
                            product = multiply_add(out[i], entry, product)
                        totals[v] = multiply_add(product, scale, totals[v])
            for v in range(N_SUMS):
                store(sums, (v, 0), totals[v])
            for j in range(min(LANES, codes.shape[0] - row)):
                energy[row + j] += sums[FEW_VECTORS, j]
                for v in range(vectors.shape[0]):
                    products[row + j, v] += sums[v, j]
