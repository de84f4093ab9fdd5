"""Decode nested codes of E8 in 16-bit integers.

The decoder must find e = (y - a)/q - Q((y - a)/q) for y = G c. In units of 2^-16, a coordinate of
(y - a)/q and the same coordinate less the nearest integer are one and the same 16-bit integer, as
the arithmetic wraps around: no coordinate is ever rounded. Only the parity of what was dropped is
needed, and the sums of all coordinates, of y known and of e measured, tell it. The units round; but
the shift a keeps (y - a)/q far from the boundaries of the cell, which roots v bound:
⟨v, (y - a)/q⟩ is 1/(30 q) or more away from all integers. Up to LARGEST_Q that is far enough.

A block decodes to β (q e + a - μ). Floats are had from q e + a, which is rounded to a point, and
16-bit integers from e as it is, in units of 2^-14: they are some 10^-4 off, as a share of the size
of a coordinate.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from ._dot import dot_shorts
from ._lanes import fold, pair, pick, total, unfold
from ._memory import (
    load,
    load_run,
    room,
    store,
)
from ._nested import FEW_VECTORS
from ._registers import registers
from ._traced import traced
from ._vectors import (
    LANES,
    average,
    cast,
    high_half,
    inlined,
    least,
    most,
    multiply_add,
    rounded_product,
    splat,
    where,
)
from ._words import get_bytes

BLOCK = 8
PAIRS = BLOCK // 2
BLOCKS_AT_ONCE = 64
BLOCKS_OF_A_STRETCH = 32
BLOCKS_OF_A_LINE = 16  # about as many as have their words in a line of the cache
N_SUMS = FEW_VECTORS + 1  # products, and the squares
LARGEST_Q = 16  # then four digits fit 16 bits
MOST_SCALES = 8
RUN_BITS = 32  # of blocks whose words follow each other as numbers do
NONE = 0xFFFF  # no coordinate's size
ERROR_UNIT = 2.0**-14  # of e


class E8Code(NamedTuple):
    """A nested code of E8 as these kernels take it.

    Units: a *part* is 2^-16 q. A power or a reciprocal of q has its exponent in its name.
    """

    n_bits: int
    scales: np.ndarray  # halved, as they multiply doubled points; MOST_SCALES, the last repeated
    centres: np.ndarray  # doubled; a row for each block, or one for all
    units: np.ndarray  # q β in units of e; MOST_SCALES
    offsets: np.ndarray  # (a - μ)/q in units of e; a row for each block, or one for all
    q: np.uint16
    q2: np.uint16
    q4: np.uint16
    inverse_q4: float  # a little more, so that no quotient falls short of an integer
    rough_inverse_q4: float  # the same in single precision, for quotients up to 15
    magic_q: np.uint16  # quotients by q are x * magic >> 16
    magic_q2: np.uint16  # quotients by q2 are (x * magic >> 16) >> shift
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
    upper_rest, lower_rest = high_half(upper, code.magic_q), high_half(lower, code.magic_q)
    low, high = lower - lower_rest * code.q, upper - upper_rest * code.q
    return [low, lower_rest, high, upper_rest]


@traced
def _split_words(code, low, words):
    """Split words into eight digits and the scale's index, which is on top.

    They come as floats, and their lower 32 bits as integers.
    """
    upper = cast(words * code.inverse_q4, np.int32)
    scale = cast(cast(upper, np.float32) * code.rough_inverse_q4, np.int32)
    upper_half, top = fold(cast(upper, np.uint32)), fold(cast(scale, np.uint32))
    lower = _split_half(code, fold(low) - upper_half * code.q4)
    return lower + _split_half(code, upper_half - top * code.q4), scale


@traced
def _fractions(code, digits):
    """Combine the generator's rows: (y - a)/q less nearest integers, in parts."""
    half, double = digits[0] * code.half, splat(code.half) << 1
    first = half - digits[1] * double + digits[7] * (double << 1)
    middle = [half + (digits[i] - digits[i + 1]) * double for i in range(1, 6)]
    fractions = [first, *middle, half + digits[6] * double, half]
    return [fraction - load(code.shift, (i, 0)) for i, fraction in enumerate(fractions)]


