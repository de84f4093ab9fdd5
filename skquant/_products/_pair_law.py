"""What the reconstructions of two related rows have in common.

The reconstruction of a rotated row y is (1 - D) y + w, with w perpendicular to y. Of two rows with
the correlation ρ, the product of the reconstructions is

    (1 - D_a)(1 - D_b) ρ + δ(ρ)        as a share of the norms of the rows,

with δ the product of the two w. It vanishes between unrelated rows. Rows that are nearly equal fall
into the same cells and err alike: δ(1) is D (1 - D) where both sides are the same code, and the
product scatters more than that of unrelated errors does. With a dither on each side, what remains
of either comes of overload. No formula covers all codes: both are measured, on Gaussian rows.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .._kernels._vectors import LANES
from .._panels import empty_panels
from ..theory import matmul_bias_variance

SAMPLE_FLOATS = 2**15
CHUNK = 32  # coordinates; whole blocks of most lattices
_CORRELATIONS = np.array([0.0, 0.5, 0.64, 0.75, 0.82, *(1 - 0.5 ** np.arange(3.0, 9.0)), 1.0])


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
    scatters : tuple of float
        Relative variances among rows of 1 - D_a and of 1 - D_b; 0 where each row stores its own.
    variances : ndarray of shape (2, n_correlations)
        What related errors add to the variance of an unbiased product, as a share of the squared
        norms over n, n being the number of coded coordinates; at the same correlations.
    """

    aligned: float
    slopes: np.ndarray
    scatters: tuple
    variances: np.ndarray

    def excess(self, correlation):
        """Give δ(ρ)/ρ as a share of (1 - D_a)(1 - D_b)."""
        return self._interpolate(correlation, self.slopes) / max(self.aligned, 1e-9)

    def added_variance(self, correlation):
        """Give the variance that related errors add, as `variances` has it."""
        return self._interpolate(correlation, self.variances)

    def _interpolate(self, correlation, values):
        same, opposite = values
        squares = np.concatenate([-(_CORRELATIONS[:0:-1] ** 2), _CORRELATIONS**2])
        return np.interp(correlation * np.abs(correlation), squares, [*opposite[:0:-1], *same])

    def correlation(self, product):
        """Invert the law: ρ from the product of reconstructions, were it without noise."""
        same, opposite = (self._slope(product, slopes) for slopes in self.slopes)
        slope = self.aligned + np.where(np.less(product, 0), opposite, same)
        return product / np.maximum(slope, 1e-9)

    def _slope(self, product, slopes):
        """Look up δ(ρ)/ρ by the size of the product."""
        products = np.maximum.accumulate(_CORRELATIONS * (self.aligned + slopes))
        return np.interp(np.square(product), products**2, slopes)


def pair_law(a, b, estimator="least_squares"):
    """Measure the law of two codecs that share their coordinates."""
    own = tuple(estimator == "unbiased" and codec.terms.center == "features" for codec in (a, b))
    return _measure(a.row_code, a.dither_seed, b.row_code, b.dither_seed, own)


