"""Errors of products of two compressed matrices: what is predicted of them, and dither."""

import copy
import pickle

import numpy as np
import pytest
from compressed_pairs import (
    assert_nearly_equal,
    centre,
    compress,
    compress_pair,
    every_center,
    every_estimator,
    fit,
    gaussian,
    pair,
    root_mean_square,
)

from skquant import LatticeQuantizer, QuantizedMatrix, matmul
from skquant._products import _standard_errors
from skquant.lattices import LATTICES
from skquant.theory import matmul_mse

# Errors


def errors_over_rotations(A, B, estimator, n_seeds=30, **parameters):
    """Errors and what was predicted of them, (n_seeds, n_rows_a, n_rows_b)."""
    errors, predicted = [], []
    for seed in range(n_seeds):
        a, b = compress_pair(A, B, seed=seed, **parameters)
        product, std = matmul(a, b.T, estimator=estimator, return_std=True)
        errors.append(product - A @ B.T)
        predicted.append(std)
    return np.array(errors), np.array(predicted)


@pytest.mark.parametrize("bits", [2, 4])
@every_estimator
@every_center
def test_standard_errors_are_as_predicted(center, estimator, bits):
    A, B = pair(12, 20, 128)
    errors, predicted = errors_over_rotations(A, B, estimator, bits=bits, center=center)
    for size in range(3):
        rows = np.s_[:, size::3]
        assert root_mean_square(predicted[rows]) == pytest.approx(
            root_mean_square(errors[rows]), rel=0.15
        )


@pytest.mark.parametrize("center", ["features", False])
@every_estimator
def test_standard_errors_where_not_all_coordinates_are_coded(center, estimator):
    A, B = pair(12, 20, 128)
    if center is False:
        A, B = A - centre(128), B - centre(128)
    errors, predicted = errors_over_rotations(A, B, estimator, bits=0.5, center=center)
    assert root_mean_square(predicted) == pytest.approx(root_mean_square(errors), rel=0.2)


def related(correlation, shape=(8, 128)):
    A, noise = gaussian(*shape, seed=1), gaussian(*shape, seed=2)
    return A, correlation * A + np.sqrt(1 - correlation**2) * noise


def low_rank(m=8, n=128):
    basis = gaussian(3, n)
    return gaussian(m, 3, seed=1) @ basis, gaussian(m, 3, seed=2) @ basis


def sparse(m=8, n=128):
    return (gaussian(m, n, seed=i) * (np.abs(gaussian(m, n, seed=i + 5)) > 2) for i in (1, 2))


def heavy_tailed(m=8, n=128):
    """Rows of one large entry each; a centre of their own has a part of every one of them."""
    return np.split(np.random.default_rng(0).standard_t(1.5, (2 * m, n)), 2)


STRUCTURED = {
    "low rank": low_rank(),
    "heavy-tailed": heavy_tailed(),
    "sparse": tuple(sparse()),
    "spikes": (np.eye(128)[:8], 3 * np.eye(128)[6:14]),
    "one number a row": (np.outer(np.arange(1, 9), np.ones(128)), 1 + gaussian(8, 128)),
    "related": related(0.9),
    "equal": related(1.0),
}


@pytest.mark.parametrize("bits", [1, 4])
@pytest.mark.parametrize("name", STRUCTURED)
@pytest.mark.parametrize("center", ["features", False])
@every_estimator
def test_standard_errors_of_structured_pairs(name, estimator, center, bits):
    """The same code on both sides and no dither: errors of related rows are related.

    What is left is the spread of the mean of so few rotations, and of the estimated entries.
    """
    A, B = STRUCTURED[name]
    sample = np.concatenate([A, B])
    errors, predicted = [], []
    for seed in range(60):
        fitted = LatticeQuantizer(bits, center=center, random_state=seed).fit(sample)
        a, b = fitted.compress(A), fitted.compress(B)
        product, std = matmul(a, b.T, estimator=estimator, return_std=True)
        errors.append(np.mean((product - A @ B.T) ** 2))
        predicted.append(np.mean(std**2))
    spread = 3.5 * np.std(errors) / np.sqrt(60) / np.mean(errors)
    assert np.mean(predicted) == pytest.approx(np.mean(errors), rel=0.07 + spread)


@pytest.mark.parametrize("center", ["features", "rows"])
@every_estimator
def test_standard_errors_do_not_depend_on_how_entries_are_cut(center, estimator, monkeypatch):
    A, B = pair(50, 40, 64)
    a, b = compress_pair(A, B, center=center)
    _, whole = matmul(a, b.T, estimator=estimator, return_std=True)
    monkeypatch.setattr(_standard_errors, "TILE_FLOATS", 7 * 40)
    _, cut = matmul(a, b.T, estimator=estimator, return_std=True)
    assert_nearly_equal(cut, whole)


