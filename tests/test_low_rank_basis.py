"""A coded orthonormal basis."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skquant._low_rank._basis import code_basis


def orthonormal(rank, n_features, seed=0):
    rng = np.random.default_rng(seed)
    return np.linalg.qr(rng.standard_normal((n_features, rank)))[0].T


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(0, 20), st.floats(0.01, 10), st.integers(0, 1000))
def test_any_basis_comes_back_orthonormal(rank, more, step, seed):
    vectors = orthonormal(rank, rank + more, seed)
    decoded = code_basis(vectors, 8.0 * 0.8 ** np.arange(rank), step)[0].decode()
    np.testing.assert_allclose(decoded @ decoded.T, np.eye(rank), atol=1e-12)


@pytest.mark.parametrize("step", [0.3, 0.03])
def test_what_it_loses_is_what_the_step_says(step):
    """Errors out of the span, times the sizes, are those of a quantizer of that step."""
    rank, n_features = 20, 400
    vectors, sizes = orthonormal(rank, n_features), 20 * 0.9 ** np.arange(rank)
    decoded = code_basis(vectors, sizes, step)[0].decode()
    lost = sizes[:, None] * (vectors - vectors @ decoded.T @ decoded)
    assert 0.1 < np.mean(lost**2) / step**2 < 0.3


def test_redundant_numbers_are_not_coded():
    """A square basis takes about half of what its numbers would."""
    square, sizes = orthonormal(60, 60), np.full(60, 60.0)
    basis = code_basis(square, sizes, 0.05)[0]
    tall = code_basis(orthonormal(60, 6000), np.full(60, 600.0), 0.05)[0]
    assert basis.nbytes < 0.6 * tall.nbytes / 100


def test_vectors_of_no_size():
    decoded = code_basis(orthonormal(3, 8), np.array([5.0, 0.0, 0.0]), 0.1)[0].decode()
    np.testing.assert_allclose(decoded @ decoded.T, np.eye(3), atol=1e-12)
