"""Centre and scale rows before they are rotated."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz", "contract"})
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


@njit(cache=True, nogil=True)
def scale_rows(rows, mean, offset, factor, out):
    """Write (rows - mean - offset) * factor as float32, worked in double precision."""
    for row in range(rows.shape[0]):
        shift, multiplier = offset[row], factor[row]
        for i in range(rows.shape[1]):
            value = float(rows[row, i]) - mean[i] - shift
            out[row, i] = np.float32(value * multiplier)


@njit(cache=True, nogil=True)
def column_energy(panel):
    """Sum the squares of each column, in an order that does not depend on how many there are.

    Parameters
    ----------
    panel : float32 ndarray of shape (n_coordinates, n_rows)

    Returns
    -------
    float64 ndarray of shape (n_rows,)
    """
    energy = np.zeros(panel.shape[1], np.float64)
    for i in range(panel.shape[0]):
        for row in range(panel.shape[1]):
            energy[row] += float(panel[i, row]) * float(panel[i, row])
    return energy
