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

from ._lanes import highest_bit, lane_bits, lowest_bit
from ._look_up import N_ENTRIES, look_up
from ._memory import gather_words, load, prefetch, store
from ._registers import registers
from ._terms import read_terms
from ._vectors import LANES, cast, from_bits, inlined, least, most, splat, where
from ._words import get_bytes, put_bytes

BLOCK = 4  # coordinates of a word
CENTRE = 4
GROUP = 4  # words in GROUP_BYTES
GROUP_BYTES = 3
SLAB_ROWS = 2 * LANES
TERM_BYTES = 4
MOST_LEVELS = 63  # four entries of tables add up to a byte
FIRST_ROWS = 2**12  # a scan looks at so many first, to know what it can pass over
ALL_ROWS = np.uint64(0xFFFFFFFFFFFFFFFF)


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


@inlined
def _read_group(codes, row, byte, lanes):
    """Read a group of words of as many rows as lanes."""
    found = get_bytes(codes, row, byte, lanes)
    a, b, c = cast(found, np.uint16), cast(found >> 8, np.uint16), cast(found >> 16, np.uint16)
    return _split_group(a, b, c)


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
def _aligned_tables(n_words):
    """Make tables of which each is a line of the cache."""
    room = np.empty((n_words + 1) * N_ENTRIES, np.uint8)
    start = -room.ctypes.data % N_ENTRIES
    return room[start : start + n_words * N_ENTRIES].reshape((n_words, N_ENTRIES))


