"""Decoded rows and queries as small integers, as the kernels of `_kernels._tiles` multiply them.

Bytes are the faster, 16-bit integers the finer: they serve where the code is about as fine as a
byte, and on machines that cannot multiply bytes.
"""

from dataclasses import dataclass

import numpy as np

from ._kernels._dispatch import (
    BYTE_OFFSET,
    HAS_BYTES,
    QUERIES,
    round_to_bytes,
    round_to_shorts,
)
from ._kernels._vectors import LANES
from ._panels import empty_panels, put_rows, take_rows
from ._rotation import HadamardRotation

LARGEST_NORM = 32767  # whose products stay below 2^30
FINEST_FOR_BYTES = 4e-3  # least distortion of coordinates of unit variance
MOST_COORDINATES = 2**16  # of which the sums of products of bytes stay below 2^31


def choose_mixing(row_code):
    """Choose what makes bytes serve, that is, add some per cent to the error of a code.

    What a byte stands for is in proportion to the largest coordinates. Where these are much larger
    than others, which is where a learned rotation puts them last, the last ones are mixed, as few
    as will do.

    Returns
    -------
    Mixing or None
        None where 16-bit integers have to serve.
    """
    energy, limit = row_code.spreads**2, row_code.distortion / FINEST_FOR_BYTES
    if not HAS_BYTES or len(energy) > MOST_COORDINATES:
        return None
    for count in (0, *(2**k for k in range(3, len(energy).bit_length()))):
        rest, mixed = energy[: len(energy) - count], energy[len(energy) - count :]
        if rest.max(initial=0.0) < limit and (count == 0 or mixed.mean() < limit):
            return Mixing(count)
    return None


class Mixing:
    """A random rotation of the last coordinates, which makes them alike.

    Parameters
    ----------
    count : int
        How many, a power of two or 0.
    """

    def __init__(self, count):
        signs = 2 * np.random.RandomState(0).randint(2, size=(1, count)) - 1
        self._rotation = HadamardRotation(signs.astype(np.int8)) if count else None
        self._count = count

    def mix(self, panels):
        """Rotate the rows of panels in place."""
        if self._count:
            last = panels[:, panels.shape[1] - self._count :]
            last[:] = self._rotation.forward(np.ascontiguousarray(last))

    def mix_rows(self, rows):
        """Rotate rows of shape (n_rows, n_coordinates)."""
        panels = empty_panels(*rows.shape)
        put_rows(rows, panels)
        self.mix(panels)
        return take_rows(panels, len(rows))


@dataclass(frozen=True)
class IntegerQueries:
    """Queries rounded to integers.

    Parameters
    ----------
    in_bytes : bool
        Whether to bytes or to 16-bit integers.
    blocks : int32 ndarray of shape (n_blocks, n_steps, QUERIES)
        As the kernels take them.
    start : int32 ndarray of shape (n_blocks * QUERIES,)
        What the sums of products start from.
    units : ndarray of shape (n_queries,)
        What an integer of each query stands for.
    """

    in_bytes: bool
    blocks: np.ndarray
    start: np.ndarray
    units: np.ndarray

    @classmethod
    def round(cls, queries, in_bytes):
        """Round queries of shape (n_queries, n_coordinates), each by its own unit."""
        if in_bytes:
            largest, size, dtype = 127, np.abs(queries).max(axis=1, initial=0.0), np.int8
        else:
            largest, dtype = LARGEST_NORM, np.int16
            size = np.sqrt(np.einsum("ij,ij->i", queries, queries, dtype=np.float64))
        units = np.maximum(size / largest, np.finfo(np.float32).tiny)
        per_step = 4 // np.dtype(dtype).itemsize
        n_blocks, n_steps = -(-len(queries) // QUERIES), -(-queries.shape[1] // per_step)
        integers = np.zeros((n_blocks * QUERIES, n_steps * per_step), dtype)
        integers[: len(queries), : queries.shape[1]] = np.rint(queries / units[:, None])
        start = -BYTE_OFFSET * integers.sum(axis=1, dtype=np.int32) * in_bytes
        words = integers.view(np.int32).reshape(n_blocks, QUERIES, n_steps)
        return cls(in_bytes, np.ascontiguousarray(words.transpose(0, 2, 1)), start, units)


class IntegerRows:
    """Room for decoded rows, rounded to integers.

    Parameters
    ----------
    n_rows, n_coordinates : int
    in_bytes : bool

    Attributes
    ----------
    tiles : int32 ndarray of shape (n_tiles, n_steps, LANES)
    units : float32 ndarray of shape (n_tiles * LANES,)
        What an integer of each row stands for.
    """

    def __init__(self, n_rows, n_coordinates, in_bytes):
        n_tiles, n_steps = -(-n_rows // LANES), -(-n_coordinates // (4 if in_bytes else 2))
        self._round = round_to_bytes if in_bytes else round_to_shorts
        self._tiles = np.empty((n_tiles, n_steps, LANES), np.int32)
        self._units = np.empty(n_tiles * LANES, np.float32)

    def round(self, panels):
        """Round the rows of panels; give tiles and units."""
        tiles, units = self._tiles[: len(panels)], self._units[: len(panels) * LANES]
        self._round(panels, tiles, units)
        return tiles, units
