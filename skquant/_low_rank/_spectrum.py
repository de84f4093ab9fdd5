"""Singular values and right singular vectors of a matrix that is read in blocks of rows."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from .._progress import steps

_BLOCK_ENTRIES = 1 << 21
_GRAM_LIMIT = 4096  # the largest Gram matrix: 128 MB
_OVERSAMPLES = 10
_MAX_ENERGY = 2.0**1000
_OVERFLOW = "X has numbers too large to compress: their squares overflow float64."
_SAMPLE_ROWS = 4096
_SAMPLE_ENTRIES = 1 << 22


@dataclass(frozen=True)
class Spectrum:
    """The leading part of a singular value decomposition.

    Parameters
    ----------
    sizes : float64 ndarray of shape (rank,)
        Singular values, descending.
    vectors : float64 ndarray of shape (rank, n_features)
        Right singular vectors.
    energy : float
        Sum of the squares of all singular values.
    n_rows : int
    """

    sizes: np.ndarray
    vectors: np.ndarray
    energy: float
    n_rows: int


def blocks(X):
    """Give blocks of rows as float64, each with its slice."""
    for rows in steps("spectrum", _row_slices(X)):
        yield rows, np.asarray(X[rows], np.float64)


def _row_slices(X):
    height = max(1, _BLOCK_ENTRIES // X.shape[1])
    return [slice(i, min(i + height, len(X))) for i in range(0, len(X), height)]


def sample_rows(X):
    """Give successive rows that stand for all, float64: all, or those in the middle."""
    n_rows = min(len(X), _SAMPLE_ROWS, max(_SAMPLE_ENTRIES // X.shape[1], 64))
    start = (len(X) - n_rows) // 2
    return np.asarray(X[start : start + n_rows], np.float64)


def spectrum(X, max_rank, n_iter, rng):
    """Find the leading singular values and right singular vectors.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        May be memory-mapped.
    max_rank : int
        The most vectors wanted.
    n_iter : int
        Power iterations, where X is too large for the Gram matrix of its smaller side, and a
        randomised range finder takes its place.
    rng : numpy.random.RandomState

    Returns
    -------
    Spectrum
        Of rank at most max_rank, and at least 1.

    Raises
    ------
    ValueError
        If squares of the numbers overflow.
    """
    n_rows, n_features = X.shape
    max_rank = min(max_rank, n_rows, n_features)
    with np.errstate(over="ignore", invalid="ignore"):
        energy = float(sum(np.vdot(block, block) for _, block in blocks(X)))
    if not energy < _MAX_ENERGY:
        raise ValueError(_OVERFLOW)
    if n_features <= min(n_rows, _GRAM_LIMIT):
        sizes, vectors = _from_gram(sum(block.T @ block for _, block in blocks(X)))
    elif n_rows <= _GRAM_LIMIT:
        sizes, left = _from_gram(_row_gram(X))
        vectors = _orthonormal_rows(transposed_product(X, left[:max_rank].T).T)
    else:
        sizes, vectors = _randomized(X, max_rank, n_iter, rng)
    return Spectrum(sizes[:max_rank], vectors[:max_rank], energy, n_rows)


def weighted_spectrum(X, root, max_rank):
    """Find the spectrum of X times the root of a metric, as `spectrum` does without one.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    root : float64 ndarray of shape (n_features, n_features)
    max_rank : int

    Returns
    -------
    Spectrum
    """
    with np.errstate(over="ignore", invalid="ignore"):
        gram = root.T @ sum(block.T @ block for _, block in blocks(X)) @ root
    energy = float(np.trace(gram))
    if not energy < _MAX_ENERGY:
        raise ValueError(_OVERFLOW)
    sizes, vectors = _from_gram(gram)
    max_rank = min(max_rank, *X.shape)
    return Spectrum(sizes[:max_rank], vectors[:max_rank], energy, len(X))


def product(X, matrix):
    """Multiply by a matrix of shape (n_features, n_columns), with the precision of X: float64."""
    return np.asarray(X @ matrix.astype(X.dtype), np.float64)


def transposed_product(X, matrix):
    """Multiply the transpose by a matrix of shape (n_rows, n_columns): float64."""
    return np.asarray(X.T @ matrix.astype(X.dtype), np.float64)


def _from_gram(gram):
    """Square roots of the eigenvalues, descending, and eigenvectors as rows."""
    values, vectors = eigh(gram, overwrite_a=True, check_finite=False)
    return np.sqrt(np.maximum(values[::-1], 0.0)), vectors.T[::-1]


def _row_gram(X):
    """Compute X X^T from blocks of columns."""
    width = max(1, _BLOCK_ENTRIES // len(X))
    columns = (X[:, i : i + width] for i in range(0, X.shape[1], width))
    return sum(c @ c.T for c in (np.asarray(c, np.float64) for c in columns))


def _orthonormal_rows(matrix):
    """Orthonormalise rows in their order, those that vanish too."""
    size = np.linalg.norm(matrix, axis=1)
    floor = 1e-12 * size.max(initial=0.0)
    vanished = np.flatnonzero(size <= floor)
    # Rows without direction take any that is left: those that QR finds for unit vectors.
    matrix[vanished] = 0.0
    matrix[vanished, vanished % matrix.shape[1]] = floor or 1.0
    q, r = np.linalg.qr(matrix.T)
    return (q * np.where(np.diag(r) < 0, -1.0, 1.0)).T


def _randomized(X, max_rank, n_iter, rng):
    """Find the spectrum in the range of powers of the Gram matrix, which is never formed.

    N. Halko, P. G. Martinsson and J. A. Tropp, "Finding structure with randomness", SIAM Review
    53(2), 2011, algorithm 4.4, from the side of the features. Each power is one pass.
    """
    width = min(max_rank + _OVERSAMPLES, *X.shape)
    basis = np.linalg.qr(rng.standard_normal((X.shape[1], width)))[0]
    for _ in range(n_iter + 1):
        basis = np.linalg.qr(_gram_product(X, basis))[0]
    sizes, rotation = _from_gram(basis.T @ _gram_product(X, basis))
    return sizes, rotation @ basis.T


def _gram_product(X, matrix):
    """Multiply X^T X by a matrix, in one pass: float64."""
    total = np.zeros(matrix.shape)
    for rows in steps("spectrum", _row_slices(X)):
        block = np.asarray(X[rows])
        total += transposed_product(block, product(block, matrix))
    return total
