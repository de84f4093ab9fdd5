"""Find the cheapest path through a trellis (Viterbi, 1967), many rows side by side.

Arrays are laid out lanes last, a lane a row, so that a row's path never depends on its neighbours.
`skquant/_codes/_trellis.py` says what a trellis is.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from ._memory import gather, gather_words, load, store
from ._vectors import LANES, Vector, cast, inlined, least, most, rint, splat, where

COST_UNIT = 4096  # keeps eight steps, and a start that no path takes, within 16 bits
MAX_MODULUS = 8
_LANE_NUMBERS = np.arange(LANES, dtype=np.int32)


class BlockTrellis(NamedTuple):
    """The trellis of a lattice as the kernel takes it, edges sorted by where they lead."""

    modulus: int
    width: int  # most targets of a position
    axes: np.ndarray  # float32, length of a unit along each coordinate of a block
    first_target: np.ndarray  # of each position; one more for the end
    first_edge: np.ndarray  # int32, of each target; one more for the end
    edges: np.ndarray  # int32, state each leaves, counted from the position's first, * 8 + residue


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
def _extend(trellis, position, costs, metrics, before, after, choices):
    """Extend the cheapest paths by one coordinate; `choices` keeps the edge each one took."""
    start = trellis.first_target[position]
    for target in range(start, trellis.first_target[position + 1]):
        first = trellis.first_edge[target]
        cheapest, choice = splat(np.float32(np.inf)), splat(np.uint8(0))
        for number in range(first, trellis.first_edge[target + 1]):
            edge = np.uintp(trellis.edges[number])
            cost = load(metrics, before + edge // MAX_MODULUS * LANES)
            cost = cost + load(costs, edge % MAX_MODULUS * LANES)
            better = cost < cheapest
            cheapest = where(better, cost, cheapest)
            choice = where(better, number - first, choice)
        store(metrics, after + (target - start) * LANES, cheapest)
        store(choices, (position * trellis.width + (target - start)) * LANES, choice)


@inlined
def _best_ends(metrics, first, n_states):
    """Find the state in which each lane's cheapest path ends."""
    cheapest, state = load(metrics, first), splat(np.int32(0))
    for other in range(1, n_states):
        metric = load(metrics, first + other * LANES)
        state = where(metric < cheapest, other, state)
        cheapest = least(metric, cheapest)
    return state


