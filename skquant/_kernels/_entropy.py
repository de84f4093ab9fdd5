"""Entropy coding of integer sequences into rows of fixed size: asymmetric numeral systems.

A row's integers become one large number, the last first (J. Duda, *Asymmetric numeral systems*,
arXiv:1311.2540). A symbol of frequency f owns f of the 2^14 slots; it takes the number x to
(x // f) 2^14 + the slot of rank x mod f among its own, which adds 14 - log2 f bits, and the decoder
undoes it. x lives in 64 bits; what grows beyond them is written as words of 32 bits, and read back
where x falls below 2^32. A row holds the last x in its first bytes, as many as make the rest whole
words, and then the words in the order of reading.

Nothing is lost at either end. The first x is small where the row is full, and the decoder stops
reading after the last word; and since the slots of a symbol are spread evenly, not side by side,
symbols add their bits and no more while x is still small.

Many rows are worked on side by side. Every row is a number of its own, so that they are
independent of each other, and random access is free.
"""

import sys
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from ._vectors import LANES, Vector, any_lane, cast, inlined, least, load, most, splat, store, where

PRECISION = 14  # bits of the frequencies
SYMBOL_BITS = 10
MAX_SYMBOLS = 2**SYMBOL_BITS
_STARTS = tuple(np.uint64(start) for start in (0, 1, 2**8, 2**16, 2**24, 2**32))
_LANE_NUMBERS = np.arange(LANES, dtype=np.int32)
ESCAPE_BITS = 32


class Model(NamedTuple):
    """Frequencies for each state of a trellis, as the kernels take them.

    `skquant/_entropy_model.py` explains contexts and symbols. All but `start_context` and the
    integers are flat: entry (context, symbol) at ``context * 1024 + symbol``.
    """

    residue_bits: int  # log2 of the modulus of the trellis
    level_bits: int
    first_level: int
    n_levels: int
    start_context: int
    following: np.ndarray  # int32 (n_states * modulus,), context << 16 | state after each residue
    cost: np.ndarray  # float32, bits that a symbol takes, raw bits included
    start: np.ndarray  # int32, where in `slots` those of a symbol start
    slots: np.ndarray  # uint16 (n_contexts * 2^14,), slots of each symbol, one after another
    owner: np.ndarray  # uint32 (n_contexts * 2^14,), symbol << 16 | rank of each slot
    symbol: np.ndarray  # uint64, (least integer + 2^31) << 32 | raw bits << 16 | frequency


def _place(context, builder, array_type, array, index, kind):
    """Point to an element of a flat array."""
    data = context.make_array(array_type)(context, builder, array).data
    data = builder.bitcast(data, ir.PointerType(ir.IntType(8)))
    return builder.bitcast(builder.gep(data, [index]), ir.PointerType(kind))


def _emit_gather(context, builder, array_type, array, index, width, kind):
    """Load elements of a type at the indices of a vector, `width` bytes apart."""
    found = ir.Constant(ir.VectorType(kind, LANES), ir.Undefined)
    for lane in range(LANES):
        number = ir.Constant(ir.IntType(32), lane)
        offset = builder.sext(builder.extract_element(index, number), ir.IntType(64))
        offset = builder.mul(offset, ir.Constant(ir.IntType(64), width))
        element = builder.load(_place(context, builder, array_type, array, offset, kind))
        element.align = 1 if width == 1 else width
        found = builder.insert_element(found, element, number)
    return found


@intrinsic
def _gather(typing_context, array, index):
    """Load the elements of a flat array that a vector of int32 names, unchecked."""
    if index != Vector(types.int32):
        return None
    width = array.dtype.bitwidth // 8

    def codegen(context, builder, signature, arguments):
        kind = context.get_data_type(array.dtype)
        return _emit_gather(context, builder, signature.args[0], *arguments, width, kind)

    return Vector(array.dtype)(array, index), codegen


