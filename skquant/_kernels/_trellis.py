"""Find the cheapest path through a trellis (Viterbi, 1967), many rows side by side.

Arrays are laid out lanes last, a lane a row, so that a row's path never depends on its neighbours.
`skquant/_trellis_code.py` says what a trellis is.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from ._vectors import LANES, Vector, cast, inlined, least, load, most, rint, splat, store, where

COST_UNIT = 4096  # keeps eight steps, and a start that no path takes, within 16 bits


class BlockTrellis(NamedTuple):
    """The trellis of a lattice as the kernel takes it, edges sorted by where they lead."""

    modulus: int
    axes: np.ndarray  # float32, length of a unit along each coordinate of a block
    first_target: np.ndarray  # of each position; one more for the end
    first_edge: np.ndarray  # of each target; one more for the end
    edge_source: np.ndarray  # state the edge leaves, counted from the position's first
    edge_residue: np.ndarray


@inlined
def _nearest_of_residue(value, residue, modulus):
    """Nearest integers of a residue, within 30 bits."""
    limit = np.float32(2**30) / np.float32(modulus)
    multiple = rint((value - residue) * (np.float32(1) / np.float32(modulus)))
    multiple = most(least(multiple, limit), -limit)
    return cast(multiple, np.int32) * modulus + cast(residue, np.int32)


@inlined
def _residue_costs(value, weight, modulus, costs):
    """Weighted squared distances to the nearest integers of every residue."""
    inverse = np.float32(1) / np.float32(modulus)
    for residue in range(modulus):
        place = (value - np.float32(residue)) * inverse
        error = place - rint(place)
        store(costs, residue * LANES, error * error * weight)


@inlined
def _extend(trellis, position, costs, metric, extended, choices):
    """Extend the cheapest paths by one coordinate; `choices` keeps the edge each one took."""
    start = trellis.first_target[position]
    for target in range(start, trellis.first_target[position + 1]):
        first = trellis.first_edge[target]
        cheapest, choice = splat(np.float32(np.inf)), splat(np.uint8(0))
        for edge in range(first, trellis.first_edge[target + 1]):
            before = load(metric, trellis.edge_source[edge] * LANES)
            cost = before + load(costs, trellis.edge_residue[edge] * LANES)
            better = cost < cheapest
            cheapest = where(better, cost, cheapest)
            choice = where(better, edge - first, choice)
        store(extended, (target - start) * LANES, cheapest)
        store(choices, (target - start) * LANES, choice)


@inlined
def _trace(trellis, position, choices, states, residues):
    """Go back by one coordinate along each lane's path; it gives the residues."""
    for lane in range(LANES):
        state = states[lane]
        edge = trellis.first_edge[trellis.first_target[position] + state]
        edge += choices[state * LANES + lane]
        states[lane] = trellis.edge_source[edge]
        residues[lane] = trellis.edge_residue[edge]


@inlined
def _best_ends(metric, n_states, states):
    """Find the state in which each lane's cheapest path ends."""
    for lane in range(LANES):
        states[lane] = 0
        for other in range(1, n_states):
            if metric[other * LANES + lane] < metric[states[lane] * LANES + lane]:
                states[lane] = other


@njit(cache=True, nogil=True)
def quantize_blocks(trellis, panels, gains, shift, points):
    """Find the lattice points closest to scaled rows.

    Parameters
    ----------
    trellis : BlockTrellis
        Every block starts in its first state and ends in it; a row may end inside a block.
    panels : float32 ndarray of shape (n_panels, n_coordinates, LANES)
        A row a lane.
    gains : float32 ndarray of shape (n_panels, LANES)
        What the rows are multiplied with.
    shift : float32 ndarray of shape (n_coordinates,)
        What is added then, in units of the axes.
    points : int32 ndarray of shape (n_panels, n_coordinates, LANES)
        Written to.
    """
    period, modulus, width = trellis.axes.shape[0], trellis.modulus, 1
    for position in range(period):
        width = max(width, trellis.first_target[position + 1] - trellis.first_target[position])
    costs = np.empty(modulus * LANES, np.float32)
    metric, extended = np.zeros(width * LANES, np.float32), np.empty(width * LANES, np.float32)
    choices = np.empty((period, width * LANES), np.uint8)
    states, residues = np.zeros(LANES, np.uintp), np.empty(LANES, np.float32)
    for panel in range(panels.shape[0]):
        gain = load(gains, (panel, 0))
        for first in range(0, panels.shape[1], period):
            length = min(period, panels.shape[1] - first)
            metric[:LANES] = 0
            for position in range(length):
                axis = trellis.axes[position]
                value = load(panels, (panel, first + position, 0)) * (gain / axis)
                value = value + shift[first + position]
                _residue_costs(value, axis * axis, modulus, costs)
                _extend(trellis, position, costs, metric, extended, choices[position])
                metric, extended = extended, metric
            n_ends = trellis.first_target[length] - trellis.first_target[length - 1]
            _best_ends(metric, n_ends, states)
            for position in range(length - 1, -1, -1):
                _trace(trellis, position, choices[position], states, residues)
                value = load(panels, (panel, first + position, 0)) * (gain / trellis.axes[position])
                value = value + shift[first + position]
                point = _nearest_of_residue(value, load(residues, 0), modulus)
                store(points, (panel, first + position, 0), point)


