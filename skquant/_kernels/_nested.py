"""Encode and decode blocks of rows with a nested-lattice code.

Work is laid out lanes last: coordinate i of lane j at ``[i * LANES + j]``, where a lane is a row.
Loops run over the lanes, so that the compiler turns them into vector instructions, and a row's
code never depends on its neighbours. Blocks have eight coordinates, a number that the compiler can
unroll; the last ones of a shorter block are zero. A few habits serve that:

* constants take the block's dtype (`real`), or float32 would be worked in double precision;
* both sides of a choice are loaded before it, and ``&`` joins conditions: neither branches;
* indices that are sums are unsigned, since a signed one might be negative and count from the end;
* functions that take the whole `Code` are inlined, since passing it costs more than they do.

`skquant/_nested_code.py` says what is computed, and computes the same for other lattices.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

LANES = 64
BLOCK = 8


class Code(NamedTuple):
    """A nested-lattice code as the kernels take it; `NestedLatticeCode` explains the fields.

    `shift`, `centroid` and `origin` have eight entries, also where a block is shorter.
    """

    lattice: int  # 0 Z, 1 A2, 2 D4, 3 E8, repeated to fill a block
    q: float
    scales: np.ndarray
    shift: np.ndarray
    centroid: np.ndarray
    origin: np.ndarray
    bisections: int
    generator: np.ndarray
    inverse_generator: np.ndarray
    n_bits: int
    word_digits: int
    word_bits: np.ndarray


@njit(cache=True, nogil=True)
def _closest_z(x, out):
    """Closest point of Z^8: round."""
    for k in range(BLOCK * LANES):
        out[k] = np.rint(x[k])


@njit(cache=True, nogil=True)
def _closest_a2(x, first, out):
    """Closest point of A2 on two coordinates: the nearer of two rectangular candidates."""
    real = x.dtype.type
    half, three, height = real(0.5), real(3), real(np.sqrt(3.0))
    u_row, v_row = first * LANES, (first + 1) * LANES
    for j in range(LANES):
        u, v = x[u_row + j], x[v_row + j] / height
        u0, v0 = np.rint(u), np.rint(v)
        u1, v1 = np.rint(u - half) + half, np.rint(v - half) + half
        cost0 = (u - u0) * (u - u0) + three * (v - v0) * (v - v0)
        cost1 = (u - u1) * (u - u1) + three * (v - v1) * (v - v1)
        out[u_row + j] = u1 if cost1 < cost0 else u0
        out[v_row + j] = (v1 if cost1 < cost0 else v0) * height


@njit(cache=True, nogil=True)
def _closest_d4(x, first, out):
    """Closest point of D4 on four coordinates: round, and mend an odd sum at least cost."""
    real = x.dtype.type
    zero, half, one = real(0), real(0.5), real(1)
    row = first * LANES
    for j in range(LANES):
        parity, worst = zero, -one
        for i in range(4):
            rounded = np.rint(x[row + i * LANES + j])
            parity += rounded
            worst = max(worst, abs(x[row + i * LANES + j] - rounded))
        odd = parity * half != np.rint(parity * half)
        worst = worst if odd else -one
        for i in range(4):
            rounded = np.rint(x[row + i * LANES + j])
            error = x[row + i * LANES + j] - rounded
            hit = abs(error) == worst
            worst = -one if hit else worst
            step = one if error > zero else -one
            out[row + i * LANES + j] = rounded + (step if hit else zero)


@njit(cache=True, nogil=True)
def _closest_e8(x, out):
    """Closest point of E8 = D8 u (D8 + 1/2).

    With r = round(x), e = x - r and a = |e|, the closest half-integer point errs by 1/2 - a. One
    pass over the coordinates therefore finds both candidates' parities, costs and cheapest flips.
    """
    real = x.dtype.type
    zero, half, one, two = real(0), real(0.5), real(1), real(2)
    for j in range(LANES):
        parity, negative, total, least, most = zero, zero, zero, one, zero
        for i in range(8):
            rounded = np.rint(x[i * LANES + j])
            error = x[i * LANES + j] - rounded
            size = abs(error)
            parity += rounded
            negative += one if error < zero else zero
            total += size
            least = min(least, size)
            most = max(most, size)
        odd = parity * half != np.rint(parity * half)
        half_parity = parity - negative
        half_odd = half_parity * half != np.rint(half_parity * half)
        integer_flip = one - two * most if odd else zero
        half_flip = two * least if half_odd else zero
        halves = total > two + half_flip - integer_flip
        flip = half_odd if halves else odd
        flipped = least if halves else most
        flipped = flipped if flip else -one
        stay = half if halves else zero
        step = -one if halves else one
        for i in range(8):
            rounded = np.rint(x[i * LANES + j])
            error = x[i * LANES + j] - rounded
            hit = abs(error) == flipped
            flipped = -one if hit else flipped
            move = stay + (step if hit else zero)
            out[i * LANES + j] = rounded + (-move if error < zero else move)


@njit(inline="always")
def _closest_point(lattice, x, out):
    """Closest point of the block's lattice."""
    if lattice == 0:
        _closest_z(x, out)
    elif lattice == 1:
        for first in range(0, BLOCK, 2):
            _closest_a2(x, first, out)
    elif lattice == 2:
        for first in range(0, BLOCK, 4):
            _closest_d4(x, first, out)
    else:
        _closest_e8(x, out)


