"""Predictive entropy coding of the indices of trellis-coded vectors.

Each entry gets a centre and a scale from what was coded before it: the centre by recursive least
squares from the last entries of its vector, the scale from the errors of its vector so far and from
how large the errors were at the same place of the vectors before. Images have smooth singular
vectors, and rows that are large in one component tend to be large in the next. A Student
distribution about the centre gives the probabilities, and a range coder [1]_ turns them into bytes.
`_trellis_quantizer` says what the indices stand for.

The decoder repeats every floating-point operation of the encoder, so both use nothing but what
IEEE 754 rounds exactly: sums, products, quotients, square roots, and tables made of them. No kernel
here may be compiled with relaxed rules, nor what they call.

References
----------
.. [1] G. N. N. Martin, "Range encoding", 1979; the form without carries is D. Subbotin's.
"""

from math import floor, sqrt

import numpy as np
from numba import njit

from ._trellis_quantizer import (
    CODEBOOK,
    NEXT_STATE,
    ZERO_EDGES,
    lower_edge,
    probability_below,
    value_of,
)

MAX_ORDER = 4
MAX_INDEX = 1 << 40

_FORGET = 0.995
_ACTIVITY_RATE = 0.05
_WEIGHT_VARIANCE = 0.02
_START_WEIGHT = 8.0
_NOISE = 0.02  # squared steps; keeps scales above zero

_N_EDGES = 14
_LEAST_EDGE_SCALE = 0.2
_EDGE_RATE = 0.01

_WINDOW = 120
_TOTAL_BITS = np.uint64(24)
_TOTAL = 1 << 24
_ESCAPE = _TOTAL - 2
_COARSE = 16.0  # the largest scale, in steps, at which every bit of an index is modelled

_TOP = np.uint64(1 << 56)
_BOTTOM = np.uint64(1 << 48)
_U0, _U1, _U8, _U56 = np.uint64(0), np.uint64(1), np.uint64(8), np.uint64(56)


@njit(cache=True, nogil=True)
def _share(index, codebook, zero_edge, centre, inverse, table):
    """Give the probability of an index."""
    above = (lower_edge(index + 1, codebook, zero_edge) - centre) * inverse
    below = (lower_edge(index, codebook, zero_edge) - centre) * inverse
    return probability_below(above, table) - probability_below(below, table)


@njit(cache=True, nogil=True)
def _new_zero_edges():
    """Make the edges of the cells of 0, which the coder moves: a row for each codebook."""
    edges = np.empty((2, _N_EDGES))
    edges[0], edges[1] = ZERO_EDGES
    return edges


@njit(cache=True, nogil=True)
def _edge_number(scale):
    """Give the number of the half octave of a small scale."""
    number, bound = 0, _LEAST_EDGE_SCALE
    while number < _N_EDGES - 1 and scale > bound:
        bound *= 1.4142135623730951
        number += 1
    return number


@njit(cache=True, nogil=True)
def _move_edge(edges, codebook, number, index, centre, inverse, table):
    """Move an edge so that 0 becomes as probable as it turns out to be."""
    expected = _share(0, codebook, edges[codebook, number], centre, inverse, table)
    moved = edges[codebook, number] + _EDGE_RATE * ((1.0 if index == 0 else 0.0) - expected)
    edges[codebook, number] = min(max(moved, 0.1), 1.9)


@njit(cache=True, nogil=True)
def new_memory(length):
    """Make what the predictor remembers from vector to vector.

    Energy and its weight, the weights of the last entries, and the activity at each place, which
    has a neighbour on either side.
    """
    memory = np.ones(2 + MAX_ORDER + length + 2)
    memory[0], memory[1] = 9.0 * _START_WEIGHT, _START_WEIGHT
    memory[2 : 2 + MAX_ORDER] = 0.0
    return memory


@njit(cache=True, nogil=True)
def _start_vector(memory, covariance, history):
    memory[0] *= _START_WEIGHT / memory[1]
    memory[1] = _START_WEIGHT
    covariance[:] = 0.0
    for a in range(len(history)):
        covariance[a, a] = _WEIGHT_VARIANCE
        history[a] = 0.0


@njit(cache=True, nogil=True)
def _expect(memory, history, i):
    """Give the centre, the vector's variance, and the factor of the place for the next entry."""
    centre = 0.0
    for a in range(len(history)):
        centre += memory[2 + a] * history[a]
    if not abs(centre) < 2.0 * MAX_INDEX:  # a hostile stream can make it anything
        centre = 0.0
    place = 2 + MAX_ORDER + i
    activity = memory[place + 1]
    if len(history) > 0:  # where entries foretell the next, neighbours are as large
        activity = 0.5 * activity + 0.25 * (memory[place] + memory[place + 2])
    root = sqrt(max(activity, 0.05))
    return centre, memory[0] / memory[1], root * sqrt(root)


