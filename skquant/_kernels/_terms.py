"""Pack and unpack row terms: small numbers side by side in the last bytes of compressed rows."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")
def unpack_fields(packed, widths, fields):
    """Split the bytes of rows into unsigned integers of given widths, the lowest bits first.

    Parameters
    ----------
    packed : uint8 ndarray of shape (n_rows, n_bytes)
    widths : int64 ndarray of shape (n_fields,)
        Bits of each; a row has at most eight bytes.
    fields : int64 ndarray of shape (n_fields, n_rows)
        Written to.
    """
    for row in range(packed.shape[0]):
        word = np.uint64(0)
        for i in range(packed.shape[1]):
            word |= np.uint64(packed[row, i]) << np.uint64(8 * i)
        for field in range(len(widths)):
            width = np.uint64(widths[field])
            fields[field, row] = word & ((np.uint64(1) << width) - np.uint64(1))
            word >>= width


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")
def pack_terms(amplitude, mantissa, ratio, steps, cosine, half_levels, rest, widths, packed):
    """Round the terms of rows and lay them side by side, the first in the lowest bits.

    Parameters
    ----------
    amplitude : uint32 ndarray of shape (n_rows,)
        Bits of float32 numbers that are not negative: their exponent and the leading `mantissa`
        bits are kept. What is too small becomes zero, what is too large the largest finite number.
    mantissa : int
    ratio : float64 ndarray of shape (n_rows,)
        Signal-to-noise ratios. Steps are logarithmic.
    steps : tuple of float
        log2 of the ratio at level 1, levels a bit, and the last level. Level 0 is no signal.
    cosine : float64 ndarray of shape (n_rows,)
        Numbers in [-1, 1], or a little beyond.
    half_levels : int
        Levels of a positive cosine.
    rest : uint32 ndarray of shape (n_rows,)
        Kept as it is.
    widths : int64 ndarray of shape (4,)
        Bits of the four, 0 for what is left out.
    packed : uint8 ndarray of shape (n_rows, n_bytes)
        Written to; at most eight bytes.
    """
    dropped, largest = 23 - mantissa, (0xFF << mantissa) - 1  # the next would be infinity
    lowest, per_bit, last = steps
    levels = np.empty(4, np.int64)
    for row in range(packed.shape[0]):
        level = (np.int64(amplitude[row]) + (1 << dropped >> 1)) >> dropped
        levels[0] = min(level, largest) if level >> mantissa > 0 else 0
        bits = np.log2(ratio[row])
        levels[1] = np.int64(min(max(np.rint((bits - lowest) * per_bit) + 1, 0.0), last))
        levels[2] = np.int64(np.rint(min(max(cosine[row], -1.0), 1.0) * half_levels)) + half_levels
        levels[3] = rest[row]
        word, bit = np.uint64(0), np.uint64(0)
        for i in range(4):
            if widths[i] > 0:
                word |= np.uint64(levels[i]) << bit
                bit += np.uint64(widths[i])
        for i in range(packed.shape[1]):
            packed[row, i] = word & np.uint64(255)
            word >>= np.uint64(8)
