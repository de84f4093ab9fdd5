"""LowRankLowPrecisionCompressor: an estimator like others, and one that keeps what it promises."""

import tracemalloc

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from test_estimator_checks import LEFT_OUT, LEFT_OUT_OF_TRANSFORMERS

from skquant import LowRankLowPrecisionCompressor as Compressor

ESTIMATORS = [
    Compressor(),
    Compressor(rank=3, bits=4, coding="entropy"),
    Compressor(rank=2, method="lplr", basis_bits=4),
    Compressor(method="lsvd"),
    Compressor(method="dsvd", bits=5),
    Compressor(rank=2, residual_bits=2.0),
]
METHODS = ["waterfill", "lplr", "lsvd", "dsvd"]


@parametrize_with_checks(ESTIMATORS)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
@pytest.mark.parametrize("check", [*LEFT_OUT, *LEFT_OUT_OF_TRANSFORMERS])
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names")
def test_checks_left_out_of_the_suite(estimator, check):
    check(type(estimator).__name__, estimator)


def low_rank(n_rows, n_features, rank, seed=0, decay=0.7):
    """Make a matrix whose singular values fall by `decay` up to a rank, and are 0 beyond."""
    rng = np.random.default_rng(seed)
    left = np.linalg.qr(rng.standard_normal((n_rows, rank)))[0]
    right = np.linalg.qr(rng.standard_normal((n_features, rank)))[0]
    return 100 * (left * decay ** np.arange(rank)) @ right.T


def relative_error(X, matrix):
    return np.linalg.norm(X - matrix.toarray()) / np.linalg.norm(X)


# What the fitted values say


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fitted_values_are_those_of_the_compressed_matrix(method, dtype):
    X = low_rank(90, 40, 20).astype(dtype)
    compressor = Compressor(rank=8, bits=6, method=method, random_state=0).fit(X)
    matrix = compressor.compress(X)
    assert matrix.dtype == compressor.components_.dtype == dtype
    assert compressor.rank_ == matrix.rank == len(compressor.components_) <= 8
    assert compressor.bits_per_entry_ == matrix.bits_per_entry == 8 * matrix.nbytes / X.size
    assert compressor.compression_ratio_ == X.nbytes / matrix.nbytes
    assert compressor.reconstruction_err_ == pytest.approx(relative_error(X, matrix), rel=1e-4)
    assert compressor.score(X) == pytest.approx(-(compressor.reconstruction_err_**2), rel=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_scores_are_coordinates_on_an_orthonormal_basis(method):
    X = low_rank(90, 40, 20)
    compressor = Compressor(rank=8, method=method, random_state=0)
    scores = compressor.fit_transform(X)
    components = compressor.components_
    np.testing.assert_allclose(components @ components.T, np.eye(len(components)), atol=1e-9)
    np.testing.assert_array_equal(scores, compressor.transform(X))
    projected = compressor.inverse_transform(scores)
    np.testing.assert_allclose(projected, X @ components.T @ components, atol=1e-9)
    lengths, expected = (np.linalg.norm(rows[0] - rows[1:], axis=1) for rows in (scores, X))
    np.testing.assert_allclose(lengths, expected, rtol=0.15)


def test_rank_is_clipped():
    X = low_rank(12, 7, 5)
    assert Compressor(rank=100, method="dsvd").fit(X).rank_ == 7
    assert Compressor(rank=100).fit(X).rank_ <= 7


# Bits


@pytest.mark.parametrize("coding", ["fixed", "entropy"])
@pytest.mark.parametrize("method", ["auto", "waterfill"])
@pytest.mark.parametrize("budget", [0.3, 1, 4])
def test_a_budget_is_kept_and_used(coding, method, budget):
    X = np.random.default_rng(0).standard_normal((200, 60)) + low_rank(200, 60, 30)
    compressor = Compressor(bit_budget=budget, coding=coding, method=method, random_state=0)
    bits = compressor.fit(X).bits_per_entry_
    assert 0.9 * budget < bits <= budget


def test_a_budget_is_kept_where_a_sample_of_rows_stands_for_all():
    X = low_rank(9000, 30, 20)
    X[::3] *= 30
    assert Compressor(bit_budget=1.0, coding="entropy").fit(X).bits_per_entry_ <= 1.0


def flat(n_rows, n_features):
    return np.random.default_rng(0).standard_normal((n_rows, n_features))


@pytest.mark.parametrize("coding", ["fixed", "entropy"])
@pytest.mark.parametrize(
    "X",
    [
        low_rank(150, 70, 60, decay=0.93),
        flat(300, 64),
        flat(200, 60) + low_rank(200, 60, 30),
        load_digits().data[:500],
    ],
    ids=["falling", "flat", "large components on a floor", "digits"],
)
def test_more_bits_never_give_more_error(X, coding):
    def errors(settings):
        settings = {"coding": coding, "random_state": 0} | settings
        return Compressor(**settings).fit(X).reconstruction_err_

    for sweep in (
        [{"bit_budget": b} for b in (0.4, 0.5, 0.75, 1, 1.5, 2, 3, 5)],
        [{"rank": 12, "bits": b} for b in (2, 3, 4, 6, 8, 10)],
        [{"rank": r, "bits": 6} for r in (2, 4, 8, 16, 32, 64)],
        [{"rank": 8, "bits": 6, "residual_bits": b} for b in (0.5, 1, 2, 4)],
    ):
        found = [errors(settings) for settings in sweep]
        assert all(b <= a * 1.001 for a, b in zip(found, found[1:], strict=False)), found


def test_the_default_beats_the_published_methods_at_their_bits():
    X = low_rank(300, 120, 100, decay=0.95)
    for method in ("lplr", "lsvd", "dsvd"):
        published = Compressor(rank=20, method=method, random_state=0).fit(X)
        ours = Compressor(bit_budget=published.bits_per_entry_, method="waterfill").fit(X)
        assert ours.reconstruction_err_ < 0.8 * published.reconstruction_err_


def test_a_residual_serves_flat_spectra():
    X = np.random.default_rng(0).standard_normal((300, 64))
    for coding in ("fixed", "entropy"):
        auto, plain = (
            Compressor(bit_budget=3, method=method, coding=coding, random_state=0).fit(X)
            for method in ("auto", "waterfill")
        )
        assert auto.reconstruction_err_ < 0.95 * plain.reconstruction_err_
    with_residual = Compressor(rank=4, bits=8, residual_bits=3, random_state=0).fit(X)
    assert with_residual.reconstruction_err_ < 0.15


# Any matrix


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (1, 1), (2, 300), (300, 2)])
def test_extreme_shapes(method, shape):
    X = np.random.default_rng(0).standard_normal(shape)
    compressor = Compressor(method=method, bits=12, random_state=0).fit(X)
    assert compressor.reconstruction_err_ < 0.02