@intrinsic
def _mask_bits(typing_context, mask):
    """Gather a mask of at most 32 lanes into an integer, the first lane the lowest bit."""
    signature = types.uint32(mask)

    def codegen(context, builder, signature, arguments):
        bits = builder.bitcast(arguments[0], ir.IntType(LANES))
        return bits if LANES == 32 else builder.zext(bits, ir.IntType(32))

    return (signature, codegen) if mask == Vector(types.boolean) else None


@inlined
def _extend_pairs(n_registers, feedback, forward, costs, metric, extended, decision):
    """Extend the cheapest path to each state by one coordinate; bits tell which lanes' z¹ is 1.

    Costs wrap around: only their differences count, and these fit 16 bits.
    """
    half = 1 << (n_registers - 1)
    for parity in range(2):
        low, high = load(costs, parity * LANES), load(costs, (parity + 2) * LANES)
        for state in range(parity * half, (parity + 1) * half):
            before = state ^ (feedback if parity else 0)
            first = load(metric, (2 * before + parity) * LANES) + low
            second = load(metric, (2 * (before ^ forward) + parity) * LANES) + high
            better = second - first < 0
            store(extended, state * LANES, where(better, second, first))
            decision[state] = _mask_bits(better)


@njit(cache=True, nogil=True)
def quantize_convolutional(n_registers, feedback, forward, panels, gains, shift, points):
    """Find the sequences of a trellis code closest to scaled rows.

    Parameters
    ----------
    n_registers : int
        At most 8, so that differences of costs fit 16 bits.
    feedback, forward : int
        What the even and the odd bit of a residue modulo 4 add to the registers.
    panels, gains, shift, points
        As for `quantize_blocks`.
    """
    n_states, n_coordinates = 1 << n_registers, panels.shape[1]
    costs, units = np.empty(4 * LANES, np.float32), np.empty(4 * LANES, np.int16)
    metric, extended = np.empty(n_states * LANES, np.int16), np.empty(n_states * LANES, np.int16)
    decisions = np.empty((n_coordinates, n_states), np.uint32)
    states, residues = np.zeros(LANES, np.uintp), np.empty(LANES, np.float32)
    for panel in range(panels.shape[0]):
        gain = load(gains, (panel, 0))
        metric[:] = 4 * COST_UNIT
        metric[:LANES] = 0
        for t in range(n_coordinates):
            value = load(panels, (panel, t, 0)) * gain + shift[t]
            _residue_costs(value, np.float32(COST_UNIT), 4, costs)
            for residue in range(4):
                store(units, residue * LANES, cast(load(costs, residue * LANES), np.int16))
            _extend_pairs(n_registers, feedback, forward, units, metric, extended, decisions[t])
            metric, extended = extended, metric
        for state in range(n_states - 1, -1, -1):
            for lane in range(LANES):
                metric[state * LANES + lane] -= metric[lane]
        _best_ends(metric, n_states, states)
        for t in range(n_coordinates - 1, -1, -1):
            for lane in range(LANES):
                state = states[lane]
                parity = state >> (n_registers - 1)
                odd = (decisions[t, state] >> lane) & 1
                before = state ^ (feedback if parity else 0) ^ (forward if odd else 0)
                states[lane] = 2 * before + parity
                residues[lane] = 2 * odd + parity
            value = load(panels, (panel, t, 0)) * gain + shift[t]
            store(points, (panel, t, 0), _nearest_of_residue(value, load(residues, 0), 4))
