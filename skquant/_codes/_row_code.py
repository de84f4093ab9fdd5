"""The code of a whole row: which nested-lattice code each of its blocks takes.

A row's bits are spent on its blocks. Most budgets lie between the rates of two codes on the lower
convex hull of (bits, distortion); some blocks then take the one and some the other. The few
coordinates that fill no block take uniform scalar quantization.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from .._kernels._e8 import BLOCKS_OF_A_STRETCH
from .._panels import lay_apart
from ..lattices import LATTICES, uniform_over_cell
from ._nested import BLOCK, NestedLatticeCode, fill_block
from ._scales import MAX_BITS_PER_ENTRY, available_bits, code_for, scalar_code

SHORT_NORM = 46340  # products stay below 2^31
LEAST_BLOCKS = 32  # of rows, for the rounding of single coordinates to be of no account


@dataclass(frozen=True, eq=False)
class Segment:
    """Consecutive blocks of a row with the same code.

    Parameters
    ----------
    code : NestedLatticeCode
        The code of each block.
    first : int
        The first coordinate.
    n_blocks : int
        Number of blocks.
    bit : int
        The first bit in the row.
    spread : float, default=1.0
        Root mean square of the coordinates that the code is made for.
    """

    code: NestedLatticeCode
    first: int
    n_blocks: int
    bit: int
    spread: float = 1.0


@dataclass(frozen=True, eq=False)
class RowCode:
    """A code for rows, of unit variance unless its segments are fitted to others.

    Parameters
    ----------
    segments : tuple of Segment
        They cover the coordinates and the bits without gaps.
    """

    segments: tuple
    rows_at_once = 2**10  # that products with a few vectors take

    @property
    def n_coordinates(self):
        """Number of coded coordinates."""
        last = self.segments[-1]
        return last.first + last.n_blocks * last.code.dimension

    @property
    def spreads(self):
        """Root mean square of each coordinate."""
        sizes = [s.n_blocks * s.code.dimension for s in self.segments]
        return np.repeat([s.spread for s in self.segments], sizes)

    @property
    def arrays(self):
        """The arrays that define the code, by name."""
        return {"scales": np.concatenate([s.code.scales for s in self.segments])}

    @property
    def n_bytes(self):
        """Bytes of a row."""
        last = self.segments[-1]
        return -(-(last.bit + last.n_blocks * last.code.n_bits) // 8)

    @property
    def distortion(self):
        """Expected squared error of a coordinate when the row is Gaussian."""
        total = sum(s.n_blocks * s.code.dimension * s.code.distortion for s in self.segments)
        return total / self.n_coordinates

    def encode(self, panels, codes, dither=None):
        """Encode rows, in panels of n_coordinates, into zeroed bytes.

        Parameters
        ----------
        panels : float32 ndarray of shape (n_panels, n_coordinates, width)
            Rows of unit variance, as `skquant._panels` lays them out.
        codes : uint8 ndarray of shape (n_rows, at least n_bytes)
            Written to; zero before.
        dither : list of ndarray, default=None
            As `draw_dither` gives it.

        Returns
        -------
        moments : ndarray of shape (n_rows, 2)
            ⟨w, u⟩ and ‖u‖² of each row w and what it decodes to, u.
        """
        moments = np.zeros((len(codes), 2))
        for s, z in zip(self.segments, dither or [None] * len(self.segments), strict=True):
            s.code.encode(panels, s.first, s.n_blocks, s.bit, codes, moments, z)
        return moments

    def decode(self, codes, panels, dither=None):
        """Decode rows into panels; the arguments are `encode`'s.

        Returns
        -------
        energy : ndarray of shape (n_rows,)
            ‖u‖².
        """
        energy = np.zeros(len(codes))
        for s, z in zip(self.segments, dither or [None] * len(self.segments), strict=True):
            s.code.decode(codes, s.first, s.n_blocks, s.bit, panels, energy, z)
        return energy

    def multiply(self, codes, vectors, dither=None):
        """Multiply what rows decode to by at most `FEW_VECTORS` vectors, without keeping it.

        Parameters
        ----------
        codes : uint8 ndarray of shape (n_rows, at least n_bytes)
        vectors : float32 ndarray of shape (n_vectors, n_coordinates)
        dither : list of ndarray, default=None

        Returns
        -------
        products : float64 ndarray of shape (n_rows, n_vectors)
        energy : float64 ndarray of shape (n_rows,)
            ‖u‖².
        """
        products, energy = np.zeros((len(codes), len(vectors))), np.zeros(len(codes))
        dithers = dither or [None] * len(self.segments)
        in_place = all(map(_works_in_place, self.segments, dithers))
        apart = codes if in_place else lay_apart(codes)
        for s, z in zip(self.segments, dithers, strict=True):
            if _is_run(s, z):
                s.code.multiply_run(codes, s.first, s.n_blocks, s.bit, vectors, products, energy)
            else:
                s.code.multiply(apart, s.first, s.n_blocks, s.bit, vectors, products, energy, z)
        return products, energy

    def peak(self, n_coordinates=None):
        """Bound the first coordinates, or all, of what rows decode to."""
        stop = self.n_coordinates if n_coordinates is None else n_coordinates
        return max((s.code.reach for s in self.segments if s.first < stop), default=0.0)

    @cached_property
    def short_unit(self):
        """What 16-bit integers stand for so that no stretch of a row has more than SHORT_NORM.

        None where the codes do not decode to such integers, and where rows are short.
        """
        is_short = self.n_coordinates < LEAST_BLOCKS * BLOCK
        if is_short or any(s.code.e8_parameters is None for s in self.segments):
            return None
        reach = max(s.code.reach for s in self.segments)
        return float(reach * np.sqrt(BLOCKS_OF_A_STRETCH) / SHORT_NORM)

    def decode_shorts(self, codes, tiles, dither=None):
        """Decode rows to multiples of `short_unit`, 16-bit integers in tiles as `_tiles` has them.

        Returns
        -------
        energy : ndarray of shape (n_rows,)
            ‖u‖².
        """
        energy = np.zeros(len(codes))
        for s, z in zip(self.segments, dither or [None] * len(self.segments), strict=True):
            s.code.decode_shorts(
                codes, s.first, s.n_blocks, s.bit, self.short_unit, tiles, energy, z
            )
        return energy * self.short_unit**2

    def draw_dither(self, random_state):
        """Draw vectors uniform over the Voronoi cell for all blocks, in units of their lattices.

        Returns
        -------
        list of ndarray of shape (n_blocks, dimension)
            One for each segment.
        """
        return [uniform_over_cell(s.code.lattice, s.n_blocks, random_state) for s in self.segments]


def _works_in_place(segment, dither):
    """Tell whether products take rows that lie close to each other."""
    return segment.code.lays_apart or _is_run(segment, dither)


def _is_run(segment, dither):
    """Tell whether products read the blocks of a segment one after the other."""
    return (
        segment.code.makes_runs
        and segment.bit % 8 == 0
        and dither is None
        and segment.n_blocks >= LEAST_BLOCKS
    )


class Codes(NamedTuple):
    """The codes of blocks to choose from, functions of the lattice."""

    available_bits: Callable  # lists the bits of a block
    code_for: Callable  # gives the code of so many bits


NESTED_CODES = Codes(available_bits, code_for)


@lru_cache(maxsize=256)
def spend_bits(lattice, n_coordinates, n_bits, codes=NESTED_CODES):
    """Choose the code of each block so that a row's bits are spent.

    Parameters
    ----------
    lattice : lattice object
        The lattice of the blocks.
    n_coordinates : int
        Coordinates of a row.
    n_bits : int
        Bits of a row, at least one a coordinate; what is beyond 16 a coordinate is not used.
    codes : Codes, default=NESTED_CODES
        The codes of the blocks.

    Returns
    -------
    RowCode
    """
    n_bits = min(n_bits, MAX_BITS_PER_ENTRY * n_coordinates)
    d = fill_block(lattice).dimension
    n_blocks, n_left = divmod(n_coordinates, d)
    plans = [
        _plan(codes, lattice, n_blocks, n_left, n_bits, left_bits)
        for left_bits in _left_over_budgets(lattice, n_coordinates, n_left, n_bits)
        if n_bits - left_bits >= n_blocks * min(codes.available_bits(lattice))
    ]
    plan = min(plans, key=lambda plan: sum(n * c.dimension * c.distortion for c, n in plan))
    return lay_out(plan)


def lay_out(plan):
    """Give the blocks their places in a row: code, how often it is used, and spread if not 1."""
    segments, first, bit = [], 0, 0
    for code, count, *spread in plan:
        segments.append(Segment(code, first, count, bit, *spread))
        first, bit = first + count * code.dimension, bit + count * code.n_bits
    return RowCode(tuple(segments))


def _left_over_budgets(lattice, n_coordinates, n_left, n_bits):
    """List the bits to consider for the coordinates that fill no block: about their share."""
    if n_left == 0:
        return [0]
    if n_left == n_coordinates:
        return [n_bits]
    if lattice in LATTICES.values():
        share = n_bits * n_left // n_coordinates
        most = min(n_bits, MAX_BITS_PER_ENTRY * n_left, share + 2 * n_left)
        return range(max(n_left, share - n_left), most + 1)
    return [n_bits * n_left // n_coordinates]  # every other choice might derive more codes


def _plan(codes, lattice, n_blocks, n_left, n_bits, left_bits):
    """Divide a row between its blocks and the rest: pairs of a code and how often it is used."""
    plan = _mix(codes, lattice, n_blocks, n_bits - left_bits)
    if n_left:
        spent = sum(count * code.n_bits for code, count in plan)
        left_bits = min(n_bits - spent, MAX_BITS_PER_ENTRY * n_left)
        plan.append((scalar_code(n_left, left_bits), 1))
    return plan


def _mix(codes, lattice, n_blocks, n_bits):
    """Divide the blocks between the two codes next to the budget, the coarse one first.

    The code of a byte a block is the coarsest of all, so that it starts on a byte.
    """
    if n_blocks == 0:
        return []
    choices = codes.available_bits(lattice)
    low = max(bits for bits in choices if bits * n_blocks <= n_bits)
    high = min((bits for bits in choices if bits > low), default=low + 1)
    n_high = (n_bits - n_blocks * low) // (high - low) if high in choices else 0
    counts = [(low, n_blocks - n_high), (high, n_high)]
    return [(codes.code_for(lattice, bits), count) for bits, count in counts if count]