@pytest.mark.parametrize("coding", ["fixed", "entropy"])
@pytest.mark.parametrize("method", METHODS)
def test_matrices_without_variance(method, coding):
    zeros = Compressor(method=method, coding=coding, random_state=0).fit(np.zeros((20, 6)))
    assert zeros.reconstruction_err_ == 0.0
    assert not zeros.compress(np.zeros((3, 6))).toarray().any()
    constant = Compressor(method=method, coding=coding, bits=12).fit(np.full((20, 6), 7.5))
    assert constant.reconstruction_err_ < 0.01


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("coding", ["fixed", "entropy"])
def test_a_budget_for_matrices_of_little_content(coding, weighted):
    rng = np.random.default_rng(0)
    some_constant = np.c_[np.full((40, 3), 7.5), rng.standard_normal((40, 3)), np.zeros((40, 2))]
    for X, budget, most in (
        (np.zeros((30, 8)), 3, 0.0),
        (rng.standard_normal((1, 50)), 30, 1e-3),
        (rng.standard_normal((50, 1)), 30, 1e-3),
        (rng.standard_normal((60, 3)) @ rng.standard_normal((3, 20)), 4, 1e-3),
        (some_constant, 6, 0.02),
    ):
        calibration = rng.standard_normal((9, X.shape[1])) if weighted else None
        compressor = Compressor(bit_budget=budget, coding=coding, random_state=0)
        compressor.fit(X, calibration=calibration)
        error = compressor.product_err_ if weighted else compressor.reconstruction_err_
        assert error <= most
        assert compressor.bits_per_entry_ <= budget


@pytest.mark.parametrize("coding", ["fixed", "entropy"])
def test_an_exactly_low_rank_matrix_comes_back(coding):
    X = low_rank(80, 50, 4)
    compressor = Compressor(rank=20, bits=12, coding=coding).fit(X)
    assert compressor.rank_ == 4
    assert compressor.reconstruction_err_ < 1e-3


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_scale_does_not_matter(scale):
    X = low_rank(60, 30, 10)
    errors = [Compressor(rank=6).fit(X * s).reconstruction_err_ for s in (1.0, scale)]
    assert errors[1] == pytest.approx(errors[0], rel=1e-3)


def test_other_rows_are_compressed_with_the_codes_of_the_first():
    X = low_rank(400, 40, 12)
    for coding in ("fixed", "entropy"):
        compressor = Compressor(rank=12, bits=8, coding=coding, random_state=0).fit(X[:300])
        assert relative_error(X[300:], compressor.compress(X[300:])) < 0.02


