"""The methods of the LPLR paper as it states them, with all of its variants, and its formulas.

`LowRankLowPrecisionCompressor` offers the methods with what an estimator needs; here they are
functions of a matrix, for repeating the experiments of the paper.

Source: R. Saha, V. Srivastava and M. Pilanci, "Matrix Compression via Randomized Low Rank and Low
Precision Factorization", NeurIPS 2023, arXiv:2310.11028.
"""

from numbers import Integral

import numpy as np
from sklearn.utils import check_array, check_random_state

from ._low_rank import LowRankLowPrecisionMatrix, _published
from ._low_rank._quantizers import MAX_BITS
from ._sklearn_compat import Interval, StrOptions, validate_params
from ._threads import single_threaded_blas

__all__ = [
    "affine_correction",
    "bits_per_entry",
    "dsvd",
    "error_bound",
    "lplr",
    "lsvd",
    "naive_quantization",
    "parity_rank",
]

_BITS = Interval(Integral, 1, MAX_BITS, closed="both")
_ROUNDING = {
    "X": ["array-like"],
    "bits": [_BITS],
    "rounding": [StrOptions({"nearest", "dithered"})],
    "random_state": ["random_state"],
}
_FACTORS = {"rank": [Interval(Integral, 1, None, closed="left")], "basis_bits": [_BITS, None]}


