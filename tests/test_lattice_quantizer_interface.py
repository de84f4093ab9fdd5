"""LatticeQuantizer as a scikit-learn estimator: what it takes, gives, shows and refuses."""

import pickle
import re

import numpy as np
import pytest
from quantizers import codes_of, every_center, every_rotation, gaussian, quantizer
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skquant import LatticeQuantizer
from skquant.lattices import E8

both_outputs = pytest.mark.parametrize("output", ["dequantized", "codes"])


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
