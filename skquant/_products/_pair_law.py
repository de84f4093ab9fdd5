"""What the reconstructions of two related rows have in common.

The reconstruction of a rotated row y is (1 - D) y + w, with w perpendicular to y. Of two rows with
the correlation ρ, the product of the reconstructions is

    (1 - D_a)(1 - D_b) ρ + δ(ρ)        as a share of the norms of the rows,

with δ the product of the two w. It vanishes between unrelated rows. Rows that are nearly equal fall
into the same cells and err alike: δ(1) is D (1 - D) where both sides are the same code. With a
dither on each side, what remains of δ comes of overload. No formula covers all codes: δ is
measured, on Gaussian rows.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .._kernels._vectors import LANES
from .._panels import empty_panels

SAMPLE_FLOATS = 2**15
_CORRELATIONS = np.array([0.0, 0.5, *(1 - 0.5 ** np.arange(2.0, 9.0)), 1.0])


@dataclass(frozen=True)
class PairLaw:
    """How the codes of two matrices treat pairs of rows.

    Parameters
    ----------
    aligned : float
        (1 - D_a)(1 - D_b) of Gaussian rows.
    slopes : ndarray of shape (2, n_correlations)
        δ(ρ)/ρ at `_CORRELATIONS`, and at minus them. They begin as a multiple of ρ², and are
        interpolated so. The lattice of a code lies not quite symmetric about the origin, so that
        rows of opposite signs need not err alike.
    alignment_variance : float
        The relative variances among rows of 1 - D_a and of 1 - D_b, summed.
    """

    aligned: float
    slopes: np.ndarray
    alignment_variance: float

    def common_error(self, correlation):
        """Give δ(ρ)."""
        squares = np.square(correlation), _CORRELATIONS**2
        same, opposite = (np.interp(*squares, slopes) for slopes in self.slopes)
        return correlation * np.where(np.less(correlation, 0), opposite, same)

    def correlation(self, product):
        """Invert the law: ρ from the product of reconstructions, were it without noise."""
        same, opposite = (self._slope(product, slopes) for slopes in self.slopes)
        slope = self.aligned + np.where(np.less(product, 0), opposite, same)
        return product / np.maximum(slope, 1e-9)

    def _slope(self, product, slopes):
        """Look up δ(ρ)/ρ by the size of the product."""
        products = np.maximum.accumulate(_CORRELATIONS * (self.aligned + slopes))
        return np.interp(np.square(product), products**2, slopes)


def pair_law(a, b):
    """Measure the law of two codecs that share their coordinates."""
    return _measure(a.row_code, a.dither_seed, b.row_code, b.dither_seed)


@lru_cache(maxsize=32)
def _measure(code_a, seed_a, code_b, seed_b):
    """Reconstruct Gaussian rows and others that are related to them."""
    n = code_a.n_coordinates
    shape = (max(1, SAMPLE_FLOATS // (n * LANES)), n, LANES)
    rows, others = np.random.RandomState(0).standard_normal((2, *shape))
    dither_a, dither_b = (
        None if seed is None else code.draw_dither(np.random.RandomState(seed))
        for code, seed in ((code_a, seed_a), (code_b, seed_b))
    )
    error_a, aligned_a = _perpendicular_error(code_a, dither_a, rows)
    slopes = np.zeros((2, len(_CORRELATIONS)))
    for i, sign in enumerate((1, -1)):
        for j, size in enumerate(_CORRELATIONS[1:], start=1):
            related = sign * size * rows + np.sqrt(1 - size**2) * others
            error_b, aligned_b = _perpendicular_error(code_b, dither_b, related)
            common = np.einsum("pij,pij->", error_a, error_b) / rows.size
            slopes[i, j] = sign * common / size
    sides = (aligned_a, aligned_b)
    variance = sum(np.var(side) / max(np.mean(side) ** 2, 1e-9) for side in sides)
    return PairLaw(float(np.prod([np.mean(s) for s in sides])), slopes, float(variance))


def _perpendicular_error(code, dither, rows):
    """Give w of each row, and 1 - D, (n_panels, width)."""
    n = code.n_coordinates
    unit = rows * np.sqrt(n / np.einsum("pij,pij->pj", rows, rows))[:, None]
    panels = empty_panels(rows.shape[0] * LANES, n)
    panels[:] = unit
    codes = np.zeros((rows.shape[0] * LANES, code.n_bytes), np.uint8)
    inner, square = code.encode(panels, codes, dither).T
    code.decode(codes, panels, dither)
    factor = np.divide(inner, square, out=np.zeros_like(inner), where=square > 0)
    aligned = (factor * inner / n).reshape(len(rows), LANES)
    return panels * factor.reshape(len(rows), 1, LANES) - unit * aligned[:, None], aligned
