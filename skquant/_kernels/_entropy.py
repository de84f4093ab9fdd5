"""Entropy coding of integer sequences into rows of fixed size: asymmetric numeral systems.

A row's integers become one large number, the last first (J. Duda, *Asymmetric numeral systems*,
arXiv:1311.2540). It is held as a head x below 2^15 and bits that follow it in the row. To push a
symbol, which owns f of 2^14 slots, the lowest bits of x go in front of those that follow until
x < 2f; then x becomes (x // f) 2^14 + the slot of rank x mod f among the symbol's own. That adds
14 - log2 f bits. The decoder looks the slot x mod 2^14 up, undoes the step, and takes bits back
until x is 2^14 or more, as long as there are any. x // f is 0 or 1: no step divides.

The number has one binary digit more than a row has bits, and the row leaves out its leading one.
Nothing else is lost at either end: the encoder starts from the number that makes the digits come
out right, 0 or 1 where a row is full; and since the slots of a symbol are spread evenly, not side
by side, symbols add their bits and no more while x is still small.

Many rows are worked on side by side. Every row is a number of its own, so that they are
independent of each other, and random access is free.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from ._lanes import any_lane
from ._memory import gather, gather_words, load, scatter_words, store
from ._vectors import LANES, bits, cast, inlined, least, most, splat, where

PRECISION = 14  # bits of the frequencies
SYMBOL_BITS = 10
MAX_SYMBOLS = 2**SYMBOL_BITS
ESCAPE_BITS = 32  # pushed in two halves
MIN_BYTES = 4  # of a row and what follows it: bits are read from words
_SLOTS = 2**PRECISION
_LANE_NUMBERS = np.arange(LANES, dtype=np.int32)


class Model(NamedTuple):
    """Frequencies for each state of a trellis, as the kernels take them.

    `skquant/_entropy_model.py` explains contexts and symbols. A symbol is level * modulus +
    residue, levels counted from the first. Arrays are flat.
    """

    residue_bits: int  # log2 of the modulus of the trellis
    level_bits: int
    first_level: int
    n_levels: int
    start_context: int
    following: np.ndarray  # int32 (n_states * modulus,), context << 16 | state after each residue
    cost: np.ndarray  # float32 (n_contexts * 1024,), bits that a symbol takes, raw bits included
    symbol: np.ndarray  # int32 (n_contexts * 1024,), bits to move << 28 | start << 14 | frequency
    slots: np.ndarray  # int32 (n_contexts * 2^14,), slots of each symbol from its start
    owner: np.ndarray  # int32 (n_contexts * 2^14,), symbol << 19 | bits to take << 15 | f + rank


@inlined
def _symbols(model, point):
    """Find the symbols of integers, escapes for those far out."""
    modulus = 1 << model.residue_bits
    level = (point >> (model.residue_bits + model.level_bits)) - model.first_level
    inside = (level >= 0) & (level < model.n_levels)
    return where(inside, level, model.n_levels) * modulus + (point & (modulus - 1))


@inlined
def _follow(model, state, point):
    """Give the states after integers, and their contexts."""
    residue = point & ((1 << model.residue_bits) - 1)
    after = gather(model.following, (state << model.residue_bits) + residue)
    return after & 0xFFFF, after >> 16


@inlined
def _start(model):
    """Give the states in which rows start, and their contexts."""
    return splat(np.int32(0)), splat(np.int32(model.start_context))


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
    for panel in range(points.shape[0]):
        length, (state, context) = splat(0.0), _start(model)
        for i in range(points.shape[1]):
            point = load(points, (panel, i, 0))
            cost = gather(model.cost, context * MAX_SYMBOLS + _symbols(model, point))
            length = length + cast(cost, np.float64)
            state, context = _follow(model, state, point)
        store(lengths, (panel, 0), length)


@njit(cache=True, nogil=True)
def keep_rows(points, chosen, kept):
    """Copy chosen rows.

    Parameters
    ----------
    points : int32 ndarray of shape (n_panels, n_coordinates, LANES)
    chosen : int32 ndarray of shape (n_panels, LANES)
        Zero for the rows to leave alone.
    kept : int32 ndarray of shape (n_panels, n_coordinates, LANES)
        Written to.
    """
    for panel in range(points.shape[0]):
        mask = load(chosen, (panel, 0)) != 0
        for i in range(points.shape[1]):
            old = load(kept, (panel, i, 0))
            store(kept, (panel, i, 0), where(mask, load(points, (panel, i, 0)), old))


@njit(cache=True, nogil=True)
def blend_rows(model, coarse, fine, free, ends):
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
    free : float64 ndarray of shape (n_panels, LANES)
        Bits that the coarse rows may still take; written to.
    ends : int32 ndarray of shape (n_coordinates, LANES)
        Scratch: where parts end, 1 for coarse and 2 for fine ones.
    """
    last = coarse.shape[1] - 1
    for panel in range(coarse.shape[0]):
        left, more = load(free, (panel, 0)), splat(0.0)
        (here, context), (there, other) = _start(model), _start(model)
        for i in range(last + 1):
            a, b = load(coarse, (panel, i, 0)), load(fine, (panel, i, 0))
            old = gather(model.cost, context * MAX_SYMBOLS + _symbols(model, a))
            new = gather(model.cost, other * MAX_SYMBOLS + _symbols(model, b))
            more = more + (cast(new, np.float64) - cast(old, np.float64))
            here, context = _follow(model, here, a)
            there, other = _follow(model, there, b)
            met = (here == there) | (splat(np.int32(i)) == last)
            taken = met & (more != 0) & (more <= left)
            left = where(taken, left - more, left)
            more = where(met, splat(0.0), more)
            end = where(taken, splat(np.int32(2)), 1)
            store(ends, (i, 0), where(met, end, 0))
        store(free, (panel, 0), left)
        part = splat(np.int32(1))
        for i in range(last, -1, -1):
            end = load(ends, (i, 0))
            part = where(end > 0, end, part)
            a, b = load(coarse, (panel, i, 0)), load(fine, (panel, i, 0))
            store(coarse, (panel, i, 0), where(part == 2, b, a))


