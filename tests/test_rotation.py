"""Rotations of rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import hadamard_rotation, to_panels, to_rows

from skquant._codecs._rotation import (
    DRAWN,
    ROUNDS,
    HadamardRotation,
    OrthogonalRotation,
    PrincipalRotation,
)
from skquant._kernels._vectors import LANES

every_kind = pytest.mark.parametrize("kind", DRAWN)
random_seeds = st.integers(0, 2**32 - 1)


def draw(kind, n_features, seed=0):
    return DRAWN[kind].draw(n_features, np.random.RandomState(seed))


def gaussian(n_rows, n_features, dtype=np.float64):
    return np.random.default_rng(0).standard_normal((n_rows, n_features)).astype(dtype)


def rotate(step, rows, width=LANES):
    """Rotate rows by a method of a rotation."""
    return to_rows(step(to_panels(rows, width)), len(rows))


@given(st.integers(1, 130), random_seeds)
def test_the_hadamard_rotation_is_the_dense_matrix(n_features, seed):
    rotation = draw("hadamard", n_features, seed)
    matrix = rotate(rotation.forward, np.eye(n_features))
    # What normalises the transforms is rounded to single precision.
    np.testing.assert_allclose(matrix, hadamard_rotation(rotation.signs), atol=5e-7)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(n_features), atol=5e-7)


@pytest.mark.parametrize("n_features", [1, 2, 37, 100])
def test_the_orthogonal_rotation_is_orthogonal(n_features):
    matrix = rotate(draw("orthogonal", n_features).forward, np.eye(n_features))
    # The matrix is stored in single precision.
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(n_features), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(st.integers(1, 130), st.integers(0, 150))
def test_the_inverse_undoes_the_hadamard_rotation(dtype, n_features, n_rows):
    tolerance = 20 * np.finfo(np.float32).eps
    check_inverse("hadamard", dtype, n_features, n_rows, tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n_features", "n_rows"), [(1, 5), (37, 0), (100, 200)])
def test_the_inverse_undoes_the_orthogonal_rotation(dtype, n_features, n_rows):
    check_inverse("orthogonal", dtype, n_features, n_rows, tolerance=1e-5)


def check_inverse(kind, dtype, n_features, n_rows, tolerance):
    rotation = draw(kind, n_features)
    rows = gaussian(n_rows, n_features, dtype)
    there = rotation.forward(to_panels(rows))
    assert there.dtype == dtype
    np.testing.assert_allclose(to_rows(rotation.inverse(there), n_rows), rows, atol=tolerance)


@every_kind
@pytest.mark.parametrize("n_features", [1, 3, 64, 100])
def test_rows_are_rotated_in_place(kind, n_features):
    rotation, panels = draw(kind, n_features), to_panels(gaussian(LANES, n_features))
    before = panels.copy()
    assert rotation.forward(panels) is panels
    assert n_features == 1 or np.abs(panels - before).max() > 0.01
    assert rotation.inverse(panels) is panels
    np.testing.assert_allclose(panels, before, atol=1e-5)


@every_kind
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_features", [1, 5, 37, 64, 128])
def test_a_row_gives_the_same_bits_alone_and_among_others(kind, dtype, n_features):
    rotation = draw(kind, n_features)
    rows = gaussian(199, n_features, dtype)
    for step in (rotation.forward, rotation.inverse):
        together = rotate(step, rows)
        for part in (slice(0, 1), slice(70, 71), slice(5, 128), slice(192, None)):
            np.testing.assert_array_equal(rotate(step, rows[part]), together[part])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_features", [1, 5, 37, 64])
def test_the_hadamard_rotation_takes_panels_of_any_width(dtype, n_features):
    rotation, rows = draw("hadamard", n_features), gaussian(70, n_features, dtype)
    for step in (rotation.forward, rotation.inverse):
        for width in (2 * LANES, 5 * LANES):
            np.testing.assert_array_equal(rotate(step, rows, width), rotate(step, rows))


@pytest.mark.parametrize("n_features", [127, 129, 300, 513, 1000, 1024])
def test_spiky_and_dense_rows_become_gaussian(n_features):
    """Whatever the row is, over the draws its rotated entries have Gaussian moments."""
    position = np.arange(n_features)
    rows = {
        "dense": np.ones(n_features),
        "alternating": np.resize([1.0, -1.0], n_features),
        "wave": np.sin(position / 7),
        "first half": (position < n_features // 2).astype(float),
        "last quarter": (position >= 3 * n_features // 4).astype(float),
        "decaying": 0.8**position,
        "pair": (position % (n_features - 1) == 0).astype(float),
        "first": (position == 0).astype(float),
        "middle": (position == n_features // 2).astype(float),
        "last": (position == n_features - 1).astype(float),
    }
    unit = np.array([np.sqrt(n_features) * row / np.linalg.norm(row) for row in rows.values()])
    draws = range(10_000 // n_features)
    rotations = (draw("hadamard", n_features, seed) for seed in draws)
    rotated = np.hstack([rotate(rotation.forward, unit) for rotation in rotations])
    # The standard error of the fourth moment of 10 000 Gaussian draws is .1.
    fourth_moment = dict(zip(rows, (rotated**4).mean(axis=1).round(1), strict=True))
    assert fourth_moment == pytest.approx(dict.fromkeys(rows, 3.0), abs=0.5)


def test_fewer_rounds_would_not_do():
    """One round leaves a spike with entries of one magnitude, nothing like a Gaussian row."""
    spike = 32 * np.eye(1, 1024)
    signs = draw("hadamard", 1024).signs
    once = rotate(HadamardRotation(signs[:1]).forward, spike)
    np.testing.assert_allclose(np.abs(once), 1, atol=1e-12)
    often = rotate(HadamardRotation(signs).forward, spike)
    assert (often**4).mean() == pytest.approx(3, abs=0.6)


@every_kind
def test_draws_follow_the_random_state(kind):
    one, same, other = (draw(kind, 50, seed).state for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_orthogonal_rotations_follow_the_haar_measure():
    """The trace of a Haar matrix is close to standard normal; without the signs of R it is not."""
    traces = [np.trace(draw("orthogonal", 20, seed).matrix) for seed in range(300)]
    assert abs(np.mean(traces)) < 0.2
    assert 0.85 < np.std(traces) < 1.15


def test_states_are_what_a_file_holds():
    hadamard, orthogonal = draw("hadamard", 10), draw("orthogonal", 10)
    assert isinstance(hadamard, HadamardRotation)
    assert isinstance(orthogonal, OrthogonalRotation)
    assert (hadamard.state.dtype, hadamard.state.shape) == (np.int8, (ROUNDS, 10))
    assert (orthogonal.state.dtype, orthogonal.state.shape) == (np.float32, (10, 10))
    assert np.isin(hadamard.state, (-1, 1)).all()


@pytest.mark.parametrize("n_coordinates", [1, 11, 12, 30])
@pytest.mark.parametrize("n_rows", [1, 33, 130, 700])
def test_a_learned_rotation_multiplies_rows_by_its_matrix(n_coordinates, n_rows):
    matrix = gaussian(30, n_coordinates, np.float32)
    rows = gaussian(n_rows, 30, np.float32)
    forward = PrincipalRotation(matrix).forward
    coordinates = to_rows(forward(to_panels(rows)), n_rows)
    np.testing.assert_allclose(coordinates, rows.astype(float) @ matrix, atol=2e-5)
    alone = to_rows(forward(to_panels(rows[-1:])), 1)
    np.testing.assert_array_equal(alone[0], coordinates[-1])
