"""Centre and scale rows, and lay them side by side in panels as in `_nested`."""

import numpy as np
from numba import njit

from ._memory import load, store
from ._registers import registers, transpose
from ._vectors import (
    LANES,
    cast,
    inlined,
    least,
    splat,
)


@njit(
    cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy",
    fastmath={"reassoc", "nsz", "contract"},
)  # fmt: skip
def centre_rows(rows, mean, offset, energy, product):
    """Sum each centred row's squares, and its products with the mean.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
    mean : float64 ndarray of shape (n_features,)
        Centre of the features.
    offset : float64 ndarray of shape (n_rows,)
        Centre of each row.
    energy, product : float64 ndarray of shape (n_rows,)
        Written to.
    """
    for row in range(rows.shape[0]):
        squares, products, shift = 0.0, 0.0, offset[row]
        for i in range(rows.shape[1]):
            value = float(rows[row, i]) - mean[i] - shift
            squares += value * value
            products += value * mean[i]
        energy[row] = squares
        product[row] = products


@inlined
def _scale_tile(rows, row, n_lanes, first, mean, offset, factor, tile):
    """Centre and scale LANES features of as many rows, a row a vector."""
    centre = load(mean, first)
    for j in range(LANES):
        tile[j] = splat(np.float32(0))
    for j in range(n_lanes):
        value = cast(load(rows, (row + j, first)), np.float64) - centre - offset[row + j]
        tile[j] = cast(value * factor[row + j], np.float32)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")
def scale_rows(rows, mean, offset, factor, panels):
    """Lay (rows - mean - offset) * factor out in panels, worked in double precision.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
        C-contiguous.
    mean : float64 ndarray of shape (n_features,)
        Centre of the features.
    offset, factor : float64 ndarray of shape (n_rows,)
        Centre and scale of each row.
    panels : float32 ndarray of shape (n_panels, n_features, LANES)
        Written to; rows beyond the last become zero.
    """
    n, tile = rows.shape[1], registers(np.float32(0), LANES)
    whole = n // LANES * LANES
    for panel in range(panels.shape[0]):
        row = panel * LANES
        n_lanes = least(LANES, rows.shape[0] - row)
        for first in range(0, whole, LANES):
            _scale_tile(rows, row, n_lanes, first, mean, offset, factor, tile)
            transpose(tile)
            for i in range(LANES):
                store(panels, (panel, first + i, 0), tile[i])
        for i in range(whole, n):
            store(panels, (panel, i, 0), splat(np.float32(0)))
            for j in range(n_lanes):
                value = float(rows[row + j, i]) - mean[i] - offset[row + j]
                panels[panel, i, j] = np.float32(value * factor[row + j])


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")
def gather_rows(panels, rows):
    """Take rows back from panels.

    Parameters
    ----------
    panels : float32 ndarray of shape (n_panels, n_features, LANES)
    rows : float32 ndarray of shape (n_rows, at least n_features)
        Written to; C-contiguous.
    """
    n, tile = panels.shape[1], registers(np.float32(0), LANES)
    whole = n // LANES * LANES
    for panel in range(panels.shape[0]):
        row = panel * LANES
        n_lanes = least(LANES, rows.shape[0] - row)
        for first in range(0, whole, LANES):
            for i in range(LANES):
                tile[i] = load(panels, (panel, first + i, 0))
            transpose(tile)
            for j in range(n_lanes):
                store(rows, (row + j, first), tile[j])
        for i in range(whole, n):
            for j in range(n_lanes):
                rows[row + j, i] = panels[panel, i, j]
