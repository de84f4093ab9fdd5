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

LARGEST_NORM = 32767  # whose products stay below 2^30
MOST_COORDINATES = 2**16  # of which the sums of products of bytes stay below 2^31


def bytes_serve(row_code):
    """Tell whether rounding to bytes adds little to the error of a code: some per cent.

    What a byte stands for is in proportion to the largest coordinates.
    """
    fine = row_code.distortion <= 4e-3 * row_code.largest_spread**2
    return HAS_BYTES and row_code.n_coordinates <= MOST_COORDINATES and not fine


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