@njit(cache=True, nogil=True)
def quantize_blocks(trellis, panels, gains, shift, points, costs, metrics, choices):
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
    costs : float32 ndarray of shape (modulus * LANES,)
        Scratch, like those that follow.
    metrics : float32 ndarray of shape (2 * width * LANES,)
    choices : uint8 ndarray of shape (period * width * LANES + 3,)
    """
    period, modulus, before = trellis.axes.shape[0], trellis.modulus, 0
    after = trellis.width * LANES
    for panel in range(panels.shape[0]):
        gain = load(gains, (panel, 0))
        for first in range(0, panels.shape[1], period):
            rest = panels.shape[1] - first
            length = period if period < rest else rest
            store(metrics, before, splat(np.float32(0)))
            for position in range(length):
                axis = trellis.axes[position]
                value = load(panels, (panel, first + position, 0)) * (gain / axis)
                value = value + shift[first + position]
                _residue_costs(value, axis * axis, modulus, costs)
                _extend(trellis, position, costs, metrics, before, after, choices)
                before, after = after, before
            n_ends = trellis.first_target[length] - trellis.first_target[length - 1]
            state = _best_ends(metrics, before, n_ends)
            for position in range(length - 1, -1, -1):
                place = (state + position * trellis.width) * LANES + load(_LANE_NUMBERS, 0)
                choice = cast(gather_words(choices, place), np.int32) & 255
                target = state + trellis.first_target[position]
                edge = gather(trellis.edges, gather(trellis.first_edge, target) + choice)
                state, residue = edge >> 3, edge & (MAX_MODULUS - 1)
                value = load(panels, (panel, first + position, 0)) * (gain / trellis.axes[position])
                value = value + shift[first + position]
                point = _nearest_of_residue(value, cast(residue, np.float32), modulus)
                store(points, (panel, first + position, 0), point)


@intrinsic
def _mask_bits(typing_context, mask):
    """Gather a mask of at most 32 lanes into an integer, the first lane the lowest bit."""
    signature = types.int32(mask)

    def codegen(context, builder, signature, arguments):
        bits = builder.bitcast(arguments[0], ir.IntType(LANES))
        return bits if LANES == 32 else builder.zext(bits, ir.IntType(32))

    return (signature, codegen) if mask == Vector(types.boolean) else None


@inlined
def _extend_pairs(n_registers, feedback, forward, units, metrics, before, after, decisions, first):
    """Extend the cheapest path to each state by one coordinate; bits tell which lanes' z¹ is 1.

    Costs wrap around: only their differences count, and these fit 16 bits.
    """
    half = 1 << (n_registers - 1)
    for parity in range(2):
        low, high = load(units, parity * LANES), load(units, (parity + 2) * LANES)
        for state in range(parity * half, (parity + 1) * half):
            source = state ^ (feedback if parity else 0)
            one = load(metrics, before + (2 * source + parity) * LANES) + low
            other = load(metrics, before + (2 * (source ^ forward) + parity) * LANES) + high
            better = other - one < 0
            store(metrics, after + state * LANES, where(better, other, one))
            decisions[np.uintp(first + state)] = _mask_bits(better)


@njit(cache=True, nogil=True)
def quantize_convolutional(
    n_registers, feedback, forward, panels, gains, shift, points, costs, units, metrics, decisions
):
    """Find the sequences of a trellis code closest to scaled rows.

    Parameters
    ----------
    n_registers : int
        At most 8, so that differences of costs fit 16 bits.
    feedback, forward : int
        What the even and the odd bit of a residue modulo 4 add to the registers.
    panels, gains, shift, points
        As for `quantize_blocks`.
    costs : float32 ndarray of shape (4 * LANES,)
        Scratch, like those that follow.
    units : int16 ndarray of shape (4 * LANES,)
    metrics : int16 ndarray of shape (2^(n_registers + 1) * LANES,)
    decisions : int32 ndarray of shape (n_coordinates * 2^n_registers,)
    """
    n_states, n_coordinates = 1 << n_registers, panels.shape[1]
    before, after = 0, n_states * LANES
    for panel in range(panels.shape[0]):
        gain = load(gains, (panel, 0))
        for state in range(n_states):
            start = splat(np.int16(4 * COST_UNIT if state else 0))
            store(metrics, before + state * LANES, start)
        for t in range(n_coordinates):
            value = load(panels, (panel, t, 0)) * gain + shift[t]
            _residue_costs(value, np.float32(COST_UNIT), 4, costs)
            for residue in range(4):
                store(units, residue * LANES, cast(load(costs, residue * LANES), np.int16))
            _extend_pairs(
                n_registers, feedback, forward, units, metrics, before, after,
                decisions, t * n_states,
            )  # fmt: skip
            before, after = after, before
        origin = load(metrics, before)
        for state in range(n_states):
            metric = load(metrics, before + state * LANES)
            store(metrics, before + state * LANES, metric - origin)
        state = _best_ends(metrics, before, n_states)
        for t in range(n_coordinates - 1, -1, -1):
            odd = (gather(decisions, state + t * n_states) >> load(_LANE_NUMBERS, 0)) & 1
            parity = state >> (n_registers - 1)
            source = state ^ (parity * feedback) ^ (odd * forward)
            state = source * 2 + parity
            value = load(panels, (panel, t, 0)) * gain + shift[t]
            point = _nearest_of_residue(value, cast(odd * 2 + parity, np.float32), 4)
            store(points, (panel, t, 0), point)
