"""A matrix as Q + L R by alternation, after CALDERA, to compare with: one choice among its many.

R. Saha et al., "Compressing Large Language Models using Low Rank and Low Precision Decomposition",
NeurIPS 2024, arXiv:2405.18886. All three parts are coded on the lattice E8 after a Hadamard
transform, as there: Q by rows, L and R by components. The authors set by hand how many bits go to Q
and how many a number of L and R takes; here the best of several settings counts. Codes and scales
of all rows are counted.
"""

from itertools import product

import numpy as np
from scipy.linalg import lstsq
from sklearn.utils.extmath import randomized_svd

from skquant import LatticeQuantizer

SHARES = (0, 0.5, 0.75, 0.9)
FACTOR_BITS = (4, 6)
N_ROUNDS, N_REFITS = 3, 2


def caldera(X, budget):
    """Approximate a matrix within a budget.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    budget : float
        Bits per entry.

    Returns
    -------
    ndarray of shape (n_rows, n_features)
        The reconstruction.
    """
    candidates = (alternate(X, budget, *setting) for setting in product(SHARES, FACTOR_BITS))
    return nearest(X, candidates)


def alternate(X, budget, share, factor_bits):
    """Fit L R to what Q leaves and Q to what L R leaves in turn, and keep the best sum."""
    bits = quantize(X, share * budget)[1] if share else 0
    pair = sum(quantize(np.ones((1, n), X.dtype), factor_bits)[1] for n in X.shape)
    rank = min(int((budget * X.size - bits) / pair), *X.shape)
    best = Q = np.zeros_like(X)
    for _ in range(N_ROUNDS):
        LR = factorize(X - Q, rank, factor_bits) if rank else np.zeros_like(X)
        if share:
            Q = quantize(X - LR, share * budget)[0]
        best = nearest(X, [best, Q + LR])
    return best


def factorize(X, rank, bits):
    """Fit two quantized factors in turn, and keep the best product."""
    _, sizes, Vt = randomized_svd(X, rank, random_state=0)
    R = quantize(np.sqrt(sizes)[:, None] * Vt, bits)[0]
    best = np.zeros_like(X)
    for _ in range(N_REFITS):
        L = quantize(solve(R, X.T), bits)[0]
        R = quantize(solve(L, X), bits)[0]
        best = nearest(X, [best, L.T @ R])
    return best


def nearest(X, candidates):
    """Give the candidate of least Frobenius error."""
    return min(candidates, key=lambda candidate: np.linalg.norm(X - candidate))


def solve(rows, X):
    """Fit by least squares: the C for which ``rows.T @ C`` is nearest to `X`."""
    return lstsq(rows @ rows.T, rows @ X)[0]


def quantize(rows, bits):
    """Code rows: what comes back, and the bits of all of them."""
    quantizer = LatticeQuantizer(bits, center=False, random_state=0).fit(rows)
    codes = quantizer.compress(rows)
    return codes.toarray(), codes.bits_per_entry * rows.size
