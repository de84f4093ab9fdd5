"""The scan of coarse layers: find the rows that look best without decoding them.

A scan adds up, for each row, what its words (`_coarse`) are worth to a query, from a table of 64
bytes a word. Rows lie in *slabs* of 64, (n_slabs, n_bytes, LANES) uint16, byte by byte: a lane has
that of row i in its lower half and that of row 32 + i in its upper half. Beside them are the rows'
terms, (n_slabs, 2, LANES) float32: each is a scale, and its lower 16 bits are the upper ones of an
offset. The score of a row,

    (scale * sum + offset * inverse) * step + shift

with one `inverse`, `step` and `shift` for many rows, grows with its estimated distance.
"""

import numpy as np
from numba import njit

from ._coarse import BLOCK, CENTRE, GROUP, GROUP_BYTES
from ._lanes import lane_bits, lanes_of, lowest_bit
from ._least_scores import above, keep_best, kth_least
from ._look_up import N_ENTRIES, look_up
from ._memory import copy_bytes, load, prefetch, store
from ._vectors import LANES, bits, cast, from_bits, inlined, least, most, splat, where
from ._words import split_group

SLAB_ROWS = 2 * LANES
MOST_LEVELS = 63  # four entries of tables, one of them larger by 1, add up to a byte
SLABS_AHEAD = 4  # that are asked for while another is read
SLABS_OF_A_GROUP = 8  # whose least scores bound those of the best rows
ALL_ROWS = np.uint64(0xFFFFFFFFFFFFFFFF)
LARGEST = np.float32(3e38)


@inlined
def _aligned_tables(n_words):
    """Make tables of which each is a line of the cache."""
    room = np.empty((n_words + 1) * N_ENTRIES, np.uint8)
    start = -room.ctypes.data % N_ENTRIES
    return room[start : start + n_words * N_ENTRIES].reshape((n_words, N_ENTRIES))


