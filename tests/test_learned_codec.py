"""Learned rotations: what they gain, what they leave out, and what they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import Plain

from skquant import (
    LatticeQuantizer,
    QuantizedKNeighborsClassifier,
    QuantizedMatrix,
    matmul,
)
from skquant._allocation import reverse_water_fill, spend_on_ladders
from skquant._codecs import _learned
from skquant._codes._row_code import lay_out
from skquant._codes._scales import code_for, fit_scales, gaussian_blocks, scalar_ladder, stretch
from skquant._products import _integers
from skquant._products._integers import LARGEST_BYTE, count_bytes
from skquant.lattices import E8, LATTICES

CENTERS = ["features", "rows", False]
every_center = pytest.mark.parametrize("center", CENTERS)
every_lattice = pytest.mark.parametrize("lattice", LATTICES)


def skewed(n_rows, n_features, decay=0.9, seed=0):
    """Gaussian rows whose standard deviations fall geometrically along random axes."""
    turn = np.linalg.qr(np.random.default_rng(9).standard_normal((n_features, n_features)))[0]
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_rows, n_features)) * decay ** np.arange(n_features) @ turn + 0.3


def learned(bits=3.0, **parameters):
    return LatticeQuantizer(bits, **{"rotation": "pca", "random_state": 0} | parameters)


def matrix_of(fitted):
    return fitted._codec.rotation.matrix


# Allocation


bit_ladder = [(0, 1.0), (2, 0.4), (3, 0.25), (6, 0.01)]


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=6), st.integers(0, 40))
def test_steps_are_spent_as_no_other_choice_of_the_same_cost_beats(worths, n_bits):
    """A greedy choice on convex ladders is the best among those that cost as much or less."""
    spent = spend_on_ladders(worths, [bit_ladder] * len(worths), n_bits)
    table = dict(bit_ladder)
    assert spent.sum() <= n_bits and all(int(s) in table for s in spent)
    best = {0: 0.0}
    for worth in worths:
        totals = {}
        for cost, error in best.items():
            for bits, distortion in bit_ladder:
                total = error + worth * distortion
                totals[cost + bits] = min(total, totals.get(cost + bits, np.inf))
        best = totals
    own = sum(w * table[int(s)] for w, s in zip(worths, spent, strict=True))
    # What is left is less than a step; had all steps fit, the choice would be the best.
    fitting = (
        min(error for cost, error in best.items() if cost <= spent.sum() - 5)
        if spent.sum() >= 5
        else np.inf
    )
    assert own <= fitting * (1 + 1e-12)


def test_fine_steps_come_near_reverse_water_filling():
    variances = 0.7 ** np.arange(20)
    ladder = [(bits, 4.0 ** -(bits / 10)) for bits in range(200)]
    spent = spend_on_ladders(variances, [ladder] * 20, 400)
    _, rates = reverse_water_fill(variances, 40)
    np.testing.assert_allclose(spent / 10, rates, atol=0.25)
    assert spent.sum() == 400


def test_what_is_worth_nothing_gets_nothing():
    assert spend_on_ladders([0.0, 1.0, 0.0], [scalar_ladder()] * 3, 100).tolist() == [0, 16, 0]


# Scales


@pytest.mark.parametrize("n_bits", [8, 26, 68])
def test_scales_fitted_to_data_never_err_more_on_it(n_bits):
    rng, code = np.random.default_rng(0), code_for(E8(), n_bits)
    heavy = rng.standard_normal((2000, 8)) * rng.exponential(size=(2000, 1)) ** 0.5
    fitted = fit_scales(code, heavy.astype(np.float32))
    assert (fitted.q, len(fitted.scales), fitted.n_bits) == (code.q, len(code.scales), code.n_bits)
    start = fit_scales(code, heavy.astype(np.float32), max_evaluations=1).distortion
    assert fitted.distortion < (1 if n_bits == 8 else 0.9) * start


def test_scales_for_gaussian_blocks_are_about_the_best_there_are():
    code = code_for(E8(), 26)
    fitted = fit_scales(code, gaussian_blocks(4000, 8, spread=1.0)[0].astype(np.float32))
    assert fitted.distortion == pytest.approx(code.distortion, rel=0.05)


def test_a_stretched_code_errs_in_proportion():
    code = code_for(E8(), 26)
    wide = stretch(code, 100.0)
    blocks = gaussian_blocks(2000, 8, spread=1.0)[0].astype(np.float32)
    errors = [fit_scales(c, b, 1).distortion for c, b in ((code, blocks), (wide, 100 * blocks))]
    assert errors[1] == pytest.approx(1e4 * errors[0], rel=1e-3)
    assert wide.distortion == pytest.approx(1e4 * code.distortion)


# What it gains


@every_center
@every_lattice
@pytest.mark.parametrize("bits", [0.5, 1, 2.5, 4])
def test_skewed_rows_err_less(bits, lattice, center):
    X, new = skewed(1000, 64), skewed(200, 64, seed=1)
    fitted = [
        LatticeQuantizer(bits, lattice=lattice, center=center, rotation=r, random_state=0).fit(X)
        for r in ("hadamard", "pca")
    ]
    plain, own = (-f.score(new) for f in fitted)
    assert own < 0.5 * plain
    assert fitted[1].bits_per_feature_ <= (bits * 64 + 7 + 64) / 64


@pytest.mark.parametrize("bits", [2, 4])
def test_the_error_is_near_the_bound(bits):
    """A code that errs c times as much as an ideal one at its rate does so after water-filling."""
    X = skewed(4000, 128, decay=0.97)
    variances = 0.97 ** (2 * np.arange(128))
    level, _ = reverse_water_fill(variances, bits * 128)
    bound = np.minimum(variances, level).sum() / variances.sum()
    assert bound < -learned(bits).fit(X).score(X) < 1.85 * bound


def test_gaussian_rows_err_as_with_any_rotation():
    X = np.random.default_rng(0).standard_normal((5000, 64))
    errors = [-learned(3, rotation=r).fit(X).score(X) for r in ("hadamard", "pca")]
    assert errors[1] == pytest.approx(errors[0], rel=0.08)


def test_scales_fitted_to_rows_err_less_where_tails_are_heavy(monkeypatch):
    rng = np.random.default_rng(0)
    weak = 0.3 * rng.standard_normal((3000, 32)) * rng.exponential(size=(3000, 1))
    X = np.hstack([rng.standard_normal((3000, 32)), weak])
    fitted = -learned(4).fit(X).score(X)
    monkeypatch.setattr(_learned, "FEWEST_BLOCKS", np.inf)
    assert fitted < 0.8 * -learned(4).fit(X).score(X)


@pytest.mark.parametrize("metric", ["euclidean", "inner_product", "cosine"])
def test_neighbours_are_found_more_often(metric):
    X, queries = skewed(3000, 64, decay=0.95), skewed(100, 64, decay=0.95, seed=1)
    y = np.zeros(len(X))

    def found(**parameters):
        quantizer = LatticeQuantizer(2, random_state=0, **parameters)
        knn = QuantizedKNeighborsClassifier(10, metric=metric, quantizer=quantizer).fit(X, y)
        return knn.kneighbors(queries, return_distance=False)

    plain, own = found(), found(rotation="pca")
    knn = QuantizedKNeighborsClassifier(10, bits=14, metric=metric, random_state=0).fit(X, y)
    exact = knn.kneighbors(queries, return_distance=False)
    hits = [
        np.mean([np.isin(*pair).mean() for pair in zip(f, exact, strict=True)])
        for f in (plain, own)
    ]
    assert hits[1] > hits[0] + 0.1


@pytest.fixture
def with_bytes(monkeypatch):
    """Choose as on machines that multiply bytes."""
    monkeypatch.setattr(_integers, "HAS_BYTES", True)


def test_large_coordinates_are_left_out_until_bytes_serve(with_bytes):
    coarse, fine = stretch(code_for(E8(), 8), 0.5), stretch(code_for(E8(), 52), 8.0)
    row_code = lay_out([(coarse, 62, 0.5), (fine, 2, 8.0)])
    assert count_bytes(row_code) == 62 * 8
    rows = np.random.default_rng(0).standard_normal((50, row_code.n_coordinates))
    rows *= row_code.spreads
    # The error of bytes is a small part of the code's own.
    parts = rows[:, :496], rows
    error = [np.median(np.abs(part).max(axis=1) / LARGEST_BYTE) ** 2 / 12 for part in parts]
    assert error[0] < 0.002 * row_code.distortion < 0.01 * row_code.distortion < error[1]


def test_bytes_serve_codes_that_are_not_too_fine(with_bytes):
    rows = skewed(1000, 128, 0.9)
    row_codes = [LatticeQuantizer(b, random_state=0).fit(rows)._codec.row_code for b in (2, 4, 6)]
    assert [count_bytes(row_code) for row_code in row_codes] == [128, 128, 0]
    assert 0 < count_bytes(learned(6).fit(rows)._codec.row_code) < 128


# What it leaves out


def test_directions_without_variance_cost_nothing():
    X = np.hstack([skewed(500, 32), np.full((500, 50), 3.0), np.zeros((500, 46))])
    fitted = learned(4).fit(X)
    assert fitted._codec.row_code.n_coordinates == 32
    np.testing.assert_allclose(matrix_of(fitted)[32:], 0, atol=1e-6)
    np.testing.assert_allclose(fitted.transform(X), X, atol=1e-3)
    assert -fitted.score(X) < 1e-6  # all bits go to a quarter of the features


@pytest.mark.parametrize("rank", [1, 3, 8, 20])
def test_rank_deficient_rows(rank):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, rank)) @ rng.standard_normal((rank, 100))
    fitted = learned(2).fit(X)
    assert fitted._codec.row_code.n_coordinates <= -(-rank // 8) * 8
    assert -fitted.score(X) < 4.0 ** (-min(200 / rank, 12) + 1.5)
    assert fitted.bits_per_feature_ <= 2.7


@every_center
@pytest.mark.parametrize("bits", [0.3, 1, 4, 9])
@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (1, 20), (2, 20), (9, 20), (9, 8), (40, 3)])
def test_few_rows_and_few_features(shape, bits, center):
    if bits * shape[1] < 1:
        with pytest.raises(ValueError, match="less than one bit a row"):
            learned(bits, center=center).fit(np.ones(shape))
        return
    X = 5 + np.random.default_rng(0).standard_normal(shape)
    fitted = learned(bits, center=center).fit(X)
    assert np.isfinite(fitted.transform(X)).all()
    assert np.isfinite(fitted.transform(1e6 * X)).all()
    if bits == 9:
        np.testing.assert_allclose(fitted.transform(X), X, atol=0.3)


@pytest.mark.parametrize("X", [np.ones((5, 9)), np.zeros((3, 9)), np.arange(9.0)[None]])
def test_equal_rows(X):
    np.testing.assert_allclose(learned(2).fit_transform(X), X, rtol=1e-6)


def test_rows_unlike_those_of_the_fit_keep_their_norm_and_are_finite():
    X = skewed(300, 40)
    fitted = learned(2, center=False).fit(X)
    strange = (
        np.random.default_rng(1).standard_normal((50, 40)) * 10.0 ** np.arange(-25, 25)[:, None]
    )
    decoded = fitted.transform(strange)
    assert np.isfinite(decoded).all()
    assert (np.linalg.norm(decoded, axis=1) < 1.1 * np.linalg.norm(strange, axis=1)).all()


# The rules that hold for all codecs


def test_columns_of_the_matrix_are_orthonormal_and_counted():
    fitted = learned(1).fit(skewed(500, 50))
    matrix = matrix_of(fitted)
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(matrix.shape[1]), atol=1e-5)
    codes = fitted.compress(skewed(10, 50))
    assert codes.nbytes >= matrix.nbytes + 10 * codes.bits_per_entry * 50 / 8


def test_coordinates_keep_the_product():
    fitted = learned(8).fit(skewed(500, 50, decay=0.99))
    vectors = np.random.default_rng(0).standard_normal((7, 50))
    coordinates = fitted._codec.to_coordinates(vectors)
    np.testing.assert_allclose(coordinates @ coordinates.T, vectors @ vectors.T, rtol=1e-4)
    np.testing.assert_allclose(fitted._codec.from_coordinates(coordinates), vectors, atol=1e-5)


@pytest.mark.parametrize("objective", ["reconstruction", "product"])
def test_a_row_does_not_depend_on_its_neighbours(objective):
    X = skewed(700, 37).astype(np.float32)
    fitted = learned(2.3, objective=objective, output="codes").fit(X)
    whole = fitted.transform(X)
    for rows in (slice(0, 1), slice(3, 36), slice(100, 700), slice(5, 600, 7)):
        np.testing.assert_array_equal(fitted.transform(X[rows]), whole[rows])
    threaded = fitted.set_params(n_jobs=2).transform(X)
    np.testing.assert_array_equal(threaded, whole)


@pytest.mark.parametrize("rotation", ["pca", "auto"])
def test_the_same_seed_gives_the_same_bytes(rotation):
    X = skewed(300, 40)
    codes = [learned(2, rotation=rotation).fit(X).compress(X) for _ in range(2)]
    np.testing.assert_array_equal(codes[0]._rows, codes[1]._rows)
    other = learned(2, rotation=rotation, random_state=1).fit(X).compress(X)
    assert (other._rows != codes[0]._rows).any()


@every_center
def test_row_terms_say_how_well_a_row_is_coded(center):
    X = skewed(500, 64)
    codes = learned(2, center=center).fit(X).compress(X)
    terms = codes._codec.unpack_terms(codes._rows)
    error = np.linalg.norm(X - codes.toarray(), axis=1) ** 2
    r = X - codes._codec.mean
    r = r - r.mean(axis=1, keepdims=True) if center == "rows" else r
    energy = (r**2).sum(axis=1)
    assert error.sum() / energy.sum() == pytest.approx(
        np.mean(1 - terms.alignment**2), rel=0.1 if center == "features" else 0.5
    )


@every_center
@pytest.mark.parametrize("lattice", ["E8", "Z", Plain(E8())], ids=["E8", "Z", "own"])
def test_files(tmp_path, lattice, center):
    X = skewed(60, 27)
    codes = learned(2, lattice=lattice, center=center).fit(X).compress(X, dither_seed=3)
    codes.save(tmp_path / "x.skq")
    own = lattice if isinstance(lattice, Plain) else None
    loaded = QuantizedMatrix.load(tmp_path / "x.skq", lattice=own)
    np.testing.assert_array_equal(loaded.toarray(), codes.toarray())
    assert loaded.nbytes == codes.nbytes
    np.testing.assert_array_equal(loaded @ X.T, codes @ X.T)


# Products


@every_center
def test_products_are_those_of_the_reconstructions(center):
    A, B = skewed(30, 40), skewed(50, 40, seed=1)
    fitted = learned(2, center=center).fit(B)
    a, b = fitted.compress(A), fitted.compress(B)
    other = LatticeQuantizer(2, random_state=0).fit(B).compress(B)
    left, right = a.toarray(), b.toarray()
    assert_near(a @ b.T, left, right)
    assert_near(matmul(a, b.T), left, right)
    assert_near(a @ B.T, left, B)
    assert_near(a.T @ A, left.T, A.T)
    assert_near(a @ other.T, left, other.toarray())


def assert_near(product, left, right):
    """Compare with left right', up to the rounding of rows, whose entries share a unit."""
    norms = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=1)
    assert (np.abs(product - left @ right.T) < 1e-4 * norms).all()


