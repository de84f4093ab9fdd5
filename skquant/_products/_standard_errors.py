"""Predict the standard errors of a product's entries from what its factors remember.

The expected squared error of an entry depends on the entry itself: the least-squares product of
related rows is too small, and that bias is in proportion. Of the entry only a noisy estimate is
known. Its square exceeds that of the entry by the variance of the noise, on average. Where it
stands out of the noise, the variance is subtracted. The other entries are taken as draws about zero
whose spread they tell together, and shrunk to what is likely then. Both ways, the mean over the
entries comes out right.
"""

from dataclasses import dataclass

import numpy as np

from ..theory import matmul_bias_variance

TILE_FLOATS = 2**18
_MOST_DISTORTION = 1 - 1e-9
_OUTSTANDING = 16.0  # a squared estimate over the variance of its noise


@dataclass(frozen=True)
class Factor:
    """What the errors of a factor depend on, of its rows x = v + r with v known.

    Parameters
    ----------
    norm : ndarray of shape (n_rows,)
        ‖r‖.
    alignment : ndarray of shape (n_rows,)
        γ.
    scale_variance : ndarray of shape (n_rows,)
        Relative variance of the length of r̂ that comes of its rounding.
    known_norm : ndarray of shape (n_rows,)
        ‖v‖.
    stretch : ndarray of shape (n_rows,)
        What an error of the other side counts more beside v + r̂ than beside v and r̂ apart.
    coefficients : ndarray of shape (2, n_rows)
        What c and the vector 1 are multiplied by in v.
    crossed : ndarray of shape (2, n_rows)
        ⟨r, c⟩ and ⟨r, 1⟩ with the other factor's c, estimated or exact.
    crossed_is_exact : bool
        Which of the two.
    stores_alignment : bool
        Whether γ is that of each row, or that of Gaussian rows.
    """

    norm: np.ndarray
    alignment: np.ndarray
    scale_variance: np.ndarray
    known_norm: np.ndarray
    stretch: np.ndarray
    coefficients: np.ndarray
    crossed: np.ndarray
    crossed_is_exact: bool
    stores_alignment: bool

    @classmethod
    def stack(cls, panels):
        """Join the rows of panels."""
        values = vars(panels[0]).copy()
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                values[name] = np.concatenate([getattr(p, name) for p in panels], axis=-1)
        return cls(**values)

    def unit(self, estimator):
        """Give what takes an estimate made with r̂ to an unbiased one with r/‖r‖."""
        shrinkage = self.alignment**2 if estimator == "least_squares" else 1.0
        return inverse(self.norm * shrinkage)


@dataclass(frozen=True)
class _Part:
    """A summand of all entries, a product of vectors of which at least one is coded.

    Parameters
    ----------
    left, right : tuple of ndarray
        Norms and distortions of the vectors.
    correlation : ndarray of shape (n_left, n_right) or tuple of ndarray
        Estimated products as a share of the norms; two factors where they are of low rank.
    kept : float
        Share of the coordinates that is coded.
    stretch : ndarray
        What the variance is to be multiplied by; it broadcasts over the entries.
    scale_variance : ndarray of shape (n_left, 1), ndarray of shape (n_right,)
        Relative variances of the scales of both sides.
    n : int
        Length of the vectors.
    law : PairLaw or None
        How the errors of both sides are related, where both have one.
    """

    left: tuple
    right: tuple
    correlation: object
    kept: float
    stretch: object
    scale_variance: tuple
    n: int
    law: object = None

    def tile(self, rows):
        """Give norms, distortions, estimated correlations and their noise of some rows."""
        (norm_left, error_left), (norm_right, error_right) = self.left, self.right
        # Where nothing was coded the estimate says nothing either, whatever it is divided by.
        error_left = np.clip(error_left[rows], 0, _MOST_DISTORTION)[:, None]
        error_right = np.clip(error_right, 0, _MOST_DISTORTION)
        correlation = self.correlation
        if isinstance(correlation, tuple):
            correlation = correlation[0][rows] @ correlation[1]
        else:
            correlation = correlation[rows].astype(np.float64)
        known = self.kept * (1 - error_left) * (1 - error_right)
        noise = (1 / known - 1) / self.n
        return (norm_left[rows, None], norm_right, error_left, error_right), correlation, noise

    def spread(self, tiles):
        """Estimate the mean square of the correlations that do not stand out of the noise."""
        total = weights = 0.0
        for rows in tiles:
            (norm_left, norm_right, *_), correlation, noise = self.tile(rows)
            weight = (norm_left * norm_right) ** 2 / (1 + self.n * noise)
            weight = weight * (correlation**2 <= _OUTSTANDING * noise)
            total += np.sum(weight * (correlation**2 - noise))
            weights += np.sum(weight)
        return float(np.clip(total / weights, 0, 1)) if weights > 0 else 1 / self.n

    def errors(self, rows, spread, estimator):
        """Give bias and variance of the entries of some rows."""
        (norm_left, norm_right, *distortions), correlation, noise = self.tile(rows)
        share = spread * inverse(spread + noise)
        square = share * (share * correlation**2 + noise)
        outstanding = correlation**2 > _OUTSTANDING * noise
        square = np.where(outstanding, correlation**2 - noise, square)
        likely = np.copysign(np.sqrt(np.clip(square, 0, 1)), correlation)
        entry, size = norm_left * norm_right * likely, norm_left * norm_right
        _, variance = matmul_bias_variance(
            norm_left, norm_right, entry, self.n, *distortions, kept=self.kept, estimator=estimator
        )
        known = (1 - distortions[0]) * (1 - distortions[1])
        common = self.law.common_error(likely) if self.law else 0.0
        if estimator == "least_squares":
            bias = size * (self.kept * (known * likely + common) - likely)
            scaled = self.kept * known * entry
        else:
            bias, scaled = size * common / known, entry
        scale_variance = self.scale_variance[0][rows, None] + self.scale_variance[1]
        return bias, self.stretch * variance + scale_variance * scaled**2


