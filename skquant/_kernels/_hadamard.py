"""Randomised Hadamard rotation of rows, any number of coordinates.

Lanes last, as in `_nested`: coordinate i of lane j is at ``[i * LANES + j]``.
"""

import numpy as np
from numba import njit

LANES = 32
LINE = 16


@njit(cache=True, nogil=True)
def _transform(x, first, length):
    """Walsh-Hadamard transform of the coordinates [first, first + length), not normalised.

    Two stages of butterflies share a pass over the memory; an odd one is left for the end.
    """
    begin, end, half = first * LANES, (first + length) * LANES, LANES
    while 2 * half < end - begin:
        for start in range(begin, end, 4 * half):
            for offset in range(start, start + half, LANES):
                a = np.uintp(offset)
                b, c, d = a + np.uintp(half), a + np.uintp(2 * half), a + np.uintp(3 * half)
                for j in range(np.uintp(LANES)):
                    p, q = x[a + j] + x[b + j], x[a + j] - x[b + j]
                    r, s = x[c + j] + x[d + j], x[c + j] - x[d + j]
                    x[a + j], x[b + j], x[c + j], x[d + j] = p + r, q + s, p - r, q - s
        half *= 4
    if half < end - begin:
        for offset in range(begin, begin + half, LANES):
            a, b = np.uintp(offset), np.uintp(offset + half)
            for j in range(np.uintp(LANES)):
                p, q = x[a + j], x[b + j]
                x[a + j], x[b + j] = p + q, p - q


@njit(inline="always")
def _multiply(x, coordinate, factor):
    """Multiply a coordinate in all lanes."""
    a, multiplier = np.uintp(coordinate * LANES), x.dtype.type(factor)
    for j in range(np.uintp(LANES)):
        x[a + j] *= multiplier


@njit(cache=True, nogil=True)
def _power_of_two(n):
    """Largest power of two that is at most n."""
    length = 1
    while 2 * length <= n:
        length *= 2
    return length


@njit(cache=True, nogil=True)
def _load(rows, start, x):
    """Put up to LANES rows into the lanes, a cache line of each at a time."""
    n, n_lanes = rows.shape[1], min(LANES, rows.shape[0] - start)
    for first in range(0, n, LINE):
        stop = np.uintp(min(first + LINE, n))
        for j in range(np.uintp(n_lanes)):
            row = np.uintp(start) + j
            for i in range(np.uintp(first), stop):
                x[i * np.uintp(LANES) + j] = rows[row, i]


@njit(cache=True, nogil=True)
def _store(x, start, rows):
    """Take the rows back from the lanes."""
    n, n_lanes = rows.shape[1], min(LANES, rows.shape[0] - start)
    for first in range(0, n, LINE):
        stop = np.uintp(min(first + LINE, n))
        for j in range(np.uintp(n_lanes)):
            row = np.uintp(start) + j
            for i in range(np.uintp(first), stop):
                rows[row, i] = x[i * np.uintp(LANES) + j]


@njit(cache=True, nogil=True)
def _fold(x, n):
    """Replace the coordinates i and n - n//2 + i by their sum and difference over √2.

    The transforms of a round see different coordinates where n is no power of two; this one,
    between them, carries energy across. It is its own inverse.
    """
    half = n // 2
    factor = x.dtype.type(np.sqrt(0.5))
    for i in range(half):
        a, b = np.uintp(i * LANES), np.uintp((n - half + i) * LANES)
        for j in range(np.uintp(LANES)):
            p, q = x[a + j], x[b + j]
            x[a + j], x[b + j] = factor * (p + q), factor * (p - q)


@njit(cache=True, nogil=True)
def rotate(rows, signs):
    """Rotate rows in place.

    A round flips signs and transforms all coordinates. Where their number n is no power of two it
    folds the two halves, transforms the first 2^m coordinates, flips signs again, in reverse
    order, and transforms the last 2^m, with 2^m the largest power of two up to n. No coordinate
    is padding.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_coordinates)
        Updated.
    signs : int8 ndarray of shape (n_rounds, n_coordinates)
    """
    n = rows.shape[1]
    length = _power_of_two(n)
    factor = 1.0 / np.sqrt(length)
    x = np.zeros(n * LANES, rows.dtype)
    for start in range(0, rows.shape[0], LANES):
        _load(rows, start, x)
        for r in range(signs.shape[0]):
            for i in range(n):
                _multiply(x, i, signs[r, i] * (factor if length == n else 1.0))
            if length < n:
                _fold(x, n)
            _transform(x, 0, length)
            if length < n:
                for i in range(n):
                    scale = (factor if i < length else 1.0) * (factor if i >= n - length else 1.0)
                    _multiply(x, i, signs[r, n - 1 - i] * scale)
                _transform(x, n - length, length)
        _store(x, start, rows)


@njit(cache=True, nogil=True)
def rotate_back(rows, signs):
    """Undo `rotate` in place."""
    n = rows.shape[1]
    length = _power_of_two(n)
    factor = 1.0 / np.sqrt(length)
    x = np.zeros(n * LANES, rows.dtype)
    for start in range(0, rows.shape[0], LANES):
        _load(rows, start, x)
        for r in range(signs.shape[0] - 1, -1, -1):
            if length < n:
                _transform(x, n - length, length)
                for i in range(n):
                    scale = (factor if i < length else 1.0) * (factor if i >= n - length else 1.0)
                    _multiply(x, i, signs[r, n - 1 - i] * scale)
            _transform(x, 0, length)
            if length < n:
                _fold(x, n)
            for i in range(n):
                _multiply(x, i, signs[r, i] * (factor if length == n else 1.0))
        _store(x, start, rows)
