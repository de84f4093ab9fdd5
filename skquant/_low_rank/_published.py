"""The methods of the LPLR paper as published, its counting of bits, and its bound.

R. Saha, V. Srivastava and M. Pilanci, "Matrix Compression via Randomized Low Rank and Low Precision
Factorization", NeurIPS 2023, arXiv:2310.11028.
"""

import numpy as np
from scipy.fft import idct
from scipy.linalg import qr

from ._factors import Factor, LevelCode
from ._scheme import Scheme
from ._spectrum import product, spectrum, transposed_product


def lplr(
    X,
    rank,
    bits,
    basis_bits,
    *,
    sketch="gaussian",
    n_power_iter=0,
    rounding="nearest",
    random_state=None,
):
    """Sketch the range, quantize the sketch, fit the other factor to it, and quantize that.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    rank : int
        Columns of the sketch.
    bits, basis_bits : int
        Bits of a number of the left and of the right factor.
    sketch : {"gaussian", "structured"}, default="gaussian"
        Independent normal entries, or random signs times some rows of a cosine transform.
    n_power_iter : int, default=0
        Times that the sketch is multiplied by the Gram matrix of the features, orthonormalised
        each time; 0 is as published.
    rounding : {"nearest", "dithered"}, default="nearest"
        As the experiments of the paper round, or as its theory does.
    random_state : numpy.random.RandomState
        Draws the sketch and the dither.

    Returns
    -------
    scheme : Scheme
    left : Factor
        The left factor of `X`.
    """
    projection = _draw_sketch(sketch, X.shape[1], rank, random_state)
    for _ in range(n_power_iter):
        left = np.linalg.qr(product(X, projection))[0]
        projection = np.linalg.qr(transposed_product(X, left))[0]
    return _refit(X, projection, bits, basis_bits, _dither(rounding, random_state))


def lsvd(X, rank, bits, basis_bits, *, rounding="nearest", random_state=None):
    """Quantize the singular coordinates mixed by a Gaussian matrix, and fit the other factor.

    Parameters
    ----------
    X, rank, bits, basis_bits, rounding, random_state
        As for `lplr`.

    Returns
    -------
    scheme : Scheme
    left : Factor
        The left factor of `X`.
    """
    vectors = spectrum(X, rank, 4, random_state).vectors
    mixed = vectors.T @ random_state.standard_normal((len(vectors), rank)) / np.sqrt(rank)
    return _refit(X, mixed, bits, basis_bits, _dither(rounding, random_state))


def dsvd(X, rank, bits, basis_bits, *, rounding="nearest", random_state=None):
    """Quantize the factors U and S V^T of the singular value decomposition.

    Parameters
    ----------
    X, rank, bits, basis_bits, rounding, random_state
        As for `lplr`.

    Returns
    -------
    scheme : Scheme
    left : Factor
        The left factor of `X`.
    """
    found = spectrum(X, rank, 4, random_state)
    sizes = np.where(found.sizes > 1e-12 * found.sizes[0], found.sizes, np.inf)
    projection = found.vectors.T / sizes
    rng = _dither(rounding, random_state)
    code, left = _quantize(product(X, projection), bits, rng)
    right = _quantize(found.sizes[:, None] * found.vectors, basis_bits, rng)[1]
    return Scheme(projection, code, right, right.toarray()), left


METHODS = {"lplr": lplr, "lsvd": lsvd, "dsvd": dsvd}


def naive_quantization(X, bits, *, rounding="nearest", random_state=None):
    """Quantize the entries of a matrix over one range: what the paper compares with.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    bits : int
    rounding, random_state
        As for `lplr`.

    Returns
    -------
    float64 ndarray of shape (n_rows, n_features)
        The reconstruction.
    """
    rows = np.asarray(X, np.float64)
    return _quantize(rows, bits, _dither(rounding, random_state))[1].toarray()


def paper_bits(n_rows, n_features, rank, bits, basis_bits):
    """Count bits per entry as the paper does: the numbers of both factors, and nothing else.

    Examples
    --------
    >>> paper_bits(1000, 1000, 83, 8, 4)
    0.996
    """
    return (n_rows * bits + n_features * basis_bits) * rank / (n_rows * n_features)


def parity_rank(n_rows, n_features, naive_bits, bits, basis_bits):
    """Give the rank at which the factors take as many bits as naive quantization.

    Examples
    --------
    >>> parity_rank(1000, 1000, 1, 8, 4)
    83
    """
    return int(n_rows * n_features * naive_bits / (n_rows * bits + n_features * basis_bits))


def error_bound(singular_values, target_rank, rank):
    """Bound the expected squared error of `lplr` with very many bits.

    Parameters
    ----------
    singular_values : ndarray of shape (n,)
        All singular values of the matrix.
    target_rank : int
        The k of the best approximation compared with; any will do.
    rank : int
        Columns of the sketch, at least k + 2.

    Returns
    -------
    float
        (1 + k / (rank - k - 1)) times the squared error of the best rank-k approximation. A finite
        number of bits adds an error that falls with 4^-bits.

    Raises
    ------
    ValueError
        If `rank` is below target_rank + 2.

    Examples
    --------
    >>> error_bound([3.0, 2.0, 1.0], target_rank=1, rank=3)
    10.0
    """
    if rank < target_rank + 2:
        raise ValueError(f"rank must be at least target_rank + 2 = {target_rank + 2}, got {rank}.")
    rest = float(np.sum(np.asarray(singular_values)[target_rank:] ** 2))
    return (1 + target_rank / (rank - target_rank - 1)) * rest


def _draw_sketch(kind, n_features, rank, rng):
    if kind == "gaussian":
        return rng.standard_normal((n_features, rank)) / np.sqrt(rank)
    rows = rng.permutation(n_features)[:rank]
    unit = np.zeros((n_features, len(rows)))
    unit[rows, np.arange(len(rows))] = 1.0
    signs = rng.choice([-1.0, 1.0], size=n_features)
    cosines = idct(unit, axis=0, norm="ortho")
    return signs[:, None] * cosines * np.sqrt(n_features / len(rows))


def _dither(rounding, random_state):
    return random_state if rounding == "dithered" else None


def _quantize(values, bits, rng):
    """Quantize a factor over its own range: the code and the coded rows."""
    least, most = float(values.min()), float(values.max())
    width, centre = (most - least) / 2, (most + least) / 2
    code = LevelCode.fit("uniform", bits, width, values.shape[1], centre)
    return code, Factor.from_rows(code, values, rng)


def _refit(X, projection, bits, basis_bits, rng):
    """Quantize the projected rows, and fit the right factor to them by least squares."""
    code, left = _quantize(product(X, projection), bits, rng)
    basis, triangle = qr(left.toarray(), mode="economic", overwrite_a=True, check_finite=False)
    inverse = np.linalg.pinv(triangle, rcond=1e-10)
    right = _quantize(inverse @ transposed_product(X, basis).T, basis_bits, rng)[1]
    return Scheme(projection, code, right, right.toarray()), left