@intrinsic
def _gather_words(typing_context, codes, offset):
    """Load the little-endian words of 32 bits at the offsets of a vector, unchecked."""
    if offset != Vector(types.int32):
        return None

    def codegen(context, builder, signature, arguments):
        kind = ir.IntType(32)
        words = _emit_gather(context, builder, signature.args[0], *arguments, 1, kind)
        if sys.byteorder == "little":
            return words
        swapped = words
        for lane in range(LANES):
            number = ir.Constant(kind, lane)
            word = builder.bswap(builder.extract_element(words, number))
            swapped = builder.insert_element(swapped, word, number)
        return swapped

    return Vector(types.uint32)(codes, offset), codegen


@intrinsic
def _scatter(typing_context, array, index, values):
    """Store the lanes of a vector in a flat array at the indices of another, unchecked."""
    if index != Vector(types.int32) or values != Vector(array.dtype):
        return None

    def codegen(context, builder, signature, arguments):
        kind, width = context.get_data_type(array.dtype), array.dtype.bitwidth // 8
        for lane in range(LANES):
            number = ir.Constant(ir.IntType(32), lane)
            offset = builder.sext(builder.extract_element(arguments[1], number), ir.IntType(64))
            offset = builder.mul(offset, ir.Constant(ir.IntType(64), width))
            place = _place(context, builder, signature.args[0], arguments[0], offset, kind)
            builder.store(builder.extract_element(arguments[2], number), place)
        return context.get_dummy_value()

    return types.void(array, index, values), codegen


@intrinsic
def _quotient(typing_context, a, b):
    """Divide vectors of uint64."""
    if a != Vector(types.uint64) or a != b:
        return None

    def codegen(context, builder, signature, arguments):
        return builder.udiv(*arguments)

    return a(a, b), codegen


@inlined
def _symbols(model, point):
    """Find the symbols of integers, escapes for those far out."""
    residue = point & ((1 << model.residue_bits) - 1)
    far = np.int32(2**30) >> (model.residue_bits + model.level_bits)
    level = (point + np.int32(2**30)) >> (model.residue_bits + model.level_bits)
    level = level - (far + model.first_level)
    outside = (level < 0) | (level >= model.n_levels)
    return residue * (model.n_levels + 1) + where(outside, model.n_levels, level)


@inlined
def _symbol(model, point):
    """Find the symbol of an integer."""
    residue = point & ((1 << model.residue_bits) - 1)
    level = (point >> (model.residue_bits + model.level_bits)) - model.first_level
    inside = level >= 0 and level < model.n_levels
    return residue * (model.n_levels + 1) + (level if inside else model.n_levels)


@inlined
def _follow(model, state, point):
    """Give context << 16 | state after an integer."""
    modulus = np.int64(1) << model.residue_bits
    return np.int64(model.following[np.uintp(state * modulus + (point & (modulus - 1)))])


@njit(cache=True, nogil=True)
def measure_lengths(model, points, lengths):
    """Sum the bits that rows take.

    Parameters
    ----------
    model : Model
    points : int32 ndarray of shape (n_panels, n_coordinates, LANES)
        Integers that the trellis allows, of at most 30 bits.
    lengths : float64 ndarray of shape (n_panels, LANES)
        Written to.
    """
    modulus = 1 << model.residue_bits
    for panel in range(points.shape[0]):
        length, state = splat(0.0), splat(np.int32(0))
        context = splat(np.int32(model.start_context))
        for i in range(points.shape[1]):
            point = load(points, (panel, i, 0))
            symbol = context * MAX_SYMBOLS + _symbols(model, point)
            length = length + cast(_gather(model.cost, symbol), np.float64)
            after = _gather(model.following, state * modulus + (point & (modulus - 1)))
            state, context = after & 0xFFFF, after >> 16
        store(lengths, (panel, 0), length)


