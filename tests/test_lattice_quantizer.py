"""LatticeQuantizer, as its users see it."""

import pickle
import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import Plain
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skquant import LatticeQuantizer, QuantizedMatrix
from skquant.lattices import E8, LATTICES, Lattice

CENTERS = ["features", "rows", False]
every_center = pytest.mark.parametrize("center", CENTERS)
every_rotation = pytest.mark.parametrize(
    "rotation", ["hadamard", "orthogonal", "pca", "auto", None]
)
every_lattice = pytest.mark.parametrize("lattice", LATTICES)
both_outputs = pytest.mark.parametrize("output", ["dequantized", "codes"])


class Checkerboard(Lattice):
    """A lattice of the user's own: integer points of the plane with an even sum."""

    generator = np.array([[1.0, 1.0], [1.0, -1.0]])

    def closest_point(self, x):
        turned = np.rint(x @ np.array([[0.5, 0.5], [0.5, -0.5]]))
        return turned @ self.generator


def gaussian(n_rows, n_features, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal((n_rows, n_features)).astype(dtype)


def quantizer(bits=4.0, **parameters):
    return LatticeQuantizer(bits, **{"random_state": 0} | parameters)


def codes_of(quantizer, X):
    """The bytes of the rows."""
    return clone(quantizer).set_params(output="codes").fit(X).transform(X)


def relative_errors(X, reconstruction):
    X, reconstruction = np.asarray(X, float), np.asarray(reconstruction, float)
    return np.linalg.norm(X - reconstruction, axis=1) / np.linalg.norm(X, axis=1)


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


# Dtypes and containers


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (np.float64, np.float64),
        (np.float32, np.float32),
        (np.float16, np.float32),
        (np.int64, np.float32),
        (np.int32, np.float32),
        (np.int8, np.float32),
        (np.uint8, np.float32),
        (bool, np.float32),
        (">f4", np.float32),
        (">f8", np.float64),
    ],
)
def test_dtypes(dtype, expected):
    X = (np.abs(gaussian(30, 12)) * 10).astype(dtype)
    fitted = quantizer(8).fit(X)
    reconstruction, codes = fitted.transform(X), fitted.compress(X)
    assert reconstruction.dtype == codes.dtype == codes.toarray().dtype == expected
    np.testing.assert_allclose(reconstruction, X.astype(float), atol=1.5)
    np.testing.assert_array_equal(reconstruction, codes.toarray())
    as_double = quantizer(8).fit(X.astype(float)).transform(X.astype(float))
    np.testing.assert_allclose(reconstruction, as_double, rtol=1e-5, atol=1e-4)


def test_lists():
    X = [[1, 2.5], [3, -4], [5, 6]]
    np.testing.assert_allclose(quantizer(8).fit_transform(X), X, atol=0.1)
    assert quantizer(8).fit_transform(X).dtype == np.float64
    assert quantizer(8).fit_transform([[1, 2], [3, 4]]).dtype == np.float32


def test_memory_layouts_and_read_only_input(tmp_path):
    X = gaussian(100, 33, np.float32)
    expected = codes_of(quantizer(), X)
    read_only = X.copy()
    read_only.flags.writeable = False
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=X.shape)
    mapped[:] = X
    strided = np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2]
    for same in (read_only, mapped, np.asfortranarray(X), strided, X[::-1][::-1]):
        before = same.copy()
        np.testing.assert_array_equal(codes_of(quantizer(), same), expected)
        np.testing.assert_array_equal(same, before)


@pytest.mark.parametrize("container", ["pandas", "polars"])
@both_outputs
def test_data_frames(container, output):
    library = pytest.importorskip(container)
    X = gaussian(20, 3)
    frame = library.DataFrame(dict(zip("abc", X.T, strict=True)))
    fitted = quantizer(output=output).set_output(transform=container).fit(frame)
    out = fitted.transform(frame)
    assert isinstance(out, library.DataFrame)
    expected = quantizer(output=output).fit(X).transform(X)
    np.testing.assert_allclose(np.asarray(out), expected, rtol=1e-9)
    assert list(fitted.feature_names_in_) == ["a", "b", "c"]
    assert list(out.columns) == list(fitted.get_feature_names_out())
    if output == "dequantized":
        assert list(out.columns) == ["a", "b", "c"]
    else:
        assert list(out.columns)[:2] == ["byte0", "byte1"]
    back = fitted.inverse_transform(out)
    np.testing.assert_allclose(back, X, atol=1)
    with pytest.raises(ValueError, match="feature names"):
        fitted.transform(frame[["a", "c", "b"]])


