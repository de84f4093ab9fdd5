"""Encode and decode blocks of rows with a nested-lattice code.

Rows come in *panels*, arrays of shape (n_panels, n_coordinates, width) with rows side by side on
the last axis. 32 of them are worked on at a time, each in a lane of its own, so that a row's
code never depends on its neighbours. Blocks have eight coordinates; the last ones of a shorter
block are zero.

`skquant/_codes/_nested.py` says what is computed, and computes the same for other lattices.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from ._lattices import BLOCK, cell_gauge, closest_point, coordinates_of, points_of
from ._memory import load, store
from ._registers import registers
from ._vectors import LANES, cast, floor, inlined, least, most, splat, where
from ._words import get_bytes, look_up, put_bytes

FEW_VECTORS = 4  # that a fused product takes


class Code(NamedTuple):
    """A nested-lattice code as the kernels take it; `NestedLatticeCode` explains the fields.

    Vectors have eight entries, also where a block is shorter; `centres` has a row for each block,
    or one for all.
    """

    lattice: int  # 0 Z, 1 A2, 2 D4, 3 E8, repeated to fill a block
    dimension: int
    q: float
    inverse_q: float
    scales: np.ndarray
    shift: np.ndarray
    no_shift: np.ndarray
    centres: np.ndarray
    origin: np.ndarray
    bisections: int
    n_bits: int
    word_digits: int
    word_bits: np.ndarray
    wide_digits: np.ndarray  # how many digits of a word to split off in double precision
    halves_are_narrow: bool  # whether a block is one word, and half of it fits single precision


@inlined
def _first_fit(q, scales, gauge):
    """Count the scales whose cell is too small for each lane."""
    count = cast(gauge < 0.0, np.int32)
    for k in range(scales.shape[0]):
        count = count + cast(gauge > q * scales[k], np.int32)
    return count


@inlined
def _clip(point, shift, q):
    """Clip integers coordinate by coordinate to the coset leaders of qZ.

    That is the projection onto the cell of a product of lines, and needs no shrinking.
    """
    for i in range(BLOCK):
        point[i] = least(most(point[i], np.ceil(shift[i] - 0.5 * q)), np.floor(shift[i] + 0.5 * q))


@inlined
def _try_word(code, centre, x, beta, shrink, point):
    """Quantize shrink * x at scale beta; give the squared error, infinite for what is no word."""
    factor = shrink / beta
    target = registers(code.q, 8)
    for i in range(BLOCK):
        target[i] = x[i] * factor + code.centres[centre, i]
    closest_point(code.lattice, target, point)
    if code.lattice == 0:
        _clip(point, code.shift, code.q)
    error = factor * 0.0
    for i in range(BLOCK):
        difference = x[i] - beta * (point[i] - code.centres[centre, i])
        error = error + difference * difference
    return where(cell_gauge(code.lattice, point, code.shift) <= code.q, error, np.inf)


@inlined
def _keep_better(point, scale, error, best, best_scale, least_error):
    """Keep a candidate in the lanes where it errs least so far."""
    better = error < least_error
    for i in range(BLOCK):
        best[i] = where(better, point[i], best[i])
    return where(better, scale, best_scale)


@inlined
def _quantize(code, centre, x, best):
    """Find the best code word in each lane: its lattice point, and the index of its scale.

    The first candidate is the finest scale whose cell holds x. The second is the next coarser one,
    for where the point falls outside nevertheless, and because a point of it may happen to be
    nearer. The others shrink x along its ray, by bisection about the cell's boundary, until it fits
    the scale below: a word on the rim of a fine scale often beats one inside a coarser scale.
    """
    last = code.scales.shape[0] - 1
    point = registers(code.q, 8)
    for i in range(BLOCK):
        best[i] = splat(code.origin[i])
    gauge = cell_gauge(code.lattice, x, code.no_shift)
    shrink = low = high = gauge * 0.0 + 1.0
    scale = below = tried = _first_fit(code.q, code.scales, gauge)
    best_scale = scale - scale
    least_error = shrink * np.inf
    for candidate in range(2 + code.bisections):
        beta = look_up(code.scales, tried)
        error = _try_word(code, centre, x, beta, shrink, point)
        held = error < np.inf
        best_scale = _keep_better(point, tried, error, best, best_scale, least_error)
        least_error = least(error, least_error)
        if candidate == 0:
            below = least(most(scale - cast(held, np.int32), 0), last)
            tried = scale + 1
        elif candidate == 1:
            shrink = edge = _edge(code, gauge, look_up(code.scales, below))
            low = edge * max(0.0, 1.0 - 2.0 / code.q)
            high = edge * (1.0 + 0.5 / code.q)
            tried = below
        else:
            low, high = where(held, shrink, low), where(held, high, shrink)
            shrink = 0.5 * (low + high)
        if candidate == code.bisections:  # where nothing held yet, the last takes no risk
            shrink = where(least_error == np.inf, low, shrink)
    return least(best_scale, last)


@inlined
def _edge(code, gauge, beta):
    """How far x shrinks to reach the boundary of a scale's cell."""
    edge = least(code.q * beta / most(gauge, 1e-30), 1.0)
    return edge * 0.0 + 1.0 if code.lattice == 0 else edge


