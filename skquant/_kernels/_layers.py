"""Codes in layers of one byte: each names one of 256 words, of half the size from layer to layer.

The bytes of a block of eight coordinates stand side by side, the coarsest first. Products with a
vector take no arithmetic but sums: what all words are worth to a block of the vector stands in a
table of 16-bit integers, as two tables of bytes, and the layers share it, since they are multiples.
"""

import numpy as np
from numba import njit

from ._dot import HAS_BYTES, dot_bytes
from ._lanes import lane_bits, lowest_bit
from ._look_up import look_up, look_up_words
from ._memory import copy_bytes, load, prefetch, store
from ._registers import registers
from ._squares import SIDE, turn_to_steps
from ._traced import traced
from ._vectors import LANES, cast, least, splat

BLOCK = 8
N_WORDS = 256
WIDTH, MARGIN = 8, np.float32(0.6)  # of the beam: beginnings, and what they cost beyond the best
LAYERS_AT_ONCE = 4  # layers that a lane of 32 bits holds
LINE = SIDE * LAYERS_AT_ONCE  # bytes that are put in order at once


@njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy")
def _insert(cost, candidate, costs, candidates, n_kept):
    """Insert a candidate into a list that ascends; the last one makes room if it is full."""
    place = min(n_kept, WIDTH - 1)
    while place > 0 and costs[place - 1] > cost:
        costs[place], candidates[place] = costs[place - 1], candidates[place - 1]
        place -= 1
    costs[place], candidates[place] = cost, candidate
    return min(n_kept + 1, WIDTH)


@traced
def _scores(columns, half_energy, first, rest):
    """Give ‖w‖²/2 - ⟨r, w⟩ of LANES words w and what is left of a block, -r."""
    score = load(half_energy, first)
    for i in range(BLOCK):
        score = score + load(columns, (i, first)) * rest[i]
    return score


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")
def encode_layers(words, sizes, panels, first, n_blocks, byte, codes, moments):
    """Encode n_blocks blocks of each row, layer by layer, with the best WIDTH beginnings kept.

    Parameters
    ----------
    words : float32 ndarray of shape (N_WORDS, 8)
    sizes : float32 ndarray of shape (n_layers,)
        What the words of each layer are multiplied with.
    panels : float32 ndarray of shape (n_panels, n_coordinates, width)
    first, n_blocks : int
        The coordinate where the blocks start, and their number.
    byte : int
        The byte of a row's code where they start.
    codes : uint8 ndarray of shape (n_rows, row_bytes)
        Written to. `panels` may have room for more rows.
    moments : float64 ndarray of shape (n_rows, 2)
        Added to: the product of the row with what it decodes to, and the square of the latter.
    """
    n_layers, width, columns = len(sizes), panels.shape[2], words.T.copy()
    half_energy, minima = np.empty(N_WORDS, np.float32), np.empty(LANES, np.float32)
    scores = np.empty(N_WORDS * WIDTH, np.float32)
    for word in range(N_WORDS):
        half_energy[word] = np.float32(0.5) * (words[word] * words[word]).sum()
    rests, paths = np.empty((2, WIDTH, BLOCK), np.float32), np.empty((2, WIDTH, n_layers), np.uint8)
    costs, energies = np.empty(WIDTH, np.float32), np.empty(WIDTH, np.float32)
    candidates, rest = np.empty(WIDTH, np.int64), registers(np.float32(0), BLOCK)
    for row in range(codes.shape[0]):
        panel, lane = row // width, row % width
        for block in range(n_blocks):
            place, n_kept, now = first + block * BLOCK, 1, 0
            energies[0] = np.float32(0)
            for i in range(BLOCK):
                value = panels[panel, place + i, lane]
                rests[0, 0, i] = value
                energies[0] += value * value
            for layer in range(n_layers):
                n_parents, n_kept, size = n_kept, 0, sizes[layer]
                least_costs, weight = splat(np.float32(np.inf)), splat(np.float32(2) * size * size)
                for parent in range(n_parents):
                    for i in range(BLOCK):
                        rest[i] = splat(-rests[now, parent, i] / size)
                    for start in range(0, N_WORDS, LANES):
                        score = _scores(columns, half_energy, start, rest)
                        cost = score * weight + energies[parent]
                        store(scores, N_WORDS * parent + start, cost)
                        least_costs = least(least_costs, cost)
                store(minima, 0, least_costs)
                limit = minima[0]
                for i in range(1, LANES):
                    limit = min(limit, minima[i])
                if layer < n_layers - 1:
                    limit += MARGIN * size * size
                for start in range(0, N_WORDS * n_parents, LANES):
                    near = lane_bits(load(scores, start) <= limit)
                    while near != 0:
                        candidate = start + np.int64(lowest_bit(near))
                        near &= near - np.uint64(1)
                        cost = scores[candidate]
                        if n_kept < WIDTH or cost < costs[WIDTH - 1]:
                            n_kept = _insert(cost, candidate, costs, candidates, n_kept)
                for kept in range(n_kept):
                    parent, word = candidates[kept] // N_WORDS, candidates[kept] % N_WORDS
                    energies[kept] = costs[kept]
                    for i in range(BLOCK):
                        rests[1 - now, kept, i] = rests[now, parent, i] - size * words[word, i]
                    for i in range(layer):
                        paths[1 - now, kept, i] = paths[now, parent, i]
                    paths[1 - now, kept, layer] = word
                now = 1 - now
            for layer in range(n_layers):
                codes[row, byte + block * n_layers + layer] = paths[now, 0, layer]
            for i in range(BLOCK):
                value = panels[panel, place + i, lane]
                decoded = value - rests[now, 0, i]
                moments[row, 0] += value * decoded
                moments[row, 1] += decoded * decoded


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")
def decode_layers(words, sizes, codes, first, n_blocks, byte, panels):
    """Decode n_blocks blocks of each row into panels; `encode_layers` explains the arguments.

    Rows that there is only room for become zero.
    """
    n_layers, width, sums = len(sizes), panels.shape[2], np.empty(BLOCK, np.float32)
    for row in range(0, panels.shape[0] * width, LANES):
        panel, lane, n_lanes = row // width, row % width, min(LANES, codes.shape[0] - row)
        for block in range(n_blocks):
            start, place = byte + block * n_layers, first + block * BLOCK
            for j in range(LANES):
                for i in range(BLOCK):
                    sums[i] = np.float32(0)
                for layer in range(n_layers if j < n_lanes else 0):
                    word = codes[row + j, start + layer]
                    for i in range(BLOCK):
                        sums[i] += sizes[layer] * words[word, i]
                for i in range(BLOCK):
                    panels[panel, place + i, lane + j] = sums[i]


