"""The rows of least scores among those found."""

import numpy as np
from numba import njit

from ._lanes import total
from ._memory import load
from ._vectors import LANES, inlined, splat, where


@inlined
def _key(score):
    """Order floats as integers."""
    return score ^ (score >> np.int32(31) & np.int32(0x7FFFFFFF))


@njit(cache=True, nogil=True, error_model="numpy")
def kth_least(scores, n, k, enough):
    """Bisect for a number that k of the first n scores do not exceed, and not more than are enough.

    If k are, it is the kth least score. There is room for whole vectors.
    """
    room, low, high = np.empty(1, np.float32), np.int64(-(2**31)), np.int64(2**31 - 1)
    keys = room.view(np.int32)
    scores[n : -(-n // LANES) * LANES] = np.inf
    while low < high:
        middle = (low + high) >> 1
        keys[0] = _key(np.int32(middle))
        counts = splat(np.int32(0))
        for i in range(0, n, LANES):
            counts = counts + where(load(scores, i) <= room[0], 1, splat(np.int32(0)))
        n_found = total(counts)
        if n_found < k:
            low = middle + 1
        else:
            high = middle
            low = low if n_found > enough else high
    keys[0] = _key(np.int32(low))
    return room[0]


@njit(cache=True, nogil=True, error_model="numpy")
def keep_best(count, n_found, scores, rows, words):
    """Keep the rows of least scores, of equal ones those that were found first, in their order.

    The arguments are those of `_coarse_scan.collect_rows`.

    Returns
    -------
    n_found : int
    limit : float32
        What scores of more rows have to be below.
    """
    if n_found < count:
        return n_found, np.float32(np.inf)
    limit, n_equal, kept = kth_least(scores, n_found, count, 0), count, 0
    for i in range(n_found):
        n_equal -= scores[i] < limit
    for i in range(n_found):
        keep = scores[i] < limit
        if scores[i] == limit:
            n_equal -= 1
            keep = n_equal >= 0
        if keep:
            if kept < i:
                scores[kept], rows[kept], words[kept] = scores[i], rows[i], words[i]
            kept += 1
    return kept, limit


@inlined
def above(score):
    """Give the next larger float32."""
    room = np.full(1, score + np.float32(0))  # there is a zero below zero
    keys = room.view(np.int32)
    keys[0] = _key(np.int32(_key(keys[0]) + 1))
    return room[0]
