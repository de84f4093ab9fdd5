"""Predict the standard errors of a product's entries from what its factors remember.

An entry of the rows x = v + r and x' = v' + r', with v and v' known, is

    ⟨v, v'⟩ + C + X + X',    C = ⟨r, r'⟩,  X = ⟨r, v'⟩,  X' = ⟨v, r'⟩.

The reconstructions tell the last three but for noise whose variance is known once they are divided
by what is left of them: κ(1 - D)(1 - D') of C, γ² of X. The estimators weigh these estimates, least
squares by the same shares and the unbiased one by 1. So an entry errs by the noise of a weighted
sum, and by a bias that is another one: the weights, less 1.

What is predicted depends on the squares of such sums, of which only the noisy estimates are known.
The square of an estimate exceeds what it stands for by the variance of the noise, on average. Where
the estimate stands out of the noise, the variance is subtracted. The others are taken as draws
about zero whose spread they tell together, and shrunk to what is likely then. Both ways, the mean
over the entries comes out right. The bias is estimated as one sum: rows that share a large part of
a centre have terms that cancel, and they cancel in each estimate.
"""

from dataclasses import dataclass, replace

import numpy as np

from ..theory import matmul_bias_variance

TILE_FLOATS = 2**15
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
    overlap : ndarray of shape (n_rows,)
        ⟨r, v⟩.
    coefficients : ndarray of shape (2, n_rows)
        What c and the vector 1 are multiplied by in v.
    crossed : ndarray of shape (2, n_rows)
        ⟨r, c⟩ and ⟨r, 1⟩ with the other factor's c, estimated or exact.
    crossed_is_exact : bool
        Which of the two.
    """

    norm: np.ndarray
    alignment: np.ndarray
    scale_variance: np.ndarray
    known_norm: np.ndarray
    overlap: np.ndarray
    coefficients: np.ndarray
    crossed: np.ndarray
    crossed_is_exact: bool

    @classmethod
    def stack(cls, panels):
        """Join the rows of panels."""
        values = vars(panels[0]).copy()
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                values[name] = np.concatenate([getattr(p, name) for p in panels], axis=-1)
        return cls(**values)

    def __getitem__(self, rows):
        arrays = {k: v[..., rows] for k, v in vars(self).items() if isinstance(v, np.ndarray)}
        return replace(self, **arrays)

    def unshrunk(self, estimator):
        """Give what makes an estimate with r̂ an unbiased one with r."""
        if estimator == "unbiased":
            return np.ones_like(self.alignment)
        return inverse(self.alignment**2)


@dataclass(frozen=True)
class _Estimate:
    """Unbiased estimates of numbers of either sign, one for each entry.

    Parameters
    ----------
    value, noise : ndarray
        The estimates, and the variances of their noise.
    size : ndarray
        The most that they can stand for.
    n : int
        Width of the rows.
    """

    value: np.ndarray
    noise: np.ndarray
    size: np.ndarray
    n: int

    @property
    def outstanding(self):
        """Tell which stand out of the noise."""
        return self.value**2 > _OUTSTANDING * self.noise

    def where_outstanding(self):
        """Give what the estimates of these stand for, and 0 for the others."""
        return np.where(self.outstanding, np.clip(self.value, -self.size, self.size), 0.0)

    def moments(self):
        """Sum the squares that those within the noise stand for, and the most they could be."""
        square = self.size**2
        weight = np.where(self.outstanding, 0.0, square * inverse(square + self.n * self.noise))
        return np.array([np.sum(weight * (self.value**2 - self.noise)), np.sum(weight * square)])

    def likely(self, moments):
        """Give the root of the square to expect, with the sign of the estimate."""
        total, most = moments
        prior = self.size**2 * (np.clip(total / most, 0, 1) if most > 0 else 1 / self.n)
        share = prior * inverse(prior + self.noise)
        within = share * (share * self.value**2 + self.noise)
        square = np.where(self.outstanding, self.value**2 - self.noise, within)
        return np.copysign(np.sqrt(np.clip(square, 0, self.size**2)), self.value)


class _Entries:
    """The entries of some rows of the left factor and all of the right.

    What belongs to C, X and X' comes in tuples, without those of X and X' that do not err.

    Parameters
    ----------
    correlation : ndarray of shape (n_left, n_right)
        Estimated C over the norms.
    left, right : Factor
    n : int
        Width of the rows.
    kept : float
        κ, the share of the coordinates that is coded.
    estimator : {"least_squares", "unbiased"}
    law : PairLaw
        How the errors of both sides are related.
    """

    def __init__(self, correlation, left, right, n, kept, estimator, law):
        self.n, self.kept, self.law = n, kept, law
        self.correlation = correlation.astype(np.float64)
        self.norms = left.norm[:, None], right.norm
        self.overlaps = left.overlap[:, None], right.overlap
        # Where nothing was coded an estimate says nothing, whatever it is divided by.
        shares = [np.maximum(side.alignment**2, 1 - _MOST_DISTORTION) for side in (left, right)]
        self.shares = shares[0][:, None], shares[1]
        known = right.known_norm, left.known_norm[:, None]
        exact = left.crossed_is_exact, right.crossed_is_exact
        self.sides = [i for i in (0, 1) if known[i].any() and not exact[i]]
        self.sizes = self._terms(self.norms[0] * self.norms[1],
                                 [self.norms[i] * known[i] for i in (0, 1)])  # fmt: skip
        crossed = [side.crossed * side.unshrunk(estimator) for side in (left, right)]
        crossed = crossed[0].T @ right.coefficients, left.coefficients.T @ crossed[1]
        self.values = self._terms(self.sizes[0] * self.correlation, crossed)
        self.scales = left.scale_variance[:, None], right.scale_variance
        if estimator == "least_squares":
            self.weights = self._terms(self.shares[0] * self.shares[1] / kept, self.shares)
        else:
            self.weights = self._terms(1.0, (1.0, 1.0))
            self.scales = [x + s for x, s in zip(self.scales, law.scatters, strict=True)]

    def _terms(self, product, crossed):
        return product, *(crossed[i] for i in self.sides)

    def estimates(self):
        """Estimate C, X, X' and the bias."""
        known = self.shares[0] * self.shares[1] / self.kept
        relative = self._terms((1 / known - 1) / self.n, [self._relative_noise(i) for i in (0, 1)])
        products = [
            _Estimate(value, noise * size**2, size, self.n)
            for value, noise, size in zip(self.values, relative, self.sizes, strict=True)
        ]
        plain = [product.where_outstanding() for product in products]
        lost = self._lost_shares(plain[0] != 0)
        capped = np.where(plain[0] != 0, plain[0], self.values[0]), *self.values[1:]
        value = sum(w * x for w, x in zip(lost, capped, strict=True))
        size = sum(np.abs(w) * x for w, x in zip(lost, self.sizes, strict=True))
        # Beyond what C can be, the noise of the estimate is all in the bias.
        beyond = (plain[0] != 0) & (np.abs(self.correlation) > 1)
        noise = self._noise((lost[0] + beyond, *lost[1:]), plain)
        return *products, _Estimate(value, noise, size, self.n)

    def _lost_shares(self, outstanding):
        """Give the weights of the bias: what the estimator makes of a product, less the product.

        What related errors add to C is known where it stands out; more than C can be is theirs too.
        """
        excess = 1 + self.law.excess(np.clip(self.correlation, -1, 1))
        excess = np.where(outstanding, excess * np.maximum(np.abs(self.correlation), 1), 1.0)
        return self.weights[0] * excess - 1, *(weight - 1 for weight in self.weights[1:])

    def standard_errors(self, moments):
        """Give the root of squared bias and variance, from the moments of all `estimates`."""
        estimates = zip(self.estimates(), moments, strict=True)
        *products, bias = (estimate.likely(m) for estimate, m in estimates)
        total = bias**2 + self._noise(self.weights, products)
        scaled = [self.weights[0] * products[0]] * 2
        for i, weight, product in zip(self.sides, self.weights[1:], products[1:], strict=True):
            scaled[i] = scaled[i] + weight * product
        total += sum(scale * x**2 for scale, x in zip(self.scales, scaled, strict=True))
        return np.sqrt(total)

    def _noise(self, weights, products):
        """Give the variance of a weighted sum of the estimates of C, X and X'.

        r̂ = γ² r + w with w, of (1 - γ²) γ² ‖r‖², in a direction that is random as seen from all
        else, but perpendicular to r where all coordinates are coded.
        """
        product, size = products[0], self.sizes[0]
        distortions = (np.clip(1 - s / self.kept, 0, _MOST_DISTORTION) for s in self.shares)
        _, variance = matmul_bias_variance(
            *self.norms, product, self.n, *distortions, kept=self.kept, estimator="unbiased"
        )
        related = self.law.added_variance(product * inverse(size))
        variance = variance + related * size**2 / (self.n * self.kept)
        variance = weights[0] ** 2 * np.maximum(variance, 0)
        terms = zip(self.sides, weights[1:], products[1:], self.sizes[1:], strict=True)
        for i, weight, cross, most in terms:
            # The same error meets r' and v', which need not be perpendicular.
            shared = self.norms[i] ** 2 * self.overlaps[1 - i] - product * cross
            both = weight * (most**2 - cross**2) + 2 * weights[0] * shared
            variance = variance + self._relative_noise(i) * weight * both
        return np.maximum(variance, 0)

    def _relative_noise(self, side):
        """Give the variance of X or X' as a share of the squared norms."""
        return (1 / self.shares[side] - 1) / self.n


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
    rows_at_once = max(1, TILE_FLOATS // max(1, products.shape[1]))
    tiles = [slice(i, i + rows_at_once) for i in range(0, len(products), rows_at_once)]

    def entries(rows):
        return _Entries(products[rows], left[rows], right, n, kept, estimator, law)

    moments = sum(np.array([e.moments() for e in entries(rows).estimates()]) for rows in tiles)
    for rows in tiles:
        products[rows] = entries(rows).standard_errors(moments)


def correlations(residual, left, right, kept, estimator, law):
    """Turn estimated products of residuals into correlations, unbiased but for the noise."""
    units = (side.unshrunk(estimator) * inverse(side.norm) for side in (left, right))
    linear = residual * next(units)[:, None] * next(units)
    if estimator == "least_squares":
        linear *= kept
    return law.correlation(linear * law.aligned)


def inverse(values):
    """Invert, but for zeros."""
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)
