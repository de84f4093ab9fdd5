"""The Leech lattice, the best quantizer known in 24 dimensions."""

from functools import cached_property

import numpy as np

from .._kernels._vectors import LANES
from ..lattices import Lattice
from ._trellis import golay_code, trellis_code

_CHUNK = 256 * LANES  # points whose copies stay in the cache


class Leech(Lattice):
    """The Leech lattice: an even lattice of covolume 1 without vectors of squared length 2.

    Times √8 its points are integer vectors with coordinates of one parity m, with the second bits
    of the coordinates in the Golay code and with a sum that is 4m modulo 8 (J. H. Conway and N. J.
    A. Sloane, *Sphere Packings, Lattices and Groups*, chapter 4, § 11). The closest point is the
    cheapest path through the trellis of these conditions, which has at most 2048 states.

    Examples
    --------
    >>> import numpy as np
    >>> from skquant._codes._leech import Leech
    >>> point = np.sqrt(8) * Leech().closest_point(np.full((1, 24), 0.4))
    >>> np.unique(np.rint(point), return_counts=True)
    (array([1., 5.]), array([23,  1]))
    """

    second_moment = 0.0657709

    @cached_property
    def generator(self):
        """A basis, float64 (24, 24)."""
        words, pivots = _reduce_rows(golay_code())
        checks = [i for i in range(24) if i not in pivots]
        unit, last = np.eye(24), checks[-1]
        odd = 1 - 4 * unit[last]
        fours = [4 * unit[i] + 4 * unit[last] for i in checks[:-1]]
        return np.vstack([odd, 2 * words[1:], *fours, 8 * unit[last]]) / np.sqrt(8)

    def closest_point(self, x):
        """Take the cheapest path through the trellis, after multiples of 8 are taken off."""
        code, scaled = trellis_code("Leech"), np.sqrt(8) * np.asarray(x, float)
        base = 8 * np.rint(scaled / 8)
        points = np.empty_like(scaled)
        for first in range(0, len(scaled), _CHUNK):
            some = slice(first, first + _CHUNK)
            rest = scaled[some] - base[some]
            panels = np.zeros((-(-len(rest) // LANES) * LANES, 24), np.float32)
            panels[: len(rest)] = rest
            panels = np.ascontiguousarray(panels.reshape(-1, LANES, 24).transpose(0, 2, 1))
            found = code.quantize(panels, np.ones((len(panels), LANES), np.float32))
            points[some] = found.transpose(0, 2, 1).reshape(-1, 24)[: len(rest)]
        return (base + points) / np.sqrt(8)


def _reduce_rows(words):
    """Bring a binary generator matrix to reduced row echelon form, with its pivot columns."""
    words, pivots = words.copy() % 2, []
    for column in range(words.shape[1]):
        row = len(pivots)
        ones = row + np.flatnonzero(words[row:, column])
        if len(ones) == 0:
            continue
        words[[row, ones[0]]] = words[[ones[0], row]]
        others = np.flatnonzero(words[:, column])
        words[others[others != row]] ^= words[row]
        pivots.append(column)
        if len(pivots) == len(words):
            break
    return words, pivots
