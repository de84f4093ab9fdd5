"""Pack and unpack row terms: small numbers side by side in the last bytes of compressed rows."""

import numpy as np
from numba import njit

from ._vectors import inlined

NORM, ALIGNMENT, CENTRE_PRODUCT, ROW_MEAN = range(4)


@inlined
def _mask(width):
    """Give a word with the lowest bits set."""
    return (np.uint64(1) << np.uint64(width)) - np.uint64(1)


@inlined
def _read_magnitudes(words, first, mantissa, bits):
    """Put the leading bits of float32 numbers into place; the exponent of infinity reads as zero.

    Loops over rows that do one thing each become vector instructions.
    """
    mask, shift = _mask(8 + mantissa), np.uint64(23 - mantissa)
    infinite = np.uint64(0xFF) << np.uint64(mantissa)
    for row in range(len(words)):
        level = words[row] >> np.uint64(first) & mask
        bits[row] = np.uint32(level << shift) if level < infinite else np.uint32(0)


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
    n_rows, n_bytes = packed.shape
    words, bits = np.zeros(n_rows, np.uint64), np.empty(n_rows, np.uint32)
    floats, alignments = bits.view(np.float32), layout.alignments
    for i in range(n_bytes):
        for row in range(n_rows):
            words[row] |= np.uint64(packed[row, i]) << np.uint64(8 * i)
    _read_magnitudes(words, 0, layout.mantissa, bits)
    first, last = np.uint64(8 + layout.mantissa), np.uint64(layout.alignment_bits)
    if layout.has_alignment:
        mask, cosine_mask = _mask(layout.alignment_bits), _mask(layout.cosine_bits)
        half = (1 << layout.cosine_bits) // 2 - 1 if layout.cosine_bits > 0 else 0
        for row in range(n_rows):
            level = np.int64(words[row] >> first + last & cosine_mask)
            cosine = min(max(np.float64(level - half) / max(half, 1), -1.0), 1.0)
            terms[NORM, row], terms[ROW_MEAN, row] = floats[row], 0.0
            terms[ALIGNMENT, row] = alignments[np.int64(words[row] >> first & mask)]
            terms[CENTRE_PRODUCT, row] = terms[NORM, row] * cosine * layout.centre_norm
        return
    alignment = alignments[0]
    for row in range(n_rows):
        terms[NORM, row] = floats[row] / alignment if alignment > 0 else 0.0
        terms[ALIGNMENT, row], terms[CENTRE_PRODUCT, row] = alignment, 0.0
        terms[ROW_MEAN, row] = 0.0
    if layout.has_mean:
        _read_magnitudes(words, first, 23, bits)
        for row in range(n_rows):
            is_negative = words[row] >> first + np.uint64(31) & np.uint64(1) != 0
            terms[ROW_MEAN, row] = -floats[row] if is_negative else floats[row]


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
