"""Encode with nested codes of E8 in 16-bit integers, 32 blocks at a time.

As in `_nested`, a block x is tried at a few scales, first as it is and then shrunk along its ray to
the rim of a cell that is too small for it, and the candidate that errs least is kept. All of these
are multiples of one vector, which is rounded to 16 bits once; a factor of 16 bits takes it to
lattice coordinates in units of UNIT. To round them is to shift the integer part out: what is left
is the error of rounding, with its sign. Nothing that decides is a float, so that a code word
depends on neither the machine nor the compiler.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from ._lanes import fold, pick, unfold
from ._memory import (
    load,
    room,
    store,
)
from ._registers import registers
from ._traced import traced
from ._vectors import (
    LANES,
    bits,
    cast,
    high_half,
    inlined,
    least,
    most,
    rounded_product,
    splat,
    where,
)
from ._words import get_bytes, put_bytes

BLOCK = 8
FRACTION_BITS = 8
UNIT = 2.0**-FRACTION_BITS
LARGEST = 8000  # of the rounded block: the sum of its sizes fits 16 bits
PER_UNIT = 2.0**15 / LARGEST / UNIT  # factors are so many times what they multiply with
LARGEST_FACTOR = 2**15 - 1
MOST_FACTOR = 1.4  # of the rim's: errors squared, and their sum, fit 16 bits
ROUND = np.float32(1.5 * 2.0**23)  # added to a float32, it leaves the nearest integer in low bits
NO_WORD = 0xFFFF  # as an error: the point is outside the cell
NONE = 0xFFFF  # as a key: no coordinate


class E8Encoder(NamedTuple):
    """A nested code of E8 as this kernel takes it; tables have eight entries, the last repeated.

    Points and shifts are in units of UNIT.
    """

    n_bits: int
    bisections: int
    last_scale: np.uint16
    scales: np.ndarray  # float32
    per_gauge: np.float32  # what makes 2^14 of the gauge that the largest scale holds
    reaches: np.ndarray  # what it makes of those that the others hold, uint16
    inverse_scales: np.ndarray  # times PER_UNIT, float32
    squares: np.ndarray  # of the scales over the largest one, float32, the largest 65535
    centres: np.ndarray  # float32; a row for each block, or one for all
    starts: np.ndarray  # the centres, int16
    shift: np.ndarray  # int16
    origin: np.ndarray  # int16
    reach: np.uint16  # q
    edge: np.float32  # the factor that takes a gauge of 1 to q
    shrinks: tuple  # of float32: where to look for the rim, and what is inside for sure
    q: np.uint16
    inverse_q: np.uint16  # 2^16 / q, rounded up
    many_q: np.uint16  # a multiple of q that makes coordinates positive
    q4: np.uint32


@traced
def _to_integers(x):
    """Round blocks to integers of at most LARGEST; give them, and the largest sizes before."""
    peak = abs(x[0])
    for i in range(1, BLOCK):
        peak = most(peak, abs(x[i]))
    peak = most(peak, np.float32(1e-30))
    scale = np.float32(LARGEST) / peak
    return [fold(bits(x[i] * scale + ROUND)) for i in range(BLOCK)], peak


@traced
def _gauge(vector):
    """Give the gauge of E8's cell: its roots are integer with two entries, or all halves."""
    sizes = [cast(abs(entry), np.uint16) for entry in vector]
    signs, total, smallest, largest = vector[0], sizes[0], sizes[0], sizes[0]
    second = sizes[0] ^ sizes[0]
    for entry, size in zip(vector[1:], sizes[1:], strict=True):
        signs, total, smallest = signs ^ entry, total + size, least(smallest, size)
        second, largest = most(second, least(largest, size)), most(largest, size)
    return most(largest + second, (total >> 1) - where(signs < 0, smallest, 0))


