"""LatticeQuantizer: how well it approximates rows of every kind, at any number of bits."""

import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quantizers import (
    codes_of,
    every_center,
    every_lattice,
    every_rotation,
    gaussian,
    quantizer,
    relative_errors,
)
from reference import Plain
from sklearn.base import clone

from skquant import QuantizedMatrix
from skquant.lattices import E8, Lattice


class Checkerboard(Lattice):
    """A lattice of the user's own: integer points of the plane with an even sum."""

    generator = np.array([[1.0, 1.0], [1.0, -1.0]])

    def closest_point(self, x):
        turned = np.rint(x @ np.array([[0.5, 0.5], [0.5, -0.5]]))
        return turned @ self.generator


# What it must reach


@pytest.mark.parametrize(
    ("bits", "distortion"),
    [(1, 0.36), (2, 0.100), (3, 0.0262), (3.25, 0.0172), (4, 0.0066), (4.25, 0.0044)],
)
@every_center
def test_distortion_of_gaussian_rows(bits, distortion, center):
    X = gaussian(300, 1024, np.float32)
    fitted = quantizer(bits, center=center).fit(X)
    assert -fitted.score(X) < distortion
    assert fitted.bits_per_feature_ <= bits + 64 / 1024


@every_rotation
def test_rotations_do_equally_well_on_gaussian_rows(rotation):
    """Axes are learned from many rows; those of a few are not the axes of others."""
    X = gaussian(3000, 256)
    assert -quantizer(3, rotation=rotation).fit(X).score(X) == pytest.approx(0.0245, rel=0.1)


