"""Ways to spend bits on a matrix: on components, or on a few components and a residual."""

from ._residual import fit_residual, fit_residual_within, residual_bits
from ._spectrum import sample_rows, spectrum
from ._waterfill import Waterfill, best_residual_rank, predict_error, predict_factor_bits

_MAX_ROUNDS = 4
# What frames the numbers of a matrix: steps, models, the ends of streams.
_FRAME_BITS = 1024
_DOUBT = 1.5


def spend_at_rank(X, rank, bits, basis_bits, coding, n_iter, rng):
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

    Returns
    -------
    Scheme
    """
    found = spectrum(X, rank, n_iter, rng)
    budget = rank * (len(X) * bits + X.shape[1] * basis_bits) + _FRAME_BITS
    return _components(X, found, budget, rank, coding)


def spend(X, budget, coding, lattice_bits, may_add_residual, n_iter, rng):
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

    Returns
    -------
    Scheme

    Raises
    ------
    ValueError
        If the budget does not pay for one component.
    """
    found = spectrum(X, min(X.shape), n_iter, rng)
    if lattice_bits:
        # The cost of a residual does not depend on what it is of.
        coarse = _components(X, found, budget, 1, coding)
        quantizer = fit_residual(coarse, X, lattice_bits, rng).residual
        rest = budget - residual_bits(quantizer, len(X))
        scheme = _components(X, found, rest, len(found.sizes), coding)
        return fit_residual(scheme, X, lattice_bits, rng)
    alone = _components(X, found, budget, len(found.sizes), coding)
    rank = best_residual_rank(found, X.shape[1], budget)
    predicted = [predict_error(found, X.shape[1], budget, r) for r in (None, rank)]
    # The prediction knows nothing of how well entries foretell one another: leave it some room.
    if not may_add_residual or predicted[1] > _DOUBT * predicted[0]:
        return alone
    split = _with_residual(X, found, budget, rank, coding, rng)
    sample = sample_rows(X)
    return min(alone, split, key=lambda scheme: scheme.squared_error(sample))


def _with_residual(X, found, budget, rank, coding, rng):
    """Spend a budget on a few components and what they leave."""
    if coding == "entropy":
        return _components(X, found, budget, rank, coding, residual=True)
    share = predict_factor_bits(found, X.shape[1], budget, rank)
    scheme = _components(X, found, share, rank, coding)
    left = budget - 8 * scheme.compress(X, X.dtype).nbytes
    return fit_residual_within(scheme, X, left, rng)


def _components(X, found, budget, max_rank, coding, residual=False):
    """Find the components, and perhaps a coded residual, that a budget pays for."""
    sample = sample_rows(X)
    schemes = Waterfill(found, sample, max_rank, coding, max_rank if residual else None)
    target = budget
    for _ in range(_MAX_ROUNDS):
        scheme = schemes.within(target)
        if len(sample) == len(X) or coding == "fixed":
            break
        # The sample has foretold the bits of all rows but roughly.
        bits = 8 * scheme.compress(X, X.dtype).nbytes
        if bits <= budget:
            break
        target *= 0.998 * budget / bits
    return scheme
