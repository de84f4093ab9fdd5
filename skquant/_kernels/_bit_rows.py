"""Rows of indices, each column in bits of its own, one behind the other in a stream of bytes."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def write_bits(indices, widths, data):
    """Write rows of indices, the lowest bit first.

    Parameters
    ----------
    indices : int64 ndarray of shape (n_rows, n_columns)
        Not negative; higher bits than a column has are not written.
    widths : int64 ndarray of shape (n_columns,)
        Bits of an index of each column, at most 48.
    data : uint8 ndarray of shape (ceil(n_rows * sum(widths) / 8),)
        Written to.
    """
    word, n_bits, place = np.uint64(0), np.uint64(0), 0
    for row in range(indices.shape[0]):
        for column in range(indices.shape[1]):
            width = np.uint64(widths[column])
            index = np.uint64(indices[row, column]) & ((np.uint64(1) << width) - np.uint64(1))
            word |= index << n_bits
            n_bits += width
            while n_bits >= np.uint64(8):
                data[place] = word & np.uint64(255)
                word >>= np.uint64(8)
                n_bits -= np.uint64(8)
                place += 1
    if n_bits > np.uint64(0):
        data[place] = word


@njit(cache=True, nogil=True)
def read_bits(data, widths, indices):
    """Read what `write_bits` has written.

    Parameters
    ----------
    data : uint8 ndarray
        At least the bytes of all rows.
    widths : int64 ndarray of shape (n_columns,)
    indices : int64 ndarray of shape (n_rows, n_columns)
        Written to.
    """
    word, n_bits, place = np.uint64(0), np.uint64(0), 0
    for row in range(indices.shape[0]):
        for column in range(indices.shape[1]):
            width = np.uint64(widths[column])
            while n_bits < width:
                word |= np.uint64(data[place]) << n_bits
                n_bits += np.uint64(8)
                place += 1
            indices[row, column] = word & ((np.uint64(1) << width) - np.uint64(1))
            word >>= width
            n_bits -= width