@njit(cache=True, nogil=True)
def _learn(memory, covariance, history, gain, i, value, centre, variance, factor, noise):
    """Take an entry into the memory."""
    error = value - centre
    square = error * error + noise
    memory[0] = memory[0] * _FORGET + square / factor
    memory[1] = memory[1] * _FORGET + 1.0
    place = 2 + MAX_ORDER + i + 1
    memory[place] += _ACTIVITY_RATE * (min(square / (variance + _NOISE), 20.0) - memory[place])
    order = len(history)
    if order == 0:
        return
    norm = variance + _NOISE
    for a in range(order):
        gain[a] = 0.0
        for b in range(order):
            gain[a] += covariance[a, b] * history[b]
        norm += history[a] * gain[a]
    for a in range(order):
        memory[2 + a] += gain[a] * error / norm
        for b in range(order):
            covariance[a, b] -= gain[a] * gain[b] / norm
    for a in range(order - 1, 0, -1):
        history[a] = history[a - 1]
    history[0] = value


@njit(cache=True, nogil=True)
def expect(targets, inverse_step, order, memory, centre, scale):
    """Foretell what the coder will expect, from entries that are not quantized yet.

    Parameters
    ----------
    targets : ndarray of shape (n_vectors, length)
    inverse_step : float
    order : int
        Entries that predict the next, 0 to MAX_ORDER.
    memory : float64 ndarray
        As of `new_memory`. Updated.
    centre, scale : float32 ndarray of shape (n_vectors, length)
        Written to, in steps.

    Returns
    -------
    float
        The sum of log2 of the scales: bits, up to a constant for each entry.
    """
    covariance, history = np.empty((order, order)), np.empty(order)
    gain, bits = np.empty(order), 0.0
    for vector in range(targets.shape[0]):
        _start_vector(memory, covariance, history)
        for i in range(targets.shape[1]):
            middle, variance, factor = _expect(memory, history, i)
            value = float(targets[vector, i]) * inverse_step
            centre[vector, i] = middle
            scale[vector, i] = sqrt(variance * factor + _NOISE)
            bits += np.log2(scale[vector, i])
            # What is quantized will come with noise.
            _learn(
                memory, covariance, history, gain, i, value, middle, variance, factor, 0.3
            )  # fmt: skip
    return bits


@njit(cache=True, nogil=True)
def _cumulative(cell, first, shift, codebook, zero_edge, centre, inverse, table):
    """Give the share of all cells before a cell, of _TOTAL; each cell has one at least."""
    if cell <= -_WINDOW:
        return 0
    if cell > _WINDOW:
        return _ESCAPE
    edge = lower_edge((first + cell) << shift, codebook, zero_edge)
    below = probability_below((edge - centre) * inverse, table)
    return int(below * (_ESCAPE - 2 * _WINDOW - 1)) + cell + _WINDOW


@njit(cache=True, nogil=True)
def _resolution(centre, scale):
    """Give how many low bits of an index are not modelled, and the cell at the centre."""
    shift, width = 0, _COARSE
    while scale > width and shift < 40:
        width *= 2.0
        shift += 1
    return shift, int(floor(0.5 * centre + 0.5)) >> shift


@njit(cache=True, nogil=True)
def _shift_out(low, width, data, position):
    """Move the bytes on which all of an interval agrees to the data, as far as there is room."""
    while True:
        if (low ^ (low + width)) >= _TOP:
            if width >= _BOTTOM:
                return low, width, position
            width = (~low + _U1) & (_BOTTOM - _U1)
        if position < len(data):
            data[position] = np.uint8(low >> _U56)
        position += 1
        low <<= _U8
        width <<= _U8


@njit(cache=True, nogil=True)
def _narrow(low, width, before, share, bits):
    width >>= bits
    return low + width * np.uint64(before), width * np.uint64(share)


