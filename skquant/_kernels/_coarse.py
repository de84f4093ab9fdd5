"""The coarse layer of a layered code: encode, decode, and find the best rows without decoding.

A word of six bits names four coordinates. Four words stand in three bytes: three in their low six
bits, and the fourth, highest bits first, in the two that are left. A row ends with the bytes that
its last words need.

A scan adds up, for each row, what its words are worth to a query, from a table of 64 bytes a word.
Rows lie in *slabs* of 64, (n_slabs, n_bytes, LANES) uint16, byte by byte: a lane has that of row i
in its lower half and that of row 32 + i in its upper half. Behind the words a row has four bytes
with the upper halves of two float32, a scale and an offset; the score of a row,

    scale * sum + offset / length

grows with its estimated distance.
"""

import numpy as np
from numba import njit

from ._look_up import N_ENTRIES, look_up
from ._vectors import (
    LANES,
    cast,
    from_bits,
    inlined,
    lane_bits,
    load,
    lowest_bit,
    most,
    registers,
    splat,
    store,
    where,
)  # fmt: skip
from ._words import get_bytes, put_bytes

BLOCK = 4  # coordinates of a word
CENTRE = 4
GROUP = 4  # words in GROUP_BYTES
GROUP_BYTES = 3
SLAB_ROWS = 2 * LANES
TERM_BYTES = 4
MOST_LEVELS = 63  # four entries of tables add up to a byte
SAMPLED = 16  # a slab in so many tells where to look


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
def _split_group(a, b, c):
    """Take the four words of a group, in the low six bits of each byte."""
    return a, b, c, (a & 0xC0C0 | b >> 2 & 0x3030 | c >> 4 & 0x0C0C) >> 2


