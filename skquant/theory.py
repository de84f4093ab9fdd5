"""What can be reached: the least error of a product of compressed matrices, and that to expect.

`gamma` is the least possible error at a number of bits per entry, and `matmul_mse` the error to
expect of a given pair of matrices. Rates are bits per entry. Errors of products are in the unit
‖a‖²‖b‖²/n for vectors a and b of length n, which is the variance of ⟨a, b⟩ when one of them is
rotated at random: an error of 1 says that nothing is known. All functions broadcast arrays, and
give a float for scalars.

Source, unless a function names another: O. Ordentlich and Y. Polyanskiy, *Optimal Quantization
for Matrix Multiplication*, arXiv:2410.13780.
"""

import numpy as np
from scipy.special import exprel, lambertw

__all__ = [
    "CRITICAL_RATE",
    "distortion_rate",
    "gamma",
    "gaussian_matmul_lower_bound",
    "matmul_bias_variance",
    "matmul_mse",
    "space_filling_loss",
    "switching_rate",
]

#: The rate R* below which `gamma` is a straight line, in bits per entry.
#:
#: It is the positive root of R = log2(1 + 4 R ln 2)/2 (arXiv:2410.13780, section 1), and the
#: `switching_rate` of an ideal code.
CRITICAL_RATE = 0.9063235369515507

_ESTIMATORS = ("least_squares", "unbiased")


def distortion_rate(rate):
    """Give the least distortion of independent Gaussian entries, 4^-R.

    It is also the least error of a product of which one side is exact, ``gamma(rate, inf)``.
    Source: T. M. Cover and J. A. Thomas, *Elements of Information Theory*, theorem 10.3.2.

    Parameters
    ----------
    rate : float or array-like
        R, bits per entry, at least 0; may be infinite.

    Returns
    -------
    float or ndarray
        Squared error as a share of the variance.

    Raises
    ------
    ValueError
        If `rate` is negative or NaN.

    Examples
    --------
    >>> from skquant.theory import distortion_rate
    >>> distortion_rate([0, 1, 2]).tolist()
    [1.0, 0.25, 0.0625]
    """
    return _unwrapped(4.0 ** -_checked("rate", rate))


def gamma(rate, rate_b=None):
    """Give the least error of a product of two compressed Gaussian matrices.

    From the critical rate R* up it is Γ(R) = 2·4^-R - 16^-R, what an ideal code on each side
    leaves. Below R* it is the straight line from (0, 1) to (R*, Γ(R*)): there it is better to code
    a share R/R* of the coordinates, the same on both sides, at the rate R*, and to leave out the
    others. The line touches the curve: the slope has no jump, the second derivative has one.

    Parameters
    ----------
    rate : float or array-like
        R, bits per entry of both matrices, or of the first one; at least 0, may be infinite.
    rate_b : float or array-like, default=None
        Bits per entry of the second matrix, if they differ; infinity stands for an exact one.

    Returns
    -------
    float or ndarray
        Expected squared error, in the unit ‖a‖²‖b‖²/n, in [0, 1].

    Raises
    ------
    ValueError
        If a rate is negative or NaN.

    See Also
    --------
    gaussian_matmul_lower_bound : The same in absolute terms, for matrices.
    matmul_mse : The error to expect of given matrices and codes.

    Notes
    -----
    Γ and R* are those of arXiv:2410.13780, section 1. For two rates the bound is the lower convex
    envelope of 1 - p(R1, R2), where p = (1 - 4^-R1)(1 - 4^-R2). It is computed as the minimum of
    1 - κ p(R1/κ, R2/κ) over the kept share κ in (0, 1], and that is the envelope itself:

    * A concave function that is above p, and 0 at the origin, is above κ p(R1/κ, R2/κ) for each κ.
    * With φ(R) = x/(exp(x) - 1), x = R ln 4, the best κ is 1 where φ(R1) + φ(R2) ≤ 1; elsewhere it
      makes φ(R1/κ) + φ(R2/κ) = 1. Since φ(R) > 4^-R, the optimum always lies where
      4^-R1 + 4^-R2 < 1, and there p is concave. So is κ p(R1/κ, R2/κ), jointly in κ and the rates,
      and with it the maximum over κ, whose gradient is continuous where κ becomes 1.

    For equal rates φ(R) = 1/2 is the equation of R*, and κ = R/R*.

    Examples
    --------
    >>> from skquant.theory import CRITICAL_RATE, distortion_rate, gamma
    >>> gamma([0, 1, 2]).tolist()
    [1.0, 0.4375, 0.12109375]
    >>> slope = (gamma(CRITICAL_RATE) - 1) / CRITICAL_RATE
    >>> round(slope, 6), round((gamma(0.5) - 1) / 0.5, 6)
    (-0.564588, -0.564588)
    >>> gamma(2, float("inf")) == distortion_rate(2)
    True
    """
    rate_a = _checked("rate", rate)
    rate_b = rate_a if rate_b is None else _checked("rate_b", rate_b)
    rates = np.stack(np.broadcast_arrays(rate_a, rate_b))
    kept = _best_kept_share(rates)
    d_a, d_b = 4.0 ** -(rates / kept)
    return _unwrapped((1 - kept) + kept * (d_a + d_b * (1 - d_a)))


