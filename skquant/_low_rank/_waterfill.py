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
# A component pays for its bits from this many squared steps on, for each number that it takes.
_LEAST_COMPONENT = 0.25
# The factors before a residual are this many times coarser than it, since it mends their errors.
_COARSER = 4.0
_TINY = 1e-12
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
    residual_rank : int or None
        Components before a coded residual, for ``coding="entropy"``; None is no residual.
    root : float64 ndarray of shape (n_features, n_features), default=None
        Root of the metric that weights errors, in which the spectrum was found.
    """

    def __init__(self, spectrum, sample, max_rank, coding, residual_rank=None, root=None):
        self.spectrum = spectrum
        self.sample = sample
        self.max_rank = min(max_rank, len(spectrum.sizes))
        self.coding = coding
        self.residual_rank = residual_rank
        self.root = root
        self._models = {}
        self._search = StepSearch(self.at, self._guess, self._entries, *self._limits())

    def on(self, sample):
        """Give the schemes as another sample makes them."""
        if len(sample) == len(self.sample):
            return self
        return Waterfill(
            self.spectrum, sample, self.max_rank, self.coding, self.residual_rank, self.root
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
        variances = self.spectrum.sizes[: self.max_rank] ** 2 / self.spectrum.n_rows
        bits = integer_bits(variances, level, gaussian_distortions(MAX_LEVEL_BITS))
        bits = np.maximum(bits[: max(np.count_nonzero(bits), 1)], 1)
        scheme = self._basis(len(bits), step)
        scales = _rms(self.sample @ scheme.projection)
        code = LevelCode.fit("gaussian", bits, scales, len(bits))
        total = self.spectrum.n_rows * int(bits.sum()) + 8 * (code.nbytes + scheme.right.nbytes)
        return replace(scheme, left=code), total

    def _entropy(self, step):
        sizes, n_features = self.spectrum.sizes, self.sample.shape[1]
        if self.residual_rank is None:
            numbers = self.spectrum.n_rows + n_features
            rank = np.count_nonzero(sizes**2 > _LEAST_COMPONENT * step**2 * numbers)
            rank, coarse = min(max(rank, 1), self.max_rank), step
        else:
            rank, coarse = self.residual_rank, _COARSER * step
        scheme = self._basis(rank, coarse)
        scores = self.sample @ scheme.projection
        left, factor = self._code("left", scores, coarse, scheme.left_root)
        if self.residual_rank is None:
            return replace(scheme, left=left), self._bits(scheme.right, factor)
        rest = self.sample - factor.toarray() @ scheme.rows
        residual, rest_factor = self._code("residual", rest, step, self.root)
        bits = self._bits(scheme.right, factor, rest_factor)
        return replace(scheme, left=left, residual=residual, residual_root=self.root), bits

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

    def least_bits(self):
        """Give the bits of the coarsest scheme."""
        return self.at(2.0 ** self._limits()[1])[1]

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

    def _entries(self, scheme):
        """Count the numbers that a finer step makes longer."""
        rank, n_features = scheme.rows.shape
        rows = self.spectrum.n_rows
        residual = rows * n_features if scheme.residual is not None else 0
        return rank * (rows + n_features) + residual

    def _guess(self, budget):
        """Guess the step by reverse water-filling."""
        n, d = self.spectrum.n_rows, self.sample.shape[1]
        squares = self.spectrum.sizes[: self.max_rank] ** 2
        if self.residual_rank is None:
            variances = np.concatenate([squares / n, squares / d])
            counts = np.repeat([n, d], len(squares))
        else:
            rest = self.spectrum.energy - squares[: self.residual_rank].sum()
            variances, counts = [rest / (n * d)], n * d
        level, _ = reverse_water_fill(variances, budget, counts)
        if level == 0:
            return 0.0
        return 0.5 * np.log2(level / _TRELLIS_DISTORTION)


def predict_error(spectrum, n_features, budget, residual_rank=None):
    """Predict the squared error of a scheme by reverse water-filling over Gaussian components.

    Parameters
    ----------
    spectrum : Spectrum
    n_features : int
    budget : float
        Bits for all rows.
    residual_rank : int or None
        Components before a coded residual; None for components alone.

    Returns
    -------
    float
    """
    n, d, squares = spectrum.n_rows, n_features, spectrum.sizes**2
    if residual_rank is None:
        variances = np.concatenate([squares / n, squares / d])
        counts = np.repeat([n, d], len(squares))
        level, _ = reverse_water_fill(variances, budget, counts)
        rest = max(spectrum.energy - squares.sum(), 0.0)
        return rest + np.minimum((n + d) * level, squares).sum()
    variances, counts = _residual_components(spectrum, d, residual_rank)
    level, _ = reverse_water_fill(variances, budget, counts)
    return n * d * min(level, variances[0])


def predict_factor_bits(spectrum, n_features, budget, residual_rank):
    """Predict how much of a budget the components before a residual get."""
    variances, counts = _residual_components(spectrum, n_features, residual_rank)
    _, rates = reverse_water_fill(variances, budget, counts)
    return float(counts[1:] @ rates[1:]) + 8 * 64


def _residual_components(spectrum, n_features, residual_rank):
    """Variances of the entries of a residual and of the components before it, and their numbers."""
    n, d = spectrum.n_rows, n_features
    kept = spectrum.sizes[:residual_rank] ** 2
    rest = max(spectrum.energy - kept.sum(), 0.0) / (n * d)
    variances = np.concatenate([[rest], kept / n / _COARSER**2, kept / d / _COARSER**2])
    return variances, np.concatenate([[n * d], np.repeat([n, d], len(kept))])


def best_residual_rank(spectrum, n_features, budget):
    """Choose how many components stand before a coded residual, a few at most.

    Parameters
    ----------
    spectrum, n_features, budget
        As for `predict_error`.

    Returns
    -------
    int
    """
    most = max(len(spectrum.sizes) // 8, 1)
    ranks = [r for r in 2 ** np.arange(12) if r <= most]
    errors = [predict_error(spectrum, n_features, budget, r) for r in ranks]
    return int(ranks[int(np.argmin(errors))])


def _rms(scores):
    return np.sqrt(np.mean(scores**2, axis=0))