def test_feature_names_out():
    fitted = quantizer().fit(gaussian(5, 3))
    assert list(fitted.get_feature_names_out()) == ["x0", "x1", "x2"]
    assert list(fitted.get_feature_names_out(["p", "q", "r"])) == ["p", "q", "r"]
    with pytest.raises(ValueError, match="input_features"):
        fitted.get_feature_names_out(["p"])
    codes = fitted.set_params(output="codes")
    n_bytes = codes.transform(gaussian(1, 3)).shape[1]
    assert list(codes.get_feature_names_out()) == [f"byte{i}" for i in range(n_bytes)]


# output="codes"


@every_center
def test_codes_are_taken_back(center):
    X = gaussian(50, 21, np.float32)
    fitted = quantizer(center=center, output="codes").fit(X)
    codes = fitted.transform(X)
    assert codes.dtype == np.uint8
    expected = quantizer(center=center).fit(X).transform(X)
    for same in (codes, codes.astype(float), codes.astype(np.int64), codes.tolist()):
        np.testing.assert_array_equal(fitted.inverse_transform(same), expected)


def test_dequantized_rows_are_taken_back_as_they_are():
    X = gaussian(5, 4)
    fitted = quantizer().fit(X)
    out = fitted.transform(X)
    np.testing.assert_array_equal(fitted.inverse_transform(out), out)


@pytest.mark.parametrize("value", [-1, 256, 0.5, 300.0, 1e300, np.nan])
def test_what_is_no_byte_is_refused(value):
    X = gaussian(5, 4)
    fitted = quantizer(output="codes").fit(X)
    codes = fitted.transform(X).astype(type(value))
    codes[2, 1] = value
    with pytest.raises(ValueError, match=r"bytes of compressed rows|NaN"):
        fitted.inverse_transform(codes)


@both_outputs
def test_another_width_is_not_taken_back(output):
    X = gaussian(5, 4)
    fitted = quantizer(output=output).fit(X)
    with pytest.raises(ValueError, match=r"X has \d+ columns, but LatticeQuantizer is expecting"):
        fitted.inverse_transform(fitted.transform(X)[:, 1:])


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


# A value among scikit-learn's


@pytest.mark.parametrize("bits", [0.5, 3])
@every_rotation
def test_clone_and_pickle(bits, rotation):
    X = gaussian(30, 20)
    fitted = quantizer(bits, rotation=rotation).fit(X)
    expected = fitted.transform(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).transform(X), expected)
    fresh = clone(fitted)
    assert not hasattr(fresh, "n_features_in_")
    np.testing.assert_array_equal(fresh.fit(X).transform(X), expected)


def test_a_fitted_quantizer_is_small():
    """It holds a mean and signs, and nothing of X."""
    fitted = quantizer().fit(gaussian(1000, 500))
    assert len(pickle.dumps(fitted)) < 500 * (8 + 3) + 6000


def test_what_a_quantizer_shows_cannot_be_changed_from_outside():
    """Its codes are shared: a scale that is overwritten would spoil every other quantizer."""
    X = gaussian(30, 24)
    fitted = quantizer().fit(X)
    codes, expected = fitted.compress(X), fitted.transform(X)
    for array in (fitted.mean_, *fitted.scales_):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7
    np.testing.assert_array_equal(codes.toarray(), expected)
    np.testing.assert_array_equal(quantizer().fit(X).transform(X), expected)


def test_fitted_attributes():
    X = gaussian(40, 10) + 3
    fitted = quantizer(3.3).fit(X)
    np.testing.assert_allclose(fitted.mean_, X.mean(axis=0))
    assert fitted.lattice_ == E8()
    assert fitted.n_features_in_ == 10
    assert all((scales > 0).all() for scales in fitted.scales_)
    np.testing.assert_array_equal(quantizer(center=False).fit(X).mean_, 0)


