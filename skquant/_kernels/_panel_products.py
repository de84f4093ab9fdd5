"""Products of a matrix with panels of rows, which are too narrow for BLAS to be fast."""

import numpy as np
from numba import njit

from ._memory import load, store
from ._registers import registers
from ._vectors import inlined, multiply_add, splat

COLUMNS = 12  # whose sums fit the registers
PANELS_AT_ONCE = 16  # for which some columns are laid out
FEW_PANELS = 3  # for which that does not pay


@inlined
def _sum_columns(matrix, start, panels, panel, sums):
    """Multiply columns of a matrix by a panel."""
    for k in range(COLUMNS):
        sums[k] = splat(np.float32(0))
    for i in range(panels.shape[1]):
        x = load(panels, (panel, i, 0))
        for k in range(COLUMNS):
            sums[k] = multiply_add(splat(matrix[i, start + k]), x, sums[k])


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")
def multiply_panels(matrix, panels, products):
    """Multiply the transpose of a matrix by each panel; what comes of a row depends on it alone.

    Parameters
    ----------
    matrix : float32 ndarray of shape (n_features, n_coordinates)
        C-contiguous.
    panels : float32 ndarray of shape (n_panels, n_features, LANES)
    products : float32 ndarray of shape (n_panels, n_coordinates, LANES)
        Written to.
    """
    (n_features, n_coordinates), n_panels = matrix.shape, len(panels)
    sums, columns = registers(np.float32(0), COLUMNS), np.zeros((n_features, COLUMNS), np.float32)
    for first in range(0, n_panels, PANELS_AT_ONCE):
        for start in range(0, n_coordinates, COLUMNS):
            width = min(COLUMNS, n_coordinates - start)
            in_place = n_panels <= FEW_PANELS and width == COLUMNS
            if not in_place:
                columns[:, :width] = matrix[:, start : start + width]
            for panel in range(first, min(first + PANELS_AT_ONCE, n_panels)):
                if in_place:
                    _sum_columns(matrix, start, panels, panel, sums)
                else:
                    _sum_columns(columns, 0, panels, panel, sums)
                for k in range(width):
                    store(products, (panel, start + k, 0), sums[k])
