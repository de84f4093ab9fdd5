"""The coarse layer of a layered code: encode and decode its words, and measure rows by both layers.

A word of six bits names four coordinates. Four words stand in three bytes: three in their low six
bits, and the fourth, highest bits first, in the two that are left. A row ends with the bytes that
its last words need.
"""

import numpy as np
from numba import njit

from ._look_up import N_ENTRIES, look_up
from ._memory import load, store
from ._registers import registers
from ._terms import ALIGNMENT, CENTRE_PRODUCT, NORM, unpack_terms
from ._vectors import LANES, cast, inlined, most, splat, where
from ._words import get_bytes, put_bytes, split_group

BLOCK = 4  # coordinates of a word
CENTRE = 4
GROUP = 4  # words in GROUP_BYTES
GROUP_BYTES = 3


@inlined
def _closest_word(x, words, half_energy):
    """Find the word nearest to each lane, and say where its coordinates are."""
    best = splat(half_energy[0]) * np.float32(-np.inf)
    index = cast(best > np.float32(0), np.int32)
    for word in range(words.shape[0]):
        score = splat(-half_energy[word])
        for i in range(BLOCK):
            score = score + x[i] * words[word, i]
        index = where(score > best, word, index)
        best = most(best, score)
    return index


@inlined
def _coordinate(points, i, index):
    """Give a coordinate of words, in units of their size."""
    value = cast(look_up(points, (i, 0), index) & 255, np.float32)
    return value - np.float32(CENTRE)


@njit(cache=True, nogil=True, error_model="numpy")
def encode_coarse(points, sizes, panels, byte, codes, factor, rest):
    """Encode rows with the words nearest to their blocks.

    Parameters
    ----------
    points : uint8 ndarray of shape (4, 64)
        The coordinates of the words plus CENTRE, in units of a block's size.
    sizes : float32 ndarray of shape (n_words,)
    panels : float32 ndarray of shape (n_panels, n_coordinates, width)
        The width is a multiple of LANES.
    byte : int
        The byte of a row's code where its words start.
    codes : uint8 ndarray of shape (n_rows, row_bytes)
        Written to.
    factor : float32
        What the rest is multiplied with.
    rest : float32 ndarray of the shape of `panels`
        Written to: what is left over.
    """
    width, n_coordinates, lanes = panels.shape[2], panels.shape[1], np.empty(LANES, np.uint64)
    words = points.T.astype(np.float32) - np.float32(CENTRE)
    half_energy = np.empty(N_ENTRIES, np.float32)
    for word in range(N_ENTRIES):
        half_energy[word] = np.float32(0.5) * (words[word] ** 2).sum()
    x = registers(np.float32(0), BLOCK)
    for row in range(0, codes.shape[0], LANES):
        panel, lane = row // width, row % width
        pending, place = splat(np.uint64(0)), byte
        for word in range(len(sizes)):
            unit = np.float32(1) / sizes[word]
            for i in range(BLOCK):
                x[i] = splat(np.float32(0))
                if BLOCK * word + i < n_coordinates:
                    x[i] = load(panels, (panel, BLOCK * word + i, lane)) * unit
            index = _closest_word(x, words, half_energy)
            narrow, wide = cast(index, np.uint16), cast(index, np.uint64)
            for i in range(BLOCK):
                if BLOCK * word + i < n_coordinates:
                    own = load(panels, (panel, BLOCK * word + i, lane))
                    own = own - _coordinate(points, i, narrow) * sizes[word]
                    store(rest, (panel, BLOCK * word + i, lane), own * factor)
            last = word % GROUP == GROUP - 1
            if last:
                pending = pending | (wide & 3) << 22 | (wide >> 2 & 3) << 14 | (wide >> 4) << 6
            else:
                pending = pending | wide << 8 * (word % GROUP)
            if last or word == len(sizes) - 1:
                n_bytes = min(word % GROUP + 1, GROUP_BYTES)
                put_bytes(pending, n_bytes, codes, row, place, lanes)
                pending, place = splat(np.uint64(0)), place + n_bytes


@inlined
def _read_group(codes, row, byte, lanes):
    """Read a group of words of as many rows as lanes."""
    found = get_bytes(codes, row, byte, lanes)
    a, b, c = cast(found, np.uint16), cast(found >> 8, np.uint16), cast(found >> 16, np.uint16)
    return split_group(a, b, c)


@inlined
def _pick(words, k):
    """Take one of the four words of a group."""
    index = words[0] if k == 0 else words[1]
    return words[2] if k == 2 else words[3] if k == 3 else index