@inlined
def _highest_products(points, factors, highest):
    """Find what the words of each block are worth at most, LANES blocks at a time."""
    for block in range(0, highest.shape[0], LANES):
        best = splat(np.float32(0))
        for entry in range(N_ENTRIES):
            value = splat(np.float32(0))
            for i in range(BLOCK):
                point = np.float32(points[i, entry]) - np.float32(CENTRE)
                value = value + load(factors, (i, block)) * point
            best = most(best, value)
        store(highest, block, best)


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
    start : int
    step : float32
        A row's product with the query is about step * (start + the sum of its bytes), and the
        latter factor fits 16 bits.
    """
    n_words = len(sizes)
    n_padded = -(-n_words // LANES) * LANES
    factors, highest = np.zeros((BLOCK, n_padded), np.float32), np.empty(n_padded, np.float32)
    for i in range(len(query)):
        factors[i % BLOCK, i // BLOCK] = query[i] * sizes[i // BLOCK]
    _highest_products(points, factors, highest)
    widest, lowest = np.float32(0), 0.0
    for word in range(n_words):  # with a word there is its negative
        widest, lowest = max(widest, highest[word]), lowest - highest[word]
    n_levels = min(MOST_LEVELS, 0xFFFE // n_words)
    step = max(2 * widest / np.float32(n_levels), np.float32(1e-30))
    start = np.int64(np.rint(lowest / step))
    highest[0] += np.float32(lowest - start * step)
    tables, inverse = _aligned_tables(n_words), np.float32(1) / step
    for word in range(n_words):
        for half in range(0, N_ENTRIES, LANES):
            value = splat(np.float32(0))
            for i in range(BLOCK):
                point = cast(load(points, (i, half)), np.float32) - np.float32(CENTRE)
                value = value + factors[i, word] * point
            level = (value + highest[word]) * inverse + np.float32(0.5)
            store(tables, (word, half), cast(cast(level, np.int32), np.uint8))
    return tables, start, step


@inlined
def _sum_entries(tables, start, slabs, slab):
    """Add to a number the entries that the words of a slab's rows name: lower and upper rows.

    The sums of the lower rows come of subtracting the upper ones from sums of both.
    """
    n_words, both, upper = tables.shape[0], splat(np.uint16(0)), splat(np.uint16(0))
    for group in range(n_words // GROUP):
        word, byte = GROUP * group, GROUP_BYTES * group
        a, b = load(slabs, (slab, byte, 0)), load(slabs, (slab, byte + 1, 0))
        a, b, c, d = split_group(a, b, load(slabs, (slab, byte + 2, 0)))
        entries = look_up(tables, (word, 0), a) + look_up(tables, (word + 1, 0), b)
        entries = entries + look_up(tables, (word + 2, 0), c) + look_up(tables, (word + 3, 0), d)
        both, upper = both + entries, upper + (entries >> 8)
    for k in range(n_words % GROUP):
        word, byte = n_words - n_words % GROUP + k, n_words // GROUP * GROUP_BYTES + k
        entries = look_up(tables, (word, 0), load(slabs, (slab, byte, 0)))
        both, upper = both + entries, upper + (entries >> 8)
    first = splat(np.uint16(start))
    return cast(both - (upper << 8) + first, np.int16), cast(upper + first, np.int16)


@inlined
def _score_rows(sums, terms, inverse):
    """Turn sums of entries into scores, of which none is infinite."""
    offset = from_bits(bits(terms) << 16)
    return least(terms * cast(sums, np.float32) + offset * inverse, splat(LARGEST))


@inlined
def _score_slab(tables, start, inverse, slabs, terms, slab):
    """Score the rows of a slab in steps, but for the shift: its lower and its upper rows."""
    lower, upper = _sum_entries(tables, start, slabs, slab)
    lower = _score_rows(lower, load(terms, (slab, 0, 0)), inverse)
    return lower, _score_rows(upper, load(terms, (slab, 1, 0)), inverse)


@inlined
def _least_chosen(lower, upper, chosen):
    """Give the least score of each lane, infinite where neither of its rows is chosen."""
    infinite = splat(np.float32(np.inf))
    lower = where(lanes_of(chosen), lower, infinite)
    return least(lower, where(lanes_of(chosen >> np.uint64(LANES)), upper, infinite))


@njit(cache=True, nogil=True, error_model="numpy")
def _scan_slabs(tables, start, inverse, slabs, terms, chosen, downwards, nearest, groups):
    """Write down the least scores of each slab, and of each SLABS_OF_A_GROUP: a number a lane."""
    n_slabs, group = len(slabs), splat(np.float32(np.inf))
    for i in range(n_slabs):
        slab = n_slabs - 1 - i if downwards else i
        if i + SLABS_AHEAD < n_slabs:
            ahead = slab - SLABS_AHEAD if downwards else slab + SLABS_AHEAD
            for byte in range(slabs.shape[1]):
                prefetch(slabs, (ahead, byte, 0))
            for part in range(4):
                prefetch(terms, (ahead, part // 2, part % 2 * (LANES // 2)))
        lower, upper = _score_slab(tables, start, inverse, slabs, terms, slab)
        near = _least_chosen(lower, upper, chosen[slab])
        store(nearest, slab * LANES, near)
        group = least(group, near)
        if i % SLABS_OF_A_GROUP == SLABS_OF_A_GROUP - 1 or i == n_slabs - 1:
            store(groups, i // SLABS_OF_A_GROUP * LANES, group)
            group = splat(np.float32(np.inf))


@njit(cache=True, nogil=True, error_model="numpy")
def _bound(nearest, groups, count):
    """Give what the scores of the best rows are below, as far as the least of some can tell."""
    if len(groups) >= 4 * count:
        return above(kth_least(groups, len(groups), count, count + count // 16))
    if len(nearest) >= count:
        return above(kth_least(nearest, len(nearest), count, count + count // 16))
    return np.float32(np.inf)


@inlined
def _copy_words(slabs, slab, lane, words, n):
    """Copy the bytes of a row's words out of a slab."""
    shift = np.uint16(8 * (lane // np.uint64(LANES)))
    for byte in range(slabs.shape[1]):
        words[n, byte] = np.uint8(slabs[slab, byte, lane % np.uint64(LANES)] >> shift)


@njit(cache=True, nogil=True, error_model="numpy")
def collect_rows(
    tables, start, step, inverse, shift, slabs, terms, order, chosen, rest, count, limit, n_found,
    scores, rows, words,
):  # fmt: skip
    """Add the best rows of some slabs to those found before.

    Parameters
    ----------
    tables, start
        As `fill_tables` gives them.
    step : float32
        What scores are multiplied with, of this call's and others'.
    inverse : float32
        What offsets are multiplied with, 1 / length of the query, in steps.
    shift : float32
        Added to the scores.
    slabs : uint16 ndarray of shape (n_slabs, n_bytes, LANES)
        All slabs.
    terms : float32 ndarray of shape (n_slabs, 2, LANES)
    order : int64 ndarray of shape (n_some,)
        Those to look at.
    chosen : uint64 ndarray of shape (n_slabs,)
        A bit for each row that may be found.
    rest : uint8 ndarray of shape (n_rows, n_rest_bytes)
        The other bytes of rows, which are going to be needed.
    count : int
        How many rows are wanted, at least 1.
    limit : float32
        Below which scores are.
    n_found : int
        Rows found before.
    scores : float32 ndarray of shape (capacity,)
        Written to. The capacity is a multiple of LANES and exceeds `count` by 64 or more.
    rows : int64 ndarray of shape (capacity,)
        Written to: their indices.
    words : uint8 ndarray of shape (capacity, n_bytes)
        Written to: the bytes of their words.

    Returns
    -------
    n_found : int
        They may be more than wanted: `keep_best` makes a choice.
    limit : float32
        Of rows that are not below it there are enough.
    """
    own = np.empty(SLAB_ROWS, np.float32)
    for slab in order:
        lower, upper = _score_slab(tables, start, inverse, slabs, terms, slab)
        lower, upper = lower * step + shift, upper * step + shift
        near = lane_bits(lower < limit) | lane_bits(upper < limit) << np.uint64(LANES)
        near &= chosen[slab]
        if near != 0:
            if n_found + SLAB_ROWS > len(scores):
                n_found, limit = keep_best(count, n_found, scores, rows, words)
            store(own, 0, lower)
            store(own, LANES, upper)
            while near != 0:
                lane = lowest_bit(near)
                near &= near - np.uint64(1)
                scores[n_found], rows[n_found] = own[lane], slab * SLAB_ROWS + lane
                _copy_words(slabs, slab, lane, words, n_found)
                prefetch(rest, (rows[n_found], 0))
                prefetch(rest, (rows[n_found], rest.shape[1] - 1))
                n_found += 1
    return n_found, limit


@njit(cache=True, nogil=True, error_model="numpy")
def find_rows(points, sizes, query, inverse, slabs, terms, chosen, rest, count, downwards):
    """Find the rows of the least scores.

    All slabs are read once, which bounds these scores, and those with rows below a second time.

    Parameters
    ----------
    points, sizes, query
        As in `fill_tables`.
    inverse : float32
        What offsets are multiplied with, 1 / length of the query.
    slabs, terms, chosen, count
        As in `collect_rows`.
    rest : uint8 ndarray of shape (n_rows, n_rest_bytes)
        The other bytes of all rows.
    downwards : bool
        Whether to begin with the last row, which changes nothing but the time it takes.

    Returns
    -------
    rows : int64 ndarray of shape (n_found,)
        Ascending: `count` indices, or as many as are chosen.
    words : uint8 ndarray of shape (n_found or more, n_bytes)
        The bytes of their words.
    others : uint8 ndarray of shape (n_found, n_rest_bytes)
        Their other bytes.
    """
    n_slabs, capacity = len(slabs), (count // SLAB_ROWS + 5) * SLAB_ROWS
    scores, rows = np.empty(capacity, np.float32), np.empty(capacity, np.int64)
    words = np.empty((capacity, slabs.shape[1]), np.uint8)
    nearest = np.empty(n_slabs * LANES, np.float32)
    groups = np.empty(-(-n_slabs // SLABS_OF_A_GROUP) * LANES, np.float32)
    tables, start, step = fill_tables(points, sizes, query)
    inverse = min(inverse / step, LARGEST)
    _scan_slabs(tables, start, inverse, slabs, terms, chosen, downwards, nearest, groups)
    limit, order, n_near = _bound(nearest, groups, count), np.empty(n_slabs, np.int64), 0
    for slab in range(n_slabs):
        order[n_near] = slab
        n_near += lane_bits(load(nearest, slab * LANES) < limit) != 0
    n_found, _ = collect_rows(
        tables, start, np.float32(1), inverse, np.float32(0), slabs, terms, order[:n_near], chosen,
        rest, count, limit, 0, scores, rows, words,
    )  # fmt: skip
    n_found, _ = keep_best(count, n_found, scores, rows, words)
    others = np.empty((n_found, rest.shape[1]), np.uint8)
    for i in range(n_found):
        copy_bytes(rest, (rows[i], 0), others, (i, 0), rest.shape[1])
    return rows[:n_found], words, others


@inlined
def _choose_rows(first, last, chosen):
    """Mark the rows of a range in the slabs that it touches; list these."""
    order = np.arange(first // SLAB_ROWS, -(-last // SLAB_ROWS))
    chosen[order[0] : order[-1] + 1] = ALL_ROWS
    chosen[order[0]] &= ALL_ROWS << np.uint64(first % SLAB_ROWS)
    chosen[order[-1]] &= ALL_ROWS >> np.uint64(-last % SLAB_ROWS)
    return order


@njit(cache=True, nogil=True, error_model="numpy")
def find_listed_rows(
    points, sizes, query, centroids, visits, base, unit, starts, slabs, terms, rest, count
):
    """Find the rows of the least scores in some lists.

    Parameters
    ----------
    points, sizes
        As in `fill_tables`.
    query : float32 ndarray of shape (n_coordinates,)
    centroids : float32 ndarray of shape (n_lists, n_coordinates)
    visits : int64 ndarray of shape (n_visits,)
        The lists, none of which is empty.
    base : float64 ndarray of shape (n_visits,)
        The part of distances that concerns query and list alone.
    unit : float
        The norm of rows that scores are relative to.
    starts : int64 ndarray of shape (n_lists + 1,)
        Where the rows of each list start.
    slabs, terms
        As in `collect_rows`.
    rest : uint8 ndarray of shape (n_rows, n_rest_bytes)
    count : int
        How many rows are wanted, at least 1.

    Returns
    -------
    rows : int64 ndarray of shape (n_found,)
        `count` of them, or as many as there are, in the order of visits and ascending in each. Of
        equal scores the first stay.
    words, others
        As `find_rows` gives them.
    owners : int64 ndarray of shape (n_found,)
        Which of the visits found each.
    vectors : float32 ndarray of shape (n_visits, n_coordinates)
        What the query is from the centroids, over `length`.
    length : float
    """
    vectors, length = np.empty((len(visits), len(query)), np.float32), unit * 1e-30
    for nth in range(len(visits)):
        square = 0.0
        for i in range(len(query)):
            vectors[nth, i] = query[i] - centroids[visits[nth], i]
            square += np.float64(vectors[nth, i]) ** 2
        length = max(length, np.sqrt(square))
    vectors /= np.float32(length)
    inverse = np.float32(unit / length)
    capacity = (count // SLAB_ROWS + 5) * SLAB_ROWS
    scores, rows = np.empty(capacity, np.float32), np.empty(capacity, np.int64)
    words = np.empty((capacity, slabs.shape[1]), np.uint8)
    chosen, n_found, limit = np.empty(len(slabs), np.uint64), 0, np.float32(np.inf)
    for nth in range(len(visits)):
        order = _choose_rows(starts[visits[nth]], starts[visits[nth] + 1], chosen)
        tables, start, step = fill_tables(points, sizes, vectors[nth])
        n_found, limit = collect_rows(
            tables, start, step, min(inverse / step, LARGEST),
            np.float32(base[nth] / (unit * length)), slabs, terms, order, chosen, rest, count,
            limit, n_found, scores, rows, words,
        )  # fmt: skip
    n_found, _ = keep_best(count, n_found, scores, rows, words)
    others, owners = np.empty((n_found, rest.shape[1]), np.uint8), np.empty(n_found, np.int64)
    nth = 0
    for i in range(n_found):
        while not starts[visits[nth]] <= rows[i] < starts[visits[nth] + 1]:
            nth += 1
        copy_bytes(rest, (rows[i], 0), others, (i, 0), rest.shape[1])
        owners[i] = nth
    return rows[:n_found], words, others, owners, vectors, length