def _best_kept_share(rates):
    """Give the share of coordinates that `gamma` keeps, for rates of shape (2, ...)."""
    x = np.log(4) * rates
    share = np.ones(x.shape[1:])
    # Where a rate is zero, nothing is learnt whatever the share.
    below = ((1 / exprel(x)).sum(axis=0) > 1) & (x.min(axis=0) > np.finfo(float).tiny)
    x = x[:, below]
    total = x.sum(axis=0)
    x = x / total
    # φ is convex, so Newton's steps never pass the root of φ + φ = 1 when they start below it; and
    # because φ ≥ 1 - x/2, it is at least 2.
    stretched = np.maximum(total, 2.0)
    for _ in range(100):
        phi = 1 / exprel(x * stretched)
        step = (phi.sum(axis=0) - 1) / (phi * (phi + x * stretched - 1)).sum(axis=0)
        stretched += stretched * step
        if (step <= 1e-12).all():
            break
    share[below] = total / stretched
    return share


def gaussian_matmul_lower_bound(rate, n, a, b, *, rate_b=None, sigma=1.0):
    """Bound the error of any compression of two Gaussian matrices from below.

    Let A have shape (n, a) and B shape (n, b), with independent Gaussian entries of mean 0 and
    variance σ². Compress each, without looking at the other, to R bits per entry. Then every
    estimate of AᵀB has an expected squared error of at least σ⁴ n a b Γ(R), for every n
    (arXiv:2410.13780, section 1); for large n nested lattices come as near to it as one likes.

    Parameters
    ----------
    rate : float or array-like
        R, bits per entry of both matrices, or of A.
    n : int or array-like
        Length of the coded vectors, the dimension that the product contracts.
    a : int or array-like
        Number of coded vectors of A: its columns here, rows in the rest of the package.
    b : int or array-like
        Number of coded vectors of B.
    rate_b : float or array-like, default=None
        Bits per entry of B, if they differ; infinity stands for an exact matrix.
    sigma : float or array-like, default=1.0
        Standard deviation of the entries; of matrices that differ in it, the geometric mean.

    Returns
    -------
    float or ndarray
        Expected squared Frobenius norm of the error of the product.

    Raises
    ------
    ValueError
        If a rate or `sigma` is negative or NaN, or `n`, `a` or `b` is below 1.

    Examples
    --------
    >>> from skquant.theory import gaussian_matmul_lower_bound
    >>> gaussian_matmul_lower_bound(1, n=64, a=10, b=20)
    5600.0
    """
    n, a, b = (_checked(*item, low=1, right=")") for item in (("n", n), ("a", a), ("b", b)))
    sigma = _checked("sigma", sigma, right=")")
    return _unwrapped(sigma**4 * n * a * b * gamma(rate, rate_b))


def space_filling_loss(second_moment):
    """Give the bits per entry that a lattice loses to an ideal code, log2(2πeG)/2.

    An entropy-coded lattice takes that much more than log2(1/D)/2 at high rates, and with
    subtractive dither at most that much more at any rate. Source: R. Zamir and M. Feder, *On
    universal quantization by randomized uniform/lattice quantizers*, IEEE Transactions on
    Information Theory 38, 1992.

    Parameters
    ----------
    second_moment : float or array-like
        Normalised second moment G, as `skquant.lattices.Lattice.second_moment`; at least that of
        a ball of infinitely many dimensions, 1/(2πe).

    Returns
    -------
    float or ndarray
        Bits per entry.

    Raises
    ------
    ValueError
        If `second_moment` is below 1/(2πe), NaN or infinite.

    Examples
    --------
    >>> from skquant.lattices import E8, Z
    >>> from skquant.theory import space_filling_loss
    >>> [round(space_filling_loss(lattice.second_moment), 3) for lattice in (Z(), E8())]
    [0.255, 0.146]
    """
    ball = 1 / (2 * np.pi * np.e)
    second_moment = _checked("second_moment", second_moment, low=ball, right=")")
    return _unwrapped(0.5 * np.log2(second_moment / ball))