@traced
def _add_weighted(sums, entries, weights):
    """Add up the four bytes of each lane, times as many bytes of a number."""
    if HAS_BYTES:
        return dot_bytes(sums, entries, weights)
    for shift in range(0, 32, 8):
        sums = sums + (entries >> shift & 255) * (weights >> shift & 255)
    return sums


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")
def multiply_layers(tables, order, weights, factors, n_layers, codes, byte, room, products):
    """Add up what the words of rows are worth to a few vectors.

    A lane holds up to four layers of a block, a word; a block of more layers has two words.

    Parameters
    ----------
    tables : uint8 ndarray of shape (n_vectors, n_blocks, 2, N_WORDS)
        What each word is worth, the upper and the lower byte of it.
    order : uint8 ndarray of shape (LINE,)
        Which of the bytes from a block on make up the next words, layer by layer.
    weights : int32 ndarray of shape (n_parts,)
        What to multiply the four bytes of each of a block's words with, a byte each.
    factors : float64 ndarray of shape (n_parts,)
        What the sums of these are multiplied with.
    n_layers : int
    codes : uint8 ndarray of shape (n_rows, row_bytes)
    byte : int
        The byte of a row's code where the blocks start.
    room : int32 ndarray of shape (3, LANES, SIDE)
        Working memory, aligned to lines of the cache.
    products : float64 ndarray of shape (n_rows, n_vectors)
        Added to.
    """
    n_vectors, n_blocks, n_parts = tables.shape[0], tables.shape[1], len(weights)
    blocks_of_a_line, stop = SIDE // n_parts, byte + n_blocks * n_layers
    lines, steps = room[0].view(np.uint16), room[1].reshape((SIDE, LANES))
    ends, places = room[2].view(np.uint8), load(order.view(np.uint16), 0)
    totals, sums = np.empty((n_vectors, LANES)), registers(np.int32(0), 2)
    for row in range(0, codes.shape[0], LANES):
        n_lanes = min(LANES, codes.shape[0] - row)
        totals[:] = 0
        for start in range(0, n_blocks, blocks_of_a_line):
            place = byte + start * n_layers
            if n_lanes == LANES and place + LINE <= codes.shape[1]:
                for j in range(LANES):
                    store(lines, (j, 0), look_up(codes, (row + j, place), places))
                    prefetch(codes, (row + LANES + j, place))
            else:
                for j in range(n_lanes):
                    copy_bytes(codes, (row + j, place), ends, (j, 0), min(LINE, stop - place))
                for j in range(LANES):
                    store(lines, (j, 0), look_up(ends, (j, 0), places))
            turn_to_steps(lines, steps)
            n_here = min(blocks_of_a_line, n_blocks - start)
            for v in range(n_vectors):
                total = load(totals, (v, 0))
                for part in range(n_parts):
                    sums[0] = sums[1] = splat(np.int32(0))
                    for block in range(n_here):
                        words = load(steps, (block * n_parts + part, 0))
                        for half in range(2):
                            entries = look_up_words(tables, (v, start + block, half, 0), words)
                            sums[half] = _add_weighted(sums[half], entries, weights[part])
                    both = (sums[0] << 8) + sums[1]
                    total = total + cast(both, np.float64) * factors[part]
                store(totals, (v, 0), total)
        for v in range(n_vectors):
            for j in range(n_lanes):
                products[row + j, v] += totals[v, j]