@njit(cache=True, nogil=True)
def encode_vectors(indices, shrink, order, table, data):
    """Code vectors of trellis indices.

    Parameters
    ----------
    indices : int64 ndarray of shape (n_vectors, length)
        Of magnitude below MAX_INDEX.
    shrink : int
        Entries that each vector has less than the one before.
    order : int
        Entries that predict the next, 0 to MAX_ORDER.
    table : float64 ndarray
        As of `student_table`.
    data : uint8 ndarray
        Written to, as far as it reaches.

    Returns
    -------
    int
        Bytes of the code. If `data` is shorter it is to be called again with room for them.
    """
    n_vectors, length = indices.shape
    memory, history = new_memory(length), np.empty(order)
    covariance, gain = np.empty((order, order)), np.empty(order)
    edges = _new_zero_edges()
    low, width, position = _U0, ~_U0, 0
    for vector in range(n_vectors):
        _start_vector(memory, covariance, history)
        state = 0
        for i in range(length - vector * shrink):
            centre, variance, factor = _expect(memory, history, i)
            scale = sqrt(variance * factor + _NOISE)
            inverse = 1.0 / scale
            shift, first = _resolution(centre, scale)
            index, codebook = indices[vector, i], CODEBOOK[state]
            number = _edge_number(scale)
            edge = edges[codebook, number]
            cell = (index >> shift) - first
            if abs(cell) <= _WINDOW:
                before = _cumulative(cell, first, shift, codebook, edge, centre, inverse, table)
                after = _cumulative(cell + 1, first, shift, codebook, edge, centre, inverse, table)
                low, width = _narrow(low, width, before, after - before, _TOTAL_BITS)
                low, width, position = _shift_out(low, width, data, position)
                rest, n_bits = index & ((1 << shift) - 1), shift
            else:
                low, width = _narrow(low, width, _ESCAPE, 2, _TOTAL_BITS)
                low, width, position = _shift_out(low, width, data, position)
                rest, n_bits = index + MAX_INDEX, 42
            while n_bits > 0:
                part = min(n_bits, 16)
                n_bits -= part
                digit = (rest >> n_bits) & ((1 << part) - 1)
                low, width = _narrow(low, width, digit, 1, np.uint64(part))
                low, width, position = _shift_out(low, width, data, position)
            value = float(value_of(index, codebook))
            state = NEXT_STATE[state, index & 1]
            _move_edge(edges, codebook, number, index, centre, inverse, table)
            _learn(
                memory, covariance, history, gain, i, value, centre, variance, factor, 0.0
            )  # fmt: skip
    for _ in range(8):
        if position < len(data):
            data[position] = np.uint8(low >> _U56)
        position += 1
        low <<= _U8
    return position


@njit(cache=True, nogil=True)
def _shift_in(low, width, code, data, position):
    while True:
        if (low ^ (low + width)) >= _TOP:
            if width >= _BOTTOM:
                return low, width, code, position
            width = (~low + _U1) & (_BOTTOM - _U1)
        code <<= _U8
        if position < len(data):
            code |= np.uint64(data[position])
        position += 1
        low <<= _U8
        width <<= _U8


@njit(cache=True, nogil=True)
def decode_vectors(data, shrink, order, table, values):
    """Decode what `encode_vectors` has coded into the integers that the indices stand for.

    Parameters
    ----------
    data : uint8 ndarray
        Any bytes: none beyond them are read, and all are decoded into something.
    shrink, order, table
        As for `encode_vectors`.
    values : int64 ndarray of shape (n_vectors, length)
        Written to; what a vector lacks of `length` stays.

    Returns
    -------
    int
        Bytes used. Another number than that of `data` tells that they are damaged.
    """
    n_vectors, length = values.shape
    memory, history = new_memory(length), np.empty(order)
    covariance, gain = np.empty((order, order)), np.empty(order)
    edges = _new_zero_edges()
    low, width, code = _U0, ~_U0, _U0
    for i in range(8):
        code <<= _U8
        if i < len(data):
            code |= np.uint64(data[i])
    position = 8
    for vector in range(n_vectors):
        _start_vector(memory, covariance, history)
        state = 0
        for i in range(length - vector * shrink):
            centre, variance, factor = _expect(memory, history, i)
            scale = sqrt(variance * factor + _NOISE)
            inverse = 1.0 / scale
            shift, first = _resolution(centre, scale)
            codebook, number = CODEBOOK[state], _edge_number(scale)
            edge = edges[codebook, number]
            wanted = min((code - low) // (width >> _TOTAL_BITS), np.uint64(_TOTAL - 1))
            place, cell = np.int64(wanted), 0
            if place < _ESCAPE:
                before = _cumulative(0, first, shift, codebook, edge, centre, inverse, table)
                after = _cumulative(1, first, shift, codebook, edge, centre, inverse, table)
                while place >= after:
                    cell += 1
                    before = after
                    after = _cumulative(
                        cell + 1, first, shift, codebook, edge, centre, inverse, table
                    )
                while place < before:
                    cell -= 1
                    after = before
                    before = _cumulative(cell, first, shift, codebook, edge, centre, inverse, table)
                low, width = _narrow(low, width, before, after - before, _TOTAL_BITS)
                rest, n_bits = np.int64(first + cell), shift
            else:
                low, width = _narrow(low, width, _ESCAPE, 2, _TOTAL_BITS)
                rest, n_bits = np.int64(0), 42
            low, width, code, position = _shift_in(low, width, code, data, position)
            while n_bits > 0:
                part = min(n_bits, 16)
                n_bits -= part
                digit = (code - low) // (width >> np.uint64(part))
                digit = min(digit, np.uint64((1 << part) - 1))
                low, width = _narrow(low, width, digit, 1, np.uint64(part))
                low, width, code, position = _shift_in(low, width, code, data, position)
                rest = (rest << part) | np.int64(digit)
            index = rest if place < _ESCAPE else rest - MAX_INDEX
            index = min(max(index, -MAX_INDEX), MAX_INDEX)
            value = value_of(index, codebook)
            values[vector, i] = value
            state = NEXT_STATE[state, index & 1]
            _move_edge(edges, codebook, number, index, centre, inverse, table)
            _learn(
                memory, covariance, history, gain, i, float(value), centre, variance, factor, 0.0
            )  # fmt: skip
    return position
