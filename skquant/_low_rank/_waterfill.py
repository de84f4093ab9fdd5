"""Rank and bits of every component, chosen together to spend a budget of true bits best.

The data are projected on an orthonormal basis that is itself coded first, so the coordinates absorb
what the basis has lost within its span, and rounding them is all the nearest-plane algorithm would
do. One level of distortion rules everything, as in reverse water-filling: the step of the basis
times the sizes of its components, the step or the levels of the coordinates, and the rank. It is
moved until the bytes meet the budget.
"""

from dataclasses import replace

import numpy as np
from scipy.linalg import solve_triangular

from .._allocation import integer_bits, reverse_water_fill
from ._basis import code_basis
from ._factors import Factor, LevelCode, TrellisCode
from ._metric import upper_root
from ._quantizers import gaussian_distortions
from ._scheme import Scheme
from ._step_search import SLACK, StepSearch

MAX_LEVEL_BITS = 12
# Squared error of a trellis code in squared steps, at two bits.
_TRELLIS_DISTORTION = 0.2
_LEVEL_ROUNDS = 50
_TINY = 1e-12
_LEAST = np.finfo(np.float64).tiny
_SAME_MODEL = 1.0  # octaves of the step


class Waterfill:
    """Schemes for a matrix at any level of distortion.

    Parameters
    ----------
    spectrum : Spectrum
    sample : float64 ndarray of shape (n_sample, n_features)
        Successive rows that stand for all.
    max_rank : int
    coding : {"fixed", "entropy"}
    factor_level : float or None
        Level of the components before a coded residual, as `residual_level` finds it, for
        ``coding="entropy"``; None is no residual.
    root : float64 ndarray of shape (n_features, n_features), default=None
        Root of the metric that weights errors, in which the spectrum was found.
    """

    def __init__(self, spectrum, sample, max_rank, coding, factor_level=None, root=None):
        self.spectrum = spectrum
        self.sample = sample
        self.max_rank = min(max_rank, len(spectrum.sizes))
        self.coding = coding
        self.factor_level = factor_level
        self.root = root
        self._models = {}
        self._coded = None  # the factors before a residual, which do not depend on its step
        self._search = StepSearch(self.at, self._guess, self._entries, *self._limits())

    def on(self, sample):
        """Give the schemes as another sample makes them."""
        if len(sample) == len(self.sample):
            return self
        return Waterfill(
            self.spectrum, sample, self.max_rank, self.coding, self.factor_level, self.root
        )

    def at(self, step):
        """Make the scheme of a step, and tell the bits that all rows will take.

        Parameters
        ----------
        step : float

        Returns
        -------
        scheme : Scheme
        bits : float
            Exact if the sample is all rows.
        """
        if self.coding == "fixed":
            return self._fixed(step)
        return self._entropy(step)

    def _basis(self, rank, step):
        sizes, vectors = self.spectrum.sizes[:rank], self.spectrum.vectors[:rank]
        if self.root is not None:
            return self._weighted_basis(sizes, vectors, step)
        basis, components = code_basis(vectors, sizes, step, self._model("basis", step))
        self._models["basis"] = step, basis.model
        return Scheme(components.T, None, basis, components)

    def _weighted_basis(self, sizes, vectors, step):
        """Code the right factor in the metric, and find what gives the best left factor to it."""
        rows = sizes[:, None] * solve_triangular(self.root, vectors.T, trans="T").T
        _, right = self._code("basis", rows, step, self.root)
        rows = right.toarray()
        weighted = rows @ self.root
        gram = weighted @ weighted.T
        gram[np.diag_indices_from(gram)] += _TINY * max(np.trace(gram), _TINY)
        projection = self.root @ np.linalg.solve(gram, weighted).T
        return Scheme(projection, None, right, rows, left_root=upper_root(gram))

    def _fixed(self, step):
        level = _TRELLIS_DISTORTION * step**2
        variances = self.spectrum.sizes**2 / self.spectrum.n_rows
        bits = integer_bits(variances, level, gaussian_distortions(MAX_LEVEL_BITS))
        rank = min(self._rank(level), max(np.count_nonzero(bits), 1))
        bits = np.maximum(bits[:rank], 1)
        scheme = self._basis(len(bits), step)
        scales = _rms(self.sample @ scheme.projection)
        code = LevelCode.fit("gaussian", bits, scales, len(bits))
        total = self.spectrum.n_rows * int(bits.sum()) + 8 * (code.nbytes + scheme.right.nbytes)
        return replace(scheme, left=code), total

    def _entropy(self, step):
        if self.factor_level is None:
            scheme, left = self._factors(step)
            return scheme, self._bits(scheme.right, left)
        coarse = max(step, level_step(self.factor_level))
        if self._coded is None or self._coded[0] != coarse:
            self._coded = coarse, *self._factors(coarse)
        _, scheme, left = self._coded
        rest = self.sample - left.toarray() @ scheme.rows
        residual, coded = self._code("residual", rest, step, self.root)
        bits = self._bits(scheme.right, left, coded)
        return replace(scheme, residual=residual, residual_root=self.root), bits

    def _factors(self, step):
        """Code both factors: the scheme of all rows, and the left factor of the sample."""
        scheme = self._basis(self._rank(_TRELLIS_DISTORTION * step**2), step)
        code, left = self._code("left", self.sample @ scheme.projection, step, scheme.left_root)
        return replace(scheme, left=code), left

    def _code(self, name, rows, step, root):
        """Code rows, with the model that has suited them at a similar step."""
        model = self._model(name, step)
        code = TrellisCode.fit(rows, step, root, model)
        if model is None:
            self._models[name] = step, code.model
        return code, Factor.from_rows(code, rows, root)

    def _model(self, name, step):
        """Give the model chosen last, or None where the step has become another."""
        chosen_at, model = self._models.get(name, (step, None))
        return model if abs(np.log2(step / chosen_at)) < _SAME_MODEL else None

    def _bits(self, basis, *factors):
        share = self.spectrum.n_rows / len(self.sample)
        data = sum(f.data.nbytes * share + f.code.nbytes for f in factors)
        return 8 * (basis.nbytes + data)

    def within(self, budget, slack=SLACK):
        """Find the least step whose bits are within a budget; what was tried before is remembered.

        Parameters
        ----------
        budget : float
            Bits for all rows, everything counted.
        slack : float, default=SLACK
            Share of the budget that may be left.

        Returns
        -------
        scheme : Scheme
        bits : float
            As of `at`.

        Raises
        ------
        ValueError
            If the budget does not pay for the coarsest scheme.
        """
        trial = self._search.within(budget, slack)
        return trial.made, trial.bits

    def _limits(self):
        """Give steps, in log2, whose errors are the precision of single floats, and everything."""
        sizes = self.spectrum.sizes
        largest = np.log2(max(float(sizes[0]), np.finfo(np.float64).tiny * 2**60))
        return largest - 24 - 0.5 * np.log2(len(sizes)), largest + 1

    def error_within(self, budget, slack=SLACK):
        """Give the squared error on the sample at a budget, as if all of it were spent."""
        scheme, bits = self.within(budget, slack)
        octaves = (budget - bits) / self._entries(scheme)
        return scheme.squared_error(self.sample, self.root) * 4.0**-octaves

    def _rank(self, level):
        """Count the components that are coded at a level."""
        numbers = self.spectrum.n_rows, self.sample.shape[1]
        rank = np.count_nonzero(_is_worth_coding(self.spectrum.sizes**2, numbers, level))
        return min(max(rank, 1), self.max_rank)

    def _entries(self, scheme):
        """Count the numbers that a finer step makes longer."""
        rank, n_features = scheme.rows.shape
        rows = self.spectrum.n_rows
        return rank * (rows + n_features) if scheme.residual is None else rows * n_features

    def _guess(self, budget):
        """Guess the step by reverse water-filling."""
        n_features = self.sample.shape[1]
        if self.factor_level is None:
            variances, counts = _components(self.spectrum, n_features, self.max_rank)
            level, _ = reverse_water_fill(variances, budget, counts)
        else:
            error = predict_error(self.spectrum, n_features, budget, self.factor_level)
            level = error / (self.spectrum.n_rows * n_features)
        return np.log2(level_step(level)) if level > 0 else 0.0