@traced
def _closest_point(target):
    """Find the closest points of E8, in units.

    With e the errors of rounding, both candidates follow: the one from D8 flips the largest, the
    one from D8 + 1/2 the smallest, where its sum is odd. To take 1/2 off an error in 16 bits of
    fraction, whatever its sign, is to change its leading bit.
    """
    errors, keys = [], []
    bits_of_all = total = cast(target[0] ^ target[0], np.uint16)
    smallest, largest = bits_of_all | NONE, bits_of_all
    for i, entry in enumerate(target):
        bits_of_all = bits_of_all ^ cast(entry, np.uint16)
        error = entry << (16 - FRACTION_BITS)
        size = cast(abs(error), np.uint16)
        key = size | i
        smallest, largest, total = least(smallest, key), most(largest, key), total + (size >> 3)
        errors.append(error)
        keys.append(key)
    # The parity of the sums of floors, and of how many were rounded up.
    half_odd = bits_of_all & (1 << FRACTION_BITS) != 0
    odd = (bits_of_all ^ (bits_of_all << 1)) & (1 << FRACTION_BITS) != 0
    integer_cost = where(odd, 0x2000 - (largest >> 2), 0)
    half_cost = where(half_odd, smallest >> 2, 0)
    halves = total + integer_cost > half_cost + 0x4000
    flipped = where(halves, where(half_odd, smallest, NONE), where(odd, largest, NONE))
    less_half = where(halves, errors[0] ^ errors[0] | -0x8000, 0)
    point = []
    for entry, error, key in zip(target, errors, keys, strict=True):
        rest = (error ^ less_half) >> (16 - FRACTION_BITS)
        point.append(entry - where(key == flipped, rest ^ -(1 << FRACTION_BITS), rest))
    return point


@traced
def _try_word(code, centre, x, factor, full_factor, point):
    """Quantize multiples of blocks; give the squared errors from others, NO_WORD for no word."""
    starts = [splat(code.starts[centre, i]) for i in range(BLOCK)]
    target = [rounded_product(x[i], factor) + starts[i] for i in range(BLOCK)]
    found = _closest_point(target)
    gauge = _gauge([found[i] - code.shift[i] for i in range(BLOCK)])
    error = gauge ^ gauge
    for i in range(BLOCK):
        point[i] = found[i]
        difference = rounded_product(x[i], full_factor) + starts[i] - found[i]
        error = error + cast(rounded_product(difference << 4, difference << 4), np.uint16)
    return where(gauge <= code.reach, error, NO_WORD)


@traced
def _look_up(table, scale):
    """Take each block's entry of a table by its scale."""
    return pick(table, unfold(cast(scale, np.int16)))


@traced
def _to_integer(number):
    """Round positive numbers, the largest to what a signed integer holds."""
    return fold(bits(least(number, np.float32(2**15 - 1)) + ROUND))


@traced
def _factor(code, peak, scale):
    """Give the factors that take integers to the lattice at some scales."""
    return _to_integer(peak * _look_up(code.inverse_scales, scale))


@traced
def _first_fit(code, gauge, peak):
    """Count the scales whose cell is too small for each block."""
    gauge = cast(_to_integer(cast(unfold(gauge), np.float32) * (peak * code.per_gauge)), np.uint16)
    count = gauge ^ gauge
    for k in range(8):
        count = where(gauge > code.reaches[k], count + 1, count)
    return count


@traced
def _around_rim(code, gauge, full_factor):
    """Give factors about the rim of a cell that is too small: least, largest, and a safe one.

    And that of the block itself, unless it is much larger.
    """
    edge = code.edge / most(cast(unfold(gauge), np.float32), 1)
    limit = _to_integer(edge * np.float32(MOST_FACTOR))
    edge = least(edge, cast(unfold(full_factor), np.float32))
    factors = [_to_integer(edge * code.shrinks[i]) for i in range(3)]
    return *factors, least(full_factor, limit)


@traced
def _keep_better(code, held, error, scale, point, best, best_scale, least_error):
    """Keep a candidate in the lanes where it errs least so far."""
    square = fold(cast(_look_up(code.squares, scale), np.int32))
    error = high_half(error, cast(square, np.uint16))
    better = held & (error <= least_error)
    for i in range(BLOCK):
        best[i] = where(better, point[i], best[i])
    return where(better, scale, best_scale), where(better, error, least_error)


