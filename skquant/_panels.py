"""Panels: rows side by side, as the kernels take them.

A panel array has the shape (n_panels, n_coordinates, width), rows on the last axis, so that vector
instructions work on as many rows at once. Row r is lane r % width of panel r // width. The last
panel may have room for more rows.
"""

import numpy as np

from ._kernels._vectors import LANES


def empty_panels(n_rows, n_coordinates, dtype=np.float32):
    """Make panels of the least width with unspecified values."""
    return np.empty((-(-n_rows // LANES), n_coordinates, LANES), dtype)


def take_rows(panels, n_rows):
    """Take rows from panels, (n_rows, n_coordinates)."""
    return panels.transpose(0, 2, 1).reshape(-1, panels.shape[1])[:n_rows]


def put_rows(rows, panels):
    """Write rows into panels; what there is room for beyond them becomes zero."""
    n_panels, n_coordinates, width = panels.shape
    padded = np.zeros((n_panels * width, n_coordinates), panels.dtype)
    padded[: len(rows)] = rows
    panels[:] = padded.reshape(n_panels, width, n_coordinates).transpose(0, 2, 1)