def test_means_of_large_matrices_are_exact():
    X = np.full((3_000_000, 1), 0.1, np.float32)
    X[::2] += 1e4
    assert quantizer(1).fit(X).mean_[0] == pytest.approx(X.mean(dtype=np.float64), rel=1e-12)


def test_score_is_minus_the_normalised_squared_error():
    X = gaussian(60, 30) * np.arange(1, 31) + 100
    fitted = quantizer(2).fit(X)
    error = ((X - fitted.transform(X)) ** 2).sum()
    expected = -error / ((X - X.mean(axis=0)) ** 2).sum()
    assert fitted.score(X) == pytest.approx(expected, rel=1e-6)


def test_grid_search_in_a_pipeline():
    X = gaussian(60, 16)
    pipe = make_pipeline(StandardScaler(), quantizer())
    grid = {"latticequantizer__bits": [1, 3], "latticequantizer__lattice": ["E8", "Z"]}
    search = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(X)
    assert search.best_params_ == {"latticequantizer__bits": 3, "latticequantizer__lattice": "E8"}


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


# What is refused


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("bits", 0),
        ("bits", -1.5),
        ("bits", np.inf),
        ("bits", np.nan),
        ("bits", "4"),
        ("bits", None),
        ("lattice", "E9"),
        ("lattice", 8),
        ("lattice", np.eye(2)),
        ("rotation", "fourier"),
        ("rotation", False),
        ("coding", "arithmetic"),
        ("center", "columns"),
        ("center", True),
        ("center", None),
        ("output", "floats"),
        ("random_state", "seed"),
        ("n_jobs", 1.5),
    ],
    ids=str,
)
def test_bad_parameters_are_named(parameter, value):
    with pytest.raises(ValueError, match=parameter):
        LatticeQuantizer(**{parameter: value}).fit(gaussian(10, 4))


def test_a_lattice_that_is_none_is_named():
    class Wrong:
        def closest_point(self, x):
            return x

    with pytest.raises(ValueError, match="lattice"):
        quantizer(lattice=Wrong()).fit(gaussian(10, 4))


def test_less_than_one_bit_a_row_is_refused():
    with pytest.raises(ValueError, match="bits must be at least 0.25"):
        quantizer(0.2).fit(gaussian(10, 4))


@pytest.mark.parametrize("method", ["fit", "transform", "compress", "score"])
@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.full((3, 4), np.nan), ValueError, "NaN"),
        (np.full((3, 4), np.inf), ValueError, "infinity"),
        (csr_array(np.eye(4)), TypeError, "[Ss]parse"),
        (np.empty((0, 4)), ValueError, "0 sample"),
        (np.empty((3, 0)), ValueError, "0 feature"),
        (np.zeros(4), ValueError, "2D array"),
        (np.zeros((2, 2, 4)), ValueError, "dim 3|3 dim|3D"),
        (np.full((3, 4), 1j), ValueError, "[Cc]omplex"),
        (np.full((3, 4), "x"), ValueError, "convert|dtype|numeric"),
    ],
    ids=["nan", "inf", "sparse", "no rows", "no columns", "1d", "3d", "complex", "strings"],
)
def test_bad_input_is_refused(method, X, error, message):
    target = quantizer() if method == "fit" else quantizer().fit(gaussian(5, 4))
    with pytest.raises(error, match=message):
        getattr(target, method)(X)


@pytest.mark.parametrize("method", ["transform", "compress", "score"])
def test_another_width_is_refused(method):
    with pytest.raises(ValueError, match="X has 3 features, but LatticeQuantizer is expecting 4"):
        getattr(quantizer().fit(gaussian(5, 4)), method)(gaussian(5, 3))


@pytest.mark.parametrize(
    "method", ["transform", "inverse_transform", "compress", "score", "get_feature_names_out"]
)
def test_what_is_not_fitted_says_so(method):
    arguments = () if method == "get_feature_names_out" else (gaussian(5, 4),)
    with pytest.raises(NotFittedError, match="not fitted"):
        getattr(quantizer(), method)(*arguments)
    assert not hasattr(quantizer(), "bits_per_feature_")


def test_representation():
    assert re.fullmatch(
        r"LatticeQuantizer\(bits=2, lattice='D4'\)", repr(LatticeQuantizer(bits=2, lattice="D4"))
    )
