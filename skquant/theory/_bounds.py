"""The least error of a product of compressed matrices, and the rate below which it is a line."""

import numpy as np
from scipy.special import exprel, lambertw

from ._arguments import checked, unwrapped


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
    return unwrapped(4.0 ** -checked("rate", rate))


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
    rate_a = checked("rate", rate)
    rate_b = rate_a if rate_b is None else checked("rate_b", rate_b)
    rates = np.stack(np.broadcast_arrays(rate_a, rate_b))
    kept = _best_kept_share(rates)
    d_a, d_b = 4.0 ** -(rates / kept)
    return unwrapped((1 - kept) + kept * (d_a + d_b * (1 - d_a)))


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
    n, a, b = (checked(*item, low=1, right=")") for item in (("n", n), ("a", a), ("b", b)))
    sigma = checked("sigma", sigma, right=")")
    return unwrapped(sigma**4 * n * a * b * gamma(rate, rate_b))


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
    second_moment = checked("second_moment", second_moment, low=ball, right=")")
    return unwrapped(0.5 * np.log2(second_moment / ball))


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
    excess = checked("excess", excess, low=1.0, right=")")
    x = -0.5 - lambertw(-np.exp(-0.5) / (2 * excess), -1).real
    return unwrapped(x / np.log(4))