@njit(cache=True, nogil=True)
def _gauge(lattice, x, shift, out):
    """Smallest s with x - shift in sV, where V is the Voronoi cell.

    That is the largest <x - shift, 2v/|v|^2> over the shortest vectors v, which are all that bound
    the cells of these lattices.
    """
    real = x.dtype.type
    zero, half, two, root = real(0), real(0.5), real(2), real(np.sqrt(3.0))
    for j in range(LANES):
        out[j] = zero
    if lattice == 0:
        for i in range(BLOCK):
            offset = shift[i]
            for j in range(LANES):
                out[j] = max(out[j], two * abs(x[i * LANES + j] - offset))
    elif lattice == 1:
        for i in range(0, BLOCK, 2):
            offset, next_offset = shift[i], shift[i + 1]
            for j in range(LANES):
                u = abs(x[i * LANES + j] - offset)
                v = abs(x[(i + 1) * LANES + j] - next_offset)
                out[j] = max(out[j], max(two * u, u + root * v))
    elif lattice == 2:
        for first in range(0, BLOCK, 4):
            for j in range(LANES):
                most, second = zero, zero
                for i in range(4):
                    size = abs(x[(first + i) * LANES + j] - shift[first + i])
                    second = max(second, min(most, size))
                    most = max(most, size)
                out[j] = max(out[j], most + second)
    else:
        for j in range(LANES):
            most, second, total, least, negative = zero, zero, zero, real(1e30), zero
            for i in range(BLOCK):
                difference = x[i * LANES + j] - shift[i]
                size = abs(difference)
                total += size
                second = max(second, min(most, size))
                most = max(most, size)
                least = min(least, size)
                negative += real(1) if difference < zero else zero
            odd = negative * half != np.rint(negative * half)
            out[j] = max(most + second, half * total - (least if odd else zero))


@njit(cache=True, nogil=True)
def _digits(inverse_generator, q, point, out):
    """Coordinates of the points in the lattice's basis, modulo q."""
    real = point.dtype.type
    inverse, half, d = real(1) / q, real(0.5), inverse_generator.shape[0]
    for axis in range(d):
        row = np.uintp(axis * LANES)
        for j in range(np.uintp(LANES)):
            out[row + j] = real(0)
        for i in range(d):
            factor, other = inverse_generator[i, axis], np.uintp(i * LANES)
            if factor != real(0):
                for j in range(np.uintp(LANES)):
                    out[row + j] += point[other + j] * factor
        for j in range(np.uintp(LANES)):
            coordinate = np.rint(out[row + j])
            out[row + j] = coordinate - q * np.floor((coordinate + half) * inverse)


@njit(cache=True, nogil=True)
def _aim(x, centroid, factor, out):
    """Scale the block: x * factor + centroid."""
    for i in range(BLOCK):
        centre = centroid[i]
        for j in range(LANES):
            out[i * LANES + j] = x[i * LANES + j] * factor[j] + centre


@njit(cache=True, nogil=True)
def _squared_error(x, point, centroid, beta, out):
    """Squared distance of the block to the decoded points."""
    real = x.dtype.type
    for j in range(LANES):
        error = real(0)
        for i in range(BLOCK):
            difference = x[i * LANES + j] - beta[j] * (point[i * LANES + j] - centroid[i])
            error += difference * difference
        out[j] = error


