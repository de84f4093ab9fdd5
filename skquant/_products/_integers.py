"""Decoded rows and queries as small integers, as the kernels of `_kernels._tiles` multiply them.

Bytes are the faster, 16-bit integers the finer. All integers of a row stand for the same, so that
their products can be summed. Where some coordinates are much larger than others, which is where a
learned rotation puts them last, the last ones take 16 bits, as few as will do.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr

from .._kernels._dispatch import (
    AMX_QUERIES,
    AMX_STEPS,
    BYTE_OFFSET,
    HAS_BYTES,
    LARGEST_BYTE,
    LARGEST_NORM,
    QUERIES,
    round_rows,
)
from .._kernels._vectors import LANES

MOST_COORDINATES = 2**15  # of which the sums of products of bytes stay below 2^30
# Most that bytes add to the error of a code, over its square root. Where they are coarser, nothing
# but they beats floats by much.
ADDED = 0.002 if LARGEST_BYTE == 127 else 0.0032


def count_bytes(row_code):
    """Count the coordinates, the first of a row, for which bytes are fine enough.

    A unit of 1/b of the largest of them, m, with LARGEST_BYTE for b, adds the error m²/(12 b²) to
    each, and to that of the query as well. Products see of it the share f of the energy that the
    bytes have of queries that are like rows. Recall falls like the square root of the error, D:
    what is added costs as much of it everywhere where it is in proportion to √D. That bounds m² f.
    The coordinates are taken for Gaussian, and m for what a coordinate exceeds in every other row;
    of coordinates that are alike all become bytes or none.
    """
    spreads = row_code.spreads
    if not HAS_BYTES or len(spreads) > MOST_COORDINATES:
        return 0
    kinds = np.append(np.flatnonzero(np.diff(spreads)) + 1, len(spreads))
    energy = np.cumsum(spreads**2)
    bearable = LARGEST_BYTE * np.sqrt(6 * ADDED * np.sqrt(row_code.distortion))
    for n_bytes in kinds[::-1]:
        largest = bearable * np.sqrt(energy[-1] / energy[n_bytes - 1])
        n_exceeding = np.sum(2 * ndtr(-largest / spreads[:n_bytes]))  # to be expected
        if n_exceeding <= 0.5:
            return int(n_bytes) if n_bytes == len(spreads) else int(n_bytes) // 4 * 4
    return 0


def count_steps(n_coordinates, n_bytes):
    """Count the steps of 32 bits that bytes fill, and all of them."""
    byte_steps = -(-n_bytes // 4)
    return byte_steps, byte_steps - (n_bytes - n_coordinates) // 2


@dataclass(frozen=True)
class IntegerQueries:
    """Queries rounded to integers.

    Parameters
    ----------
    words : int32 ndarray of shape (n_blocks * QUERIES, n_steps)
        Bytes, and then 16-bit integers; zeros for queries that there are not.
    byte_steps : int
        How many steps have bytes.
    start : int32 ndarray of shape (n_blocks * QUERIES,)
        What the sums of products start from.
    units : ndarray of shape (n_queries,)
        What an integer of each query stands for.
    """

    words: np.ndarray
    byte_steps: int
    start: np.ndarray
    units: np.ndarray

    @classmethod
    def round(cls, queries, n_bytes):
        """Round queries of shape (n_queries, n_coordinates), each by its own unit."""
        byte_steps, n_steps = count_steps(queries.shape[1], n_bytes)
        peak = np.abs(queries[:, :n_bytes]).max(axis=1, initial=0.0)
        fine = queries[:, n_bytes:]
        norm = np.sqrt(np.einsum("ij,ij->i", fine, fine, dtype=np.float64))
        units = np.maximum(peak / LARGEST_BYTE, norm / LARGEST_NORM)
        units = np.maximum(units, np.finfo(np.float32).tiny)
        integers = np.rint(queries / units[:, None])
        n_blocks = -(-len(queries) // QUERIES)
        words = np.zeros((n_blocks * QUERIES, n_steps), np.int32)
        in_bytes, in_shorts = words[:, :byte_steps], words[:, byte_steps:]
        in_bytes.view(np.int8)[: len(queries), :n_bytes] = integers[:, :n_bytes]
        in_shorts.view(np.int16)[: len(queries), : fine.shape[1]] = integers[:, n_bytes:]
        start = np.zeros(len(words), np.int32)
        start[: len(queries)] = -BYTE_OFFSET * integers[:, :n_bytes].sum(axis=1)
        return cls(words, byte_steps, start, units)

    @cached_property
    def blocks(self):
        """The words in blocks, int32 (n_blocks, n_steps, QUERIES)."""
        blocks = self.words.reshape(-1, QUERIES, self.words.shape[1])
        return np.ascontiguousarray(blocks.transpose(0, 2, 1))

    @cached_property
    def amx_bytes(self):
        """The words of bytes, with zeros up to whole tiles of AMX."""
        return _in_amx_tiles(self.words[:, : self.byte_steps])

    @cached_property
    def amx_halves(self):
        """The 16-bit integers as bytes, as `search_tiles_by_amx` takes them."""
        shorts = np.ascontiguousarray(self.words[:, self.byte_steps :]).view(np.int16)
        shorts = np.pad(shorts, ((0, 0), (0, -shorts.shape[1] % 4)))
        upper = (shorts + np.int32(128)) >> 8
        halves = upper, shorts - (upper << 8)
        upper, lower = (half.astype(np.int8).view(np.int32) for half in halves)
        none = np.zeros_like(upper)
        pairs = (lower, none), (lower, upper), (upper, none)
        return np.vstack([_in_amx_tiles(np.hstack(pair)) for pair in pairs])


def _in_amx_tiles(words):
    """Pad queries and steps with zeros to whole tiles of AMX."""
    return np.pad(words, ((0, -len(words) % AMX_QUERIES), (0, -words.shape[1] % AMX_STEPS)))


class IntegerRows:
    """Room for decoded rows, rounded to integers.

    Parameters
    ----------
    n_rows, n_coordinates : int
    n_bytes : int
        How many of the coordinates, the first, become bytes.
    in_halves : bool, default=False
        How the others are laid out, as `round_rows` explains.
    """

    def __init__(self, n_rows, n_coordinates, n_bytes, in_halves=False):
        n_tiles, (byte_steps, n_steps) = -(-n_rows // LANES), count_steps(n_coordinates, n_bytes)
        if in_halves:
            n_steps = byte_steps + 2 * -(-(n_coordinates - n_bytes) // 4)
        self._n_bytes, self._in_halves = n_bytes, in_halves
        n_words = n_tiles * n_steps * LANES
        room = np.empty(n_words + AMX_STEPS * LANES, np.int32)  # the end is read, and not used
        self._tiles = room[:n_words].reshape(n_tiles, n_steps, LANES)
        self._units = np.empty(n_tiles * LANES, np.float32)

    def round(self, panels):
        """Round the rows of panels.

        Returns
        -------
        tiles : int32 ndarray of shape (n_tiles, n_steps, LANES)
        units : float32 ndarray of shape (n_tiles * LANES,)
            What an integer of each row stands for.
        """
        tiles, units = self._tiles[: len(panels)], self._units[: len(panels) * LANES]
        stretch = max(1, panels.shape[1])
        round_rows(panels, self._n_bytes, stretch, self._in_halves, tiles, units)
        return tiles, units