@njit(cache=True, nogil=True, error_model="numpy")
def decode_coarse(points, sizes, codes, byte, factor, panels, energy):
    """Multiply panels by a factor and add what words decode to.

    The arguments are those of `encode_coarse`; `energy`, (n_rows,), is set to the squares of rows.
    """
    width, lanes, sums = panels.shape[2], np.empty(LANES, np.uint64), np.empty(LANES)
    for row in range(0, codes.shape[0], LANES):
        panel, lane, total = row // width, row % width, splat(0.0)
        for group in range(-(-len(sizes) // GROUP)):
            found = get_bytes(codes, row, byte + group * GROUP_BYTES, lanes)
            a, b, c = cast(found, np.uint16), cast(found >> 8, np.uint16), found >> 16
            a, b, c, d = _split_group(a, b, cast(c, np.uint16))
            square = splat(np.float32(0))
            for k in range(GROUP):
                word, index = GROUP * group + k, a if k == 0 else b if k == 1 else c
                index = d if k == 3 else index
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


@njit(cache=True, nogil=True, error_model="numpy")
def fill_tables(points, sizes, query, most_levels, values, tables):
    """Tabulate what words are worth to a query, as bytes.

    Parameters
    ----------
    points, sizes
        As in `encode_coarse`.
    query : float32 ndarray of shape (n_coordinates,)
        What rows are multiplied with.
    most_levels : int
        The largest byte.
    values : float32 ndarray of shape (n_words, 64)
        Written to.
    tables : uint8 ndarray of shape (n_words, 64)
        Written to.

    Returns
    -------
    step, start : float32
        A row's product with the query is about start + step times the sum of its bytes.
    """
    widest, start, part = np.float32(0), np.float32(0), np.empty(BLOCK, np.float32)
    for word in range(len(sizes)):
        for i in range(BLOCK):
            place = BLOCK * word + i
            part[i] = query[place] * sizes[word] if place < len(query) else np.float32(0)
        lowest, highest = np.float32(np.inf), np.float32(-np.inf)
        for entry in range(N_ENTRIES):
            value = np.float32(0)
            for i in range(BLOCK):
                value += part[i] * (np.float32(points[i, entry]) - np.float32(CENTRE))
            values[word, entry] = value
        for entry in range(N_ENTRIES):
            lowest, highest = min(lowest, values[word, entry]), max(highest, values[word, entry])
        widest, start = max(widest, highest - lowest), start + lowest
        for entry in range(N_ENTRIES):
            values[word, entry] -= lowest
    step = max(widest / np.float32(most_levels), np.float32(1e-30))
    inverse = np.float32(1) / step
    for word in range(len(sizes)):
        for entry in range(N_ENTRIES):
            tables[word, entry] = np.uint8(values[word, entry] * inverse + np.float32(0.5))
    return step, start


@inlined
def _sum_entries(tables, slabs, slab, total, upper):
    """Add up the entries that the words of a slab's rows name; give lower and upper rows.

    The sums of the lower rows come of subtracting the upper ones from sums of both.
    """
    n_words = tables.shape[0]
    for group in range(n_words // GROUP):
        word, byte = GROUP * group, GROUP_BYTES * group
        a, b = load(slabs, (slab, byte, 0)), load(slabs, (slab, byte + 1, 0))
        a, b, c, d = _split_group(a, b, load(slabs, (slab, byte + 2, 0)))
        entries = look_up(tables, (word, 0), a) + look_up(tables, (word + 1, 0), b)
        entries = entries + look_up(tables, (word + 2, 0), c) + look_up(tables, (word + 3, 0), d)
        total, upper = total + entries, upper + (entries >> 8)
    for k in range(n_words % GROUP):
        word, byte = n_words - n_words % GROUP + k, n_words // GROUP * GROUP_BYTES + k
        entries = look_up(tables, (word, 0), load(slabs, (slab, byte, 0)))
        total, upper = total + entries, upper + (entries >> 8)
    return total - (upper << 8), upper


@inlined
def _halves(slabs, slab, byte):
    """Read a float32 of each row, of which the slab holds the upper half: lower, upper rows."""
    low, high = load(slabs, (slab, byte, 0)), load(slabs, (slab, byte + 1, 0))
    lower, upper = low & 0xFF | high << 8, low >> 8 | high & 0xFF00
    return _from_half(lower), _from_half(upper)


@inlined
def _from_half(half):
    return from_bits(cast(cast(half, np.uint32) << 16, np.int32))


@inlined
def _score_slab(tables, step, start, inverse, slabs, slab):
    """Score the rows of a slab: its lower and its upper rows."""
    total = splat(np.uint16(0))
    lower, upper = _sum_entries(tables, slabs, slab, total, total)
    byte = slabs.shape[1] - TERM_BYTES
    lower_scale, upper_scale = _halves(slabs, slab, byte)
    lower_offset, upper_offset = _halves(slabs, slab, byte + 2)
    lower = lower_scale * (cast(lower, np.float32) * step + start) + lower_offset * inverse
    upper = upper_scale * (cast(upper, np.float32) * step + start) + upper_offset * inverse
    return lower, upper


@inlined
def _key(score):
    """Order floats as integers."""
    return score ^ (score >> np.int32(31) & np.int32(0x7FFFFFFF))


@njit(cache=True, nogil=True, error_model="numpy")
def _count_up_to(scores, n, limit, ones):
    """Count how many of the first n scores do not exceed a limit."""
    counts = splat(np.int32(0))
    for i in range(0, n, LANES):
        counts = counts + where(load(scores, i) <= limit, 1, splat(np.int32(0)))
    store(ones, 0, counts)
    return ones.sum()


@njit(cache=True, nogil=True, error_model="numpy")
def _kth_least(scores, n, k):
    """Find the kth least of the first n scores by bisection; there is room up to whole vectors."""
    room, keys, ones = np.empty(1, np.float32), np.empty(1, np.int32), np.empty(LANES, np.int32)
    keys = room.view(np.int32)
    scores[n : -(-n // LANES) * LANES] = np.inf
    room[0] = scores[:n].min()
    low = np.int64(_key(keys[0]))
    room[0] = scores[:n].max()
    high = np.int64(_key(keys[0]))
    while low < high:
        middle = (low + high) >> 1
        keys[0] = _key(np.int32(middle))
        if _count_up_to(scores, n, room[0], ones) >= k:
            high = middle
        else:
            low = middle + 1
    keys[0] = _key(np.int32(low))
    return room[0]


@njit(cache=True, nogil=True, error_model="numpy")
def keep_best(n_found, count, scores, rows, codes):
    """Keep the rows of least scores, of equal ones the first, in their order.

    The arguments are those of `collect_rows`.

    Returns
    -------
    n_found : int
    limit : float32
        What scores of more rows have to be below.
    """
    if n_found < count:
        return n_found, np.float32(np.inf)
    limit, kept = _kth_least(scores, n_found, count), 0
    n_equal = count
    for i in range(n_found):
        n_equal -= scores[i] < limit
    for i in range(n_found):
        equal = scores[i] == limit
        if scores[i] < limit or (equal and n_equal > 0):
            n_equal -= equal
            if kept < i:
                scores[kept], rows[kept], codes[kept] = scores[i], rows[i], codes[i]
            kept += 1
    return kept, limit


@njit(cache=True, nogil=True, error_model="numpy")
def sample_limit(tables, step, start, inverse, slabs, chosen, count):
    """Guess what the count best scores are below, from some slabs; the guess is a bit high."""
    room = np.empty((slabs.shape[0] // SAMPLED + 1) * SLAB_ROWS, np.float32)
    n = 0
    for slab in range(0, slabs.shape[0], SAMPLED):
        lower, upper = _score_slab(tables, step, start, inverse, slabs, slab)
        store(room, n, lower)
        store(room, n + LANES, upper)
        if chosen[slab] == np.uint64(0xFFFFFFFFFFFFFFFF):
            n += SLAB_ROWS
        else:
            first = n
            for lane in range(SLAB_ROWS):
                if chosen[slab] >> np.uint64(lane) & np.uint64(1):
                    room[n] = room[first + lane]
                    n += 1
    expected = count / SAMPLED
    rank = int(expected + 4 * np.sqrt(expected) + 4)
    return _kth_least(room, n, rank) if 2 * rank < n else np.float32(np.inf)


@njit(cache=True, nogil=True, error_model="numpy")
def collect_rows(
    tables, step, start, inverse, slabs, chosen, first_row, count, limit, n_found, scores, rows,
    codes,
):  # fmt: skip
    """Add the best rows of some slabs to those found before.

    Parameters
    ----------
    tables : uint8 ndarray of shape (n_words, 64)
    step, start : float32
        As `fill_tables` gives them.
    inverse : float32
        1 / length of the query.
    slabs : uint16 ndarray of shape (n_slabs, n_bytes, LANES)
    chosen : uint64 ndarray of shape (n_slabs,)
        A bit for each row that may be found.
    first_row : int
        Index of the first row of the slabs.
    count : int
        How many rows are wanted, at least 1.
    limit : float32
        Below which scores are.
    n_found : int
        Rows found before.
    scores : float32 ndarray of shape (capacity,)
        Written to. The capacity is a multiple of LANES and exceeds `count` by 64 or more.
    rows : int64 ndarray of shape (capacity,)
        Written to: their indices, ascending.
    codes : uint8 ndarray of shape (capacity, n_bytes - 4)
        Written to: their words.

    Returns
    -------
    n_found : int
        They may be more than wanted: `keep_best` makes a choice.
    limit : float32
        Of rows that are not below it there are enough.
    """
    own = np.empty(SLAB_ROWS, np.float32)
    for slab in range(slabs.shape[0]):
        lower, upper = _score_slab(tables, step, start, inverse, slabs, slab)
        near = lane_bits(lower < limit) | lane_bits(upper < limit) << np.uint64(LANES)
        near &= chosen[slab]
        if near != 0:
            if n_found + SLAB_ROWS > len(scores):
                n_found, limit = keep_best(n_found, count, scores, rows, codes)
            store(own, 0, lower)
            store(own, LANES, upper)
            while near != 0:
                lane = lowest_bit(near)
                near &= near - np.uint64(1)
                scores[n_found], rows[n_found] = own[lane], first_row + slab * SLAB_ROWS + lane
                half, shift = lane % np.uint64(LANES), lane // np.uint64(LANES) * np.uint64(8)
                for byte in range(codes.shape[1]):
                    codes[n_found, byte] = np.uint64(slabs[slab, byte, half]) >> shift
                n_found += 1
    return n_found, limit


@njit(cache=True, nogil=True, error_model="numpy")
def find_rows(tables, step, start, inverse, slabs, chosen, count, scores, rows, codes):
    """Find the rows of the least scores; the arguments are those of `collect_rows`.

    Returns
    -------
    n_found : int
        `count`, or as many as are chosen.
    """
    limit = sample_limit(tables, step, start, inverse, slabs, chosen, count)
    while True:
        n_found, _ = collect_rows(
            tables, step, start, inverse, slabs, chosen, 0, count, limit, 0, scores, rows, codes
        )
        if n_found >= count or limit == np.inf:
            return keep_best(n_found, count, scores, rows, codes)[0]
        limit = np.float32(np.inf)
