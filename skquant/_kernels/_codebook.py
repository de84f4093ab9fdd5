"""Encode and decode blocks with a code that is a short list of words.

Lanes last, as in `_nested`.
"""

import numpy as np
from numba import njit

LANES = 64


@njit(cache=True, nogil=True)
def _closest_word(x, words, half_energy, score, best, index):
    """Find the word nearest to each lane: the one with the largest ⟨x, w⟩ - ‖w‖²/2."""
    real = x.dtype.type
    for j in range(LANES):
        best[j] = real(-np.inf)
    for word in range(words.shape[0]):
        for j in range(LANES):
            score[j] = -half_energy[word]
        for i in range(words.shape[1]):
            factor = words[word, i]
            if factor != real(0):
                for j in range(LANES):
                    score[j] += x[i * LANES + j] * factor
        for j in range(LANES):
            old_index, old_best, new = index[j], best[j], score[j]
            index[j] = np.int32(word) if new > old_best else old_index
            best[j] = max(new, old_best)


@njit(cache=True, nogil=True)
def encode_words(words, half_energy, rows, first, n_blocks, byte, codes, moments):
    """Encode n_blocks blocks of each row, a byte a block.

    Parameters
    ----------
    words : float32 ndarray of shape (n_words, dimension)
        At most 256.
    half_energy : float32 ndarray of shape (n_words,)
        ‖w‖²/2 of each word.
    rows : float32 ndarray of shape (n_rows, n_coordinates)
    first, n_blocks : int
        The coordinate where the blocks start, and their number.
    byte : int
        The byte of a row's code where they start.
    codes : uint8 ndarray of shape (n_rows, row_bytes)
        Written to.
    moments : float64 ndarray of shape (n_rows, 2)
        Added to: the product of the row with what it decodes to, and the square of the latter.
    """
    d = words.shape[1]
    x, score = np.zeros(d * LANES, rows.dtype), np.empty(LANES, rows.dtype)
    best, index = np.empty(LANES, rows.dtype), np.zeros(LANES, np.int32)
    for start in range(0, rows.shape[0], LANES):
        n_lanes = min(LANES, rows.shape[0] - start)
        for block in range(n_blocks):
            for j in range(n_lanes):
                for i in range(d):
                    x[i * LANES + j] = rows[start + j, first + block * d + i]
            _closest_word(x, words, half_energy, score, best, index)
            for j in range(n_lanes):
                word = index[j]
                codes[start + j, byte + block] = word
                moments[start + j, 0] += best[j] + half_energy[word]
                moments[start + j, 1] += 2 * half_energy[word]


@njit(cache=True, nogil=True)
def decode_words(words, codes, first, n_blocks, byte, panel):
    """Decode n_blocks blocks of each row into a panel of shape (n_coordinates, n_rows).

    Bytes that name no word decode to the first.
    """
    d, n_words = words.shape[1], words.shape[0]
    for block in range(n_blocks):
        for row in range(codes.shape[0]):
            word = codes[row, byte + block]
            word = word if word < n_words else 0
            for i in range(d):
                panel[first + block * d + i, row] = words[word, i]