@inlined
def _quantize(code, centre, x, peak, point, best):
    """Find the best code word of each block: its lattice point, and the index of its scale.

    `_nested._quantize` explains the candidates.
    """
    for i in range(BLOCK):
        best[i] = splat(code.origin[i])
    gauge = _gauge_of(x)
    scale = _first_fit(code, gauge, peak)
    tried = below = least(scale, code.last_scale)
    best_scale, least_error = scale - scale, gauge | NO_WORD
    full = factor = low = high = safe = _factor(code, peak, tried)
    for candidate in range(2 + code.bisections):
        error = _try_word(code, centre, x, factor, full, point)
        held = error != NO_WORD
        best_scale, least_error = _keep_better(
            code, held, error, tried, point, best, best_scale, least_error
        )
        if candidate == 0:
            below = where(held, most(scale, 1) - 1, least(scale, code.last_scale))
            tried = least(scale + 1, code.last_scale)
            full = factor = _factor(code, peak, tried)
        elif candidate == 1:
            tried = below
            full = _factor(code, peak, below)
            low, high, safe, full = _around_rim(code, gauge, full)
            factor = low + ((high - low) >> 1)
        else:
            low, high = where(held, factor, low), where(held, high, factor)
            factor = low + ((high - low) >> 1)
        if candidate == code.bisections:  # where nothing held yet, the last takes no risk
            factor = where(least_error == NO_WORD, safe, factor)
    return best_scale


@traced
def _gauge_of(x):
    """Give the gauge of blocks that stand in registers."""
    return _gauge([x[i] for i in range(BLOCK)])


@traced
def _to_words(code, point, scale):
    """Name the points' cosets and the scales: coordinates in the lattice's basis, modulo q."""
    doubled = [point[i] >> (FRACTION_BITS - 1) for i in range(BLOCK)]
    above = [(entry - doubled[7]) >> 1 for entry in doubled]
    coordinates = [doubled[7], *above[1:7], None]
    for i in range(5, 0, -1):
        coordinates[i] = coordinates[i] + coordinates[i + 1]
    coordinates[7] = (above[0] + coordinates[1]) >> 1
    digits = []
    for coordinate in coordinates:
        positive = cast(coordinate, np.uint16) + code.many_q
        digits.append(positive - high_half(positive, code.inverse_q) * code.q)
    lower, upper = digits[3], digits[7]
    for i in range(2, -1, -1):
        lower, upper = lower * code.q + digits[i], upper * code.q + digits[4 + i]
    upper = unfold(upper) + unfold(scale) * code.q4
    return cast(unfold(lower), np.uint64) + cast(upper, np.uint64) * code.q4


@traced
def _moments(code, centre, panels, place, point, scale):
    """Give the products of input and decoded point, and the points' squares."""
    unit = _look_up(code.scales, scale)
    product, energy = unit - unit, unit - unit
    for i in range(BLOCK):
        decoded = cast(unfold(point[i]), np.float32) - code.centres[centre, i]
        product = product + load(panels, (place[0], place[1] + i, place[2])) * decoded
        energy = energy + decoded * decoded
    return cast(product * unit, np.float64), cast(energy * (unit * unit), np.float64)


@traced
def _take_block(panels, place, x):
    """Load a block of each row and round it; give the largest sizes before."""
    block = [load(panels, (place[0], place[1] + i, place[2])) for i in range(BLOCK)]
    integers, peak = _to_integers(block)
    for i, entry in enumerate(integers):
        x[i] = entry
    return peak


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")
def encode_e8_blocks(code, panels, first, n_blocks, bit, codes, moments):
    """Encode n_blocks blocks of each row; `_nested.encode_blocks` explains the arguments."""
    x, point, best = (
        registers(np.int16(0), 8),
        registers(np.int16(0), 8),
        registers(np.int16(0), 8),
    )
    width, lanes, sums = panels.shape[2], room(np.uint64(0), LANES), room(0.0, (2, LANES))
    for row in range(0, codes.shape[0], LANES):
        panel, lane = row // width, row % width
        inner = square = splat(0.0)
        byte, filled = bit >> 3, bit & 7
        pending = get_bytes(codes, row, byte, lanes) & ((1 << filled) - 1)
        for block in range(n_blocks):
            place, centre = (panel, first + block * BLOCK, lane), least(block, len(code.starts) - 1)
            peak = _take_block(panels, place, x)
            scale = _quantize(code, centre, x, peak, point, best)
            more_inner, more_square = _moments(code, centre, panels, place, best, scale)
            inner, square = inner + more_inner, square + more_square
            pending = pending | (_to_words(code, best, scale) << filled)
            filled += code.n_bits
            pending = put_bytes(pending, filled >> 3, codes, row, byte, lanes)
            byte, filled = byte + (filled >> 3), filled & 7
        put_bytes(pending, (filled + 7) >> 3, codes, row, byte, lanes)
        store(sums, (0, 0), inner)
        store(sums, (1, 0), square)
        for j in range(least(LANES, codes.shape[0] - row)):
            moments[row + j, 0] += sums[0, j]
            moments[row + j, 1] += sums[1, j]
