"""Products of two compressed matrices: values, standard errors, dither, objective."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import skquant
from skquant import LatticeQuantizer, QuantizedMatrix, matmul
from skquant._codecs._codec import Codec
from skquant._products import _matmul, _standard_errors
from skquant._products._decoded_rows import FloatRows, ShortRows, rows_for
from skquant.lattices import LATTICES
from skquant.theory import matmul_mse

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


@pytest.fixture
def small_panels(monkeypatch):
    """Let even small matrices be worked on in several panels and chunks."""
    monkeypatch.setattr(Codec, "block_rows", lambda self: 64)
    for name, value in (("PANEL_FLOATS", 1), ("LEFT_FLOATS", 1), ("CHUNK_ROWS", 64)):
        monkeypatch.setattr(_matmul, name, value)


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