@njit(cache=True, nogil=True)
def keep_rows(points, active, chosen, kept):
    """Copy chosen lanes of some panels.

    Parameters
    ----------
    points : int32 ndarray of shape (n_active, n_coordinates, LANES)
    active : int64 ndarray of shape (n_active,)
        Which panels they are.
    chosen : bool ndarray of shape (n_active, LANES)
    kept : int32 ndarray of shape (n_panels, n_coordinates, LANES)
        Written to.
    """
    flags = np.empty(LANES, np.int32)
    for panel in range(points.shape[0]):
        for lane in range(LANES):
            flags[lane] = chosen[panel, lane]
        mask = load(flags, 0) != 0
        if any_lane(mask):
            for i in range(points.shape[1]):
                old = load(kept, (active[panel], i, 0))
                store(kept, (active[panel], i, 0), where(mask, load(points, (panel, i, 0)), old))


@njit(cache=True, nogil=True)
def blend_rows(model, coarse, fine, budgets):
    """Replace parts of coarse rows by parts of fine ones while they fit.

    Where both paths through the trellis are in one state, a row may change from the one to the
    other.

    Parameters
    ----------
    model : Model
    coarse : int32 ndarray of shape (n_panels, n_coordinates, LANES)
        Rows that fit; written to.
    fine : int32 ndarray of shape (n_panels, n_coordinates, LANES)
        Other versions of them.
    budgets : float64 ndarray of shape (n_panels, LANES)
        Bits that rows may take.
    """
    lengths, last = np.empty(budgets.shape), coarse.shape[1] - 1
    measure_lengths(model, coarse, lengths)
    for panel in range(coarse.shape[0]):
        for lane in range(LANES):
            free = budgets[panel, lane] - lengths[panel, lane]
            here = there = np.int64(model.start_context) << 16
            first, more = 0, 0.0
            for i in range(last + 1):
                a, b = np.int64(coarse[panel, i, lane]), np.int64(fine[panel, i, lane])
                if here != there or a != b:
                    more -= model.cost[(here >> 16) * MAX_SYMBOLS + _symbol(model, a)]
                    more += model.cost[(there >> 16) * MAX_SYMBOLS + _symbol(model, b)]
                here, there = _follow(model, here & 0xFFFF, a), _follow(model, there & 0xFFFF, b)
                if here == there or i == last:
                    if more != 0 and more <= free:
                        free -= more
                        for k in range(first, i + 1):
                            coarse[panel, k, lane] = fine[panel, k, lane]
                    first, more = i + 1, 0.0


@inlined
def _collect(model, points, panel, symbols, raw):
    """List the symbols of a panel's rows, numbered through all contexts, and their raw bits."""
    modulus, low = 1 << model.residue_bits, (1 << model.level_bits) - 1
    state, context = splat(np.int32(0)), splat(np.int32(model.start_context))
    for i in range(points.shape[1]):
        point = load(points, (panel, i, 0))
        symbol = _symbols(model, point)
        # Shifts fill in zeros, so that only numbers that are not negative are shifted.
        rest = ((point + 2**30) >> model.residue_bits) - (2**30 >> model.residue_bits)
        escape = (point & (modulus - 1)) * (model.n_levels + 1) + model.n_levels
        store(symbols, (i, 0), context * MAX_SYMBOLS + symbol)
        store(raw, (i, 0), where(symbol == escape, rest, rest & low))
        after = _gather(model.following, state * modulus + (point & (modulus - 1)))
        state, context = after & 0xFFFF, after >> 16


@inlined
def _emit(words, count, number, full):
    """Write the lower halves of full numbers as words, the others' where the next comes anyway."""
    room = words.shape[1] - 1
    lanes = load(_LANE_NUMBERS, 0) * words.shape[1]
    _scatter(words.ravel(), lanes + least(count, room), cast(number, np.uint32))
    return where(full, count + 1, count), where(full, number >> 32, number)


@inlined
def _push_symbols(model, symbols, raw, first, words, numbers, counts):
    """Push symbols on each lane's number, the last first; words are written in that order."""
    number, count = load(first, 0), splat(np.int32(0))
    for i in range(symbols.shape[0] - 1, -1, -1):
        symbol = load(symbols, (i, 0))
        facts = _gather(model.symbol, symbol)
        width, weight = facts >> 16 & 63, facts & 0xFFFF
        if any_lane(width > 0):
            full = (width > 0) & (number >> (64 - most(width, 1)) > 0)
            count, number = _emit(words, count, number, full)
            number = number << width | cast(cast(load(raw, (i, 0)), np.uint32), np.uint64)
        full = number >> (64 - PRECISION) >= weight
        count, number = _emit(words, count, number, full)
        quotient = _quotient(number, weight)
        rank = cast(number - quotient * weight, np.int32) + _gather(model.start, symbol)
        slot = _gather(model.slots, ((symbol >> SYMBOL_BITS) << PRECISION) + rank)
        number = (quotient << PRECISION) + cast(slot, np.uint64)
    store(numbers, 0, number)
    store(counts, 0, count)


