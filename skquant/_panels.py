"""Panels: rows side by side, as the kernels take them.

A panel array has the shape (n_panels, n_coordinates, width), rows on the last axis, so that vector
instructions work on as many rows at once. Row r is lane r % width of panel r // width. The last
panel may have room for more rows.
"""

from math import prod

import numpy as np

from ._kernels._vectors import LANES

CACHE_LINE = 64


def aligned_empty(shape, dtype):
    """Make an array of unspecified values in which no vector lies across lines of the cache."""
    n_bytes = prod(shape if isinstance(shape, tuple) else (shape,)) * np.dtype(dtype).itemsize
    memory = np.empty(n_bytes + CACHE_LINE, np.uint8)
    start = -memory.__array_interface__["data"][0] % CACHE_LINE
    return memory[start : start + n_bytes].view(dtype).reshape(shape)


def empty_panels(n_rows, n_coordinates, dtype=np.float32):
    """Make panels of the least width with unspecified values."""
    return aligned_empty((-(-n_rows // LANES), n_coordinates, LANES), dtype)


def take_rows(panels, n_rows):
    """Take rows from panels, (n_rows, n_coordinates)."""
    return panels.transpose(0, 2, 1).reshape(-1, panels.shape[1])[:n_rows]


def put_rows(rows, panels):
    """Write rows into panels; what there is room for beyond them becomes zero."""
    n_panels, n_coordinates, width = panels.shape
    padded = np.zeros((n_panels * width, n_coordinates), panels.dtype)
    padded[: len(rows)] = rows
    panels[:] = padded.reshape(n_panels, width, n_coordinates).transpose(0, 2, 1)


def take_lanes(panels, rows):
    """Take some rows, by number, into panels of the least width."""
    panel, lane = np.divmod(rows, panels.shape[2])
    some = empty_panels(len(rows), panels.shape[1], panels.dtype)
    put_rows(panels[panel, :, lane], some)
    return some


def put_lanes(source, numbers, target, rows):
    """Copy the rows of some numbers to where others are in another array of panels."""
    panel, lane = np.divmod(numbers, source.shape[2])
    to_panel, to_lane = np.divmod(rows, target.shape[2])
    target[to_panel, :, to_lane] = source[panel, :, lane]


def by_lane(values):
    """Lay out a value for each row beside panels of the least width, zeros for what is left."""
    padded = np.zeros(-(-len(values) // LANES) * LANES, values.dtype)
    padded[: len(values)] = values
    return padded.reshape(-1, LANES)


def lay_apart(packed):
    """Copy compressed rows, so that those worked on together do not compete for cache lines."""
    if packed.shape[1] == row_stride(packed.shape[1]) and packed.flags.c_contiguous:
        return packed
    apart = np.empty((len(packed), row_stride(packed.shape[1])), np.uint8)
    apart[:, : packed.shape[1]] = packed
    apart[:, packed.shape[1] :] = 0
    return apart


def row_stride(n_bytes):
    """Width to give rows of bytes: an odd number of cache lines, where they are many."""
    return (-(-n_bytes // 64) | 1) * 64 if n_bytes > 512 else n_bytes
