"""Randomised Hadamard rotation of rows, any number of coordinates, in panels as in `_nested`."""

import numpy as np
from numba import njit

from ._memory import load, store
from ._traced import traced
from ._vectors import LANES, inlined

IN_CACHE = 128  # coordinates of LANES rows that fit the first level of the cache


@traced
def _butterflies(x, apart):
    """Replace vectors that are so far apart by their sums and differences."""
    for i in range(len(x)):
        if i & apart == 0:
            x[i], x[i + apart] = x[i] + x[i + apart], x[i] - x[i + apart]


@traced
def _three_stages(panels, panel, first, half, lane):
    """Do three stages of butterflies on eight coordinates, `half` apart."""
    x = [load(panels, (panel, first + i * half, lane)) for i in range(8)]
    for apart in (1, 2, 4):
        _butterflies(x, apart)
    for i in range(8):
        store(panels, (panel, first + i * half, lane), x[i])


@traced
def _one_stage(panels, panel, first, half, lane, factor):
    """Replace two coordinates, `half` apart, by multiples of their sum and difference."""
    a = load(panels, (panel, first, lane))
    b = load(panels, (panel, first + half, lane))
    store(panels, (panel, first, lane), (a + b) * factor)
    store(panels, (panel, first + half, lane), (a - b) * factor)


@inlined
def _stages(panels, panel, lane, first, length, half):
    """Do all stages of a transform whose coordinates are `half` or more apart.

    Stages share a pass over the memory as long as three are left.
    """
    while 8 * half <= length:
        for start in range(first, first + length, 8 * half):
            for place in range(start, start + half):
                _three_stages(panels, panel, place, half, lane)
        half *= 8
    while 2 * half <= length:
        for start in range(first, first + length, 2 * half):
            for place in range(start, start + half):
                _one_stage(panels, panel, place, half, lane, 1.0)
        half *= 2


@inlined
def _transform(panels, panel, lane, first, length):
    """Walsh-Hadamard transform of the coordinates [first, first + length), not normalised.

    Parts that fit the cache come before what is left, three stages at a time.
    """
    half, part = np.int64(1), length  # a literal would be another type, and compiled for itself
    while part > IN_CACHE:
        part //= 8
    while half < length:
        for start in range(first, first + length, part):
            _stages(panels, panel, lane, start, part, half)
        half, part = part, length


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


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")
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
                for end in range(1 if length == n else 2):
                    _multiply(panels, panel, lane, factors[r, end])
                    if length < n and end == 0:
                        _fold(panels, panel, lane)
                    _transform(panels, panel, lane, end * (n - length), length)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")
def rotate_back(panels, length, factors):
    """Undo `rotate` in place."""
    n = panels.shape[1]
    for panel in range(panels.shape[0]):
        for lane in range(0, panels.shape[2], LANES):
            for r in range(factors.shape[0] - 1, -1, -1):
                for end in range(0 if length == n else 1, -1, -1):
                    _transform(panels, panel, lane, end * (n - length), length)
                    if length < n and end == 0:
                        _fold(panels, panel, lane)
                    _multiply(panels, panel, lane, factors[r, end])