def switching_rate(excess=1.0):
    """Give the rate below which a code for products should leave coordinates out.

    Below it, only a share of the coordinates, the same in both matrices, is coded, and at this
    rate; above it, all are. Of a code with the distortion c·4^-r it is the rate r that maximises
    (1 - c·4^-r)²/r, what is learnt of a product per bit.

    Parameters
    ----------
    excess : float or array-like, default=1.0
        The factor c, at least 1. An ideal code has 1, an entropy-coded lattice 4 to the power of
        its `space_filling_loss`.

    Returns
    -------
    float or ndarray
        Bits per coded entry.

    Raises
    ------
    ValueError
        If `excess` is below 1, NaN or infinite.

    Notes
    -----
    With x = r ln 4 the derivative vanishes where exp(x) = c (1 + 2x). The root with c·4^-r < 1 is
    x = -1/2 - W(-exp(-1/2)/(2c)), W being the lower real branch of Lambert's function.

    Examples
    --------
    >>> from skquant.lattices import E8
    >>> from skquant.theory import space_filling_loss, switching_rate
    >>> round(switching_rate(), 6)
    0.906324
    >>> round(switching_rate(4 ** space_filling_loss(E8().second_moment)), 3)
    1.205
    """
    excess = _checked("excess", excess, low=1.0, right=")")
    x = -0.5 - lambertw(-np.exp(-0.5) / (2 * excess), -1).real
    return _unwrapped(x / np.log(4))


def matmul_bias_variance(
    norm_a,
    norm_b,
    norm_product,
    n,
    distortion_a,
    distortion_b,
    *,
    kept=1.0,
    estimator="least_squares",
):
    """Predict bias and variance of a product of two compressed matrices, whatever they are.

    The matrices are given; what is random is the rotation, the same for both. A has shape (n, a)
    and B (n, b); a column, which is a row in the rest of the package, is a coded vector. If they
    were centred, the norms are those of the centred matrices, and the products of what was
    subtracted are taken to be exact.

    Parameters
    ----------
    norm_a : float or array-like
        ‖A‖_F, or the norms of its coded vectors.
    norm_b : float or array-like
        ‖B‖_F, or the norms of its coded vectors.
    norm_product : float or array-like
        ‖AᵀB‖_F, or its entries, of either sign. More than ``norm_a * norm_b``, as an estimate may
        be, counts as that.
    n : int or array-like
        Length of the coded vectors.
    distortion_a : float or array-like
        D_a in [0, 1]: squared error of the kept coordinates of A, as a share of their squares.
    distortion_b : float or array-like
        D_b, the same of B.
    kept : float or array-like, default=1.0
        κ in (0, 1]: share of the rotated coordinates that is coded, the same ones of A and B.
    estimator : {"least_squares", "unbiased"}, default="least_squares"
        "least_squares" multiplies the least-squares reconstructions; "unbiased" divides each entry
        of that product by its 1 - G.

    Returns
    -------
    squared_bias : float or ndarray
        Squared Frobenius norm of the expected error, or the square for each entry.
    variance : float or ndarray
        Expected squared deviation from it.

    Raises
    ------
    ValueError
        If a norm, `n`, a distortion or `kept` is out of its range or NaN, `estimator` is unknown,
        or it is "unbiased" and a distortion is 1.

    See Also
    --------
    matmul_mse : The sum of both.

    Notes
    -----
    For an entry C of AᵀB let N = ‖a‖²‖b‖², g = (1 - D_a)(1 - D_b) and G = 1 - κ g. The
    reconstruction of the kept coordinates y of a vector is (1 - D) y + w with w perpendicular to y
    and ‖w‖² = D (1 - D) ‖y‖². The rotation makes the directions of each w uniform as seen from the
    other vector, and the two are taken to be uncorrelated. To first order in 1/n,

    * bias = -G C,
    * variance = κ g/n · ((1 - κ) g (N + C²) + (D_a + D_b - 2 D_a D_b) (N - C²) + D_a D_b N): the
      choice of coordinates, the error of each side times the other side, and error times error.

    Over all pairs N sums to ‖A‖²‖B‖² and C² to ‖AᵀB‖². "unbiased" divides the variance by (1 - G)².

    Without the terms in C² the variance is N (G - G²)/n, the guarantee of arXiv:2410.13780, section
    1. It is for vectors that are all scaled by one factor; when all coordinates are kept, it is
    also a bound of the variance here. A vector scaled by its own least-squares factor has no error
    along itself, so only the part of the other vector that is perpendicular sees w: hence N - C².

    Errors of nearly parallel vectors are correlated, unless each side subtracts its own dither. A
    common 1 - G, in place of each entry's, adds to "unbiased" C² times the relative variances of
    1 - D_a and 1 - D_b among the vectors, which counts for nearly parallel vectors at low rates.

    Examples
    --------
    Each entry has its own prediction, and they add up to that of the matrices:

    >>> import numpy as np
    >>> from skquant.theory import matmul_bias_variance
    >>> A, B = np.random.default_rng(0).standard_normal((2, 64, 5))
    >>> norm_a, norm_b = np.linalg.norm(A, axis=0), np.linalg.norm(B, axis=0)
    >>> entries = matmul_bias_variance(norm_a[:, None], norm_b, A.T @ B, 64, 0.1, 0.1)
    >>> norms = (np.linalg.norm(M) for M in (A, B, A.T @ B))
    >>> np.allclose([part.sum() for part in entries], matmul_bias_variance(*norms, 64, 0.1, 0.1))
    True
    """
    if estimator not in _ESTIMATORS:
        raise ValueError(f"estimator must be one of {_ESTIMATORS}, got {estimator!r}.")
    norm_a = _checked("norm_a", norm_a, right=")")
    norm_b = _checked("norm_b", norm_b, right=")")
    norm_product = _checked("norm_product", norm_product, low=-np.inf, left="(", right=")")
    n = _checked("n", n, low=1, right=")")
    d_a = _checked("distortion_a", distortion_a, high=1.0)
    d_b = _checked("distortion_b", distortion_b, high=1.0)
    kept = _checked("kept", kept, high=1.0, left="(")
    norms = (norm_a * norm_b) ** 2
    product = np.minimum(norm_product**2, norms)
    aligned = (1 - d_a) * (1 - d_b)
    one_error, both_errors = d_a * (1 - d_b) + d_b * (1 - d_a), d_a * d_b
    variance = (1 - kept) * aligned * (norms + product)
    variance = (variance + one_error * (norms - product) + both_errors * norms) / n
    if estimator == "unbiased":
        if (aligned == 0).any():
            raise ValueError("The unbiased estimator needs distortion_a and distortion_b below 1.")
        return _unwrapped(0 * product), _unwrapped(variance / (kept * aligned))
    shrinkage = (1 - kept) + kept * (one_error + both_errors)
    return _unwrapped(shrinkage**2 * product), _unwrapped(kept * aligned * variance)


