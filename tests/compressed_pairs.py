"""Pairs of matrices, compressed to be multiplied, and what their products must be."""

import numpy as np
import pytest

from skquant import LatticeQuantizer
from skquant._products._decoded_rows import ShortRows, rows_for

CENTERS = ["features", "rows", False]
every_center = pytest.mark.parametrize("center", CENTERS)
every_estimator = pytest.mark.parametrize("estimator", ["least_squares", "unbiased"])
DITHERS = [(None, None), (0, None), (1, 2), (3, 3)]


def gaussian(n_rows, n_features, seed=0):
    return np.random.default_rng(seed).standard_normal((n_rows, n_features))


def centre(n_features):
    return 0.5 + 0.5 * gaussian(1, n_features, seed=9)[0]


def pair(n_rows_a, n_rows_b, n_features):
    """Two matrices of one centre; rows of the first are of three sizes, some pairs are related."""
    A, B = gaussian(n_rows_a, n_features, seed=1), gaussian(n_rows_b, n_features, seed=2)
    B += 0.5 * np.resize(A, B.shape)
    A *= 10.0 ** (np.arange(n_rows_a) % 3 - 1)[:, None]
    return A + centre(n_features), B + centre(n_features)


def fit(n_features, bits=3.0, seed=0, **parameters):
    """Fit a quantizer to rows like those of `pair`."""
    sample = np.stack([centre(n_features) + 1, centre(n_features) - 1])
    return LatticeQuantizer(bits, random_state=seed, **parameters).fit(sample)


def compress(X, bits=3.0, seed=0, dither_seed=None, **parameters):
    return fit(X.shape[1], bits, seed, **parameters).compress(X, dither_seed=dither_seed)


def compress_pair(A, B, bits=3.0, dithers=(None, None), **parameters):
    """Compress both with one quantizer."""
    fitted = fit(A.shape[1], bits, **parameters)
    return [fitted.compress(X, dither_seed=seed) for X, seed in zip((A, B), dithers, strict=True)]


def assert_is_product(product, a, b):
    """Compare a product with that of the reconstructions, up to rounding."""
    assert product.dtype == np.result_type(a.dtype, b.dtype)
    # A row may be smaller than its parts: the largest row tells how large these are.
    norms = [np.linalg.norm(x.toarray(), axis=1) for x in (a, b)]
    sizes = [n.max(initial=0) + x._codec.centre_norm for n, x in zip(norms, (a, b), strict=True)]
    expected = a.toarray() @ b.toarray().T.astype(float)
    assert product.shape == expected.shape
    kind = rows_for(a._codec.row_code, b._codec.row_code)
    tolerance = 1e-4 if kind is ShortRows else 2e-6
    assert (np.abs(product - expected) <= tolerance * np.prod(sizes)).all()


def assert_nearly_equal(result, expected):
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def root_mean_square(errors):
    return np.sqrt(np.mean(np.square(errors)))
