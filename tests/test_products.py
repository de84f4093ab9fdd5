"""Products of two compressed matrices: values, objective, and what is refused."""

import numpy as np
import pytest
from compressed_pairs import (
    CENTERS,
    DITHERS,
    assert_is_product,
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
from hypothesis import given
from hypothesis import strategies as st

import skquant
from skquant import QuantizedMatrix, matmul
from skquant._codecs._codec import Codec
from skquant._codes._entropy import EntropyRowCode
from skquant._codes._hierarchical import HierarchicalRowCode
from skquant._codes._row_code import RowCode
from skquant._products import _matmul
from skquant._products._decoded_rows import FloatRows
from skquant.lattices import LATTICES


@pytest.fixture
def small_panels(monkeypatch):
    """Let even small matrices be worked on in several panels and chunks."""
    monkeypatch.setattr(Codec, "block_rows", lambda self: 64)
    for name in ("PANEL_FLOATS", "LEFT_FLOATS"):
        monkeypatch.setattr(_matmul, name, 1)
    for row_code in (RowCode, HierarchicalRowCode, EntropyRowCode):
        monkeypatch.setattr(row_code, "rows_at_once", 64)


# Values


@pytest.mark.parametrize("n_features", [1, 7, 100])
@pytest.mark.parametrize("bits", [0.5, 1, 2, 4])
@every_center
def test_products_are_those_of_the_reconstructions(center, bits, n_features):
    A, B = pair(30, 20, n_features)
    for dithers in DITHERS:
        a, b = compress_pair(A, B, max(bits, 1 / n_features), dithers, center=center)
        assert_is_product(a @ b.T, a, b)
        np.testing.assert_array_equal(matmul(a, b.T), a @ b.T)
        np.testing.assert_array_equal(matmul(a, b.T, return_std=True)[0], a @ b.T)
        assert_is_product(matmul(b, a.T), b, a)


@given(
    st.integers(0, 200),
    st.integers(0, 200),
    st.sampled_from([1, 2, 8, 16, 25]),
    st.floats(0.2, 6),
    st.sampled_from(CENTERS),
    st.sampled_from(DITHERS),
)
def test_products_of_any_shape_and_their_standard_errors_are_finite(
    m, n, width, bits, center, dithers
):
    A, B = pair(200, 200, width)
    A[0], B[0] = 0, centre(width)
    a, b = compress_pair(A, B, max(bits, 1 / width), dithers, center=center)
    a, b = a[:m], b[:n]
    assert_is_product(matmul(a, b.T), a, b)
    for estimator in ("least_squares", "unbiased"):
        product, std = matmul(a, b.T, estimator=estimator, return_std=True)
        assert product.shape == std.shape == (m, n)
        assert np.isfinite(product).all()
        assert np.isfinite(std).all()
        assert (std >= 0).all()


@every_center
@every_estimator
def test_panels_make_no_difference(center, estimator, request):
    A, B = pair(200, 150, 70)
    a, b = compress_pair(A, B, bits=1.7, center=center, dithers=(1, 2))
    whole = matmul(a, b.T, estimator=estimator, return_std=True)
    transposed = a.T @ b[np.arange(200) % 150]
    request.getfixturevalue("small_panels")
    sides = _matmul._sides(a, b._codec, FloatRows, estimator, _matmul.LEFT_FLOATS)
    assert len(list(sides)) == 4
    panelwise = matmul(a, b.T, estimator=estimator, return_std=True)
    for result, expected in zip(panelwise, whole, strict=True):
        assert_nearly_equal(result, expected)
    assert_nearly_equal(a.T @ b[np.arange(200) % 150], transposed)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (np.float32, np.float32, np.float32),
        (np.float32, np.float64, np.float64),
        (np.float64, np.float32, np.float64),
        (np.float64, np.float64, np.float64),
        (np.float16, np.int64, np.float32),
    ],
)
def test_dtypes(left, right, expected):
    A, B = (np.rint(3 * X) for X in pair(40, 12, 12))
    a, b = compress(A.astype(left)), compress(B.astype(right))
    for estimator in ("least_squares", "unbiased"):
        product, std = matmul(a, b.T, estimator=estimator, return_std=True)
        assert product.dtype == std.dtype == expected
    assert (a @ b.T).dtype == (a[:12].T @ b).dtype == (a @ b).dtype == expected


@pytest.mark.parametrize(
    "others",
    [
        {"bits": 5},
        {"center": "rows"},
        {"center": False},
        {"lattice": "D4"},
        {"bits": 2, "lattice": "A2", "center": "rows", "dither_seed": 1},
    ],
    ids=str,
)
@every_estimator
def test_bits_lattice_centre_and_dither_may_differ(others, estimator):
    """Only the coordinates of the codes must be the same: those of one random_state."""
    A, B = pair(30, 40, 100)
    errors = []
    for seed in range(12):
        a, b = compress(A, seed=seed), compress(B, seed=seed, **others)
        for left, right in ((a, b), (b, a)):
            product, std = matmul(left, right.T, estimator=estimator, return_std=True)
            exact = A @ B.T if left is a else B @ A.T
            errors.append(((product - exact) / np.sqrt(np.mean(std**2, axis=1))[:, None]).ravel())
            if estimator == "least_squares":
                assert_is_product(product, left, right)
    assert root_mean_square(errors) == pytest.approx(1, rel=0.15)