@njit(cache=True, nogil=True)
def _keep_better(point, scale, error, best, best_scale, least):
    """Keep a candidate in the lanes where it errs least so far."""
    for j in range(LANES):
        better = error[j] < least[j]
        for i in range(BLOCK):
            new, old = point[i * LANES + j], best[i * LANES + j]
            best[i * LANES + j] = new if better else old
        new, old = scale[j], best_scale[j]
        best_scale[j] = new if better else old
        least[j] = min(error[j], least[j])


@njit(cache=True, nogil=True)
def _look_up(scales, scale, out):
    """Take each lane's scale by its index, clipped to those there are."""
    last = scales.shape[0] - 1
    for j in range(LANES):
        out[j] = scales[np.uintp(min(max(int(scale[j]), 0), last))]


@njit(inline="always")
def _first_fit(code, gauge, scale):
    """Count the scales whose cell is too small for each lane."""
    for j in range(LANES):
        scale[j] = 0
    for k in range(code.scales.shape[0]):
        bound = code.q * code.scales[k]
        for j in range(LANES):
            scale[j] += np.float32(gauge[j] > bound)


@njit(cache=True, nogil=True)
def _clip(point, shift, q):
    """Clip integers coordinate by coordinate to the coset leaders of qZ.

    That is the projection onto the cell of a product of lines, and needs no shrinking.
    """
    half = point.dtype.type(0.5)
    for i in range(BLOCK):
        least, most = np.ceil(shift[i] - half * q), np.floor(shift[i] + half * q)
        for j in range(LANES):
            point[i * LANES + j] = min(max(point[i * LANES + j], least), most)


@njit(inline="always")
def _aim_below(code, gauge, valid, scale, beta, climb, low, high, shrink):
    """Aim at the boundary of the scale below the one that held the lane.

    Lanes whose point fell outside although the cell holds them (`climb`) first try one scale
    higher. Those that no scale holds aim at the boundary of the coarsest.
    """
    real = gauge.dtype.type
    last = real(code.scales.shape[0] - 1)
    for j in range(LANES):
        climb[j] = real((valid[j] == real(0)) & (scale[j] < last))
        below = scale[j] - real(valid[j] != real(0))
        scale[j] = min(max(below, real(0)), last)
    _look_up(code.scales, scale, beta)
    for j in range(LANES):
        edge = min(real(1), code.q * beta[j] / max(gauge[j], real(1e-30)))
        edge = real(1) if code.lattice == 0 else edge
        low[j] = edge * max(real(0), real(1) - real(2) / code.q)
        high[j] = edge * (real(1) + real(0.5) / code.q)
        scale[j] += climb[j]
        shrink[j] = real(1) if climb[j] != real(0) else edge


@njit(inline="always")
def _bisect(valid, scale, climb, low, high, shrink):
    """Halve the interval in which the largest shrink lies that makes a code word."""
    half, zero = shrink.dtype.type(0.5), shrink.dtype.type(0)
    for j in range(LANES):
        old_low, old_high, tried = low[j], high[j], shrink[j]
        move_low = (valid[j] != zero) & (climb[j] == zero)
        move_high = (valid[j] == zero) & (climb[j] == zero)
        low[j] = tried if move_low else old_low
        high[j] = tried if move_high else old_high
        shrink[j] = half * (low[j] + high[j])
        scale[j] -= climb[j]
        climb[j] = zero


