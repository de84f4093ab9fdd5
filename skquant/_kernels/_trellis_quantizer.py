"""Trellis-coded quantization of vectors: the path of least distortion and rate.

The integers stand for multiples of a step. They are split between two codebooks, the even ones, and
the odd ones with zero. A machine of eight states says which codebook serves the next entry, and the
parity of the index chosen there moves it on. So the entries of a vector are coded with the coarse
codebooks, yet the points that a whole vector may reach lie nearly as densely packed as spheres in
many dimensions [1]_, [2]_.

`_trellis_coder` codes the indices, by the same distribution and the same cells, and says which
operations these may use.

References
----------
.. [1] M. W. Marcellin and T. R. Fischer, "Trellis coded quantization of memoryless and Gauss-Markov
   sources", IEEE Trans. Commun. 38(1), 1990.
.. [2] The two codebooks with a common zero are those of dependent quantization, ITU-T H.266, 2020.
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

TABLE_STEPS = 32  # entries of a table of the distribution for one unit
TABLE_RANGE = 16

ZERO_EDGES = (1.0, 0.5)

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
def value_of(index, codebook):
    """Give the integer that an index of a codebook stands for."""
    if codebook == 0 or index == 0:
        return 2 * index
    return 2 * index - 1 if index > 0 else 2 * index + 1


@njit(cache=True, nogil=True)
def probability_below(z, table):
    """Look the distribution function up."""
    place = min(abs(z) * TABLE_STEPS, 1.0 * TABLE_RANGE * TABLE_STEPS)
    cell = int(place)
    half = table[cell] + (place - cell) * (table[cell + 1] - table[cell])
    return 0.5 + half if z > 0 else 0.5 - half


@njit(cache=True, nogil=True)
def lower_edge(index, codebook, zero_edge):
    """Give where the cell of an index begins, in steps; that of 0 reaches to +-zero_edge."""
    if index == 0 or index == 1:
        return zero_edge if index else -zero_edge
    if codebook == 0:
        return 2.0 * index - 1.0
    return 2.0 * index - 2.0 if index > 0 else 2.0 * index


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
        edge = ZERO_EDGES[codebook]
        below = probability_below(
            (lower_edge(nearest - 1, codebook, edge) - centre) * inverse, table
        )
        cost[codebook, other] = np.inf
        for index in range(nearest - 1, nearest + 2):
            above = probability_below(
                (lower_edge(index + 1, codebook, edge) - centre) * inverse, table
            )
            total = (target - value_of(index, codebook)) ** 2 + penalty * _bits(above - below)
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
            values[vector, i] = value_of(index, CODEBOOK[state])
            state = NEXT_STATE[state, index & 1]