@njit(cache=True, nogil=True, error_model="numpy")
def decode_coarse(points, sizes, codes, byte, factor, panels, energy):
    """Multiply panels by a factor and add what words decode to.

    The arguments are those of `encode_coarse`; `energy`, (n_rows,), is set to the squares of rows.
    """
    width, lanes, sums = panels.shape[2], np.empty(LANES, np.uint64), np.empty(LANES)
    for row in range(0, codes.shape[0], LANES):
        panel, lane, total = row // width, row % width, splat(0.0)
        for group in range(-(-len(sizes) // GROUP)):
            indices = _read_group(codes, row, byte + group * GROUP_BYTES, lanes)
            square = splat(np.float32(0))
            for k in range(GROUP):
                word, index = GROUP * group + k, _pick(indices, k)
                for i in range(min(BLOCK, panels.shape[1] - BLOCK * word)):
                    place = BLOCK * word + i
                    value = load(panels, (panel, place, lane)) * factor
                    value = value + _coordinate(points, i, index) * sizes[word]
                    store(panels, (panel, place, lane), value)
                    square = square + value * value
            total = total + cast(square, np.float64)
        store(sums, 0, total)
        for j in range(min(LANES, codes.shape[0] - row)):
            energy[row + j] = sums[j]


@inlined
def _put_vectors(vectors, owners, row, held, lanes):
    """Lay the vectors of rows side by side, where others are."""
    for j in range(min(LANES, len(owners) - row)):
        if held[j] != owners[row + j]:
            held[j] = owners[row + j]
            for place in range(vectors.shape[1]):
                lanes[place, j] = vectors[held[j], place]


@njit(cache=True, nogil=True, error_model="numpy")
def measure_rows(
    points, sizes, words, factor, panels, vectors, length, owners, base, centre_norms, others,
    first, layout, is_product, numbers, distances, nearest,
):  # fmt: skip
    """Measure rows by both layers, and keep the nearest.

    Parameters
    ----------
    points, sizes
        As in `encode_coarse`.
    words : uint8 ndarray of shape (n_rows or more, at least n_word_bytes)
    factor : float32
        What the second layer is multiplied with.
    panels : float32 ndarray of shape (n_panels, n_coordinates, LANES)
        What the second layer decodes to.
    vectors : float32 ndarray of shape (n_centres, n_coordinates)
        What the query is from the centres of rows, over `length`.
    length : float
    owners : int64 ndarray of shape (n_rows,)
        The centre of each row.
    base : float64 ndarray of shape (n_centres,)
        The part of distances that concerns query and centre alone.
    centre_norms : float64 ndarray of shape (n_centres,)
        The norms of the centres, over that of the layout.
    others : uint8 ndarray of shape (n_rows, n_bytes)
    first : int
        The byte of these where the terms of a row start.
    layout : NamedTuple
        Of the terms, as `_terms.unpack_terms` takes it.
    is_product : bool
        Whether distances are negated products instead of squared distances.
    numbers : int64 ndarray of shape (n_rows,)
        What the rows go by.
    distances : float64 ndarray of shape (k,)
        Written to: ascending.
    nearest : int64 ndarray of shape (k,)
        Written to: numbers; of equal distances the smallest first.
    """
    lanes, energies, products = np.empty(LANES, np.uint64), np.empty(LANES), np.empty(LANES)
    held, across = np.full(LANES, -1), np.zeros((vectors.shape[1], LANES), np.float32)
    terms, k, kept = np.empty((4, len(others))), len(distances), 0
    unpack_terms(others[:, first:], layout, terms)
    for panel in range(panels.shape[0]):
        row, energy, product = panel * LANES, splat(0.0), splat(0.0)
        _put_vectors(vectors, owners, row, held, across)
        for group in range(-(-len(sizes) // GROUP)):
            indices = _read_group(words, row, group * GROUP_BYTES, lanes)
            square, part = splat(np.float32(0)), splat(np.float32(0))
            for k_word in range(GROUP):
                word, index = GROUP * group + k_word, _pick(indices, k_word)
                for i in range(min(BLOCK, panels.shape[1] - BLOCK * word)):
                    place = BLOCK * word + i
                    value = load(panels, (panel, place, 0)) * factor
                    value = value + _coordinate(points, i, index) * sizes[word]
                    square = square + value * value
                    part = part + value * load(across, (place, 0))
            energy, product = energy + cast(square, np.float64), product + cast(part, np.float64)
        store(energies, 0, energy)
        store(products, 0, product)
        for j in range(min(LANES, len(others) - row)):
            norm, centre = terms[NORM, row + j], owners[row + j]
            size = terms[ALIGNMENT, row + j] * np.sqrt(energies[j])
            estimate = length * products[j] * (norm / size if size > 0 else 0.0)
            distance = norm**2 - 2 * estimate
            if is_product:
                distance = -terms[CENTRE_PRODUCT, row + j] * centre_norms[centre] - estimate
            distance, number = base[centre] + distance, numbers[row + j]
            if kept < k or (distance, number) < (distances[k - 1], nearest[k - 1]):
                kept = min(kept + 1, k)
                place = kept - 1
                while place > 0 and (distance, number) < (distances[place - 1], nearest[place - 1]):
                    distances[place], nearest[place] = distances[place - 1], nearest[place - 1]
                    place -= 1
                distances[place], nearest[place] = distance, number