@njit(inline="always")
def _quantize(code, x, work, lane, best, best_scale):
    """Find the best code word in each lane: its lattice point and the index of its scale.

    The first candidate is the finest scale whose cell holds x. The others shrink x along its ray,
    by bisection about the cell's boundary, until it fits the scale below: a word on the rim of a
    fine scale often beats one inside a coarser scale.
    """
    real = x.dtype.type
    target, point = work[0], work[1]
    gauge, scale, beta, shrink, low, high = lane[0], lane[1], lane[2], lane[3], lane[4], lane[5]
    valid, error, least, climb, zero = lane[6], lane[7], lane[8], lane[9], lane[10]
    _gauge(code.lattice, x, zero, gauge)
    _first_fit(code, gauge, scale)
    for j in range(LANES):
        shrink[j] = real(1)
        least[j] = real(np.inf)
        best_scale[j] = real(0)
    for i in range(BLOCK):
        origin = code.origin[i]
        for j in range(LANES):
            best[i * LANES + j] = origin
    for candidate in range(1 + code.bisections):
        if candidate == 1:
            _aim_below(code, gauge, valid, scale, beta, climb, low, high, shrink)
        elif candidate > 1:
            _bisect(valid, scale, climb, low, high, shrink)
        if candidate == code.bisections:  # the last: where nothing held yet, take no more risk
            for j in range(LANES):
                tried, safe = shrink[j], low[j]
                shrink[j] = safe if least[j] == real(np.inf) else tried
        if candidate <= 2:  # from then on the scales stay
            _look_up(code.scales, scale, beta)
        for j in range(LANES):
            error[j] = shrink[j] / beta[j]
        _aim(x, code.centroid, error, target)
        _closest_point(code.lattice, target, point)
        if code.lattice == 0:
            _clip(point, code.shift, code.q)
        _gauge(code.lattice, point, code.shift, valid)
        _squared_error(x, point, code.centroid, beta, error)
        for j in range(LANES):
            valid[j] = real(valid[j] <= code.q)
            finite = error[j]
            error[j] = finite if valid[j] != real(0) else real(np.inf)
        _keep_better(point, scale, error, best, best_scale, least)
    last = real(code.scales.shape[0] - 1)
    for j in range(LANES):
        best_scale[j] = min(best_scale[j], last)


@njit(cache=True, nogil=True)
def _write_bits(codes, row, bit, n_bits, word):
    """Or the low n_bits of a word into a row of zeroed bytes, least significant bit first."""
    position, word = np.uintp(bit >> 3), word << np.uint64(bit & 7)
    for byte in range(np.uintp(((bit & 7) + n_bits + 7) >> 3)):
        codes[np.uintp(row), position + byte] |= np.uint8(word & np.uint64(255))
        word >>= np.uint64(8)


@njit(cache=True, nogil=True)
def _read_bits(codes, row, bit, n_bits):
    """Read n_bits (at most 48) from a row of bytes, least significant bit first."""
    word, position, shift = np.uint64(0), np.uintp(bit >> 3), np.uint64(bit & 7)
    for byte in range(np.uintp(((bit & 7) + n_bits + 7) >> 3)):
        word |= np.uint64(codes[np.uintp(row), position + byte]) << np.uint64(8 * byte)
    return (word >> shift) & ((np.uint64(1) << np.uint64(n_bits)) - np.uint64(1))


@njit(cache=True, nogil=True)
def _moments(x, dimension, point, centroid, beta, product, energy):
    """Set the products of input and decoded point, and the points' squares, of each lane."""
    for j in range(LANES):
        product[j] = 0
        energy[j] = 0
    for i in range(dimension):
        centre = centroid[i]
        for j in range(LANES):
            decoded = beta[j] * (point[i * LANES + j] - centre)
            product[j] += x[i * LANES + j] * decoded
            energy[j] += decoded * decoded


