"""The methods of the LPLR paper as published.

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
    sketch : {"gaussian", "cosine"}, default="gaussian"
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
    code, left = quantize(product(X, projection), bits, rng)
    right = quantize(found.sizes[:, None] * found.vectors, basis_bits, rng)[1]
    return Scheme(projection, code, right, right.toarray()), left


METHODS = {"lplr": lplr, "lsvd": lsvd, "dsvd": dsvd}


def parity_rank(n_rows, n_features, naive_bits, bits, basis_bits):
    """Give the rank at which the factors take as many bits as naive quantization."""
    return int(n_rows * n_features * naive_bits / (n_rows * bits + n_features * basis_bits))


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


def quantize(values, bits, rng):
    """Quantize rows of float64 over their own range: the code and the coded rows."""
    least, most = float(values.min()), float(values.max())
    width, centre = (most - least) / 2, (most + least) / 2
    code = LevelCode.fit("uniform", bits, width, values.shape[1], centre)
    return code, Factor.from_rows(code, values, rng)


def _refit(X, projection, bits, basis_bits, rng):
    """Quantize the projected rows, and fit the right factor to them by least squares."""
    code, left = quantize(product(X, projection), bits, rng)
    basis, triangle = qr(left.toarray(), mode="economic", overwrite_a=True, check_finite=False)
    inverse = np.linalg.pinv(triangle, rcond=1e-10)
    right = quantize(inverse @ transposed_product(X, basis).T, basis_bits, rng)[1]
    return Scheme(projection, code, right, right.toarray()), left
