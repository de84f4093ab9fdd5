"""The error to expect of a product of two given matrices that are compressed."""

import numpy as np

from ._arguments import checked, unwrapped

ESTIMATORS = ("least_squares", "unbiased")


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
    scatter=0.0,
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
    scatter : float or array-like, default=0.0
        Relative variance of the factors that the entries are scaled by about the right ones.

    Returns
    -------
    squared_bias : float or ndarray
        Squared Frobenius norm of the expected error, or the square for each entry.
    variance : float or ndarray
        Expected squared deviation from it.

    Raises
    ------
    ValueError
        If a norm, `n`, a distortion, `kept` or `scatter` is out of its range or NaN, `estimator` is
        unknown, or it is "unbiased" and a distortion is 1.

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

    Errors of nearly parallel vectors are correlated, unless each side subtracts its own dither.

    The scale factors are taken to be right. An entry whose factor errs relatively by t errs by t C
    on top, so `scatter`, the mean of t², adds C² times it to the variance, and (1 - G)² C² times it
    to that of "least_squares". It counts for nearly parallel vectors. It has two sources:

    * "unbiased" divides by the 1 - D of each vector only where that is stored, which
      ``center="features"`` does. Otherwise a common one takes its place, and the relative variances
      of 1 - D_a and of 1 - D_b among the vectors add up: about D² (κ_4 + 4 D/(1 - D))/n each, for a
      quantization error that is independent of the vector, with κ_4 = n Var(‖e‖²)/(E ‖e‖²)²; it is
      2 of a Gaussian error and 4/(d + 4) of one uniform over a ball of d dimensions.
    * A norm of m mantissa bits is rounded by up to half a step: 4^-m/48 over the square of its
      mantissa in [1/2, 1). At high rates that is the larger part.

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
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator must be one of {ESTIMATORS}, got {estimator!r}.")
    norm_a = checked("norm_a", norm_a, right=")")
    norm_b = checked("norm_b", norm_b, right=")")
    norm_product = checked("norm_product", norm_product, low=-np.inf, left="(", right=")")
    n = checked("n", n, low=1, right=")")
    d_a = checked("distortion_a", distortion_a, high=1.0)
    d_b = checked("distortion_b", distortion_b, high=1.0)
    kept = checked("kept", kept, high=1.0, left="(")
    scatter = checked("scatter", scatter, right=")")
    norms = (norm_a * norm_b) ** 2
    product = np.minimum(norm_product**2, norms)
    aligned = (1 - d_a) * (1 - d_b)
    one_error, both_errors = d_a * (1 - d_b) + d_b * (1 - d_a), d_a * d_b
    variance = (1 - kept) * aligned * (norms + product)
    variance = (variance + one_error * (norms - product) + both_errors * norms) / n
    variance = variance + scatter * kept * aligned * product
    if estimator == "unbiased":
        if (aligned == 0).any():
            raise ValueError("The unbiased estimator needs distortion_a and distortion_b below 1.")
        return unwrapped(0 * product), unwrapped(variance / (kept * aligned))
    shrinkage = (1 - kept) + kept * (one_error + both_errors)
    return unwrapped(shrinkage**2 * product), unwrapped(kept * aligned * variance)


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
    scatter=0.0,
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
    scatter : float or array-like, default=0.0
        As in `matmul_bias_variance`.

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
        scatter=scatter,
    )
    return squared_bias + variance