@njit(cache=True, nogil=True)
def head_bytes(n_bytes):
    """Count the bytes of the number that a row starts with: five to eight, if there are as many."""
    return n_bytes if n_bytes <= 8 else 5 + (n_bytes - 5) % 4


@njit(cache=True, nogil=True)
def _write_row(number, words, count, n_bytes, row):
    """Write a number and the words that it emitted, if there is room."""
    head = head_bytes(n_bytes)
    n_words = (n_bytes - head) // 4
    large = head < 8 and number >> np.uint64(8 * head) > 0
    if count < n_words and (large or count + 1 == n_words):
        words[count] = np.uint32(number)
        number, count, large = number >> np.uint64(32), count + 1, False
    if count > n_words or large:
        return False
    for k in range(head):
        row[k] = np.uint8(number >> np.uint64(8 * k))
    for i in range(count):
        for k in range(4):
            row[head + 4 * i + k] = np.uint8(words[count - 1 - i] >> np.uint32(8 * k))
    return True


@njit(cache=True, nogil=True)
def write_rows(model, points, n_bytes, codes, written):
    """Write rows of integers into zeroed bytes.

    Parameters
    ----------
    model : Model
    points : int32 ndarray of shape (n_panels, n_coordinates, LANES)
        Integers that the trellis allows, of at most 30 bits.
    n_bytes : int
        Bytes of a row, the first of `codes`.
    codes : uint8 ndarray of shape (n_rows, >= n_bytes)
        Written to; lanes beyond `n_rows` are left out.
    written : bool ndarray of shape (n_panels * LANES,)
        Set to whether each row fits; those that do not are left alone.
    """
    shape, n_words = (points.shape[1], LANES), (n_bytes - head_bytes(n_bytes)) // 4
    symbols, raw = np.empty(shape, np.int32), np.empty(shape, np.int32)
    words = np.empty((LANES, n_words + 2), np.uint32)
    first, numbers = np.empty(LANES, np.uint64), np.empty(LANES, np.uint64)
    counts = np.empty(LANES, np.int32)
    for panel in range(points.shape[0]):
        _collect(model, points, panel, symbols, raw)
        n_lanes, pending = min(LANES, codes.shape[0] - panel * LANES), 1
        written[panel * LANES : panel * LANES + n_lanes] = False
        for start in _STARTS:
            if pending == 0:
                break
            first[:], pending = start, 0
            _push_symbols(model, symbols, raw, first, words, numbers, counts)
            for lane in range(n_lanes):
                row = panel * LANES + lane
                # The decoder must find as many words as there are, or a number above 2^32.
                if not written[row] and (counts[lane] + 1 >= n_words or start == 2**32):
                    written[row] = _write_row(
                        numbers[lane], words[lane], counts[lane], n_bytes, codes[row]
                    )
                pending += not written[row]


@inlined
def _refill(codes, base, number, place, n_bytes):
    """Read a word where a number is small and words are left."""
    few = (number < 2**32) & (place < n_bytes)
    safe = where(few, place, n_bytes - 4)
    word = cast(_gather_words(codes, base + safe), np.uint64)
    number = where(few, number << 32 | word, number)
    return number, where(few, place + 4, place)