@njit(cache=True, nogil=True, error_model="numpy")
def fill_tables(points, sizes, query):
    """Tabulate what words are worth to a query, as bytes.

    Parameters
    ----------
    points, sizes
        As in `encode_coarse`.
    query : float32 ndarray of shape (n_coordinates,)
        What rows are multiplied with.

    Returns
    -------
    tables : uint8 ndarray of shape (n_words, 64)
    step, start : float32
        A row's product with the query is about start + step times the sum of its bytes.
    """
    n_words, values = len(sizes), np.empty((len(sizes), N_ENTRIES), np.float32)
    tables, widest, start = _aligned_tables(n_words), np.float32(0), np.float32(0)
    for word in range(n_words):
        for half in range(0, N_ENTRIES, LANES):
            value = splat(np.float32(0))
            for i in range(min(BLOCK, len(query) - BLOCK * word)):
                point = cast(load(points, (i, half)), np.float32) - np.float32(CENTRE)
                value = value + point * (query[BLOCK * word + i] * sizes[word])
            store(values, (word, half), value)
        highest = np.float32(0)
        for entry in range(N_ENTRIES):
            highest = max(highest, values[word, entry])
        widest, start = max(widest, highest), start - highest
        for half in range(0, N_ENTRIES, LANES):  # with a word there is its negative
            store(values, (word, half), load(values, (word, half)) + highest)
    step = max(2 * widest / np.float32(min(MOST_LEVELS, 0xFFFF // n_words)), np.float32(1e-30))
    inverse = np.float32(1) / step
    for word in range(n_words):
        for half in range(0, N_ENTRIES, LANES):
            level = load(values, (word, half)) * inverse + np.float32(0.5)
            store(tables, (word, half), cast(cast(level, np.int32), np.uint8))
    return tables, step, start


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
def _count_up_to(scores, n, limit, counts):
    """Count how many of the first n scores do not exceed a limit."""
    total = splat(np.int32(0))
    for i in range(0, n, LANES):
        total = total + where(load(scores, i) <= limit, 1, splat(np.int32(0)))
    store(counts, 0, total)
    n_found = np.int32(0)
    for lane in range(LANES):
        n_found += counts[lane]
    return n_found


@njit(cache=True, nogil=True, error_model="numpy")
def _kth_least(scores, n, k, enough):
    """Bisect for a number that k of the first n scores do not exceed, and not more than are enough.

    If k are, it is the kth least score. There is room for whole vectors.
    """
    room, counts = np.empty(1, np.float32), np.empty(LANES, np.int32)
    keys = room.view(np.int32)
    scores[n : -(-n // LANES) * LANES] = np.inf
    room[0] = scores[:n].min()
    low = np.int64(_key(keys[0]))
    room[0] = scores[:n].max()
    high = np.int64(_key(keys[0]))
    while low < high:
        middle = (low + high) >> 1
        keys[0] = _key(np.int32(middle))
        n_found = _count_up_to(scores, n, room[0], counts)
        if n_found < k:
            low = middle + 1
        else:
            high = middle
            low = low if n_found > enough else high
    keys[0] = _key(np.int32(low))
    return room[0]


@njit(cache=True, nogil=True, error_model="numpy")
def keep_best(count, downwards, n_found, scores, rows, words):
    """Keep the rows of least scores, of equal ones those of the least index, in their order.

    The arguments are those of `collect_rows`.

    Returns
    -------
    n_found : int
    limit : float32
        What scores of more rows have to be below.
    """
    if n_found < count:
        return n_found, np.float32(np.inf)
    limit, n_equal, kept = _kth_least(scores, n_found, count, 0), count, 0
    for i in range(n_found):
        n_equal -= scores[i] < limit
    if downwards:  # the first of those that are equal go
        n_equal = -n_equal
        for i in range(n_found):
            n_equal += scores[i] == limit
    for i in range(n_found):
        keep = scores[i] < limit
        if scores[i] == limit:
            n_equal -= 1
            keep = (n_equal >= 0) != downwards
        if keep:
            if kept < i:
                scores[kept], rows[kept], words[kept] = scores[i], rows[i], words[i]
            kept += 1
    return kept, _above(limit) if downwards else limit


@inlined
def _above(score):
    """Give the next larger float32."""
    room = np.full(1, score)
    keys = room.view(np.int32)
    keys[0] = _key(np.int32(_key(keys[0]) + 1))
    return room[0]


@njit(cache=True, nogil=True, error_model="numpy")
def _first_limit(tables, step, start, inverse, slabs, chosen, count):
    """Give what scores of the best rows are below, which is known from some rows alone."""
    n, room = 0, np.empty((1 + FIRST_ROWS // SLAB_ROWS) * SLAB_ROWS, np.float32)
    for slab in range(min(len(slabs), FIRST_ROWS // SLAB_ROWS)):
        lower, upper = _score_slab(tables, step, start, inverse, slabs, slab)
        store(room, n, lower)
        store(room, n + LANES, upper)
        if chosen[slab] == ALL_ROWS:
            n += SLAB_ROWS
        else:
            first = n
            for lane in range(SLAB_ROWS):
                if chosen[slab] >> np.uint64(lane) & np.uint64(1):
                    room[n] = room[first + lane]
                    n += 1
    return (
        _above(_kth_least(room, n, count, count + count // 8)) if n >= count else np.float32(np.inf)
    )


@inlined
def _copy_words(slab_bytes, lane, steps, words, n):
    """Copy the bytes of a row's words out of a slab, and others behind them."""
    place = 2 * (lane % np.int32(LANES)) + lane // np.int32(LANES)
    last = np.int32(len(slab_bytes) - 2 * SLAB_ROWS)
    for byte in range(0, words.shape[1], LANES):
        index = least(load(steps, 0) + np.int32(byte * SLAB_ROWS), last) + np.int32(place)
        store(words, (n, byte), cast(gather_words(slab_bytes, index), np.uint8))


@njit(cache=True, nogil=True, error_model="numpy")
def collect_rows(
    tables, step, start, inverse, slabs, chosen, rest, first_row, count, downwards, limit, n_found,
    scores, rows, words,
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
    rest : uint8 ndarray of shape (n_rows, n_rest_bytes)
        The other bytes of rows, which are going to be needed.
    first_row : int
        Index of the first row of the slabs.
    count : int
        How many rows are wanted, at least 1.
    downwards : bool
        Whether to begin with the last row; then rows are found in descending order.
    limit : float32
        Below which scores are.
    n_found : int
        Rows found before.
    scores : float32 ndarray of shape (capacity,)
        Written to. The capacity is a multiple of LANES and exceeds `count` by 64 or more.
    rows : int64 ndarray of shape (capacity,)
        Written to: their indices.
    words : uint8 ndarray of shape (capacity, width)
        Written to: the bytes of their words, and some behind them. The width is a multiple of
        LANES.

    Returns
    -------
    n_found : int
        They may be more than wanted: `keep_best` makes a choice.
    limit : float32
        Of rows that are not below it there are enough.
    """
    own, n_slabs = np.empty(SLAB_ROWS, np.float32), slabs.shape[0]
    slab_bytes = slabs.reshape((n_slabs, slabs.shape[1] * LANES)).view(np.uint8)
    steps = (SLAB_ROWS * np.arange(LANES)).astype(np.int32)
    for i in range(n_slabs):
        slab = n_slabs - 1 - i if downwards else i
        lower, upper = _score_slab(tables, step, start, inverse, slabs, slab)
        near = lane_bits(lower < limit) | lane_bits(upper < limit) << np.uint64(LANES)
        near &= chosen[slab]
        if near != 0:
            if n_found + SLAB_ROWS > len(scores):
                n_found, limit = keep_best(count, downwards, n_found, scores, rows, words)
            store(own, 0, lower)
            store(own, LANES, upper)
            while near != 0:
                lane = highest_bit(near) if downwards else lowest_bit(near)
                near &= ~(np.uint64(1) << lane)
                scores[n_found], rows[n_found] = own[lane], first_row + slab * SLAB_ROWS + lane
                _copy_words(slab_bytes[slab], np.int32(lane), steps, words, n_found)
                prefetch(rest, (rows[n_found], 0))
                prefetch(rest, (rows[n_found], rest.shape[1] - 1))
                n_found += 1
    return n_found, limit


@njit(cache=True, nogil=True, error_model="numpy")
def find_rows(points, sizes, query, inverse, slabs, chosen, rest, count, downwards):
    """Find the rows of the least scores.

    Parameters
    ----------
    points, sizes, query
        As in `fill_tables`.
    inverse, slabs, chosen, count, downwards
        As in `collect_rows`.
    rest : uint8 ndarray of shape (n_rows, n_rest_bytes)
        The other bytes of all rows.

    Returns
    -------
    rows : int64 ndarray of shape (n_found,)
        Ascending: `count` indices, or as many as are chosen. They do not depend on `downwards`.
    words : uint8 ndarray of shape (n_found or more, width)
        The bytes of their words, and others behind them.
    others : uint8 ndarray of shape (n_found, n_rest_bytes)
        Their other bytes.
    """
    capacity = (count // SLAB_ROWS + 5) * SLAB_ROWS
    scores, rows = np.empty(capacity, np.float32), np.empty(capacity, np.int64)
    words = np.empty((capacity, slabs.shape[1] // LANES * LANES + LANES), np.uint8)
    tables, step, start = fill_tables(points, sizes, query)
    limit = _first_limit(tables, step, start, inverse, slabs, chosen, count)
    n_found, _ = collect_rows(
        tables, step, start, inverse, slabs, chosen, rest, 0, count, downwards, limit, 0, scores,
        rows, words,
    )  # fmt: skip
    n_found, _ = keep_best(count, downwards, n_found, scores, rows, words)
    if downwards:
        rows[:n_found], words[:n_found] = rows[:n_found][::-1].copy(), words[:n_found][::-1].copy()
    others = np.empty((n_found, rest.shape[1]), np.uint8)
    for i in range(n_found):
        others[i] = rest[rows[i]]
    return rows[:n_found], words, others


@njit(cache=True, nogil=True, error_model="numpy")
def measure_rows(
    points, sizes, words, factor, panels, query, length, others, first, layout, is_product,
    distances, nearest,
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
    query : float32 ndarray of shape (n_coordinates,)
        Of unit length.
    length : float
        That of the query.
    others : uint8 ndarray of shape (n_rows, n_bytes)
    first : int
        The byte of these where the terms of a row start.
    layout : NamedTuple
        Of the terms, as `_terms.unpack_terms` takes it.
    is_product : bool
        Whether distances are negated products instead of squared distances.
    distances : float64 ndarray of shape (k,)
        Written to: ascending, less the query's own part.
    nearest : int64 ndarray of shape (k,)
        Written to: rows; of equal distances the first ones.
    """
    lanes, energies, products = np.empty(LANES, np.uint64), np.empty(LANES), np.empty(LANES)
    k, kept = len(distances), 0
    for panel in range(panels.shape[0]):
        row, energy, product = panel * LANES, splat(0.0), splat(0.0)
        for group in range(-(-len(sizes) // GROUP)):
            indices = _read_group(words, row, group * GROUP_BYTES, lanes)
            square, part = splat(np.float32(0)), splat(np.float32(0))
            for k_word in range(GROUP):
                word, index = GROUP * group + k_word, _pick(indices, k_word)
                for i in range(min(BLOCK, panels.shape[1] - BLOCK * word)):
                    place = BLOCK * word + i
                    value = load(panels, (panel, place, 0)) * factor
                    value = value + _coordinate(points, i, index) * sizes[word]
                    square, part = square + value * value, part + value * query[place]
            energy, product = energy + cast(square, np.float64), product + cast(part, np.float64)
        store(energies, 0, energy)
        store(products, 0, product)
        for j in range(min(LANES, len(others) - row)):
            norm, alignment, centre_product, _ = read_terms(others, row + j, first, layout)
            size = alignment * np.sqrt(energies[j])
            estimate = length * products[j] * (norm / size if size > 0 else 0.0)
            distance = -centre_product - estimate if is_product else norm**2 - 2 * estimate
            if kept < k or distance < distances[k - 1]:
                kept = min(kept + 1, k)
                place = kept - 1
                while place > 0 and distance < distances[place - 1]:
                    distances[place], nearest[place] = distances[place - 1], nearest[place - 1]
                    place -= 1
                distances[place], nearest[place] = distance, row + j