def level_step(level):
    """Give the step at which a trellis code leaves an error of a level."""
    return float(np.sqrt(level / _TRELLIS_DISTORTION))


def residual_level(spectrum, n_features):
    """Find the error to leave in the numbers of the components before a coded residual.

    A bit more for a component, and the residual is of less energy; a bit more for the residual, and
    each of its entries is finer. Both are worth the same where the error of a number is as large as
    an entry of the residual, whatever the budget.

    Parameters
    ----------
    spectrum : Spectrum
    n_features : int

    Returns
    -------
    float
        Mean square of an entry of the residual.
    """
    n, d, squares = spectrum.n_rows, n_features, spectrum.sizes**2
    level = spectrum.energy / (n * d)
    for _ in range(_LEVEL_ROUNDS):
        worth = _is_worth_coding(squares, (n, d), level)
        level = (spectrum.energy - (squares - (n + d) * level)[worth].sum()) / (n * d)
    return max(float(level), 0.0)


def predict_error(spectrum, n_features, budget, factor_level=None):
    """Predict the squared error of a scheme by reverse water-filling over Gaussian components.

    Parameters
    ----------
    spectrum : Spectrum
    n_features : int
    budget : float
        Bits for all rows.
    factor_level : float or None
        Level of the components before a coded residual; None for components alone.

    Returns
    -------
    float
        Infinite where the budget does not pay for the components before a residual.
    """
    n, d, squares = spectrum.n_rows, n_features, spectrum.sizes**2
    variances, counts = _components(spectrum, d, len(squares))
    if factor_level is None:
        level, _ = reverse_water_fill(variances, budget, counts)
        rest = max(spectrum.energy - squares.sum(), 0.0)
        return rest + np.minimum((n + d) * level, squares).sum()
    coded = np.tile(_is_worth_coding(squares, (n, d), factor_level), 2)
    octaves = np.log2(np.maximum(variances, _LEAST)) - np.log2(max(factor_level, _LEAST))
    left = budget - 0.5 * np.sum((counts * np.maximum(octaves, 0.0))[coded])
    return n * d * factor_level * 4.0 ** (-left / (n * d)) if left > 0 else np.inf


def _is_worth_coding(squares, numbers, level):
    """Tell of each component whether the bits that take it to a level would save less elsewhere.

    A number takes half a logarithm in nats, and a nat elsewhere saves twice the level.
    """
    counts = np.array(numbers)[:, None]
    gain = squares - counts.sum() * level
    logs = np.log(np.maximum(squares / counts, _LEAST)) - np.log(max(level, _LEAST))
    return gain > level * (counts * np.maximum(logs, 0.0)).sum(axis=0)


def _components(spectrum, n_features, rank):
    """Variances of the numbers of the components, and how many there are of each."""
    squares = spectrum.sizes[:rank] ** 2
    variances = np.concatenate([squares / spectrum.n_rows, squares / n_features])
    return variances, np.repeat([spectrum.n_rows, n_features], len(squares))


def _rms(scores):
    return np.sqrt(np.mean(scores**2, axis=0))
