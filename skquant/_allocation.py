"""Reverse water-filling: how many bits each component of a source deserves.

Of independent Gaussian components those are coded whose variance lies above a level, and each of
them down to a distortion equal to the level (T. M. Cover and J. A. Thomas, "Elements of Information
Theory", 2nd ed., theorem 10.3.3).
"""

from heapq import heappop, heappush

import numpy as np


def reverse_water_fill(variances, bits, counts=1):
    """Spend bits on components so that their distortions sum to the least.

    Parameters
    ----------
    variances : array-like of shape (n_components,)
        Variance of an entry of each component, not negative.
    bits : float
        Bits to spend on all entries of all components, positive.
    counts : array-like of shape (n_components,), default=1
        Entries of each component.

    Returns
    -------
    level : float
        The distortion of an entry of every component that is coded; those of less variance get no
        bits. 0 if no component has variance.
    rates : ndarray of shape (n_components,)
        Bits for an entry of each component, log2(variance / level) / 2 above the level.

    Examples
    --------
    >>> level, rates = reverse_water_fill([16.0, 4.0, 0.01], bits=3)
    >>> level, rates.tolist()
    (1.0, [2.0, 1.0, 0.0])
    """
    variances = np.asarray(variances, np.float64)
    counts = np.broadcast_to(np.asarray(counts, np.float64), variances.shape)
    order = np.argsort(-variances, kind="stable")
    order = order[(variances[order] > 0) & (counts[order] > 0)]
    if not len(order):
        return 0.0, np.zeros(len(variances))
    logs = np.log2(variances[order])
    entries = np.cumsum(counts[order])
    # The level, in log2, that spends all bits on the first k components.
    levels = (np.cumsum(counts[order] * logs) - 2 * bits) / entries
    # The first k such that the next one lies below it.
    k = np.flatnonzero(np.append(logs[1:], -np.inf) <= levels)[0]
    level = float(2.0 ** levels[k])
    rates = np.zeros(len(variances))
    rates[order] = np.maximum(logs - levels[k], 0) / 2
    return level, rates


def integer_bits(variances, level, distortions):
    """Give each component the whole bits at which another one no longer pays.

    Parameters
    ----------
    variances : array-like of shape (n_components,)
        Variance of an entry of each component.
    level : float
        The distortion that the bits are worth: a bit has to save 2 ln 2 times as much, the slope
        of an ideal code there.
    distortions : array-like of shape (max_bits + 1,)
        Distortion of a quantizer of 0, 1, ... bits for unit variance; convex and descending.

    Returns
    -------
    int64 ndarray of shape (n_components,)
        From 0 to max_bits.

    Examples
    --------
    >>> integer_bits([16.0, 4.0, 0.01], 1.0, [1.0, 0.3634, 0.1175, 0.0345]).tolist()
    [2, 1, 0]
    """
    gains = -np.diff(np.asarray(distortions, np.float64))
    worth = np.asarray(variances, np.float64)[:, None] * gains
    return np.count_nonzero(worth > 2 * np.log(2) * level, axis=1)


def spend_on_ladders(worths, ladders, n_bits):
    """Spend whole bits on codes whose rates come in steps, the step that saves most a bit first.

    Parameters
    ----------
    worths : array-like of shape (n_blocks,)
        What the distortion of a block of unit variance counts for each block.
    ladders : list of (list of (int, float))
        For each block the bits and distortions to choose from, ascending bits, descending and
        convex distortions, the first of them (0, 1).
    n_bits : int
        Bits to spend in all.

    Returns
    -------
    int64 ndarray of shape (n_blocks,)
        Bits of each block. A step that no longer fits is skipped for cheaper ones.

    Examples
    --------
    >>> ladder = [(0, 1.0), (1, 0.3634), (2, 0.1175)]
    >>> spend_on_ladders([16.0, 4.0, 0.01], [ladder] * 3, 3).tolist()
    [2, 1, 0]
    """
    spent, rungs, heap = np.zeros(len(worths), np.int64), [0] * len(worths), []

    def offer(block):
        ladder, rung = ladders[block], rungs[block]
        if rung + 1 < len(ladder):
            (bits, distortion), (more, less) = ladder[rung], ladder[rung + 1]
            gain = worths[block] * (distortion - less) / (more - bits)
            if gain > 0:
                heappush(heap, (-gain, block, more - bits))

    for block in range(len(worths)):
        offer(block)
    while heap:
        _, block, cost = heappop(heap)
        if cost <= n_bits:
            n_bits -= cost
            spent[block] += cost
            rungs[block] += 1
            offer(block)
    return spent
