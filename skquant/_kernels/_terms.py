"""Pack and unpack row terms: small numbers side by side in the last bytes of compressed rows."""

import numpy as np
from numba import njit

from ._memory import room
from ._vectors import (
    from_bits,
    inlined,
    least,
    most,
)

NORM, ALIGNMENT, CENTRE_PRODUCT, ROW_MEAN = range(4)


@inlined
def _magnitude(level, mantissa):
    """Read the leading bits of a float32; the exponent of infinity reads as zero."""
    if level >> np.uint64(mantissa) == np.uint64(0xFF):
        return 0.0
    return np.float64(from_bits(np.uint32(level << np.uint64(23 - mantissa))))


@inlined
def _cut(word, width):
    """Take the lowest bits off a word: them, and the rest."""
    width = np.uint64(width)
    return word & ((np.uint64(1) << width) - np.uint64(1)), word >> width


@inlined
def _read_terms(packed, row, layout):
    """Read the terms of a row; see `unpack_terms`."""
    word = np.uint64(0)
    for i in range(packed.shape[1]):
        word |= np.uint64(packed[row, i]) << np.uint64(8 * i)
    level, word = _cut(word, 8 + layout.mantissa)
    magnitude = _magnitude(level, layout.mantissa)
    if layout.has_alignment:
        level, word = _cut(word, layout.alignment_bits)
        alignment = layout.alignments[level]
        level, word = _cut(word, layout.cosine_bits)
        half = (1 << layout.cosine_bits) // 2 - 1 if layout.cosine_bits > 0 else 0
        cosine = least(most((np.float64(level) - half) / most(half, 1), -1.0), 1.0)
        return magnitude, alignment, magnitude * cosine * layout.centre_norm, 0.0
    row_mean, alignment = 0.0, layout.alignments[0]
    if layout.has_mean:
        level, word = _cut(word, np.int64(32))
        row_mean = _magnitude(level & np.uint64(0x7FFFFFFF), np.int64(23))
        row_mean = -row_mean if level >> np.uint64(31) else row_mean
    norm = magnitude / alignment if alignment > 0 else 0.0
    return norm, alignment, 0.0, row_mean


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")
def unpack_terms(packed, layout, terms):
    """Read the terms of rows.

    Parameters
    ----------
    packed : uint8 ndarray of shape (n_rows, n_bytes)
        At most eight bytes a row.
    layout : NamedTuple
        `mantissa`, `alignment_bits` and `cosine_bits`, how many bits there are of each;
        `has_alignment` and `has_mean`, whether rows have these terms; `alignments`, the alignment
        at each level, or that of all rows; and `centre_norm`.
    terms : float64 ndarray of shape (4, n_rows)
        Written to: norm, alignment, product with the centre, and mean.
    """
    for row in range(packed.shape[0]):
        norm, alignment, product, mean = _read_terms(packed, row, layout)
        terms[NORM, row], terms[ALIGNMENT, row] = norm, alignment
        terms[CENTRE_PRODUCT, row], terms[ROW_MEAN, row] = product, mean


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
    levels = room(np.int64(0), 4)
    for row in range(packed.shape[0]):
        level = (np.int64(amplitude[row]) + (1 << dropped >> 1)) >> dropped
        levels[0] = least(level, largest) if level >> mantissa > 0 else 0
        bits = np.log2(ratio[row])
        levels[1] = np.int64(least(most(np.rint((bits - lowest) * per_bit) + 1, 0.0), last))
        levels[2] = (
            np.int64(np.rint(least(most(cosine[row], -1.0), 1.0) * half_levels)) + half_levels
        )
        levels[3] = rest[row]
        word, bit = np.uint64(0), np.uint64(0)
        for i in range(4):
            if widths[i] > 0:
                word |= np.uint64(levels[i]) << bit
                bit += np.uint64(widths[i])
        for i in range(packed.shape[1]):
            packed[row, i] = word & np.uint64(255)
            word >>= np.uint64(8)
