"""Randomised Hadamard rotation of rows, any number of coordinates."""

import numpy as np
from numba import njit

LANES = 16


@njit(cache=True, nogil=True)
def _transform(x, first, length):
    """Orthonormal Walsh-Hadamard transform of the coordinates [first, first + length)."""
    half = 1
    while half < length:
        for start in range(first, first + length, 2 * half):
            for i in range(start, start + half):
                for j in range(LANES):
                    upper, lower = x[i, j], x[i + half, j]
                    x[i, j] = upper + lower
                    x[i + half, j] = upper - lower
        half *= 2
    factor = x.dtype.type(1.0 / np.sqrt(length))
    for i in range(first, first + length):
        for j in range(LANES):
            x[i, j] *= factor


@njit(cache=True, nogil=True)
def _flip(x, signs, rotation_round):
    """Multiply the coordinates by a round's signs."""
    for i in range(x.shape[0]):
        if signs[rotation_round, i] < 0:
            for j in range(LANES):
                x[i, j] = -x[i, j]


@njit(cache=True, nogil=True)
def _load(rows, start, x):
    """Put up to LANES rows into the lanes."""
    for j in range(min(LANES, rows.shape[0] - start)):
        for i in range(x.shape[0]):
            x[i, j] = rows[start + j, i]


@njit(cache=True, nogil=True)
def _store(x, start, rows):
    """Take the rows back from the lanes."""
    for j in range(min(LANES, rows.shape[0] - start)):
        for i in range(x.shape[0]):
            rows[start + j, i] = x[i, j]


@njit(cache=True, nogil=True)
def rotate(rows, signs):
    """Rotate rows in place.

    A round flips signs and transforms the first and then the last 2^m coordinates, 2^m the
    largest power of two that fits: no coordinate is padding, and the two overlap.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_coordinates)
        Updated.
    signs : int8 ndarray of shape (n_rounds, n_coordinates)
    """
    n = rows.shape[1]
    length = 1
    while 2 * length <= n:
        length *= 2
    x = np.zeros((n, LANES), rows.dtype)
    for start in range(0, rows.shape[0], LANES):
        _load(rows, start, x)
        for rotation_round in range(signs.shape[0]):
            _flip(x, signs, rotation_round)
            _transform(x, 0, length)
            if length < n:
                _transform(x, n - length, length)
        _store(x, start, rows)


@njit(cache=True, nogil=True)
def rotate_back(rows, signs):
    """Undo `rotate` in place."""
    n = rows.shape[1]
    length = 1
    while 2 * length <= n:
        length *= 2
    x = np.zeros((n, LANES), rows.dtype)
    for start in range(0, rows.shape[0], LANES):
        _load(rows, start, x)
        for rotation_round in range(signs.shape[0] - 1, -1, -1):
            if length < n:
                _transform(x, n - length, length)
            _transform(x, 0, length)
            _flip(x, signs, rotation_round)
        _store(x, start, rows)