@pytest.mark.parametrize("bits", [0.25, 0.5])
@pytest.mark.parametrize("common", [0.0, 0.5])
def test_standard_errors_of_hardly_known_products(common, bits):
    """Estimates are mostly noise, and their squares would tell of products that are not there."""
    direction = np.sqrt(common) * gaussian(1, 256)
    A, B = (np.sqrt(1 - common) * gaussian(40, 256, seed=i) + direction for i in (1, 2))
    errors, predicted = errors_over_rotations(A, B, "least_squares", 20, bits=bits, center=False)
    assert root_mean_square(predicted) == pytest.approx(root_mean_square(errors), rel=0.06)


@pytest.mark.parametrize("bits", [0.5, 1, 2])
@every_estimator
def test_one_estimator_is_unbiased_and_the_other_shrinks_as_the_theory_says(estimator, bits):
    A, B = (X - centre(128) for X in pair(12, 20, 128))
    exact = A @ B.T
    weights = exact / np.square(np.outer(np.linalg.norm(A, axis=1), np.linalg.norm(B, axis=1)))
    errors, _ = errors_over_rotations(A, B, estimator, 40, bits=bits, center=False, dithers=(1, 2))
    slopes = np.sum(errors * weights, axis=(1, 2)) / np.sum(exact * weights)
    code = fit(128, bits, center=False).compress(A, dither_seed=1)._codec
    shrinkage = code.terms.gaussian_alignment**4 * 128 / code.row_code.n_coordinates
    expected = shrinkage - 1 if estimator == "least_squares" else 0
    assert slopes.mean() == pytest.approx(expected, abs=0.025)


@every_estimator
def test_constant_rows_are_exact_with_their_own_centre(estimator):
    constants, varied = np.outer(np.arange(-8, 8) / 4, np.ones(50)), 3 + gaussian(30, 50)
    a, b = compress_pair(constants, varied, center="rows")
    product, std = matmul(a, a.T, estimator=estimator, return_std=True)
    np.testing.assert_allclose(product, constants @ constants.T, rtol=1e-6)
    assert not std.any()
    if estimator == "unbiased":  # the residuals' products with 1 are known to be zero
        for left, right, exact in ((a, b, constants @ varied.T), (b, a, varied @ constants.T)):
            product, std = matmul(left, right.T, estimator=estimator, return_std=True)
            np.testing.assert_allclose(product, exact, rtol=1e-6)
            assert not std.any()


def test_products_with_the_centre_of_the_features_are_nearly_exact():
    """Each row has its product with the centre as a term."""
    A, B = pair(30, 40, 128)
    a, b = compress_pair(np.tile(centre(128), (3, 1)), B)
    product, std = matmul(a, b.T, estimator="unbiased", return_std=True)
    assert std.max() < 1e-12
    other_std = matmul(compress(A[1::3]), b.T, return_std=True)[1]
    assert root_mean_square(product - centre(128) @ B.T) < 0.5 * root_mean_square(other_std)


# Dither


def correlation(errors, others):
    return np.sum(errors * others) / np.sqrt(np.sum(errors**2) * np.sum(others**2))


@pytest.mark.parametrize("lattice", LATTICES)
@pytest.mark.parametrize("bits", [0.5, 3])
def test_a_dither_changes_the_codes_and_hardly_the_error(lattice, bits):
    X = gaussian(200, 96)
    fitted = fit(96, bits, lattice=lattice, center=False)
    plain, first, second = (fitted.compress(X, dither_seed=seed) for seed in (None, 1, 2))
    again = fitted.compress(X, dither_seed=1)
    np.testing.assert_array_equal(again._rows, first._rows)
    np.testing.assert_array_equal(again.toarray(), first.toarray())
    assert np.mean(first._rows != second._rows) > 0.5
    assert np.mean(first._rows != plain._rows) > 0.5
    assert first.bits_per_entry == plain.bits_per_entry
    errors = [np.sum((X - m.toarray()) ** 2) for m in (plain, first, second)]
    assert errors[0] < errors[1] < 1.15 * errors[0]
    assert errors[2] == pytest.approx(errors[1], rel=0.06)


@pytest.mark.parametrize("bits", [3, 4])
def test_errors_of_different_dithers_are_uncorrelated(bits):
    X = gaussian(100, 256)
    fitted = fit(256, bits, center=False)
    errors = [fitted.compress(X, dither_seed=seed).toarray() - X for seed in (1, 1, 2, 3)]
    assert correlation(errors[0], errors[1]) == pytest.approx(1)
    assert abs(correlation(errors[0], errors[2])) < 0.1
    assert abs(correlation(errors[2], errors[3])) < 0.1