@inlined
def _digits(code, point, out):
    """Name the points' cosets: their coordinates modulo q."""
    coordinates_of(code.lattice, point, out)
    for axis in range(BLOCK):
        out[axis] = out[axis] - code.q * floor((out[axis] + 0.5) * code.inverse_q)


@inlined
def _join_digits(code, digits, word, start, stop):
    """Join digits to words, on top of which comes `word`; the last ones in double precision."""
    narrow = start + code.wide_digits[start // code.word_digits]
    value = cast(word, code.q)
    for axis in range(stop - 1, narrow - 1, -1):
        value = value * code.q + digits[axis]
    wide = cast(value, np.float64)
    for axis in range(min(narrow, stop) - 1, start - 1, -1):
        wide = wide * float(code.q) + cast(digits[axis], np.float64)
    return wide


@inlined
def _split_digits(code, words, start, stop, digits):
    """Split words into digits, the first ones in double precision; give what is left."""
    narrow = min(start + code.wide_digits[start // code.word_digits], stop)
    for axis in range(start, narrow):
        rest = floor((words + 0.5) * (1.0 / float(code.q)))
        digits[axis] = cast(words - rest * float(code.q), code.q)
        words = rest
    value = cast(words, code.q)
    for axis in range(narrow, stop):
        rest = floor((value + 0.5) * code.inverse_q)
        digits[axis] = value - rest * code.q
        value = rest
    return cast(value, np.int32)


@inlined
def _split_halves(code, words, digits):
    """Split one word a block into two halves, and these into four digits each."""
    square = float(code.q) * float(code.q)
    upper = floor((words + 0.5) * (1.0 / (square * square)))
    lower = cast(words - upper * (square * square), code.q)
    value = cast(upper, code.q)
    for axis in range(4):
        rest, lower_rest = (
            floor((value + 0.5) * code.inverse_q),
            floor((lower + 0.5) * code.inverse_q),
        )
        digits[axis], digits[4 + axis] = lower - lower_rest * code.q, value - rest * code.q
        value, lower = rest, lower_rest
    return cast(value, np.int32)


@inlined
def _get_word(codes, row, bit, n_bits, lanes):
    """Read a word of each row in double precision."""
    word = get_bytes(codes, row, bit >> 3, lanes) >> (bit & 7)
    return cast(word & ((1 << n_bits) - 1), np.float64)


@inlined
def _add_moments(code, centre, x, point, scale, moments):
    """Add the products of input and decoded point, and the points' squares."""
    beta = look_up(code.scales, scale)
    product = energy = beta * 0.0
    for i in range(BLOCK):
        if i < code.dimension:
            decoded = beta * (point[i] - code.centres[centre, i])
            product, energy = product + x[i] * decoded, energy + decoded * decoded
    moments[0] = moments[0] + cast(product, np.float64)
    moments[1] = moments[1] + cast(energy, np.float64)


@inlined
def _encode_lanes(code, panels, panel, lane, first, n_blocks, bit, codes, row, lanes, moments):
    """Encode the blocks of a row in each lane."""
    x, best, digits = registers(code.q, 8), registers(code.q, 8), registers(code.q, 8)
    for i in range(BLOCK):
        x[i] = splat(code.q - code.q)
    byte, filled = bit >> 3, bit & 7
    pending = get_bytes(codes, row, byte, lanes) & ((1 << filled) - 1)
    for block in range(n_blocks):
        for i in range(BLOCK):
            if i < code.dimension:
                x[i] = load(panels, (panel, first + block * code.dimension + i, lane))
        centre = min(block, code.centres.shape[0] - 1)
        scale = _quantize(code, centre, x, best)
        _add_moments(code, centre, x, best, scale, moments)
        _digits(code, best, digits)
        for word in range(code.word_bits.shape[0]):
            start = word * code.word_digits
            stop = min(code.dimension, start + code.word_digits)
            last_word = word == code.word_bits.shape[0] - 1
            value = _join_digits(code, digits, scale if last_word else scale - scale, start, stop)
            pending = pending | (cast(value, np.uint64) << filled)
            filled += code.word_bits[word]
            pending = put_bytes(pending, filled >> 3, codes, row, byte, lanes)
            byte, filled = byte + (filled >> 3), filled & 7
    put_bytes(pending, (filled + 7) >> 3, codes, row, byte, lanes)


@njit(cache=True, nogil=True, error_model="numpy")
def encode_blocks(code, panels, first, n_blocks, bit, codes, moments):
    """Encode n_blocks blocks of each row.

    Parameters
    ----------
    code : Code
    panels : ndarray of shape (n_panels, n_coordinates, width)
        Normalised rows, of the dtype of the code's arrays; the width is a multiple of LANES.
    first : int
        The coordinate where the blocks start; they lie side by side.
    n_blocks : int
    bit : int
        The bit of a row's code where they start; block after block, word after word.
    codes : uint8 ndarray of shape (n_rows, row_bytes)
        Written to; zero before. `panels` may have room for more rows.
    moments : float64 ndarray of shape (n_rows, 2)
        Added to: the product of the row with what it decodes to, and the square of the latter.
    """
    width, lanes, sums = panels.shape[2], np.empty(LANES, np.uint64), np.empty((2, LANES))
    for row in range(0, codes.shape[0], LANES):
        lane_moments = registers(1.0, 2)
        lane_moments[0] = lane_moments[1] = splat(0.0)
        panel, lane = row // width, row % width
        _encode_lanes(
            code, panels, panel, lane, first, n_blocks, bit, codes, row, lanes, lane_moments
        )
        store(sums, (0, 0), lane_moments[0])
        store(sums, (1, 0), lane_moments[1])
        for j in range(min(LANES, codes.shape[0] - row)):
            moments[row + j, 0] += sums[0, j]
            moments[row + j, 1] += sums[1, j]


@inlined
def _decode_block(code, codes, row, block, bit, lanes, loose, out):
    """Decode a block of a row in each lane."""
    target, multiple, digits = registers(code.q, 8), registers(code.q, 8), registers(code.q, 8)
    scale = splat(np.int32(0))
    for word in range(code.word_bits.shape[0]):
        words = _get_word(codes, row, bit, code.word_bits[word], lanes)
        bit += code.word_bits[word]
        if code.halves_are_narrow:
            scale = _split_halves(code, words, digits)
        else:
            start = word * code.word_digits
            stop = min(code.dimension, start + code.word_digits)
            scale = _split_digits(code, words, start, stop, loose)
            for axis in range(BLOCK):
                digits[axis] = loose[axis]
    points_of(code.lattice, digits, out)
    for i in range(BLOCK):
        target[i] = (out[i] - code.shift[i]) * code.inverse_q
    closest_point(code.lattice, target, multiple)
    beta, centre = look_up(code.scales, scale), min(block, code.centres.shape[0] - 1)
    for i in range(BLOCK):
        out[i] = beta * (out[i] - code.q * multiple[i] - code.centres[centre, i])


@njit(cache=True, nogil=True, error_model="numpy")
def decode_blocks(code, codes, first, n_blocks, bit, panels, energy):
    """Decode n_blocks blocks of each row.

    Parameters
    ----------
    code : Code
    codes : uint8 ndarray of shape (n_rows, row_bytes)
        C-contiguous. Any bytes: what no encoder writes decodes to some finite point.
    first, n_blocks, bit : int
        As in `encode_blocks`.
    panels : ndarray of shape (n_panels, n_coordinates, width)
        Written to on the blocks' coordinates; of the dtype of the code's arrays. It may have room
        for more rows, which get unspecified values.
    energy : float64 ndarray of shape (n_rows,)
        Added to: the squares of what each row decodes to.
    """
    width, lanes, sums = panels.shape[2], np.empty(LANES, np.uint64), np.empty(LANES)
    digits, point = registers(code.q, 8), registers(code.q, 8)
    for axis in range(BLOCK):
        digits[axis] = splat(code.q - code.q)
    for row in range(0, codes.shape[0], LANES):
        panel, lane, total = row // width, row % width, splat(0.0)
        for block in range(n_blocks):
            _decode_block(code, codes, row, block, bit + block * code.n_bits, lanes, digits, point)
            square = digits[0] - digits[0]
            for i in range(BLOCK):
                if i < code.dimension:
                    store(panels, (panel, first + block * code.dimension + i, lane), point[i])
                    square = square + point[i] * point[i]
            total = total + cast(square, np.float64)
        store(sums, 0, total)
        for j in range(min(LANES, codes.shape[0] - row)):
            energy[row + j] += sums[j]


@njit(cache=True, nogil=True, error_model="numpy")
def multiply_blocks(code, codes, first, n_blocks, bit, vectors, products, energy):
    """Multiply what n_blocks blocks of each row decode to by vectors, without keeping it.

    Parameters
    ----------
    code, codes, first, n_blocks, bit
        As in `decode_blocks`.
    vectors : ndarray of shape (n_vectors, n_coordinates)
        At most FEW_VECTORS, of the dtype of the code's arrays.
    products : float64 ndarray of shape (n_rows, n_vectors)
        Added to.
    energy : float64 ndarray of shape (n_rows,)
        Added to: the squares of what each row decodes to.
    """
    lanes, sums = np.empty(LANES, np.uint64), np.empty((FEW_VECTORS + 1, LANES))
    digits, point, totals = registers(code.q, 8), registers(code.q, 8), registers(1.0, 5)
    for axis in range(BLOCK):
        digits[axis] = splat(code.q - code.q)
    for row in range(0, codes.shape[0], LANES):
        for v in range(FEW_VECTORS + 1):
            totals[v] = splat(0.0)
        for block in range(n_blocks):
            _decode_block(code, codes, row, block, bit + block * code.n_bits, lanes, digits, point)
            place = first + block * code.dimension
            square = digits[0] - digits[0]
            for i in range(BLOCK):
                if i < code.dimension:
                    square = square + point[i] * point[i]
            totals[FEW_VECTORS] = totals[FEW_VECTORS] + cast(square, np.float64)
            for v in range(FEW_VECTORS):
                if v < vectors.shape[0]:
                    product = digits[0] - digits[0]
                    for i in range(BLOCK):
                        if i < code.dimension:
                            product = product + point[i] * vectors[v, place + i]
                    totals[v] = totals[v] + cast(product, np.float64)
        for v in range(FEW_VECTORS + 1):
            store(sums, (v, 0), totals[v])
        for j in range(min(LANES, codes.shape[0] - row)):
            energy[row + j] += sums[FEW_VECTORS, j]
            for v in range(vectors.shape[0]):
                products[row + j, v] += sums[v, j]
