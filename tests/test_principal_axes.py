"""Principal axes against the eigenvectors of the plain second moment."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skquant._codecs import _principal_axes
from skquant._codecs._principal_axes import normalised_blocks, principal_axes

every_center = pytest.mark.parametrize("center", ["features", "rows", False])


def skewed(n_rows, n_features, decay=0.8, seed=0):
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.standard_normal((n_features, n_features)))[0]
    return rng.standard_normal((n_rows, n_features)) * decay ** np.arange(n_features) @ turn + 0.3


def normalised(X, center):
    r = X - X.mean(axis=0) if center == "features" else X
    r = r - r.mean(axis=1, keepdims=True) if center == "rows" else r
    return r / np.linalg.norm(r, axis=1, keepdims=True) * np.sqrt(X.shape[1])


def centre_of(X, center):
    return X.mean(axis=0) if center == "features" else np.zeros(X.shape[1])


def learn(X, center="features", seed=0):
    return principal_axes(X, centre_of(X, center), center, np.random.RandomState(seed))


@every_center
@pytest.mark.parametrize("block_floats", [1, 100, 2**21])
def test_rows_are_normalised_in_any_blocks(center, block_floats, monkeypatch):
    monkeypatch.setattr(_principal_axes, "BLOCK_FLOATS", block_floats)
    X = skewed(37, 6)
    blocks = list(normalised_blocks(X, centre_of(X, center), center))
    np.testing.assert_allclose(np.vstack(blocks), normalised(X, center), atol=1e-12)


@pytest.mark.parametrize("factor", [0, 1e-300, 1e-30, 1e200])
def test_rows_of_any_size_are_normalised(factor):
    X = factor * skewed(5, 6)
    (rows,) = normalised_blocks(X, np.zeros(6), "rows")
    expected = normalised(skewed(5, 6), "rows") if factor else X
    np.testing.assert_allclose(rows, expected, atol=1e-12)


@every_center
def test_axes_and_variances_are_those_of_the_second_moment(center):
    X = skewed(5000, 6)
    variances, axes = learn(X, center)
    w = normalised(X, center)
    values, vectors = np.linalg.eigh(w.T @ w / len(w))
    expected = values[::-1]
    # Shrinking moves so many rows by less than a hundredth of the mean, which is 1.
    np.testing.assert_allclose(variances, expected, atol=0.01)
    leading = np.abs(np.einsum("ij,ij->j", axes, vectors[:, ::-1]))[: 5 if center == "rows" else 6]
    np.testing.assert_allclose(leading, 1, atol=1e-9)
    assert variances.sum() == pytest.approx(6)


def test_directions_that_rows_never_take_have_no_variance():
    X = skewed(200, 30)
    X[:, 7:11], X[:, 20] = 5.0, X[:, 21]
    variances, axes = learn(X)
    assert (variances > 0).sum() == 25
    np.testing.assert_allclose((X - X.mean(axis=0)) @ axes[:, 25:], 0, atol=1e-6)


def test_few_rows_leave_variance_for_what_they_have_not_shown():
    X = skewed(10, 40, decay=1.0)
    variances, _ = learn(X)
    assert (variances[9:] > 0.3).all()
    assert variances.sum() == pytest.approx(40)


def test_rows_without_length_have_no_variance():
    assert not learn(np.ones((3, 4)))[0].any()
    assert not learn(np.ones((1, 4)))[0].any()


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_axes_are_orthonormal(n_rows, n_features, seed):
    _, axes = learn(skewed(n_rows, n_features, seed=seed))
    np.testing.assert_allclose(axes.T @ axes, np.eye(n_features), atol=1e-12)


@pytest.mark.parametrize("n_rows", [12, 500])
def test_wide_rows_get_their_leading_axes(n_rows, monkeypatch):
    X = skewed(n_rows, 60)
    exact, exact_axes = learn(X)
    monkeypatch.setattr(_principal_axes, "MOST_FEATURES", 59)
    monkeypatch.setattr(_principal_axes, "MOST_AXES", 20)
    variances, axes = learn(X)
    assert axes.shape == (60, min(20, n_rows))
    np.testing.assert_allclose(axes.T @ axes, np.eye(axes.shape[1]), atol=1e-12)
    if n_rows == 500:  # few rows are shrunk where all axes are known
        np.testing.assert_allclose(variances[:10], exact[:10], rtol=0.02)
        np.testing.assert_allclose(
            np.abs((axes * exact_axes[:, :20]).sum(axis=0))[:5], 1, atol=1e-3
        )