@traced
def _errors(code, digits):
    """Find e of the points that digits name, in fours of parts.

    As in `_lattices`, both candidates for the closest point follow from the errors of rounding: the
    one from D8 flips the largest, the one from D8 + 1/2 the smallest, where its sum is odd. To take
    1/2 off a fraction, whatever its sign, is to change its leading bit, and to take 1 off one in
    fours of parts the leading two.
    """
    fractions, sizes, keys, errors = _fractions(code, digits), [], [], []
    zero = signs = digits[0] - digits[0]
    sums = (digits[0] + digits[0] + digits[7]) * code.two_of_sums + code.shift_of_sums
    smallest, largest = zero | NONE, zero
    for i in range(BLOCK):
        fraction = cast(fractions[i], np.int16)
        sizes.append(cast(abs(fraction), np.uint16))
        keys.append(sizes[i] & 0xFFF8 | i)
        smallest, largest = least(smallest, keys[i]), most(largest, keys[i])
        signs, sums = signs ^ fractions[i], sums - cast(fraction >> 4, np.uint16)
    while len(sizes) > 1:
        sizes = [average(*sizes[i : i + 2]) for i in range(0, len(sizes), 2)]
    odd, half_odd = sums & 0x1000 != 0, (sums << 3 ^ signs) & 0x8000 != 0
    integer_cost = where(odd, 0x2000 - (largest >> 2), 0)
    half_cost = where(half_odd, smallest >> 2, 0)
    halves = sizes[0] + integer_cost > half_cost + 0x4000
    flipped = where(halves, where(half_odd, smallest, NONE), where(odd, largest, NONE))
    less_half = where(halves, zero | 0x8000, 0)
    for i in range(BLOCK):
        error = cast(fractions[i] ^ less_half, np.int16) >> 2
        errors.append(where(keys[i] == flipped, error ^ -0x4000, error))
    return errors


@traced
def _decode_words(code, words, centre, out):
    """Decode words to doubled points less centres; give their scales."""
    digits, scale = _split_words(code, cast(words, np.uint32), cast(words, np.float64))
    for i, error in enumerate(_errors(code, digits)):
        point = high_half(error + load(code.shift_of_fours, (i, 0)), code.eight_q)
        out[i] = cast(unfold(point), np.float32) - code.centres[centre, i]
    return pick(code.scales, scale)


@traced
def _decode_scaled(code, words, offset, factors, out):
    """Decode words to pairs of 16-bit integers, e less offsets and scaled."""
    digits, scale = _split_words(code, cast(words, np.uint32), cast(words, np.float64))
    factor = fold(cast(pick(factors, scale), np.int32))
    errors = [
        rounded_product(error + code.offsets[offset, i], factor)
        for i, error in enumerate(_errors(code, digits))
    ]
    for k in range(PAIRS):
        out[k] = pair(errors[2 * k], errors[2 * k + 1])


@traced
def _decode_run(code, words, out):
    """Decode words of RUN_BITS to pairs of 16-bit integers, e less offsets; give their units."""
    digits, scale = _split_words(code, words, cast(words, np.float64))
    errors = [error + code.offsets[0, i] for i, error in enumerate(_errors(code, digits))]
    for k in range(PAIRS):
        out[k] = pair(errors[2 * k], errors[2 * k + 1])
    return pick(code.units, scale)


@inlined
def _get_words(code, codes, row, block, bit, lanes):
    """Read the words of a block of the rows in all lanes."""
    start = bit + block * code.n_bits
    return get_bytes(codes, row, start >> 3, lanes) >> (start & 7) & ((1 << code.n_bits) - 1)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")
