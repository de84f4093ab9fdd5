"""Trellis-coded quantization of vectors, and predictive entropy coding of its indices.

The integers stand for multiples of a step. They are split between two codebooks, the even ones, and
the odd ones with zero. A machine of eight states says which codebook serves the next entry, and the
parity of the index chosen there moves it on. So the entries of a vector are coded with the coarse
codebooks, yet the points that a whole vector may reach lie nearly as densely packed as spheres in
many dimensions [1]_, [2]_.

Each entry gets a centre and a scale from what was coded before it: the centre by recursive least
squares from the last entries of its vector, the scale from the errors of its vector so far and from
how large the errors were at the same place of the vectors before. Images have smooth singular
vectors, and rows that are large in one component tend to be large in the next. A Student
distribution about the centre gives the probabilities, and a range coder [3]_ turns them into bytes.

The decoder repeats every floating-point operation of the encoder, so both use nothing but what
IEEE 754 rounds exactly: sums, products, quotients, square roots, and tables made of them. No kernel
here may be compiled with relaxed rules.

References
----------
.. [1] M. W. Marcellin and T. R. Fischer, "Trellis coded quantization of memoryless and Gauss-Markov
   sources", IEEE Trans. Commun. 38(1), 1990.
.. [2] The two codebooks with a common zero are those of dependent quantization, ITU-T H.266, 2020.
.. [3] G. N. N. Martin, "Range encoding", 1979; the form without carries is D. Subbotin's.
"""

from math import floor, sqrt

import numpy as np
from numba import njit

# A shift register of three bits. Rows are states, columns the parity of the index.
NEXT_STATE = np.array([[0, 1], [2, 3], [5, 4], [7, 6], [1, 0], [3, 2], [4, 5], [6, 7]], np.int8)
CODEBOOK = np.array([0, 1, 0, 1, 0, 1, 0, 1], np.int8)
N_STATES = 8
# The two states before each, and the parities that lead from them.
PREVIOUS = np.array([np.nonzero(NEXT_STATE == s)[0] for s in range(N_STATES)], np.int8)
PARITY = np.array([np.nonzero(NEXT_STATE == s)[1] for s in range(N_STATES)], np.int8)

MAX_ORDER = 4
MAX_INDEX = 1 << 40
TABLE_STEPS = 32  # entries of a table of the distribution for one unit
TABLE_RANGE = 16

_FORGET = 0.995
_ACTIVITY_RATE = 0.05
_WEIGHT_VARIANCE = 0.02
_START_WEIGHT = 8.0
_NOISE = 0.02  # squared steps; keeps scales above zero

_ZERO_EDGES = (1.0, 0.5)
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
_MANTISSA, _ONE = np.int64((1 << 52) - 1), np.int64(1023 << 52)