def predict(products, left, right, n, kept, estimator, law):
    """Predict the standard error of each entry.

    Parameters
    ----------
    products : ndarray of shape (n_left, n_right)
        Estimated products of the residuals as `correlations` gives them; the standard errors take
        their place.
    left, right : Factor
    n : int
        Width of the rows.
    kept : float
        Share of the coordinates that is coded.
    estimator : {"least_squares", "unbiased"}
    law : PairLaw
        How the errors of both sides are related.
    """
    parts = list(_parts(products, left, right, n, kept, estimator, law))
    rows_at_once = max(1, TILE_FLOATS // max(1, products.shape[1]))
    tiles = [slice(i, i + rows_at_once) for i in range(0, len(products), rows_at_once)]
    spreads = [part.spread(tiles) for part in parts]
    for rows in tiles:
        errors = [
            part.errors(rows, spread, estimator)
            for part, spread in zip(parts, spreads, strict=True)
        ]
        bias, variance = (sum(terms) for terms in zip(*errors, strict=True))
        products[rows] = np.sqrt(bias**2 + np.maximum(variance, 0))


def correlations(residual, left, right, kept, estimator, law):
    """Turn estimated products of residuals into correlations, unbiased but for the noise."""
    linear = residual * left.unit(estimator)[:, None] * right.unit(estimator)
    if estimator == "least_squares":
        linear *= kept
    return law.correlation(linear * law.aligned)


def _parts(products, left, right, n, kept, estimator, law):
    """List the summands of an entry that err."""
    variances = [side.scale_variance for side in (left, right)]
    if estimator == "unbiased":
        variances = [
            variance + (0 if side.stores_alignment else law.alignment_variance / 2)
            for side, variance in zip((left, right), variances, strict=True)
        ]
    errors = [1 - side.alignment**2 / kept for side in (left, right)]
    yield _Part((left.norm, errors[0]), (right.norm, errors[1]), products, kept, 1.0,
                variances, n, law)  # fmt: skip
    exact = np.zeros(1)
    if right.known_norm.any() and not left.crossed_is_exact:
        correlation = _crossed_unit(left, estimator), _known_unit(right)
        yield _Part((left.norm, 1 - left.alignment**2), (right.known_norm, exact), correlation, 1.0,
                    right.stretch, (variances[0], exact), n)  # fmt: skip
    if left.known_norm.any() and not right.crossed_is_exact:
        correlation = _known_unit(left).T, _crossed_unit(right, estimator).T
        no_error = np.zeros_like(left.norm)
        yield _Part((left.known_norm, no_error), (right.norm, 1 - right.alignment**2), correlation,
                    1.0, left.stretch[:, None], (no_error, variances[1]), n)  # fmt: skip


def _crossed_unit(side, estimator):
    """Give the products of r/‖r‖ with the other side's known vectors, (n_rows, 2)."""
    return (side.crossed * side.unit(estimator)).T


def _known_unit(side):
    """Give the coefficients of v/‖v‖, (2, n_rows)."""
    return side.coefficients * inverse(side.known_norm)


def inverse(values):
    """Invert, but for zeros."""
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)