@pytest.mark.parametrize("dithers", DITHERS)
@every_center
def test_products_without_a_transpose_on_the_right(center, dithers, small_panels):
    """A_q @ B_q and A_q.T @ B_q contract what was not coded together."""
    A, B = pair(150, 21, 21)
    a, b = compress_pair(A, B, center=center, dithers=dithers)
    longer = compress(gaussian(150, 9), bits=2, center=center)
    left, right = a.toarray(), b.toarray()
    assert_nearly_equal(a @ b, left @ right)
    assert_nearly_equal(b.T @ a.T, (left @ right).T)
    assert_nearly_equal(a.T @ a, left.T @ left)
    assert_nearly_equal(a.T @ longer, left.T @ longer.toarray())
    with pytest.raises(ValueError, match="length"):
        a @ longer
    with pytest.raises(ValueError, match="length"):
        a.T @ b


# Objective


def predict(n_features, bits, lattice, objective):
    """Number of coded coordinates, and the error of products of Gaussian rows, as a share."""
    code = fit(n_features, bits, lattice=lattice, objective=objective)._codec.row_code
    lost = 1 - code.n_coordinates / n_features * (1 - code.distortion) ** 2
    return code.n_coordinates, lost


@pytest.mark.parametrize("bits", [1.1, 1.25, 1.5])
def test_for_products_fewer_coordinates_are_coded_where_that_pays(bits):
    all_coded, reconstruction = predict(64, bits, "Z", "reconstruction")
    coded, product = predict(64, bits, "Z", "product")
    assert coded < all_coded == 64
    assert product < reconstruction


@given(st.sampled_from(list(LATTICES)), st.integers(1, 40), st.floats(0.1, 4))
def test_the_objective_never_raises_the_error_that_is_predicted(lattice, n_features, bits):
    bits = max(bits, 1 / n_features)
    most, reconstruction = predict(n_features, bits, lattice, "reconstruction")
    coded, product = predict(n_features, bits, lattice, "product")
    assert coded <= most
    assert product <= reconstruction + 1e-12


@pytest.mark.parametrize("bits", [0.5, 3, 4])
def test_the_objective_is_of_no_account_at_other_rates(bits):
    X = gaussian(20, 64)
    a, b = (compress(X, bits, objective=objective) for objective in ("reconstruction", "product"))
    np.testing.assert_array_equal(a._rows, b._rows)


def test_errors_of_products_of_fewer_coordinates_are_as_predicted(tmp_path):
    A, B = gaussian(300, 64, seed=1), gaussian(300, 64, seed=2)
    a, b = compress_pair(A, B, 1.25, lattice="Z", center=False, objective="product")
    product, std = matmul(a, b.T, return_std=True)
    assert_is_product(product, a, b)
    assert root_mean_square(product - A @ B.T) == pytest.approx(root_mean_square(std), rel=0.05)
    predicted = predict(64, 1.25, "Z", "product")[1]
    assert np.mean((product - A @ B.T) ** 2) / 64 == pytest.approx(predicted, rel=0.05)
    a.save(tmp_path / "x.skq")
    np.testing.assert_array_equal(QuantizedMatrix.load(tmp_path / "x.skq") @ b.T, product)


@pytest.mark.parametrize("objective", ["products", "", None, True])
def test_other_objectives_are_refused(objective):
    with pytest.raises(ValueError, match="objective"):
        fit(8, objective=objective)


# What is refused


@pytest.mark.parametrize(
    "others",
    [{"seed": 1}, {"rotation": None}, {"rotation": "orthogonal"}, {"bits": 0.5}],
    ids=str,
)
def test_matrices_in_different_coordinates_have_their_least_squares_product_only(others):
    A, B = pair(90, 70, 64)
    a, b = compress(A), compress(B, **others)
    assert_is_product(matmul(a, b.T), a, b)
    assert_is_product(a @ b.T, a, b)
    assert_is_product(b @ a.T, b, a)
    for options in ({"return_std": True}, {"estimator": "unbiased"}):
        with pytest.raises(ValueError, match="different coordinates"):
            matmul(a, b.T, **options)
    with pytest.raises(ValueError, match="estimator must be one of"):
        matmul(a, b.T, estimator="biased")


def test_unknown_estimators_are_refused():
    a = compress(gaussian(5, 8))
    for estimator in ("biased", None, "", ["unbiased"]):
        with pytest.raises(ValueError, match="estimator must be one of"):
            matmul(a, a.T, estimator=estimator)


@pytest.mark.parametrize(
    "operands",
    [
        lambda a: (a, a),
        lambda a: (a.T, a.T),
        lambda a: (a.T, a),
        lambda a: (a, a.toarray().T),
        lambda a: (a.toarray(), a.T),
        lambda a: (None, a.T),
    ],
)
def test_what_is_no_pair_of_a_matrix_and_a_transpose_is_refused(operands):
    with pytest.raises(TypeError, match=r"A and B\.T"):
        matmul(*operands(compress(gaussian(8, 8))))


def test_factors_of_different_widths_are_refused():
    with pytest.raises(ValueError, match="length 8, got 9"):
        matmul(compress(gaussian(8, 8)), compress(gaussian(8, 9)).T)


def test_options_are_given_by_name():
    a = compress(gaussian(8, 8))
    with pytest.raises(TypeError):
        matmul(a, a.T, "unbiased")
    assert skquant.matmul is matmul