def student_table(degrees):
    """Tabulate P(0 < T < z) of a Student variable of even degrees, scaled to about unit variance.

    Parameters
    ----------
    degrees : int
        Even degrees of freedom; few make heavy tails.

    Returns
    -------
    float64 ndarray of shape (TABLE_RANGE * TABLE_STEPS + 2,)
        At multiples of 1 / TABLE_STEPS; the last two are the limit. Made of exactly rounded
        operations, by the closed form of M. Abramowitz and I. Stegun, 26.7.4.
    """
    shrink = sqrt((degrees - 1) / degrees)
    table = []
    for place in range(TABLE_RANGE * TABLE_STEPS):
        z = place / TABLE_STEPS / shrink
        cosine = 1 / (1 + z * z / degrees)
        term = total = 1.0
        for i in range(1, degrees // 2):
            term *= cosine * (2 * i - 1) / (2 * i)
            total += term
        table.append(0.5 * total * z / sqrt(degrees + z * z))
    return np.array([*table, 0.5, 0.5])


@njit(cache=True, nogil=True)
def _value(index, codebook):
    """Give the integer that an index of a codebook stands for."""
    if codebook == 0 or index == 0:
        return 2 * index
    return 2 * index - 1 if index > 0 else 2 * index + 1


@njit(cache=True, nogil=True)
def _probability_below(z, table):
    """Look the distribution function up."""
    place = min(abs(z) * TABLE_STEPS, 1.0 * TABLE_RANGE * TABLE_STEPS)
    cell = int(place)
    half = table[cell] + (place - cell) * (table[cell + 1] - table[cell])
    return 0.5 + half if z > 0 else 0.5 - half


@njit(cache=True, nogil=True)
def _lower_edge(index, codebook, zero_edge):
    """Give where the cell of an index begins, in steps; that of 0 reaches to +-zero_edge."""
    if index == 0 or index == 1:
        return zero_edge if index else -zero_edge
    if codebook == 0:
        return 2.0 * index - 1.0
    return 2.0 * index - 2.0 if index > 0 else 2.0 * index


@njit(cache=True, nogil=True)
def _share(index, codebook, zero_edge, centre, inverse, table):
    """Give the probability of an index."""
    above = (_lower_edge(index + 1, codebook, zero_edge) - centre) * inverse
    below = (_lower_edge(index, codebook, zero_edge) - centre) * inverse
    return _probability_below(above, table) - _probability_below(below, table)


@njit(cache=True, nogil=True)
def _new_zero_edges():
    """Make the edges of the cells of 0, which the coder moves: a row for each codebook."""
    edges = np.empty((2, _N_EDGES))
    edges[0], edges[1] = _ZERO_EDGES
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
def _bits(share):
    """Give roughly -log2 of a probability: the exponent, and a parabola through the mantissa."""
    word = np.float64(share + 1e-7).view(np.int64)
    mantissa = np.int64((word & _MANTISSA) | _ONE).view(np.float64)
    return 1.6932 - mantissa * (2.0398 - 0.3466 * mantissa) - float((word >> 52) - 1023)


@njit(cache=True, nogil=True)
def _best_of_each_parity(target, centre, scale, table, penalty, cost, choice):
    """Write, for each codebook and parity, the cheapest index near a target and its cost."""
    sign = 1 if target >= 0 else -1
    target, centre, inverse = abs(target), sign * centre, 1.0 / scale
    for codebook in range(2):
        nearest = int(floor((target + codebook) / 2 + 0.5))
        here, other = nearest & 1, 1 - (nearest & 1)
        edge = _ZERO_EDGES[codebook]
        below = _probability_below(
            (_lower_edge(nearest - 1, codebook, edge) - centre) * inverse, table
        )
        cost[codebook, other] = np.inf
        for index in range(nearest - 1, nearest + 2):
            above = _probability_below(
                (_lower_edge(index + 1, codebook, edge) - centre) * inverse, table
            )
            total = (target - _value(index, codebook)) ** 2 + penalty * _bits(above - below)
            below = above
            if index == nearest:
                cost[codebook, here] = total
                choice[codebook, here] = sign * index
            elif total < cost[codebook, other]:
                cost[codebook, other] = total
                choice[codebook, other] = sign * index


@njit(cache=True, nogil=True)
def trellis_quantize(targets, inverse_step, centre, scale, table, penalty, indices):
    """Quantize each vector by the path of least distortion plus `penalty` times rate.

    Parameters
    ----------
    targets : ndarray of shape (n_vectors, length)
    inverse_step : float
        One over the step.
    centre, scale : float32 ndarray of shape (n_vectors, length)
        What the coder will expect, as of `expect`.
    table : float64 ndarray
        As of `student_table`.
    penalty : float
        Squared steps that a bit is worth.
    indices : int64 ndarray of shape (n_vectors, length)
        Written to.
    """
    length = targets.shape[1]
    came_from = np.empty((length, N_STATES), np.int8)
    choices = np.zeros((length, 2, 2), np.int64)
    reached, following = np.empty(N_STATES), np.empty(N_STATES)
    cost = np.empty((2, 2))
    for vector in range(targets.shape[0]):
        reached[:] = np.inf
        reached[0] = 0.0
        for i in range(length):
            _best_of_each_parity(
                float(targets[vector, i]) * inverse_step, centre[vector, i], scale[vector, i],
                table, penalty, cost, choices[i],
            )  # fmt: skip
            for state in range(N_STATES):
                first, second = PREVIOUS[state, 0], PREVIOUS[state, 1]
                one = reached[first] + cost[CODEBOOK[first], PARITY[state, 0]]
                two = reached[second] + cost[CODEBOOK[second], PARITY[state, 1]]
                following[state] = min(one, two)
                came_from[i, state] = first if one <= two else second
            reached[:] = following
        state = np.argmin(reached)
        for i in range(length - 1, -1, -1):
            before = came_from[i, state]
            parity = 0 if NEXT_STATE[before, 0] == state else 1
            indices[vector, i] = choices[i, CODEBOOK[before], parity]
            state = before


@njit(cache=True, nogil=True)
def trellis_values(indices, values):
    """Write the integers that vectors of indices stand for.

    Parameters
    ----------
    indices : int64 ndarray of shape (n_vectors, length)
    values : int64 ndarray of shape (n_vectors, length)
    """
    for vector in range(indices.shape[0]):
        state = 0
        for i in range(indices.shape[1]):
            index = indices[vector, i]
            values[vector, i] = _value(index, CODEBOOK[state])
            state = NEXT_STATE[state, index & 1]


@njit(cache=True, nogil=True)
def _cumulative(cell, first, shift, codebook, zero_edge, centre, inverse, table):
    """Give the share of all cells before a cell, of _TOTAL; each cell has one at least."""
    if cell <= -_WINDOW:
        return 0
    if cell > _WINDOW:
        return _ESCAPE
    edge = _lower_edge((first + cell) << shift, codebook, zero_edge)
    below = _probability_below((edge - centre) * inverse, table)
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
            value = float(_value(index, codebook))
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
            value = _value(index, codebook)
            values[vector, i] = value
            state = NEXT_STATE[state, index & 1]
            _move_edge(edges, codebook, number, index, centre, inverse, table)
            _learn(
                memory, covariance, history, gain, i, float(value), centre, variance, factor, 0.0
            )  # fmt: skip
    return position