@inlined
def _collect(model, points, panel, symbols, raw):
    """List the symbols of a panel's rows, numbered through all contexts, and their raw bits."""
    state, context = _start(model)
    escape = model.n_levels << model.residue_bits
    for i in range(points.shape[1]):
        point = load(points, (panel, i, 0))
        symbol = _symbols(model, point)
        rest = point >> model.residue_bits
        low = rest & ((1 << model.level_bits) - 1)
        store(symbols, (i, 0), context * MAX_SYMBOLS + symbol)
        store(raw, (i, 0), where(symbol >= escape, rest, low))
        state, context = _follow(model, state, point)


@inlined
def _lowest(number, width):
    """Take the lowest bits."""
    return number & ((splat(np.int32(1)) << width) - 1)


@inlined
def _exponent(number):
    """Find where the leading digits of int32 below 2^31 are, far below zero for zero."""
    return cast(bits(cast(number, np.float64)) >> 52, np.int32) - 1023


@inlined
def _append(streams, first, place, fill, pending, number, width):
    """Put the lowest bits of numbers before those of each lane's stream that are written.

    These start at the byte `place`; up to seven more, `fill`, are pending.
    """
    pending = (pending << width) | _lowest(number, width)
    fill = fill + width
    # All that is pending goes to the upper end of a word; shifts stay below 32.
    scatter_words(streams, place - 4, cast((pending << 1) << (31 - fill), np.uint32))
    return most(place - (fill >> 3), first + 4), fill & 7, pending


@inlined
def _join(head, number, width):
    """Append bits to heads as they are, and count those that are too many then."""
    head = head << width | _lowest(number, width)
    return head, most(_exponent(head) - PRECISION, 0)


@njit(cache=True, nogil=True)
def push_rows(model, points, start, streams, digits, symbols, raw):
    """Make the numbers of rows.

    Parameters
    ----------
    model : Model
    points : int32 ndarray of shape (n_panels, n_coordinates, LANES)
        Integers that the trellis allows, of at most 30 bits.
    start : int32 ndarray of shape (n_panels, 2, LANES)
        The head of the number to start from, and zeros that follow it.
    streams : uint8 ndarray of shape (n_panels * LANES * stride,)
        A row of at least four bytes and as many as its number takes for each lane, all zero. The
        bits of the number but the leading one are written to the end of it.
    digits : int32 ndarray of shape (n_panels, LANES)
        Set to how many they are. What is more than there is room for is left out.
    symbols, raw : int32 ndarray of shape (n_coordinates, LANES)
        Scratch.
    """
    escape, stride = model.n_levels << model.residue_bits, streams.shape[0] // digits.size
    zero, half = splat(np.int32(0)), ESCAPE_BITS // 2
    for panel in range(points.shape[0]):
        _collect(model, points, panel, symbols, raw)
        first = (load(_LANE_NUMBERS, 0) + panel * LANES) * stride
        head, zeros, pending = load(start, (panel, 0, 0)), load(start, (panel, 1, 0)), zero
        place, fill = first + stride - (zeros >> 3), zeros & 7
        for i in range(points.shape[1] - 1, -1, -1):
            symbol = load(symbols, (i, 0))
            escapes = (symbol & (MAX_SYMBOLS - 1)) >= escape
            if model.level_bits > 0 or any_lane(escapes):
                rest = load(raw, (i, 0))
                for shift in range(half, -1, -half):
                    width = where(escapes, zero + half, 0 if shift else model.level_bits)
                    head, bits = _join(head, rest >> shift, width)
                    place, fill, pending = _append(streams, first, place, fill, pending, head, bits)
                    head = head >> bits
            facts = gather(model.symbol, symbol)
            width, frequency = (facts >> 28) & 15, facts & (_SLOTS - 1)
            if any_lane(head < _SLOTS):
                width = most(width - (PRECISION - _exponent(head)), 0)
            width = where(head < (frequency << width), most(width - 1, 0), width)
            place, fill, pending = _append(streams, first, place, fill, pending, head, width)
            head = head >> width
            above = head >= frequency
            rank = where(above, head - frequency, head)
            slots = ((symbol >> SYMBOL_BITS) << PRECISION) + ((facts >> PRECISION) & (_SLOTS - 1))
            slot = gather(model.slots, slots + rank)
            head = where(above, slot + _SLOTS, slot)
        exponent = _exponent(head)
        store(digits, (panel, 0), ((first + stride - place) << 3) + fill + most(exponent, -1))
        _append(streams, first, place, fill, pending, head, most(exponent, 0))