@inlined
def _read_lanes(model, codes, n_bytes, stride, n_lanes, steps, shift, panels, place):
    """Read rows from flat bytes, lanes beyond the last row as that; give their energy."""
    head, modulus = head_bytes(n_bytes), 1 << model.residue_bits
    numbers, bases = np.zeros(LANES, np.uint64), np.zeros(LANES, np.int32)
    for lane in range(LANES):
        bases[lane] = min(lane, n_lanes - 1) * stride
        for k in range(head):
            numbers[lane] |= np.uint64(codes[bases[lane] + k]) << np.uint64(8 * k)
    number, base, next_byte = load(numbers, 0), load(bases, 0), splat(np.int32(head))
    if n_bytes > head:
        number, next_byte = _refill(codes, base, number, next_byte, n_bytes)
    state, context = splat(np.int32(0)), splat(np.int32(model.start_context))
    energy = splat(0.0)
    for i in range(panels.shape[1]):
        slot = cast(number & (2**PRECISION - 1), np.int32)
        found = _gather(model.owner, (context << PRECISION) + slot)
        facts = _gather(model.symbol, context * MAX_SYMBOLS + cast(found >> 16, np.int32))
        rank = cast(found & 0xFFFF, np.uint64)
        number = (number >> PRECISION) * (facts & 0xFFFF) + rank
        if n_bytes > head:
            number, next_byte = _refill(codes, base, number, next_byte, n_bytes)
        point, width = cast(facts >> 32, np.int32) ^ np.int32(-(2**31)), facts >> 16 & 63
        if any_lane(width > 0):
            raw = cast(number & ((splat(np.uint64(1)) << width) - 1), np.int32)
            point = point + (raw << model.residue_bits)
            number = number >> width
            if n_bytes > head:
                number, next_byte = _refill(codes, base, number, next_byte, n_bytes)
        decoded = (cast(point, np.float32) - shift[i]) * steps[i]
        energy = energy + cast(decoded, np.float64) * cast(decoded, np.float64)
        store(panels, (place[0], i, place[1]), decoded)
        after = _gather(model.following, state * modulus + (point & (modulus - 1)))
        state, context = after & 0xFFFF, after >> 16
    return energy


@njit(cache=True, nogil=True)
def read_rows(model, codes, n_bytes, steps, shift, panels, energy):
    """Read rows into panels.

    Parameters
    ----------
    model : Model
    codes : uint8 ndarray of shape (n_rows, >= n_bytes)
        Any bytes: what no encoder writes is read as some finite row.
    n_bytes : int
    steps, shift : float32 ndarray of shape (n_coordinates,)
        An integer y decodes to (y - shift) * step.
    panels : float32 ndarray of shape (n_panels, n_coordinates, width)
        Written to; the width is a multiple of LANES. What is left of the last vector of lanes
        repeats the last row.
    energy : float64 ndarray of shape (n_rows,)
        Written to: the sums of squares.
    """
    (n_rows, stride), flat = codes.shape, codes.ravel()
    lanes = np.empty(LANES)
    for first in range(0, n_rows, LANES):
        n_lanes = min(LANES, n_rows - first)
        place = first // panels.shape[2], first % panels.shape[2]
        some = flat[first * stride :]
        store(
            lanes, 0,
            _read_lanes(model, some, n_bytes, stride, n_lanes, steps, shift, panels, place),
        )  # fmt: skip
        for lane in range(n_lanes):
            energy[first + lane] = lanes[lane]


@njit(cache=True, nogil=True)
def sum_moments(panels, points, steps, shift, moments):
    """Sum the products of rows with what they decode to, and the squares of the latter.

    Parameters
    ----------
    panels, points : ndarray of shape (n_panels, n_coordinates, LANES)
    steps, shift : float32 ndarray of shape (n_coordinates,)
    moments : float64 ndarray of shape (n_panels, 2, LANES)
        Written to.
    """
    for panel in range(panels.shape[0]):
        inner, square = splat(0.0), splat(0.0)
        for i in range(panels.shape[1]):
            point = cast(load(points, (panel, i, 0)), np.float32) - shift[i]
            decoded = cast(point * steps[i], np.float64)
            inner = inner + decoded * cast(load(panels, (panel, i, 0)), np.float64)
            square = square + decoded * decoded
        store(moments, (panel, 0, 0), inner)
        store(moments, (panel, 1, 0), square)