@njit(cache=True, nogil=True)
def encode_blocks(code, rows, first, n_blocks, bit, codes, moments):
    """Encode n_blocks blocks of each row.

    Parameters
    ----------
    code : Code
    rows : ndarray of shape (n_rows, n_coordinates)
        Normalised rows, of the dtype of the code's arrays.
    first : int
        The coordinate where the blocks start; they lie side by side.
    n_blocks : int
    bit : int
        The bit of a row's code where they start; block after block, word after word.
    codes : uint8 ndarray of shape (n_rows, row_bytes)
        Written to; zero before.
    moments : float64 ndarray of shape (n_rows, 2)
        Added to: the product of the row with what it decodes to, and the square of the latter.
    """
    d = code.generator.shape[0]
    x, best = np.zeros(BLOCK * LANES, rows.dtype), np.empty(BLOCK * LANES, rows.dtype)
    work, digits = np.empty((2, BLOCK * LANES), rows.dtype), np.empty(d * LANES, rows.dtype)
    lane, best_scale = np.zeros((11, LANES), rows.dtype), np.empty(LANES, rows.dtype)
    words = np.empty(LANES, np.float64)
    n_words = code.word_bits.shape[0]
    for start in range(0, rows.shape[0], LANES):
        n_lanes = min(LANES, rows.shape[0] - start)
        for block in range(n_blocks):
            offset, place = first + block * d, bit + block * code.n_bits
            for j in range(np.uintp(n_lanes)):
                for i in range(np.uintp(d)):
                    x[i * np.uintp(LANES) + j] = rows[np.uintp(start) + j, np.uintp(offset) + i]
            _quantize(code, x, work, lane, best, best_scale)
            _look_up(code.scales, best_scale, lane[1])
            _moments(x, d, best, code.centroid, lane[1], lane[2], lane[3])
            for j in range(n_lanes):
                moments[start + j, 0] += lane[2, j]
                moments[start + j, 1] += lane[3, j]
            _digits(code.inverse_generator, code.q, best, digits)
            for word in range(n_words):
                last_word = word == n_words - 1
                for j in range(LANES):
                    words[j] = best_scale[j] if last_word else 0.0
                stop = min(d, (word + 1) * code.word_digits)
                for axis in range(stop - 1, word * code.word_digits - 1, -1):
                    row = np.uintp(axis * LANES)
                    for j in range(np.uintp(LANES)):
                        words[j] = words[j] * code.q + digits[row + j]
                for j in range(n_lanes):
                    _write_bits(codes, start + j, place, code.word_bits[word], np.uint64(words[j]))
                place += code.word_bits[word]


@njit(cache=True, nogil=True)
def _split_digits(words, q, n_digits, digits, first):
    """Split words into digits in double precision; what is left is the scale's index."""
    inverse = 1.0 / q
    for axis in range(first, first + n_digits):
        for j in range(LANES):
            rest = np.floor((words[j] + 0.5) * inverse)
            digits[axis * LANES + j] = words[j] - rest * q
            words[j] = rest


@njit(cache=True, nogil=True)
def _combine(generator, digits, shift, inverse_q, point, target):
    """Points G c from digits c, and (G c - shift)/q."""
    real = point.dtype.type
    for i in range(generator.shape[0]):
        for j in range(LANES):
            point[i * LANES + j] = real(0)
        for axis in range(generator.shape[0]):
            factor = generator[axis, i]
            if factor != real(0):
                for j in range(LANES):
                    point[i * LANES + j] += digits[axis * LANES + j] * factor
        offset = shift[i]
        for j in range(LANES):
            target[i * LANES + j] = (point[i * LANES + j] - offset) * inverse_q


@njit(cache=True, nogil=True)
def decode_blocks(code, codes, first, n_blocks, bit, panel):
    """Decode n_blocks blocks of each row into a panel, coordinates first.

    Parameters
    ----------
    code : Code
    codes : uint8 ndarray of shape (n_rows, row_bytes)
        Any bytes: what no encoder writes decodes to some finite point.
    first, n_blocks, bit : int
        As in `encode_blocks`.
    panel : ndarray of shape (n_coordinates, n_rows)
        Written to on the blocks' coordinates; of the dtype of the code's arrays.
    """
    d, real = code.generator.shape[0], panel.dtype.type
    digits, point = np.empty(d * LANES, panel.dtype), np.empty(d * LANES, panel.dtype)
    target, multiple = np.zeros(BLOCK * LANES, panel.dtype), np.empty(BLOCK * LANES, panel.dtype)
    words, beta = np.zeros(LANES, np.float64), np.empty(LANES, panel.dtype)
    for start in range(0, codes.shape[0], LANES):
        n_lanes = min(LANES, codes.shape[0] - start)
        for block in range(n_blocks):
            offset, place = first + block * d, bit + block * code.n_bits
            for word in range(code.word_bits.shape[0]):
                for j in range(n_lanes):
                    words[j] = _read_bits(codes, start + j, place, code.word_bits[word])
                place += code.word_bits[word]
                axis = word * code.word_digits
                _split_digits(words, code.q, min(code.word_digits, d - axis), digits, axis)
            _look_up(code.scales, words, beta)
            _combine(code.generator, digits, code.shift, real(1) / code.q, point, target)
            _closest_point(code.lattice, target, multiple)
            for i in range(d):
                centre = code.centroid[i]
                for j in range(np.uintp(n_lanes)):
                    leader = point[i * LANES + j] - code.q * multiple[i * LANES + j]
                    panel[np.uintp(offset + i), np.uintp(start) + j] = beta[j] * (leader - centre)
