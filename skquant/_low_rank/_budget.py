"""Ways to spend bits on a matrix: on components, or on a few components and a residual."""

from ._residual import fit_residual, fit_residual_within, refit_residual, residual_bits
from ._spectrum import sample_rows, spectrum, weighted_spectrum
from ._waterfill import Waterfill, level_step, predict_error, residual_level

_MAX_ROUNDS = 4
# What frames the numbers of a matrix: steps, models, the ends of streams.
_FRAME_BITS = 1024
# The prediction knows nothing of how well entries foretell one another, nor what whole bits lose:
# leave it some room.
_DOUBT = {"entropy": 1.5, "fixed": 2.0}
# Components take more than so many bits a number, or they are not worth theirs.
_LEAST_RATE = 0.5
# A trial on few rows, of roughly the budget, that wins by more than a margin, decides.
_FEW_ROWS = 512
_ROUGH = 0.1
_MARGIN = 1.15


def spend_at_rank(X, rank, bits, basis_bits, coding, n_iter, rng, root=None):
    """Share out among at most `rank` components what the paper's count gives to all alike.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    rank : int
    bits, basis_bits : int
        Mean bits of a number of the left and of the right factor.
    coding : {"fixed", "entropy"}
    n_iter : int
        As for `spectrum`.
    rng : numpy.random.RandomState
    root : float64 ndarray of shape (n_features, n_features), default=None
        Root of the metric that weights errors.

    Returns
    -------
    scheme : Scheme
    matrix : LowRankLowPrecisionMatrix or None
        `X` compressed with it, if that was needed to count its bits.
    """
    found = _spectrum(X, rank, n_iter, rng, root)
    budget = rank * (len(X) * bits + X.shape[1] * basis_bits) + _FRAME_BITS
    return _keep(X, Waterfill(found, sample_rows(X), rank, coding, root=root), budget)


def spend(X, budget, coding, lattice_bits, may_add_residual, n_iter, rng, root=None):
    """Spend a budget on a matrix, everything counted.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    budget : float
        Bits.
    coding : {"fixed", "entropy"}
    lattice_bits : float
        Bits of an entry for a residual that is wanted anyway, part of the budget; 0 for none.
    may_add_residual : bool
        Whether a residual is added where it promises less error.
    n_iter : int
        As for `spectrum`.
    rng : numpy.random.RandomState
    root : float64 ndarray of shape (n_features, n_features), default=None
        Root of the metric that weights errors.

    Returns
    -------
    scheme, matrix
        As of `spend_at_rank`.

    Raises
    ------
    ValueError
        If the budget does not pay for one component.
    """
    max_rank = max(int(budget / (_LEAST_RATE * sum(X.shape))), 1)
    found, sample = _spectrum(X, max_rank, n_iter, rng, root), sample_rows(X)
    alone = Waterfill(found, sample, len(found.sizes), coding, root=root)
    if lattice_bits:
        # The cost of a residual does not depend on what it is of.
        coarse, _ = Waterfill(found, sample, 1, coding, root=root).within(budget)
        quantizer = fit_residual(coarse, X, lattice_bits, rng).residual
        scheme, _ = _keep(X, alone, budget - residual_bits(quantizer, len(X)))
        return refit_residual(scheme, X, quantizer), None
    level = residual_level(found, X.shape[1])
    predicted = [predict_error(found, X.shape[1], budget, at) for at in (None, level)]
    if not may_add_residual or predicted[1] >= _DOUBT[coding] * predicted[0]:
        return _keep(X, alone, budget)
    if coding == "fixed":
        schemes = [alone.within(budget)[0], *_with_lattice(X, alone, level, budget, rng)]
        return min(schemes, key=lambda scheme: scheme.squared_error(sample, root)), None
    split = Waterfill(found, sample, len(found.sizes), coding, level, root)
    few = sample[:_FEW_ROWS]
    errors = [schemes.on(few).error_within(budget, _ROUGH) for schemes in (alone, split)]
    if max(errors) < _MARGIN * min(errors):
        errors = [schemes.error_within(budget) for schemes in (alone, split)]
    return _keep(X, alone if errors[0] <= errors[1] else split, budget)


def _spectrum(X, max_rank, n_iter, rng, root):
    if root is None:
        return spectrum(X, max_rank, n_iter, rng)
    return weighted_spectrum(X, root, max_rank)


def _with_lattice(X, schemes, level, budget, rng):
    """Spend a budget on components of fixed bits and what they leave, if it pays for both."""
    scheme, bits = schemes.at(level_step(level))
    if bits > budget:
        return
    quantizer = fit_residual_within(scheme, X, budget - bits, rng).residual
    if quantizer is not None:
        # The rows of a residual are whole bytes; what these leave is for the components.
        scheme, _ = schemes.within(budget - residual_bits(quantizer, len(X)))
        yield refit_residual(scheme, X, quantizer)


def _keep(X, schemes, budget):
    """Find the best scheme whose bits for all rows are within a budget."""
    target = budget
    for _ in range(_MAX_ROUNDS):
        scheme, _ = schemes.within(target)
        if len(schemes.sample) == len(X) or schemes.coding == "fixed":
            return scheme, None
        # The sample has foretold the bits of all rows but roughly.
        matrix = scheme.compress(X, X.dtype)
        if 8 * matrix.nbytes <= budget:
            break
        target *= 0.998 * budget / (8 * matrix.nbytes)
    return scheme, matrix