@pytest.mark.parametrize("n_features", [64, 129, 513, 1000])
def test_a_rotation_makes_all_rows_equally_good(n_features):
    """Of one spike as much is lost as of Gaussian entries, and of half a row as of a whole."""
    half = gaussian(100, n_features) * (np.arange(n_features) < n_features // 2)
    spikes = np.eye(n_features)[:: n_features // 50]
    expected = relative_errors(
        gaussian(300, n_features),
        quantizer(center=False).fit_transform(gaussian(300, n_features)),
    ).mean()
    for X in (half, spikes):
        errors = [
            relative_errors(X, quantizer(center=False, random_state=seed).fit_transform(X))
            for seed in range(3)
        ]
        assert np.mean(errors) == pytest.approx(expected, rel=0.1)


def test_better_lattices_err_less():
    X = gaussian(300, 256)
    errors = [-quantizer(4, lattice=name).fit(X).score(X) for name in ("Z", "A2", "D4", "E8")]
    assert errors == sorted(errors, reverse=True)


# Any number of bits


@every_lattice
@pytest.mark.parametrize("n_features", [13, 64])
def test_any_number_of_bits(lattice, n_features):
    X = 5 + gaussian(200, n_features)
    errors = []
    for bits in (0.1, 0.25, 0.8, 1, 1.37, 2.5, 4, 7.9, 15.5, 16):
        fitted = quantizer(bits, lattice=lattice).fit(X)
        assert fitted.bits_per_feature_ <= (bits * n_features + 7 + 64) / n_features
        errors.append(-fitted.score(X))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 1
    assert errors[-1] < 1e-4


@pytest.mark.parametrize("bits", [16.5, 64, 10**9, 1e308])
def test_absurdly_many_bits_are_not_used(bits):
    X = gaussian(50, 20)
    assert quantizer(bits).fit(X).bits_per_feature_ == quantizer(16).fit(X).bits_per_feature_


def test_bits_per_feature_is_what_the_bytes_take():
    X = gaussian(7, 50)
    for bits in (0.3, 2, 5.5):
        fitted = quantizer(bits).fit(X)
        codes = fitted.compress(X)
        assert codes.bits_per_entry == fitted.bits_per_feature_
        assert codes_of(quantizer(bits), X).nbytes == fitted.bits_per_feature_ * 50 * 7 / 8


# Rows and columns of every kind


@every_center
@every_rotation
def test_zero_rows_and_a_matrix_of_zeros(center, rotation):
    X = gaussian(20, 9)
    X[::3] = 0
    fitted = quantizer(8, center=center, rotation=rotation).fit(X)
    np.testing.assert_allclose(fitted.transform(X), X, atol=0.1)
    if center != "features":
        np.testing.assert_array_equal(fitted.transform(X)[::3], 0)
    zeros = np.zeros((5, 9))
    np.testing.assert_array_equal(fitted.fit_transform(zeros), zeros)


@every_center
@pytest.mark.parametrize("value", [-7.3, 1e-30, 3e30])
def test_constant_rows(center, value):
    X = np.full((4, 11), value)
    reconstruction = quantizer(8, center=center).fit_transform(X)
    np.testing.assert_allclose(reconstruction, X, rtol=0.02)


def test_constant_columns():
    X = gaussian(40, 6)
    X[:, 1], X[:, 4] = 3.7, -1e6
    errors = quantizer(8).fit_transform(X) - X
    assert np.abs(errors).max() < 0.1  # the large constant is no part of what is coded


@every_center
@every_rotation
def test_one_sample(center, rotation):
    X = gaussian(1, 17)
    reconstruction = quantizer(8, center=center, rotation=rotation).fit_transform(X)
    np.testing.assert_allclose(reconstruction, X, atol=0.1)


@every_center
@every_rotation
def test_one_feature(center, rotation):
    """A single centred entry is its sign and its size."""
    X = gaussian(100, 1)
    reconstruction = quantizer(1, center=center, rotation=rotation).fit_transform(X)
    np.testing.assert_allclose(reconstruction, X, rtol=0.01, atol=0.01)


@every_lattice
@given(st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_any_number_of_features(lattice, n_features, seed):
    X = gaussian(5, n_features, seed=seed)
    reconstruction = quantizer(10, lattice=lattice, center=False).fit_transform(X)
    assert (relative_errors(X, reconstruction) < 0.02).all()


@pytest.mark.parametrize("center", ["rows", False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_and_tiny_rows_in_one_matrix(center, dtype):
    X = (gaussian(4, 64) * np.array([[1e30], [1], [1e-30], [1e-36]])).astype(dtype)
    reconstruction = quantizer(8, center=center).fit_transform(X)
    assert (relative_errors(X, reconstruction) < 0.02).all()


def test_a_huge_row_does_not_spoil_the_others():
    X = gaussian(100, 64)
    fitted = quantizer(8).fit(X)
    assert (relative_errors(X, fitted.transform(np.vstack([1e30 * X[:1], X]))[1:]) < 0.02).all()


@every_center
@pytest.mark.parametrize("value", [1e38, 1e200, 1.7e308])
def test_rows_that_are_too_large_are_refused(center, value):
    X = gaussian(10, 6)
    fitted = quantizer(center=center).fit(X)
    X[3] = np.resize([value, -value], 6)
    for method in (fitted.transform, fitted.compress, quantizer(center=center).fit_transform):
        with pytest.raises(ValueError, match="row too large"):
            method(X)


# Determinism


@every_center
@every_rotation
@pytest.mark.parametrize("bits", [0.4, 3.3])
def test_results_do_not_depend_on_batches(center, rotation, bits):
    X = gaussian(300, 45, np.float32)
    fitted = quantizer(bits, center=center, rotation=rotation).fit(X)
    together = fitted.transform(X)
    for part in (slice(0, 1), slice(200, 201), slice(17, 150)):
        np.testing.assert_array_equal(fitted.transform(X[part]), together[part])
        np.testing.assert_array_equal(fitted.compress(X[part]).toarray(), together[part])


@every_rotation
@pytest.mark.parametrize("n_jobs", [2, 3, -1])
def test_results_do_not_depend_on_threads(rotation, n_jobs):
    X = gaussian(20_000, 45, np.float32)  # several blocks
    alone = quantizer(rotation=rotation)
    together = quantizer(rotation=rotation, n_jobs=n_jobs)
    np.testing.assert_array_equal(codes_of(together, X), codes_of(alone, X))
    np.testing.assert_array_equal(together.fit_transform(X), alone.fit_transform(X))


@every_rotation
def test_the_same_random_state_gives_the_same_bytes(rotation):
    X = gaussian(30, 45)
    expected = codes_of(quantizer(0.7, rotation=rotation, random_state=5), X)
    for random_state in (5, np.random.RandomState(5)):
        again = codes_of(quantizer(0.7, rotation=rotation, random_state=random_state), X)
        np.testing.assert_array_equal(again, expected)
    other = codes_of(quantizer(0.7, rotation=rotation, random_state=6), X)
    assert (other != expected).any()


def test_global_randomness_is_left_alone():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    quantizer(random_state=3).fit_transform(gaussian(5, 10))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


# A lattice of the user's own


def test_a_lattice_of_the_users_own_from_end_to_end(tmp_path):
    X = gaussian(100, 21)
    fitted = quantizer(1.5, lattice=Checkerboard()).fit(X)
    assert -fitted.score(X) < 0.4
    assert fitted.bits_per_feature_ <= 1.5 + (7 + 64) / 21
    assert clone(fitted).lattice == Checkerboard()
    codes = pickle.loads(pickle.dumps(fitted)).compress(X)
    codes.save(tmp_path / "own.skq")
    with pytest.raises(ValueError, match="lattice="):
        QuantizedMatrix.load(tmp_path / "own.skq")
    with pytest.raises(ValueError, match="another generator"):
        QuantizedMatrix.load(tmp_path / "own.skq", lattice=E8())
    loaded = QuantizedMatrix.load(tmp_path / "own.skq", lattice=Checkerboard())
    np.testing.assert_array_equal(loaded.toarray(), fitted.transform(X))


@pytest.mark.parametrize("bits", [1, 1.5, 2, 3])
def test_a_lattice_of_the_users_own_spends_bits_as_well_as_those_of_the_package(bits):
    """Checkerboard is Z² turned and scaled, which should make no difference."""
    X = gaussian(100, 64)
    errors = [-quantizer(bits, lattice=lat).fit(X).score(X) for lat in ("Z", Checkerboard())]
    assert errors[1] == pytest.approx(errors[0], rel=0.1)


def test_a_lattice_object_may_be_one_of_the_package():
    X = gaussian(20, 16)
    np.testing.assert_array_equal(codes_of(quantizer(lattice=E8()), X), codes_of(quantizer(), X))


def test_the_numpy_path_does_what_the_kernels_do():
    X = gaussian(200, 16)
    errors = [-quantizer(2, lattice=lat).fit(X).score(X) for lat in (E8(), Plain(E8()))]
    assert errors[1] == pytest.approx(errors[0], rel=0.1)


def test_a_lattice_that_does_not_derive_from_lattice():
    class Integers:
        generator = np.eye(1)

        def closest_point(self, x):
            return np.rint(x)

    X = gaussian(50, 64)
    errors = [-quantizer(2, lattice=lat).fit(X).score(X) for lat in ("Z", Integers())]
    assert errors[1] == pytest.approx(errors[0], rel=0.1)


def test_a_generator_may_be_a_list():
    class Listed(Checkerboard):
        generator = [[1, 1], [1, -1]]  # noqa: RUF012

        def closest_point(self, x):
            return Checkerboard().closest_point(x)

    X = gaussian(50, 8)
    errors = [-quantizer(1, lattice=lat).fit(X).score(X) for lat in (Checkerboard(), Listed())]
    assert errors[1] == errors[0]


# Memory


def test_memory_is_bounded(tmp_path):
    """Peak memory is a constant and what comes out, though X is twice as large as the constant."""
    X = np.memmap(tmp_path / "x", np.float32, "w+", shape=(250_000, 128))
    X[:] = np.tile(gaussian(1000, 128, np.float32), (250, 1))
    X = np.memmap(tmp_path / "x", np.float32, "r", shape=X.shape)
    fitted = quantizer(4).fit(X[:100]).compress(X[:100])  # kernels are compiled by now
    tracemalloc.start()
    try:
        fitted = quantizer(4).fit(X)
        codes = fitted.compress(X)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64e6 + codes.nbytes
    assert X.nbytes > 64e6 + codes.nbytes
