"""Randomised Hadamard rotation of rows, any number of coordinates, in panels as in `_nested`."""

import numpy as np
from numba import njit

from ._vectors import LANES, inlined, load, registers, store


@inlined
def _butterfly(x, i, j):
    """Replace two vectors by their sum and difference."""
    a, b = x[i], x[j]
    x[i], x[j] = a + b, a - b


@inlined
def _three_stages(x, panels, panel, first, half, lane):
    """Do three stages of butterflies on eight coordinates, `half` apart."""
    for i in range(8):
        x[i] = load(panels, (panel, first + i * half, lane))
    for i in range(0, 8, 2):
        _butterfly(x, i, i + 1)
    for i in range(0, 8, 4):
        _butterfly(x, i, i + 2)
        _butterfly(x, i + 1, i + 3)
    for i in range(4):
        _butterfly(x, i, i + 4)
    for i in range(8):
        store(panels, (panel, first + i * half, lane), x[i])


@inlined
def _one_stage(panels, panel, first, half, lane, factor):
    """Replace two coordinates, `half` apart, by multiples of their sum and difference."""
    a = load(panels, (panel, first, lane))
    b = load(panels, (panel, first + half, lane))
    store(panels, (panel, first, lane), (a + b) * factor)
    store(panels, (panel, first + half, lane), (a - b) * factor)


@inlined
def _transform(panels, panel, lane, first, length):
    """Walsh-Hadamard transform of the coordinates [first, first + length), not normalised.

    Stages share a pass over the memory as long as three are left.
    """
    x, half = registers(panels[0, 0, 0], 8), 1
    while 8 * half <= length:
        for start in range(first, first + length, 8 * half):
            for offset in range(half):
                _three_stages(x, panels, panel, start + offset, half, lane)
        half *= 8
    while 2 * half <= length:
        for start in range(first, first + length, 2 * half):
            for offset in range(half):
                _one_stage(panels, panel, start + offset, half, lane, 1.0)
        half *= 2


@inlined
def _fold(panels, panel, lane):
    """Replace the coordinates i and n - n//2 + i by their sum and difference over √2.

    The transforms of a round see different coordinates where n is no power of two; this one,
    between them, carries energy across. It is its own inverse.
    """
    n = panels.shape[1]
    for i in range(n // 2):
        _one_stage(panels, panel, i, n - n // 2, lane, np.sqrt(0.5))


@inlined
def _multiply(panels, panel, lane, factors):
    """Multiply each coordinate by its factor."""
    for i in range(panels.shape[1]):
        product = load(panels, (panel, i, lane)) * factors[i]
        store(panels, (panel, i, lane), product)


@njit(cache=True, nogil=True, error_model="numpy")
def rotate(panels, length, factors):
    """Rotate rows in place.

    A round flips signs and transforms all coordinates. Where their number n is no power of two it
    folds the two halves, transforms the first 2^m coordinates, flips signs again, and transforms
    the last 2^m. No coordinate is padding.

    Parameters
    ----------
    panels : ndarray of shape (n_panels, n, width)
        Updated; the width is a multiple of LANES.
    length : int
        2^m, the largest power of two up to n.
    factors : ndarray of shape (n_rounds, 2, n)
        Signs before each of the two transforms, times what normalises them.
    """
    n = panels.shape[1]
    for panel in range(panels.shape[0]):
        for lane in range(0, panels.shape[2], LANES):
            for r in range(factors.shape[0]):
                _multiply(panels, panel, lane, factors[r, 0])
                if length < n:
                    _fold(panels, panel, lane)
                _transform(panels, panel, lane, 0, length)
                if length < n:
                    _multiply(panels, panel, lane, factors[r, 1])
                    _transform(panels, panel, lane, n - length, length)


@njit(cache=True, nogil=True, error_model="numpy")
def rotate_back(panels, length, factors):
    """Undo `rotate` in place."""
    n = panels.shape[1]
    for panel in range(panels.shape[0]):
        for lane in range(0, panels.shape[2], LANES):
            for r in range(factors.shape[0] - 1, -1, -1):
                if length < n:
                    _transform(panels, panel, lane, n - length, length)
                    _multiply(panels, panel, lane, factors[r, 1])
                _transform(panels, panel, lane, 0, length)
                if length < n:
                    _fold(panels, panel, lane)
                _multiply(panels, panel, lane, factors[r, 0])
