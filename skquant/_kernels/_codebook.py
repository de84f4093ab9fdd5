"""Code blocks by a short list of words: encode, decode, multiply; panels as in `_nested`."""

import numpy as np
from numba import njit

from ._memory import load, store
from ._registers import registers
from ._vectors import LANES, cast, inlined, most, splat, where

BLOCK = 8
MOST_WORDS = 256


@inlined
def _closest_word(x, words, half_energy):
    """Find the word nearest to each lane: the one with the largest ⟨x, w⟩ - ‖w‖²/2."""
    best = splat(half_energy[0]) * -np.inf
    index = cast(best > 0.0, np.int32)
    for word in range(words.shape[0]):
        score = splat(-half_energy[word])
        for i in range(BLOCK):
            score = score + x[i] * words[word, i]
        index = where(score > best, word, index)
        best = most(best, score)
    return index, best


@njit(cache=True, nogil=True, error_model="numpy")
def encode_words(words, half_energy, panels, first, n_blocks, byte, codes, moments):
    """Encode n_blocks blocks of eight coordinates of each row, a byte a block.

    Parameters
    ----------
    words : float32 ndarray of shape (n_words, 8)
        At most 256, the first one zero.
    half_energy : float32 ndarray of shape (n_words,)
        ‖w‖²/2 of each word.
    panels : float32 ndarray of shape (n_panels, n_coordinates, width)
        The width is a multiple of LANES.
    first, n_blocks : int
        The coordinate where the blocks start, and their number.
    byte : int
        The byte of a row's code where they start.
    codes : uint8 ndarray of shape (n_rows, row_bytes)
        Written to. `panels` may have room for more rows.
    moments : float64 ndarray of shape (n_rows, 2)
        Added to: the product of the row with what it decodes to, and the square of the latter.
    """
    width, x = panels.shape[2], registers(np.float32(0), 8)
    indices, scores = np.empty(LANES, np.int32), np.empty(LANES, np.float32)
    for row in range(0, codes.shape[0], LANES):
        panel, lane = row // width, row % width
        for block in range(n_blocks):
            for i in range(BLOCK):
                x[i] = load(panels, (panel, first + block * BLOCK + i, lane))
            index, score = _closest_word(x, words, half_energy)
            store(indices, 0, index)
            store(scores, 0, score)
            for j in range(min(LANES, codes.shape[0] - row)):
                word = indices[j]
                codes[row + j, byte + block] = word
                moments[row + j, 0] += scores[j] + half_energy[word]
                moments[row + j, 1] += 2 * half_energy[word]


@njit(cache=True, nogil=True, error_model="numpy")
def decode_words(words, half_energy, codes, first, n_blocks, byte, panels, energy):
    """Decode n_blocks blocks of each row into panels, as `encode_words` takes them.

    Bytes that name no word decode to the first, as do rows that there is only room for. `energy`,
    (n_rows,), gets added the squares of what each row decodes to.
    """
    width, n_words = panels.shape[2], words.shape[0]
    columns, own = words.T.copy(), np.empty(LANES, np.uintp)
    for row in range(0, panels.shape[0] * width, LANES):
        panel, lane, n_lanes = row // width, row % width, min(LANES, codes.shape[0] - row)
        for block in range(n_blocks):
            own[:] = 0
            for j in range(n_lanes):
                word = codes[row + j, byte + block]
                own[j] = word if word < n_words else 0
                energy[row + j] += 2 * half_energy[own[j]]
            for i in range(BLOCK):
                place = np.uintp(first + block * BLOCK + i)
                for j in range(LANES):
                    panels[panel, place, np.uintp(lane + j)] = columns[i, own[np.uintp(j)]]


@njit(cache=True, nogil=True, error_model="numpy")
def multiply_words(tables, squares, codes, byte, products, energy):
    """Add up what the words of rows are worth to a few vectors, from tables.

    Parameters
    ----------
    tables : float32 ndarray of shape (n_vectors, n_blocks, MOST_WORDS)
        Products of each vector's blocks with the words; zero beyond the last word.
    squares : float64 ndarray of shape (MOST_WORDS,)
        ‖w‖² of each word.
    codes : uint8 ndarray of shape (n_rows, row_bytes)
    byte : int
        The byte of a row's code where the blocks start.
    products : float64 ndarray of shape (n_rows, n_vectors)
        Added to.
    energy : float64 ndarray of shape (n_rows,)
        Added to: the squares of what rows decode to.
    """
    for row in range(codes.shape[0]):
        for block in range(tables.shape[1]):
            energy[row] += squares[codes[row, byte + block]]
        for v in range(tables.shape[0]):
            for block in range(tables.shape[1]):
                products[row, v] += tables[v, block, codes[row, byte + block]]