def test_the_same_bytes_for_any_number_of_threads(tmp_path):
    X = low_rank(9000, 20, 10).astype(np.float32)
    for coding in ("fixed", "entropy"):
        for n_jobs in (1, 2):
            compressor = Compressor(rank=6, coding=coding, random_state=3, n_jobs=n_jobs).fit(X)
            compressor.compress(X).save(tmp_path / f"{n_jobs}.skq")
        assert (tmp_path / "1.skq").read_bytes() == (tmp_path / "2.skq").read_bytes()


def test_a_memory_mapped_matrix_gives_the_same(tmp_path):
    X = low_rank(300, 40, 12).astype(np.float32)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    first, second = (Compressor(rank=6, random_state=0).fit(rows) for rows in (X, mapped))
    np.testing.assert_array_equal(first.components_, second.components_)
    np.testing.assert_array_equal(first.compress(X).toarray(), second.compress(mapped).toarray())


def test_wide_and_large_matrices_take_the_randomised_range_finder(monkeypatch):
    from skquant._low_rank import _spectrum

    X = low_rank(120, 90, 30)
    exact = Compressor(rank=8, random_state=0).fit(X)
    monkeypatch.setattr(_spectrum, "_GRAM_LIMIT", 50)
    rough = Compressor(rank=8, random_state=0).fit(X)
    assert rough.reconstruction_err_ == pytest.approx(exact.reconstruction_err_, rel=0.01)


# Errors


@pytest.mark.parametrize(
    "parameters",
    [{"rank": 0}, {"bits": 0}, {"bits": 17}, {"bit_budget": 0}, {"method": "pca"}, {"n_iter": -1}],
)
def test_parameters_out_of_range(parameters):
    with pytest.raises(ValueError, match=next(iter(parameters))):
        Compressor(**parameters).fit(low_rank(20, 8, 4))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("coding", ["fixed", "entropy"])
def test_a_budget_that_pays_for_nothing(method, coding):
    with pytest.raises(ValueError, match="bit_budget=0.001"):
        Compressor(bit_budget=0.001, method=method, coding=coding).fit(low_rank(20, 8, 4))


def test_data_out_of_range():
    with pytest.raises(ValueError, match="NaN"):
        Compressor().fit([[1.0, np.nan]])
    with pytest.raises(ValueError, match="overflow"):
        Compressor().fit(np.full((3, 3), 1e200))
    compressor = Compressor(coding="entropy").fit(low_rank(20, 8, 4))
    with pytest.raises(ValueError, match="precision of the coder"):
        compressor.compress(np.full((2, 8), 1e30))
    with pytest.raises(ValueError, match="3 columns"):
        compressor.inverse_transform(np.zeros((2, 3)))
    with pytest.raises(NotFittedError):
        clone(compressor).compress(np.zeros((2, 8)))


def test_it_is_tuned_in_a_pipeline():
    X, y = load_digits(return_X_y=True)
    pipe = make_pipeline(Compressor(random_state=0), LogisticRegression(max_iter=5000, tol=0.1))
    name = "lowranklowprecisioncompressor"
    search = GridSearchCV(pipe, {f"{name}__rank": [4, 24], f"{name}__bits": [4]}, cv=2).fit(X, y)
    assert search.best_params_[f"{name}__rank"] == 24
    assert search.best_score_ > 0.85


def test_feature_names_of_scores():
    compressor = Compressor(rank=2).fit(low_rank(20, 8, 4))
    names = compressor.get_feature_names_out()
    assert names.tolist() == ["lowranklowprecisioncompressor0", "lowranklowprecisioncompressor1"]


# Memory


@pytest.mark.parametrize(
    "parameters",
    [{}, {"coding": "entropy"}, {"method": "dsvd"}, {"residual_bits": 1}],
    ids=lambda parameters: str(parameters),
)
def test_memory_does_not_grow_with_the_rows_of_a_file(parameters, tmp_path):
    """Peaks at two heights differ by less than the rows between them, which a copy would add."""

    def peaks(n_rows):
        shape = n_rows, 100
        X = np.lib.format.open_memmap(tmp_path / f"{n_rows}.npy", "w+", np.float32, shape)
        for start in range(0, n_rows, 10_000):
            X[start : start + 10_000] = low_rank(10_000, 100, 4, seed=start)
        X = np.load(tmp_path / f"{n_rows}.npy", mmap_mode="r")
        tracemalloc.start()
        compressor = Compressor(rank=4, bits=4, random_state=0, **parameters).fit(X)
        fit = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        compressor.compress(X)
        compress = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return np.array([fit, compress])

    assert (peaks(70_000) - peaks(50_000) < 0.75 * 20_000 * 100 * 4).all()
