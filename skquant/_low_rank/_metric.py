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


def root_of_inputs(inputs):
    """Find the root of the metric of inputs.

    Parameters
    ----------
    inputs : ndarray of shape (n_inputs, n_features)

    Returns
    -------
    float64 ndarray of shape (n_features, n_features)
        Upper triangular, of a Gram matrix that is scaled to a mean diagonal of 1.

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
    gram /= mean
    gram[np.diag_indices_from(gram)] += _DAMPING
    return upper_root(gram / (1 + _DAMPING))


def upper_root(gram):
    """Find the upper triangular U such that a positive definite matrix is U U^T."""
    return np.linalg.cholesky(gram[::-1, ::-1])[::-1, ::-1]


def weighted_norm(rows, root):
    """Give the squared Frobenius norm of rows in a metric; None is the plain one."""
    weighted = rows if root is None else rows @ root.astype(rows.dtype)
    return float(np.einsum("ij,ij->", weighted, weighted, dtype=np.float64))
