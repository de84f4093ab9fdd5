"""A residual coded by the lattice quantizer: the form X = L R + Q of CALDERA.

R. Saha et al., "Compressing Large Language Models using Low Rank and Low Precision Decomposition",
NeurIPS 2024, arXiv:2405.18886.
"""

from dataclasses import replace

import numpy as np
from sklearn.base import clone

from .._lattice_quantizer import LatticeQuantizer
from ._spectrum import sample_rows

_MAX_BITS = 16.0
_LEAST_BITS = 0.02
_FEWEST_ENTROPY_BITS = 16  # a row; they are spent in whole bytes
_FEW_ROWS = 512


def fit_residual(scheme, X, bits, rng):
    """Add a residual of so many bits to a scheme.

    Parameters
    ----------
    scheme : Scheme
    X : ndarray of shape (n_rows, n_features)
    bits : float
        Bits for the code words of an entry; row terms come on top.
    rng : numpy.random.RandomState
        Draws the rotation.

    Returns
    -------
    Scheme
    """
    rest = scheme.remainder(sample_rows(X))
    return replace(scheme, residual=_fit(rest, bits, rng.randint(2**31)))


def fit_residual_within(scheme, X, budget, rng):
    """Add to a scheme the finest residual that a budget pays for.

    Parameters
    ----------
    scheme : Scheme
    X : ndarray of shape (n_rows, n_features)
    budget : float
        Bits for the residual of all rows, row terms and codec included.
    rng : numpy.random.RandomState

    Returns
    -------
    Scheme
        Without a residual where the budget pays for none.
    """
    rest, seed = scheme.remainder(sample_rows(X)), rng.randint(2**31)
    bits = min(budget / X.size, _MAX_BITS)
    while bits >= max(_LEAST_BITS, 1 / X.shape[1]):
        quantizer = _fit(rest, bits, seed)
        over = residual_bits(quantizer, len(X)) - budget
        if over <= 0:
            return replace(scheme, residual=quantizer)
        bits -= max(over / X.size, 0.01)
    return scheme


def refit_residual(scheme, X, quantizer):
    """Add to a scheme a residual of as many bits as one that was fitted to another.

    Parameters
    ----------
    scheme : Scheme
    X : ndarray of shape (n_rows, n_features)
    quantizer : LatticeQuantizer

    Returns
    -------
    Scheme
    """
    return replace(scheme, residual=clone(quantizer).fit(scheme.remainder(sample_rows(X))))


def residual_bits(quantizer, n_rows):
    """Count the bits of a residual of so many rows, row terms and codec included."""
    one = quantizer.compress(np.zeros((1, quantizer.n_features_in_)))
    return 8 * one.nbytes + (n_rows - 1) * one.bits_per_entry * one.shape[1]


def _fit(rest, bits, seed):
    """Fit the code, of two with rows of fixed size, that would leave less at equal bits."""
    few, found = rest[:_FEW_ROWS], []
    for kind in ({}, {"coding": "entropy", "lattice": "Trellis"}):
        if kind and bits * rest.shape[1] < _FEWEST_ENTROPY_BITS:
            continue
        quantizer = LatticeQuantizer(bits, center=False, random_state=seed, **kind).fit(rest)
        error = float(np.sum((few - quantizer.transform(few)) ** 2))
        found.append((error * 4.0**quantizer.bits_per_feature_, quantizer))
    return min(found, key=lambda pair: pair[0])[1]
