"""A metric on rows: errors weighted by the inputs that a matrix will be multiplied with.

The error that counts is that of the products with inputs Z, the norm of (A - B) Z^T, as in CALDERA
(R. Saha et al., arXiv:2405.18886). The Gram matrix of the inputs is U U^T with an upper triangular
root U, and the norm that of (A - B) U up to a factor. The root also tells how to quantize column by
column: the error of a column falls to the columns after it, which mend it as far as they can.
"""

import numpy as np

from ._spectrum import blocks

# The mean energy of an input is added to all directions, by this share: those that the inputs
# happen not to have are worth a little too.
_DAMPING = 0.01


def gram_of_inputs(inputs):
    """Compute the Gram matrix of inputs, scaled to a mean diagonal of 1.

    Parameters
    ----------
    inputs : ndarray of shape (n_inputs, n_features)

    Returns
    -------
    float64 ndarray of shape (n_features, n_features)

    Raises
    ------
    ValueError
        If all inputs are zero, or their squares overflow.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        gram = sum(block.T @ block for _, block in blocks(inputs))
    mean = np.trace(gram) / len(gram)
    if not 0 < mean < np.inf:
        raise ValueError("calibration has no row but zeros, or numbers whose squares overflow.")
    return gram / mean


def damped_root(gram):
    """Find the triangular root of a Gram matrix to which all directions are added a little."""
    damped = gram + _DAMPING * np.eye(len(gram))
    return upper_root(damped / (1 + _DAMPING))


def upper_root(gram):
    """Find the upper triangular U such that a positive definite matrix is U U^T."""
    return np.linalg.cholesky(gram[::-1, ::-1])[::-1, ::-1]


def weighted_norm(rows, root):
    """Give the squared Frobenius norm of rows in a metric; None is the plain one."""
    weighted = rows if root is None else rows @ root.astype(rows.dtype)
    return float(np.einsum("ij,ij->", weighted, weighted, dtype=np.float64))


def relative_error(X, matrix, gram=None):
    """Give the relative Frobenius error of a compressed matrix; 0 for what is exact.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    matrix : LowRankLowPrecisionMatrix of shape (n_rows, n_features)
    gram : float64 ndarray of shape (n_features, n_features), default=None
        Of inputs, if the error to tell is that of products with them.

    Returns
    -------
    float
    """
    error = energy = 0.0
    for rows, panel in matrix.panels(X.dtype):
        panel -= X[rows]
        error += _energy(panel, gram)
        energy += _energy(X[rows], gram)
    if energy == 0:
        return 0.0 if error == 0 else np.inf
    return float(np.sqrt(error / energy))


def _energy(rows, gram):
    weighted = rows if gram is None else rows @ gram.astype(rows.dtype)
    return float(np.einsum("ij,ij->", rows, weighted, dtype=np.float64))