def matmul_mse(
    norm_a,
    norm_b,
    norm_product,
    n,
    distortion_a,
    distortion_b,
    *,
    kept=1.0,
    estimator="least_squares",
):
    """Predict the expected squared error of a product of two compressed matrices.

    It is the sum of what `matmul_bias_variance` gives, where the model is explained.

    Parameters
    ----------
    norm_a : float or array-like
        ‖A‖_F of the centred matrix, or the norms of its coded vectors.
    norm_b : float or array-like
        ‖B‖_F, or the norms of its coded vectors.
    norm_product : float or array-like
        ‖AᵀB‖_F, or its entries.
    n : int or array-like
        Length of the coded vectors.
    distortion_a : float or array-like
        Squared error of the kept coordinates of A, as a share of their squares, in [0, 1].
    distortion_b : float or array-like
        The same of B.
    kept : float or array-like, default=1.0
        Share of the rotated coordinates that is coded, in (0, 1].
    estimator : {"least_squares", "unbiased"}, default="least_squares"
        "least_squares" multiplies the least-squares reconstructions; "unbiased" divides that
        product by its expected shrinkage.

    Returns
    -------
    float or ndarray
        Expected squared Frobenius norm of the error, or the expected squared error of each entry.

    Raises
    ------
    ValueError
        As `matmul_bias_variance` does.

    See Also
    --------
    gamma : The least error of Gaussian matrices.

    Examples
    --------
    With ideal codes, orthogonal vectors have an error of G - G² times the unit and independent
    ones, whose products have bias too, of ``gamma``:

    >>> from skquant.theory import distortion_rate, gamma, matmul_mse
    >>> d, unit = distortion_rate(2), 1 / 1024
    >>> round(matmul_mse(1, 1, 0, 1024, d, d) / unit, 3), round(gamma(2) - gamma(2) ** 2, 3)
    (0.106, 0.106)
    >>> round(matmul_mse(1, 1, unit**0.5, 1024, d, d) / unit, 3), round(gamma(2), 3)
    (0.121, 0.121)
    """
    squared_bias, variance = matmul_bias_variance(
        norm_a,
        norm_b,
        norm_product,
        n,
        distortion_a,
        distortion_b,
        kept=kept,
        estimator=estimator,
    )
    return squared_bias + variance


def _checked(name, values, low=0.0, high=np.inf, *, left="[", right="]"):
    """Take numbers as a float64 array, or say which parameter is not in the interval."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be real numbers, got {values!r}.") from None
    inside = (array > low) | ((array == low) & (left == "["))
    inside &= (array < high) | ((array == high) & (right == "]"))
    if not inside.all():
        wrong = array[~inside].flat[0]
        raise ValueError(f"{name} must be in {left}{low:g}, {high:g}{right}, got {wrong:g}.")
    return array


def _unwrapped(values):
    """Give a float for an array without dimensions."""
    return float(values) if np.ndim(values) == 0 else values