@inlined
def _take(codes, base, n_bytes, place, head, width):
    """Append bits to heads, as many as there are; `place` counts those read."""
    width = least(width, 8 * n_bytes - place)
    byte = least(place >> 3, (n_bytes if n_bytes > MIN_BYTES else MIN_BYTES) - 4)
    word = cast(gather_words(codes, base + byte), np.int32) >> least(place - (byte << 3), 31)
    return place + width, head << width | _lowest(word, width)


@njit(cache=True, nogil=True)
def read_rows(model, codes, stride, n_bytes, steps, shift, panels, energy):
    """Read rows into panels.

    Parameters
    ----------
    model : Model
    codes : uint8 ndarray of shape (n_rows * stride,)
        Any bytes: what no encoder writes is read as some finite row.
    stride : int
        Bytes from row to row, at least MIN_BYTES.
    n_bytes : int
        How many of them belong to the code.
    steps, shift : float32 ndarray of shape (n_coordinates,)
        An integer y decodes to (y - shift) * step.
    panels : float32 ndarray of shape (n_panels, n_coordinates, width)
        Written to; the width is a multiple of LANES. What is left of the last vector of lanes
        repeats the last row.
    energy : float64 ndarray of shape (at least n_rows,)
        Written to: the sums of squares. The length is a multiple of LANES.
    """
    modulus, escape = 1 << model.residue_bits, model.n_levels << model.residue_bits
    zero, half, n_rows = splat(np.int32(0)), ESCAPE_BITS // 2, codes.shape[0] // stride
    for first in range(0, n_rows, LANES):
        some, total = codes[first * stride :], splat(0.0)
        base = least(load(_LANE_NUMBERS, 0), n_rows - first - 1) * stride
        state, context = _start(model)
        place, head = _take(some, base, n_bytes, zero, zero + 1, zero + PRECISION)
        for i in range(panels.shape[1]):
            entry = gather(model.owner, (context << PRECISION) + (head & (_SLOTS - 1)))
            symbol, after = entry >> 19, entry & (2 * _SLOTS - 1)
            if any_lane(head < _SLOTS):
                facts = gather(model.symbol, context * MAX_SYMBOLS + symbol)
                after = where(head < _SLOTS, after - (facts & (_SLOTS - 1)), after)
            width = (entry >> (PRECISION + 1)) & 15
            place, head = _take(some, base, n_bytes, place, after, width)
            level, escapes = (symbol >> model.residue_bits) + model.first_level, symbol >= escape
            if model.level_bits > 0 or any_lane(escapes):
                level = where(escapes, zero, level << model.level_bits)
                for part in range(0, ESCAPE_BITS, half):
                    width = where(escapes, zero + half, 0 if part else model.level_bits)
                    place, head = _take(some, base, n_bytes, place, head, width)
                    level = level | _lowest(head, width) << part
                    head = head >> width
            point = level << model.residue_bits | (symbol & (modulus - 1))
            decoded = (cast(point, np.float32) - shift[i]) * steps[i]
            total = total + cast(decoded, np.float64) * cast(decoded, np.float64)
            store(panels, (first // panels.shape[2], i, first % panels.shape[2]), decoded)
            state, context = _follow(model, state, point)
        store(energy, first, total)


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