def decode_e8_blocks(code, codes, first, n_blocks, bit, panels, energy):
    """Decode n_blocks blocks of each row; `_nested.decode_blocks` explains the arguments.

    All rows take turns with some blocks each: a row's coordinates may lie far apart in memory.
    """
    width, lanes, sums = panels.shape[2], room(np.uint64(0), LANES), room(0.0, LANES)
    out = registers(np.float32(0), 8)
    at_once = n_blocks if width == LANES else BLOCKS_OF_A_LINE
    for start in range(0, n_blocks, at_once):
        for row in range(0, codes.shape[0], LANES):
            panel, lane, squares = row // width, row % width, splat(0.0)
            for block in range(start, least(start + at_once, n_blocks)):
                words = _get_words(code, codes, row, block, bit, lanes)
                scale = _decode_words(code, words, least(block, code.centres.shape[0] - 1), out)
                square = scale - scale
                for i in range(BLOCK):
                    value = scale * out[i]
                    store(panels, (panel, first + block * BLOCK + i, lane), value)
                    square = square + value * value
                squares = squares + cast(square, np.float64)
            store(sums, 0, squares)
            for j in range(least(LANES, codes.shape[0] - row)):
                energy[row + j] += sums[j]


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")
def decode_e8_shorts(code, factors, codes, first, n_blocks, bit, tiles, energy):
    """Decode n_blocks blocks of each row to 16-bit integers, as tiles hold them.

    Parameters
    ----------
    code : E8Code
    factors : float32 ndarray of shape (MOST_SCALES,)
        What e is multiplied with, by the index of the scale, in shares of 2^-15; so small that the
        squares of BLOCKS_OF_A_STRETCH blocks sum to less than 2^31.
    codes, first, n_blocks, bit
        As in `_nested.decode_blocks`.
    tiles : int32 ndarray of shape (n_tiles, n_steps, LANES)
        Written to on the blocks' coordinates.
    energy : float64 ndarray of shape (n_rows,)
        Added to: the squares of the integers of each row.
    """
    lanes, sums = room(np.uint64(0), LANES), room(0.0, LANES)
    pairs = registers(np.int32(0), PAIRS)
    for row in range(0, codes.shape[0], LANES):
        tile, squares = row // LANES, splat(0.0)
        for start in range(0, n_blocks, BLOCKS_OF_A_STRETCH):
            square = splat(np.int32(0))
            for block in range(start, least(start + BLOCKS_OF_A_STRETCH, n_blocks)):
                words = _get_words(code, codes, row, block, bit, lanes)
                _decode_scaled(code, words, least(block, code.offsets.shape[0] - 1), factors, pairs)
                for k in range(PAIRS):
                    store(tiles, (tile, first // 2 + block * PAIRS + k, 0), pairs[k])
                    square = dot_shorts(square, pairs[k], pairs[k])
            squares = squares + cast(square, np.float64)
        store(sums, 0, squares)
        for j in range(least(LANES, codes.shape[0] - row)):
            energy[row + j] += sums[j]


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")
def multiply_e8_runs(code, codes, n_blocks, byte, vectors, products, energy):
    """Multiply blocks of RUN_BITS by vectors of 16-bit integers, LANES blocks of a row at a time.

    Parameters
    ----------
    code : E8Code
        With one row of offsets.
    codes, n_blocks
        As in `_nested.decode_blocks`.
    byte : int
        The byte of a row's code where the blocks start.
    vectors : int32 ndarray of shape (n_vectors, PAIRS, n_padded)
        Pairs of entries of at most FEW_VECTORS; zero beyond the last block, n_padded being a
        multiple of LANES.
    products, energy
        As in `_nested.multiply_blocks`; the products are those of the vectors' integers.
    """
    numbers, tail = np.arange(LANES).astype(np.int32), np.zeros(4 * LANES, np.uint8)
    whole = n_blocks // LANES * LANES
    pairs, totals = registers(np.int32(0), PAIRS), registers(np.float32(0), N_SUMS)
    for row in range(codes.shape[0]):
        for v in range(N_SUMS):
            totals[v] = splat(np.float32(0))
        for k in range(4 * (n_blocks - whole)):
            tail[k] = codes[row, byte + 4 * whole + k]
        for block in range(0, n_blocks, LANES):
            words = load_run(codes, (row, byte + 4 * block)) if block < whole else load_run(tail, 0)
            unit = _decode_run(code, words, pairs)
            unit, squares = where(load(numbers, 0) < n_blocks - block, unit, 0), splat(np.int32(0))
            for k in range(PAIRS):
                squares = dot_shorts(squares, pairs[k], pairs[k])
            square = cast(squares, np.float32)
            totals[FEW_VECTORS] = multiply_add(square * unit, unit, totals[FEW_VECTORS])
            for v in range(FEW_VECTORS):
                if v < vectors.shape[0]:
                    sums = splat(np.int32(0))
                    for k in range(PAIRS):
                        sums = dot_shorts(sums, pairs[k], load(vectors, (v, k, block)))
                    totals[v] = multiply_add(cast(sums, np.float32), unit, totals[v])
        energy[row] += total(totals[FEW_VECTORS])
        for v in range(FEW_VECTORS):
            if v < vectors.shape[0]:
                products[row, v] += total(totals[v])


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")
def multiply_e8_blocks(code, codes, first, n_blocks, bit, vectors, products, energy):
    """Multiply what blocks decode to by vectors; `_nested.multiply_blocks` explains the arguments.

    Sums of BLOCKS_AT_ONCE blocks are taken in single precision.
    """
    lanes, sums = room(np.uint64(0), LANES), room(np.float32(0), (N_SUMS, LANES))
    out, totals = registers(np.float32(0), 8), registers(np.float32(0), N_SUMS)
    for row in range(0, codes.shape[0], LANES):
        for start in range(0, n_blocks, BLOCKS_AT_ONCE):
            for v in range(N_SUMS):
                totals[v] = splat(np.float32(0))
            for block in range(start, least(start + BLOCKS_AT_ONCE, n_blocks)):
                words = _get_words(code, codes, row, block, bit, lanes)
                scale = _decode_words(code, words, least(block, code.centres.shape[0] - 1), out)
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
            for j in range(least(LANES, codes.shape[0] - row)):
                energy[row + j] += sums[FEW_VECTORS, j]
                for v in range(vectors.shape[0]):
                    products[row + j, v] += sums[v, j]
