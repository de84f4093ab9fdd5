"""The theory against published constants, brute force, and simulation."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize_scalar

import skquant
from skquant.lattices import E8
from skquant.theory import (
    CRITICAL_RATE,
    distortion_rate,
    gamma,
    gaussian_matmul_lower_bound,
    matmul_bias_variance,
    matmul_mse,
    space_filling_loss,
    switching_rate,
)

# 2·4^-R - 16^-R from the critical rate up, and the tangent from (0, 1) below it.
GAMMA = {
    0: 1,
    0.25: 0.858853,
    0.5: 0.717706,
    0.75: 0.576559,
    1: 0.4375,
    1.5: 0.234375,
    2: 0.121094,
    2.5: 0.0615234,
    3: 0.0310059,
    4: 0.00779724,
    4.25: 0.00551664,
    4.5: 0.00390244,
    6: 0.000488222,
    8: 3.05173e-5,
    np.inf: 0,
}
SECOND_MOMENTS = {"Z": 1 / 12, "A2": 0.0801875, "D4": 0.0766032, "E8": 0.0716821, "Leech": 0.065771}

rates = st.floats(0, 12)
shares = st.floats(0, 1)
kept_shares = st.floats(0.01, 1)
distortions = st.floats(0, 0.99)
estimators = st.sampled_from(["least_squares", "unbiased"])
every_estimator = pytest.mark.parametrize("estimator", ["least_squares", "unbiased"])


def learnt(rate_a, rate_b):
    """What is learnt of a product when all coordinates are coded."""
    return (1 - distortion_rate(rate_a)) * (1 - distortion_rate(rate_b))


# The bound


def test_critical_rate_solves_its_equation():
    assert pytest.approx(0.9063235370, abs=5e-11) == CRITICAL_RATE
    assert 0.5 * np.log2(1 + 4 * CRITICAL_RATE * np.log(2)) == pytest.approx(CRITICAL_RATE, 1e-15)
    assert switching_rate() == pytest.approx(CRITICAL_RATE, rel=1e-15)


@pytest.mark.parametrize("rate", GAMMA)
def test_gamma_has_the_published_values(rate):
    assert gamma(rate) == pytest.approx(GAMMA[rate], rel=5e-6)


def test_gamma_at_the_critical_rate():
    assert gamma(CRITICAL_RATE) == pytest.approx(0.4883003258, abs=5e-11)
    assert (gamma(CRITICAL_RATE) - 1) / CRITICAL_RATE == pytest.approx(-0.5645883101, abs=5e-11)


@given(rates)
def test_gamma_has_two_regimes(rate):
    line = 1 - rate * (1 - gamma(CRITICAL_RATE)) / CRITICAL_RATE
    curve = 2 * 4.0**-rate - 16.0**-rate
    assert gamma(rate) == pytest.approx(line if rate < CRITICAL_RATE else curve, rel=1e-11)


def test_gamma_bends_at_the_critical_rate_without_a_jump_of_value_or_slope():
    step = 1e-4
    values = gamma(CRITICAL_RATE + step * np.arange(-2, 3))
    slopes = np.diff(values) / step
    np.testing.assert_allclose(values[1:4], values[2], atol=step)
    np.testing.assert_allclose(slopes, slopes[1], atol=3 * step)
    bends = np.diff(slopes) / step
    assert abs(bends[0]) < 1e-3
    assert bends[2] > 0.4


def test_gamma_keeps_its_relative_precision_at_high_rates():
    assert gamma(40) == pytest.approx(2 * 4.0**-40, rel=1e-15)


@given(rates, rates)
def test_gamma_lies_between_one_exact_side_and_coding_everything(rate_a, rate_b):
    value = gamma(rate_a, rate_b)
    assert value == pytest.approx(gamma(rate_b, rate_a), rel=1e-12)
    assert value <= 1 - learnt(rate_a, rate_b) + 1e-12
    assert value >= distortion_rate(min(rate_a, rate_b)) - 1e-12
    assert gamma(rate_a, np.inf) == pytest.approx(distortion_rate(rate_a), rel=1e-14)
    assert gamma(rate_a, 0) == 1


@given(rates, rates, rates)
def test_gamma_falls_with_either_rate(rate_a, rate_b, more):
    assert gamma(rate_a + more, rate_b) <= gamma(rate_a, rate_b) + 1e-15


@given(rates, rates, rates, rates, shares)
def test_gamma_is_convex_in_both_rates(rate_a, rate_b, other_a, other_b, share):
    between = gamma(share * rate_a + (1 - share) * other_a, share * rate_b + (1 - share) * other_b)
    assert between <= share * gamma(rate_a, rate_b) + (1 - share) * gamma(other_a, other_b) + 1e-12


@given(rates, rates)
def test_gamma_is_the_best_time_sharing_by_brute_force(rate_a, rate_b):
    kept = np.geomspace(0.01, 1, 2000)
    shared = 1 - kept * learnt(rate_a / kept, rate_b / kept)
    assert gamma(rate_a, rate_b) <= shared.min() + 1e-12
    assume(rate_a + rate_b > 0.05)
    assert gamma(rate_a, rate_b) == pytest.approx(shared.min(), abs=1e-5)


@pytest.mark.parametrize("rate", [(0.5, 0.5), (0.25, 1.5), (1.2, 0.3), (2, 0.2), (1.5, 1.5)])
def test_gamma_is_the_lower_convex_envelope_by_linear_programming(rate):
    grid = np.stack(np.meshgrid(*[np.linspace(0, 4, 41)] * 2), axis=-1).reshape(-1, 2)
    mixtures = np.vstack([grid.T, np.ones(len(grid))])
    envelope = linprog(1 - learnt(*grid.T), A_eq=mixtures, b_eq=[*rate, 1]).fun
    # Between the points of the grid the program sees less than the envelope can use.
    assert envelope - 2e-3 < gamma(*rate) < envelope + 1e-9


@pytest.mark.parametrize("rate", [5e-324, 1e-300, 1e-12, 1e5, np.inf])
def test_gamma_bears_extreme_rates(rate):
    for rate_b in (rate, 1e-300, 1.0, np.inf):
        value = gamma(rate, rate_b)
        assert value == pytest.approx(1 - min(learnt(rate, np.inf), learnt(rate_b, np.inf), 1), 0.3)
        assert 0 <= value <= 1


def test_gaussian_lower_bound_scales():
    bound = gaussian_matmul_lower_bound([1, 2], 64, 10, 20, sigma=0.5)
    np.testing.assert_allclose(bound, 0.5**4 * 64 * 10 * 20 * gamma([1, 2]), rtol=1e-15)
    assert gaussian_matmul_lower_bound(2, 3, 1, 1, rate_b=np.inf) == 3 * distortion_rate(2)


# Codes


@pytest.mark.parametrize(
    ("lattice", "loss", "rate"),
    [
        ("Z", 0.2546, 1.397),
        ("A2", 0.2269, 1.350),
        ("D4", 0.1938, 1.292),
        ("E8", 0.1460, 1.205),
        ("Leech", 0.0839, 1.086),
    ],
)
def test_loss_and_switching_rate_of_entropy_coded_lattices(lattice, loss, rate):
    assert space_filling_loss(SECOND_MOMENTS[lattice]) == pytest.approx(loss, abs=1e-4)
    assert switching_rate(4**loss) == pytest.approx(rate, abs=1e-3)


@given(st.floats(1, 1000))
def test_switching_rate_is_the_maximum_by_brute_force(excess):
    def per_bit(rate):
        return (1 - excess * distortion_rate(rate)) ** 2 / rate

    begin = max(np.log2(excess) / 2, 1e-6)
    found = minimize_scalar(lambda r: -per_bit(r), bounds=(begin, begin + 5), method="bounded")
    assert switching_rate(excess) == pytest.approx(found.x, abs=1e-4)


# The error to expect


def random_pairs(rng, count, n, cosine):
    """Unit vectors at a given angle, rotated at random: two arrays of shape (count, n)."""
    a, b = rng.standard_normal((2, count, n))
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b -= np.einsum("ij,ij->i", a, b)[:, None] * a
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    return a, cosine * a + np.sqrt(1 - cosine**2) * b


def add_error(x, distortion, rng):
    """A least-squares reconstruction of the vectors along the last axis."""
    energy = np.square(x).sum(axis=-1, keepdims=True)
    error = rng.standard_normal(x.shape)
    error -= (error * x).sum(axis=-1, keepdims=True) / energy * x
    error /= np.linalg.norm(error, axis=-1, keepdims=True)
    return (1 - distortion) * x + np.sqrt(distortion * (1 - distortion) * energy) * error


def quantize(x, step, rng):
    """Nearest points of E8 with subtractive dither, scaled to least squares; distortions."""
    lattice = E8()
    blocks = x.reshape(-1, 8) * np.sqrt(x.shape[1]) / step
    dither = rng.random(blocks.shape) @ lattice.generator
    dither -= lattice.closest_point(dither)
    decoded = (lattice.closest_point(blocks + dither) - dither).reshape(x.shape)
    product, energy = (np.einsum("ij,ij->i", decoded, y) for y in (x, decoded))
    decoded *= (product / energy)[:, None]
    return decoded, 1 - np.square(decoded).sum(axis=1) / np.square(x).sum(axis=1)


@pytest.fixture(scope="module")
def rotations():
    return np.linalg.qr(np.random.default_rng(3).standard_normal((600, 64, 64)))[0]


@pytest.mark.parametrize("kept", [1, 0.25])
@pytest.mark.parametrize("distortion", [(0.3, 0.1), (0.01, 0.01)])
@pytest.mark.parametrize("correlation", [0, 0.5, 0.95])
def test_prediction_for_matrices_by_simulation(rotations, kept, distortion, correlation):
    rng = np.random.default_rng(0)
    n = rotations.shape[1]
    A, B = rng.standard_normal((2, n, 6)) * np.geomspace(0.1, 1, 6)
    B = correlation * A[:, ::-1] + np.sqrt(1 - correlation**2) * B
    a, b = (
        add_error((rotations[:, : round(kept * n)] @ M).swapaxes(1, 2), d, rng)
        for M, d in zip((A, B), distortion, strict=True)
    )
    products = a @ b.swapaxes(1, 2)
    norms = [np.linalg.norm(M) for M in (A, B, A.T @ B)]
    for estimator, scale in (
        ("least_squares", 1),
        ("unbiased", kept * (1 - distortion[0]) * (1 - distortion[1])),
    ):
        error = products / scale - A.T @ B
        bias = error.mean(axis=0)
        variance = np.square(error - bias).sum() / len(rotations)
        predicted = matmul_bias_variance(*norms, n, *distortion, kept=kept, estimator=estimator)
        assert np.square(bias).sum() == pytest.approx(predicted[0], abs=0.1 * sum(predicted))
        assert variance == pytest.approx(predicted[1], rel=0.08)
        mse = matmul_mse(*norms, n, *distortion, kept=kept, estimator=estimator)
        assert np.square(error).sum() / len(rotations) == pytest.approx(mse, rel=0.08)


@pytest.mark.parametrize("cosine", [0, 0.7, -0.95])
@pytest.mark.parametrize("step", [2.2, 0.5])
def test_prediction_for_lattice_codes_by_simulation(cosine, step):
    rng = np.random.default_rng(1)
    n, count = 64, 5000
    (a, d_a), (b, d_b) = (quantize(x, step, rng) for x in random_pairs(rng, count, n, cosine))
    products = np.einsum("ij,ij->i", a, b)
    mse = matmul_mse(1, 1, cosine, n, d_a, d_b).mean()
    assert np.square(products - cosine).mean() == pytest.approx(mse, rel=0.08)
    unbiased = products / ((1 - d_a) * (1 - d_b))
    mse = matmul_mse(1, 1, cosine, n, d_a, d_b, estimator="unbiased").mean()
    assert np.square(unbiased - cosine).mean() == pytest.approx(mse, rel=0.08)


@pytest.mark.parametrize("cosine", [0.7, 1.0])
@pytest.mark.parametrize("step", [2.2, 0.5])
def test_prediction_where_all_vectors_share_one_shrinkage(cosine, step):
    rng = np.random.default_rng(2)
    n, count = 64, 5000
    (a, d_a), (b, d_b) = (quantize(x, step, rng) for x in random_pairs(rng, count, n, cosine))
    shares = 1 - d_a, 1 - d_b
    scatter = sum(np.var(share) / np.mean(share) ** 2 for share in shares)
    d, g = 1 - np.mean(shares), np.prod([np.mean(share) for share in shares])
    unbiased = np.einsum("ij,ij->i", a, b) / g
    arguments = 1, 1, cosine, n, d, d
    mse = matmul_mse(*arguments, estimator="unbiased", scatter=scatter)
    assert np.square(unbiased - cosine).mean() == pytest.approx(mse, rel=0.08)
    assert matmul_mse(*arguments, estimator="unbiased") < mse
    kurtosis = 4 / (8 + 4)  # a ball in place of the cell of E8
    assert scatter == pytest.approx(2 * d**2 * (kurtosis + 4 * d / (1 - d)) / n, rel=0.25)


@given(distortions, distortions, kept_shares)
def test_prediction_for_orthogonal_vectors_is_the_published_guarantee(d_a, d_b, kept):
    lost = 1 - kept * (1 - d_a) * (1 - d_b)
    mse = matmul_mse(2, 3, 0, 50, d_a, d_b, kept=kept)
    assert mse == pytest.approx(36 / 50 * (lost - lost**2), rel=1e-9, abs=1e-15)
    mse = matmul_mse(2, 3, 0, 50, d_a, d_b, kept=kept, estimator="unbiased")
    assert mse == pytest.approx(36 / 50 * lost / (1 - lost), rel=1e-9, abs=1e-15)


@given(distortions, distortions, shares)
def test_prediction_is_within_the_published_guarantee_when_all_is_kept(d_a, d_b, cosine):
    lost = 1 - (1 - d_a) * (1 - d_b)
    guarantee = cosine**2 * lost**2 + (lost - lost**2) / 50
    assert matmul_mse(1, 1, cosine, 50, d_a, d_b) <= guarantee + 1e-15


@given(st.floats(0.01, 6))
def test_ideal_codes_with_time_sharing_reach_gamma(rate):
    n = 10**8
    kept = min(1, rate / CRITICAL_RATE)
    d = distortion_rate(rate / kept)
    mse = matmul_mse(1, 1, n**-0.5, n, d, d, kept=kept)
    assert mse * n == pytest.approx(gamma(rate), rel=1e-6)


@given(shares, distortions, distortions, kept_shares, estimators)
def test_bias_and_variance_are_the_two_parts(cosine, d_a, d_b, kept, estimator):
    options = {"kept": kept, "estimator": estimator}
    squared_bias, variance = matmul_bias_variance(1, 1, cosine, 20, d_a, d_b, **options)
    assert squared_bias >= 0
    assert variance >= 0
    assert matmul_mse(1, 1, cosine, 20, d_a, d_b, **options) == squared_bias + variance
    swapped = matmul_bias_variance(1, 1, -cosine, 20, d_b, d_a, **options)
    assert swapped == pytest.approx((squared_bias, variance), rel=1e-12)
    scaled = matmul_mse(3, 0.5, 1.5 * cosine, 20, d_a, d_b, **options)
    assert scaled == pytest.approx(1.5**2 * (squared_bias + variance), rel=1e-12)


@given(shares, distortions, kept_shares)
def test_unbiased_has_no_bias_and_a_larger_variance(cosine, distortion, kept):
    arguments = 1, 1, cosine, 20, distortion, distortion
    _, variance = matmul_bias_variance(*arguments, kept=kept)
    without = matmul_bias_variance(*arguments, kept=kept, estimator="unbiased")
    assert without[0] == 0
    assert without[1] >= variance


@every_estimator
def test_nothing_lost_is_exact_and_parallel_rows_need_both_errors(estimator):
    assert matmul_mse(2, 3, 4, 10, 0, 0, estimator=estimator) == 0
    _, variance = matmul_bias_variance(2, 3, 6, 10, 0.3, 0, estimator=estimator)
    assert variance == 0


def test_all_lost_leaves_the_product_as_error():
    assert matmul_mse(2, 3, 4, 10, 1, 1, kept=0.5) == 16


@every_estimator
def test_entries_broadcast_and_add_up(estimator):
    A, B = np.random.default_rng(2).standard_normal((2, 30, 4))
    options = {"kept": 0.6, "estimator": estimator}
    rows = np.linalg.norm(A, axis=0)[:, None], np.linalg.norm(B, axis=0)
    entries = matmul_mse(*rows, A.T @ B, 30, 0.2, 0.1, **options)
    assert entries.shape == (4, 4)
    norms = [np.linalg.norm(M) for M in (A, B, A.T @ B)]
    assert entries.sum() == pytest.approx(matmul_mse(*norms, 30, 0.2, 0.1, **options), rel=1e-12)


def test_an_estimated_product_above_the_norms_counts_as_theirs():
    assert matmul_mse(2, 3, 7, 10, 0.2, 0.1) == matmul_mse(2, 3, 6, 10, 0.2, 0.1)


# All functions


def test_scalars_give_floats_and_arrays_their_shape():
    calls = [distortion_rate, gamma, lambda x: gamma(x, 2), lambda x: switching_rate(x + 1)]
    calls += [lambda x: space_filling_loss(x + 1), lambda x: matmul_mse(x, 1, 1, 3, 0.1, 0.1)]
    calls += [lambda x: gaussian_matmul_lower_bound(x, 2, 2, 2)]
    for call in calls:
        assert type(call(1)) is float
        values = call(np.array([[1, 2], [3, 4]]))
        assert values.shape == (2, 2)
        assert values[0, 0] == pytest.approx(call(1), rel=1e-14)
        assert call(np.empty(0)).shape == (0,)


def test_theory_is_public():
    assert skquant.theory.gamma is gamma
    assert "theory" in skquant.__all__


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: distortion_rate(-1), "rate"),
        (lambda: gamma(np.nan), "rate"),
        (lambda: gamma([1, -0.1]), "rate"),
        (lambda: gamma("two"), "rate"),
        (lambda: gamma(1j), "rate"),
        (lambda: gamma(1, -1), "rate_b"),
        (lambda: gaussian_matmul_lower_bound(1, 0, 1, 1), "n"),
        (lambda: gaussian_matmul_lower_bound(1, 1, np.nan, 1), "a"),
        (lambda: gaussian_matmul_lower_bound(1, 1, 1, np.inf), "b"),
        (lambda: gaussian_matmul_lower_bound(1, 1, 1, 1, sigma=-1), "sigma"),
        (lambda: space_filling_loss(0.05), "second_moment"),
        (lambda: switching_rate(0.99), "excess"),
        (lambda: switching_rate(np.inf), "excess"),
        (lambda: matmul_mse(-1, 1, 1, 4, 0.1, 0.1), "norm_a"),
        (lambda: matmul_mse(1, np.inf, 1, 4, 0.1, 0.1), "norm_b"),
        (lambda: matmul_mse(1, 1, np.nan, 4, 0.1, 0.1), "norm_product"),
        (lambda: matmul_mse(1, 1, 1, 0, 0.1, 0.1), "n"),
        (lambda: matmul_mse(1, 1, 1, 4, 1.1, 0.1), "distortion_a"),
        (lambda: matmul_mse(1, 1, 1, 4, 0.1, 0.1, scatter=-1), "scatter"),
        (lambda: matmul_mse(1, 1, 1, 4, 0.1, -0.1), "distortion_b"),
        (lambda: matmul_mse(1, 1, 1, 4, 0.1, 0.1, kept=0), "kept"),
        (lambda: matmul_mse(1, 1, 1, 4, 0.1, 0.1, kept=1.1), "kept"),
        (lambda: matmul_mse(1, 1, 1, 4, 0.1, 0.1, kept=np.nan), "kept"),
        (lambda: matmul_mse(1, 1, 1, 4, 0.1, 0.1, estimator="biased"), "estimator"),
    ],
)
def test_bad_input_is_refused_by_name(call, name):
    with pytest.raises(ValueError, match=rf"^{name} must be "):
        call()


def test_unbiased_is_refused_where_nothing_is_known():
    with pytest.raises(ValueError, match="unbiased estimator needs distortion_a and distortion_b"):
        matmul_mse(1, 1, 1, 4, [0.5, 1], 0.1, estimator="unbiased")
