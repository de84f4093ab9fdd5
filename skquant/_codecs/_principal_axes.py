"""Principal axes of normalised rows, and how much of their energy lies along each.

The codes see rows at unit length, so that is how the axes are learned: every row counts alike,
whatever its norm. The second moments are summed block by block in double precision.
"""

import numpy as np
from scipy.linalg import eigh, qr

from .._progress import steps

BLOCK_FLOATS = 2**21
MOST_FEATURES = 2**12
MOST_AXES = 2**11
ITERATIONS = 3
# Less than this share of the largest variance is rounding.
_NEGLIGIBLE = 1e-12


def normalised_blocks(X, mean, center):
    """Centre rows and scale them to a mean square of 1, block by block in float64.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    mean : float64 ndarray of shape (n_features,)
        Centre of the features.
    center : {"features", "rows", False}
        Whether each row's own mean is subtracted as well.

    Yields
    ------
    float64 ndarray of shape (n_block, n_features)
        Rows without length stay zero.
    """
    n_rows, n_features = X.shape
    step = max(1, BLOCK_FLOATS // n_features)
    for start in steps("principal axes", range(0, n_rows, step)):
        rows = X[start : start + step].astype(np.float64, order="C") - mean
        largest = np.abs(rows).max(axis=1, keepdims=True)  # so that nothing below overflows
        rows /= np.where(largest > 0, largest, 1)
        if center == "rows":
            rows -= rows.mean(axis=1, keepdims=True)
        energy = np.einsum("ij,ij->i", rows, rows)
        rows *= np.sqrt(n_features / np.where(energy > 0, energy, 1))[:, None]
        yield rows


def principal_axes(X, mean, center, random_state):
    """Find the principal axes of normalised rows.

    Of more than MOST_FEATURES features only the MOST_AXES leading axes are found, by randomised
    subspace iteration (N. Halko, P.-G. Martinsson and J. A. Tropp, *Finding structure with
    randomness*, SIAM Review 53, 2011), so that memory stays bounded.

    Parameters
    ----------
    X, mean, center
        As `normalised_blocks` takes them.
    random_state : RandomState

    Returns
    -------
    variances : float64 ndarray of shape (n_axes,)
        Mean square along each axis, descending; 0 where the rows do not reach.
    axes : float64 ndarray of shape (n_features, n_axes)
        The axes, a column each.
    """
    n_rows, n_features = X.shape
    if n_features <= MOST_FEATURES:
        moments = _moments(X, mean, center)
        variances, axes = eigh(moments, overwrite_a=True)
        return _shrink(_without_rounding(variances[::-1]), n_rows, center), axes[:, ::-1]
    basis = random_state.standard_normal((n_features, min(MOST_AXES, n_rows)))
    for _ in range(ITERATIONS):
        basis = qr(basis, mode="economic", overwrite_a=True)[0]
        basis = sum(r.T @ (r @ basis) for r in normalised_blocks(X, mean, center))
    basis = qr(basis, mode="economic", overwrite_a=True)[0]
    variances, turn = eigh(_moments(X, mean, center, basis), overwrite_a=True)
    return _without_rounding(variances[::-1]), basis @ turn[:, ::-1]


def _moments(X, mean, center, basis=None):
    """Average the outer products of rows, or of their coordinates in a basis."""
    total = 0.0
    for rows in normalised_blocks(X, mean, center):
        rows = rows if basis is None else rows @ basis
        total = total + rows.T @ rows
    return total / len(X)


def _without_rounding(variances):
    """Take for zero what is rounding."""
    return np.where(variances > _NEGLIGIBLE * variances[0], variances, 0.0)


def _shrink(variances, n_rows, center):
    """Move variances of few rows towards their mean, as far as their number asks for.

    The intensity is that of Y. Chen, A. Wiesel, Y. C. Eldar and A. O. Hero, *Shrinkage algorithms
    for MMSE covariance estimation*, IEEE Trans. Signal Processing 58, 2010 (OAS). Rows that span
    fewer dimensions than their number allows leave the other directions without variance for
    good: these are not shrunk.
    """
    p, total = len(variances), variances.sum()
    most = min(n_rows - (center == "features"), p - (center == "rows"))
    if total == 0 or np.count_nonzero(variances) < most:
        return variances
    squares = np.sum(variances**2)
    spread = (n_rows + 1 - 2 / p) * (squares - total**2 / p)
    excess = (1 - 2 / p) * squares + total**2
    intensity = 1.0 if spread <= 0 else np.clip(excess / spread, 0, 1)
    return (1 - intensity) * variances + intensity * total / p