@validate_params(
    {
        **_ROUNDING,
        **_FACTORS,
        "sketch": [StrOptions({"gaussian", "cosine"})],
        "n_power_iter": [Interval(Integral, 0, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def lplr(
    X,
    rank,
    bits=8,
    basis_bits=None,
    *,
    sketch="gaussian",
    n_power_iter=0,
    rounding="nearest",
    random_state=None,
):
    """Sketch the range of a matrix, quantize the sketch, fit R to it, and quantize R.

    Algorithm 1 of the paper: L = Q(X S) with a random S, and R = Q'(L⁺ X).

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
        The matrix, float32 or float64; may be memory-mapped.
    rank : int
        Columns of the sketch; at most min(n_rows, n_features) are used.
    bits : int, default=8
        Bits of a number of L, at most 16.
    basis_bits : int, default=None
        Bits of a number of R; None takes `bits`.
    sketch : {"gaussian", "cosine"}, default="gaussian"
        Independent normal entries, or random signs times some rows of a cosine transform, the
        structured sketch.
    n_power_iter : int, default=0
        Times that the sketch is multiplied by the Gram matrix of the features, orthonormalised
        each time; 0 is the algorithm of the paper.
    rounding : {"nearest", "dithered"}, default="nearest"
        As the experiments of the paper round, or as its theory does: to the level below or above,
        at random and without bias.
    random_state : int, RandomState instance or None, default=None
        Draws the sketch and the dither.

    Returns
    -------
    LowRankLowPrecisionMatrix of shape (n_rows, n_features)
        The product L R.

    Raises
    ------
    InvalidParameterError
        If a parameter is out of its range.
    ValueError
        If `X` is empty, or holds NaN or infinity.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skquant.published import lplr, parity_rank
    >>> X, _ = load_digits(return_X_y=True)
    >>> rank = parity_rank(*X.shape, naive_bits=2, bits=8)
    >>> rank, lplr(X, rank, random_state=0).rank
    (15, 15)
    """
    options = {"sketch": sketch, "n_power_iter": n_power_iter, "rounding": rounding}
    return _factorize(_published.lplr, X, rank, bits, basis_bits, random_state, options)


@validate_params({**_ROUNDING, **_FACTORS}, prefer_skip_nested_validation=True)
def lsvd(X, rank, bits=8, basis_bits=None, *, rounding="nearest", random_state=None):
    """Quantize singular coordinates mixed by a Gaussian matrix, fit R to them, and quantize R.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
        The matrix, float32 or float64; may be memory-mapped.
    rank : int
        Columns of L; at most min(n_rows, n_features) are used.
    bits : int, default=8
        Bits of a number of L, at most 16.
    basis_bits : int, default=None
        Bits of a number of R; None takes `bits`.
    rounding : {"nearest", "dithered"}, default="nearest"
        As the experiments of the paper round, or as its theory does: to the level below or above,
        at random and without bias.
    random_state : int, RandomState instance or None, default=None
        Draws the mixture and the dither.

    Returns
    -------
    LowRankLowPrecisionMatrix of shape (n_rows, n_features)
        The product of L = Q(U Σ G) and R = Q'(L⁺ X).

    Raises
    ------
    InvalidParameterError, ValueError
        As for `lplr`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skquant.published import lsvd
    >>> X, _ = load_digits(return_X_y=True)
    >>> lsvd(X, 15, bits=6, random_state=0).shape
    (1797, 64)
    """
    options = {"rounding": rounding}
    return _factorize(_published.lsvd, X, rank, bits, basis_bits, random_state, options)


@validate_params({**_ROUNDING, **_FACTORS}, prefer_skip_nested_validation=True)
def dsvd(X, rank, bits=8, basis_bits=None, *, rounding="nearest", random_state=None):
    """Quantize the factors U and Σ Vᵀ of the singular value decomposition.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
        The matrix, float32 or float64; may be memory-mapped.
    rank : int
        Columns of L; at most min(n_rows, n_features) are used.
    bits : int, default=8
        Bits of a number of L, at most 16.
    basis_bits : int, default=None
        Bits of a number of R; None takes `bits`.
    rounding : {"nearest", "dithered"}, default="nearest"
        As the experiments of the paper round, or as its theory does: to the level below or above,
        at random and without bias.
    random_state : int, RandomState instance or None, default=None
        Draws the dither.

    Returns
    -------
    LowRankLowPrecisionMatrix of shape (n_rows, n_features)
        The product of L = Q(U) and R = Q'(Σ Vᵀ).

    Raises
    ------
    InvalidParameterError, ValueError
        As for `lplr`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skquant.published import dsvd
    >>> X, _ = load_digits(return_X_y=True)
    >>> dsvd(X, 15, bits=6).shape
    (1797, 64)
    """
    options = {"rounding": rounding}
    return _factorize(_published.dsvd, X, rank, bits, basis_bits, random_state, options)


@validate_params(_ROUNDING, prefer_skip_nested_validation=True)
def naive_quantization(X, bits=8, *, rounding="nearest", random_state=None):
    """Quantize the entries of a matrix over one range: what the paper compares with.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
        The matrix, float32 or float64; may be memory-mapped.
    bits : int, default=8
        Bits of an entry, at most 16.
    rounding : {"nearest", "dithered"}, default="nearest"
        As the experiments of the paper round, or as its theory does: to the level below or above,
        at random and without bias.
    random_state : int, RandomState instance or None, default=None
        Draws the dither.

    Returns
    -------
    ndarray of shape (n_rows, n_features)
        The reconstruction, of the dtype of `X`.

    Raises
    ------
    InvalidParameterError, ValueError
        As for `lplr`.

    Examples
    --------
    >>> from skquant.published import naive_quantization
    >>> naive_quantization([[0.0, 0.2, 1.0], [0.6, 0.9, 0.0]], bits=1).tolist()
    [[0.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
    """
    X = check_array(X, dtype=[np.float64, np.float32])
    rng = check_random_state(random_state) if rounding == "dithered" else None
    rows = X.astype(np.float64, copy=False)
    return _published.quantize(rows, bits, rng)[1].toarray().astype(X.dtype, copy=False)


def bits_per_entry(n_rows, n_features, rank, bits=8, basis_bits=None):
    """Count bits per entry as the paper does: the numbers of both factors, and nothing else.

    Parameters
    ----------
    n_rows, n_features : int
        Shape of the matrix.
    rank : int
        Columns of L.
    bits : int, default=8
        Bits of a number of L.
    basis_bits : int, default=None
        Bits of a number of R; None takes `bits`.

    Returns
    -------
    float
        Bits of all numbers of both factors over the number of entries.

    Examples
    --------
    >>> from skquant.published import bits_per_entry
    >>> bits_per_entry(1000, 1000, 83, bits=8, basis_bits=4)
    0.996
    """
    return (n_rows * bits + n_features * (basis_bits or bits)) * rank / (n_rows * n_features)


def parity_rank(n_rows, n_features, naive_bits, bits=8, basis_bits=None):
    """Give the largest rank at which the factors take no more than naive quantization does.

    Parameters
    ----------
    n_rows, n_features : int
        Shape of the matrix.
    naive_bits : float
        Bits of an entry under naive quantization.
    bits : int, default=8
        Bits of a number of L.
    basis_bits : int, default=None
        Bits of a number of R; None takes `bits`.

    Returns
    -------
    int
        0 where the bits do not pay for one column.

    Examples
    --------
    >>> from skquant.published import parity_rank
    >>> parity_rank(1000, 1000, naive_bits=1, bits=8, basis_bits=4)
    83
    """
    return _published.parity_rank(n_rows, n_features, naive_bits, bits, basis_bits or bits)


def error_bound(singular_values, target_rank, rank):
    """Bound the expected squared error of `lplr` with very many bits.

    Parameters
    ----------
    singular_values : array-like of shape (n,)
        All singular values of the matrix, descending.
    target_rank : int
        The k of the best approximation compared with; any from 0 to rank - 2 will do.
    rank : int
        Columns of the Gaussian sketch.

    Returns
    -------
    float
        (1 + k / (rank - k - 1)) times the squared error of the best rank-k approximation. A finite
        number of bits adds an error that falls with 4^-bits.

    Raises
    ------
    ValueError
        If `target_rank` is negative or `rank` below target_rank + 2.

    Examples
    --------
    >>> from skquant.published import error_bound
    >>> error_bound([3.0, 2.0, 1.0], target_rank=1, rank=3)
    10.0
    """
    if not 0 <= target_rank <= rank - 2:
        raise ValueError(f"target_rank must be from 0 to rank - 2 = {rank - 2}, got {target_rank}.")
    rest = float(np.sum(np.asarray(singular_values)[target_rank:] ** 2))
    return (1 + target_rank / (rank - target_rank - 1)) * rest


def affine_correction(X, approximation):
    """Find the scale and the shift of an approximation that fit a matrix best.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
        The matrix.
    approximation : array-like of shape (n_rows, n_features)
        What is to be scaled and shifted.

    Returns
    -------
    scale, shift : float
        Which minimise the Frobenius norm of ``X - scale * approximation - shift``.

    Examples
    --------
    >>> import numpy as np
    >>> from skquant.published import affine_correction
    >>> X = np.arange(6.0).reshape(2, 3)
    >>> affine_correction(X, 2 * X + 3)
    (0.5, -1.5)
    """
    X, approximation = np.asarray(X), np.asarray(approximation)
    centred = approximation - approximation.mean(dtype=np.float64)
    energy = np.vdot(centred, centred)
    scale = float(np.vdot(centred, X) / energy) if energy > 0 else 0.0
    shift = X.mean(dtype=np.float64) - scale * approximation.mean(dtype=np.float64)
    return scale, float(shift)


def _factorize(method, X, rank, bits, basis_bits, random_state, options):
    X = check_array(X, dtype=[np.float64, np.float32])
    rng = check_random_state(random_state)
    with single_threaded_blas():
        scheme, left = method(
            X, min(rank, *X.shape), bits, basis_bits or bits, random_state=rng, **options
        )
    return LowRankLowPrecisionMatrix(left, scheme.right, dtype=X.dtype)