@pytest.mark.parametrize("bits", [3, 4])
@every_estimator
def test_a_matrix_times_itself_needs_two_dithers(estimator, bits):
    X = gaussian(200, 256)
    X -= X.mean(axis=0)
    fitted = LatticeQuantizer(bits, random_state=0).fit(X)
    first, second = (fitted.compress(X, dither_seed=seed) for seed in (1, 2))
    norm, distortion = np.linalg.norm(X, axis=1), np.sum((first.toarray() - X) ** 2) / np.sum(X**2)
    expected = matmul_mse(norm, norm, norm**2, 256, distortion, distortion, estimator=estimator)

    def error_of_squares(a, b):
        """Error of the diagonal, where rows meet themselves, over what is expected of it."""
        errors = np.diag(matmul(a, b.T, estimator=estimator)) - norm**2
        return root_mean_square(errors) / np.sqrt(np.mean(expected))

    # Unbiased squares err so little that the rounding of the row terms shows.
    upper, with_one = (1.1, 0.5) if estimator == "least_squares" else (2, 16)
    assert 0.9 < error_of_squares(first, second) < upper
    assert error_of_squares(first, first) == pytest.approx(with_one, rel=0.1)


def test_a_dither_survives_copies_and_files(tmp_path):
    X = gaussian(150, 21)
    matrix = compress(X, dither_seed=2**32 - 1)
    matrix.save(tmp_path / "x.skq")
    twins = [
        pickle.loads(pickle.dumps(matrix)),
        copy.deepcopy(matrix),
        QuantizedMatrix.load(tmp_path / "x.skq"),
        QuantizedMatrix.load(tmp_path / "x.skq", mmap=True),
    ]
    for twin in twins:
        assert twin._codec.dither_seed == 2**32 - 1
        np.testing.assert_array_equal(twin.toarray(), matrix.toarray())
        np.testing.assert_array_equal(twin @ X[0], matrix @ X[0])
        np.testing.assert_array_equal(twin @ matrix.T, matrix @ matrix.T)
        both = QuantizedMatrix.concatenate([twin[:50], matrix[50:]])
        np.testing.assert_array_equal(both.toarray(), matrix.toarray())


def test_matrices_of_different_dithers_are_not_concatenated():
    X, fitted = gaussian(10, 8), fit(8)
    for seeds in ((1, 2), (None, 1)):
        with pytest.raises(ValueError, match="different codecs"):
            QuantizedMatrix.concatenate([fitted.compress(X, dither_seed=seed) for seed in seeds])


def test_a_dithered_row_does_not_depend_on_the_others():
    X, fitted = gaussian(150, 40), fit(40, 1.3)
    whole = fitted.compress(X, dither_seed=5)
    for rows in (slice(0, 1), slice(3, 90), [149, 0]):
        part = fitted.compress(X[rows], dither_seed=5)
        np.testing.assert_array_equal(part._rows, whole[rows]._rows)
    threads = fitted.set_params(n_jobs=2).compress(X, dither_seed=5)
    np.testing.assert_array_equal(threads._rows, whole._rows)


def test_a_dither_leaves_the_quantizer_as_it_was():
    X, fitted = gaussian(20, 30), fit(30)
    expected = fitted.compress(X)
    fitted.compress(X, dither_seed=1)
    np.testing.assert_array_equal(fitted.compress(X)._rows, expected._rows)
    np.testing.assert_array_equal(fitted.transform(X), expected.toarray())


@pytest.mark.parametrize("seed", [0, 2**32 - 1, np.int64(7), np.uint32(7)], ids=repr)
def test_seeds(seed):
    X, fitted = gaussian(5, 8), fit(8)
    expected = fitted.compress(X, dither_seed=int(seed))
    np.testing.assert_array_equal(fitted.compress(X, dither_seed=seed)._rows, expected._rows)


@pytest.mark.parametrize(
    ("seed", "error"),
    [
        (-1, ValueError),
        (2**32, ValueError),
        (10**30, ValueError),
        (1.0, TypeError),
        (np.float32(1), TypeError),
        ("1", TypeError),
        ([1], TypeError),
        (np.random.RandomState(0), TypeError),
    ],
    ids=str,
)
def test_other_seeds_are_refused(seed, error):
    fitted = fit(8)
    with pytest.raises(error, match="dither_seed"):
        fitted.compress(gaussian(5, 8), dither_seed=seed)