@lru_cache(maxsize=32)
def _measure(code_a, seed_a, code_b, seed_b, own):
    """Reconstruct Gaussian rows and others that are related to them.

    `own` tells of each side whether products are divided by the 1 - D of each row, or by that of
    Gaussian rows.
    """
    n = code_a.n_coordinates
    shape = (max(1, SAMPLE_FLOATS // (n * LANES)), n, LANES)
    rows, others = np.random.RandomState(0).standard_normal((2, *shape))
    rows = _unit(rows)
    others = _unit(others - rows * np.einsum("pij,pij->pj", rows, others)[:, None] / n)
    codes = [
        (code, None if seed is None else code.draw_dither(np.random.RandomState(seed)))
        for code, seed in ((code_a, seed_a), (code_b, seed_b))
    ]
    left = _Reconstruction.of(rows, *codes[0])
    slopes, variances = np.zeros((2, 2, len(_CORRELATIONS)))
    for i, sign in enumerate((1, -1)):
        for j, size in enumerate(_CORRELATIONS[1:], start=1):
            related = _unit(sign * size * rows + np.sqrt(1 - size**2) * others)
            right = _Reconstruction.of(related, *codes[1])
            common = np.einsum("pij,pij->", left.error, right.error) / rows.size
            slopes[i, j] = sign * common / size
            variances[i, j] = _added_variance(left, right, sign * size, own)
    sides = left, right
    scatters = (
        0.0 if has_own else float(np.var(side.aligned)) / max(side.mean_aligned**2, 1e-9)
        for side, has_own in zip(sides, own, strict=True)
    )
    aligned = left.mean_aligned * right.mean_aligned
    return PairLaw(aligned, slopes, tuple(scatters), variances)


def _unit(rows):
    """Scale rows in panels to coordinates of unit variance."""
    n = rows.shape[1]
    return rows * np.sqrt(n / np.maximum(np.einsum("pij,pij->pj", rows, rows), 1e-30))[:, None]


@dataclass(frozen=True)
class _Reconstruction:
    """Rows of unit variance and their least-squares reconstructions.

    Parameters
    ----------
    rows, decoded : ndarray of shape (n_panels, n, width)
    aligned : ndarray of shape (n_panels, 1, width)
        1 - D of each row.
    """

    rows: np.ndarray
    decoded: np.ndarray
    aligned: np.ndarray

    @classmethod
    def of(cls, rows, code, dither):
        """Encode and decode rows."""
        n_panels, n, width = rows.shape
        panels = empty_panels(n_panels * width, n)
        panels[:] = rows
        codes = np.zeros((n_panels * width, code.n_bytes), np.uint8)
        inner, square = code.encode(panels, codes, dither).T
        code.decode(codes, panels, dither)
        factor = np.divide(inner, square, out=np.zeros_like(inner), where=square > 0)
        factor, aligned = (x.reshape(n_panels, 1, width) for x in (factor, factor * inner / n))
        return cls(rows, panels * factor, aligned)

    @property
    def error(self):
        """The part w of each reconstruction."""
        return self.decoded - self.rows * self.aligned

    @property
    def mean_aligned(self):
        """1 - D of Gaussian rows."""
        return float(np.mean(self.aligned))

    def shares(self):
        """Give the shares that chunks of a row have in ⟨r, r̂⟩ and in ‖r̂‖², which are equal."""
        size = np.maximum(self.rows.shape[1] * self.aligned, 1e-9)
        return [_chunks(x * self.decoded) / size for x in (self.rows, self.decoded)]

    def scatter(self):
        """Give the relative variance of 1 - D = ⟨r, r̂⟩²/(‖r‖² ‖r̂‖²)."""
        inner, square = self.shares()
        return _row_variance(2 * inner - square, [_chunks(self.rows**2)])


def _added_variance(left, right, correlation, own):
    """Measure n times the variance of an unbiased product beyond that of unrelated errors.

    Rows are a few, chunks of them many. The deviation of a product is to first order a sum over the
    chunks of its row, and these are independent but for the norms and the product of the rows,
    which are given: the part of a chunk that depends on them linearly is taken out. So is what the
    scatter of 1 - D does by itself, as its chunks tell it: a code that fits each row to a budget
    makes that of the rows smaller.
    """
    n = left.rows.shape[1]
    product = left.decoded * right.decoded
    mean = np.sum(product) / (product.size / n)
    deviation = _chunks(product)
    scatter = 0.0
    for side, has_own in zip((left, right), own, strict=True):
        inner, square = side.shares()
        # r̂ is scaled by ⟨r, r̂⟩/‖r̂‖²; the unbiased estimate with the 1 - D of each row divides
        # by ⟨r, r̂⟩ instead.
        deviation += mean * (-inner if has_own else inner - square)
        scatter += 0.0 if has_own else side.scatter()
    x, y = left.rows, right.rows
    given = [_chunks(factors) for factors in (x * x, y * y, x * y)]
    aligned = max(left.mean_aligned * right.mean_aligned, 1e-9)
    measured = _row_variance(deviation, given) / (n * aligned**2)
    distortions = (np.clip(1 - side.mean_aligned, 0, 1 - 1e-9) for side in (left, right))
    unrelated = matmul_bias_variance(1, 1, correlation, 1, *distortions, estimator="unbiased")[1]
    return measured - unrelated - n * scatter * correlation**2


def _chunks(values):
    """Sum over chunks of the coordinates, (n_panels, n_chunks, width)."""
    return np.add.reduceat(values, np.arange(0, values.shape[1], CHUNK), axis=1)


def _row_variance(parts, given):
    """Give the variance of a sum of independent parts, without what is linear in given ones."""
    columns = np.stack([np.ones(parts.size), *(x.ravel() for x in given)], axis=1)
    fitted = columns @ np.linalg.lstsq(columns, parts.ravel(), rcond=None)[0]
    return float(np.mean((parts.ravel() - fitted) ** 2) * parts.shape[1])