@pytest.mark.parametrize("asked", [{"return_std": True}, {"estimator": "unbiased"}])
def test_what_cannot_be_predicted_is_refused(asked):
    X = skewed(30, 40)
    codes = learned(2).fit(X).compress(X)
    with pytest.raises(ValueError, match=r"random rotation.*\"pca\""):
        matmul(codes, codes.T, **asked)


def test_the_objective_of_products_lowers_their_error():
    X = skewed(2000, 128, decay=0.98)
    A, B = X[:1000] - X.mean(axis=0), X[1000:] - X.mean(axis=0)
    errors = []
    for objective in ("reconstruction", "product"):
        fitted = learned(1, objective=objective, center=False).fit(np.vstack([A, B]))
        product = fitted.compress(A) @ fitted.compress(B).T
        errors.append(np.linalg.norm(product - A @ B.T))
    assert errors[1] < 0.95 * errors[0]


# The choice


def test_auto_learns_where_it_pays():
    X = skewed(500, 64)
    fitted = learned(3, rotation="auto").fit(X)
    assert fitted.rotation_ == "pca"
    np.testing.assert_allclose(fitted.score(X), learned(3).fit(X).score(X), rtol=0.2)


@pytest.mark.parametrize("n_rows", [3, 100, 2000])
def test_auto_stays_random_where_it_does_not(n_rows):
    X = np.random.default_rng(0).standard_normal((n_rows, 64))
    assert learned(3, rotation="auto").fit(X).rotation_ == "hadamard"


def test_entropy_coding_has_no_learned_rotation():
    X = skewed(100, 16)
    with pytest.raises(ValueError, match=r'rotation="pca" needs coding="fixed"'):
        learned(3, coding="entropy").fit(X)
    assert learned(3, rotation="auto", coding="entropy").fit(X).rotation_ == "hadamard"
