"""The published methods, against their published figures and bound."""

import numpy as np
import pytest

from skquant.published import (
    affine_correction,
    bits_per_entry,
    dsvd,
    error_bound,
    lplr,
    lsvd,
    naive_quantization,
    parity_rank,
)

METHODS = [lplr, lsvd, dsvd]


def phantom(size):
    """Draw the phantom of Shepp and Logan as the paper's experiment does, with Toft's contrast."""
    ellipses = [
        (1.0, 0.69, 0.92, 0, 0, 0),
        (-0.8, 0.6624, 0.874, 0, -0.0184, 0),
        (-0.2, 0.11, 0.31, 0.22, 0, -18),
        (-0.2, 0.16, 0.41, -0.22, 0, 18),
        (0.1, 0.21, 0.25, 0, 0.35, 0),
        (0.1, 0.046, 0.046, 0, 0.1, 0),
        (0.1, 0.046, 0.046, 0, -0.1, 0),
        (0.1, 0.046, 0.023, -0.08, -0.605, 0),
        (0.1, 0.023, 0.023, 0, -0.605, 0),
        (0.1, 0.023, 0.046, 0.06, -0.605, 0),
    ]
    x, y = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    image = np.zeros((size, size))
    for value, width, height, x0, y0, angle in ellipses:
        cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        u, v = cosine * (x - x0) + sine * (y - y0), cosine * (y - y0) - sine * (x - x0)
        image[(u / width) ** 2 + (v / height) ** 2 <= 1] += value
    return image


PHANTOM = phantom(1000)


def corrected_error(X, approximation):
    scale, shift = affine_correction(X, approximation)
    return np.linalg.norm(X - scale * approximation - shift) / np.linalg.norm(X)


def approximate(method, X, *arguments, **parameters):
    return method(X, *arguments, random_state=0, **parameters).toarray()


@pytest.mark.parametrize(
    "bits, basis_bits, rank, least, most",
    [(8, 4, 83, 0.295, 0.343), (8, 4, 166, 0.28, 0.32), (4, 8, 83, 0.2397, 0.2397)],
)
def test_published_errors_of_lplr_on_the_phantom(bits, basis_bits, rank, least, most):
    """Sketches differ, so a range of them must meet the published range."""
    errors = []
    for seed in range(6):
        approximation = lplr(PHANTOM, rank, bits, basis_bits, random_state=seed).toarray()
        errors.append(corrected_error(PHANTOM, approximation))
    assert min(errors) <= most and max(errors) >= least


@pytest.mark.parametrize("rank, published", [(83, 0.4798), (166, 0.5953)])
def test_published_errors_of_dsvd_on_the_phantom(rank, published):
    """They depend on the signs of the singular vectors, which were LAPACK's; ours do better."""
    left, sizes, right = np.linalg.svd(PHANTOM, full_matrices=False)
    left = naive_quantization(left[:, :rank], 8)
    right = naive_quantization(sizes[:rank, None] * right[:rank], 4)
    assert corrected_error(PHANTOM, left @ right) == pytest.approx(published, rel=0.02)
    assert corrected_error(PHANTOM, approximate(dsvd, PHANTOM, rank, 8, 4)) < published


@pytest.mark.parametrize("bits, published", [(1, 0.5323), (2, 0.3122)])
def test_published_errors_of_naive_quantization_on_the_phantom(bits, published):
    error = np.linalg.norm(PHANTOM - naive_quantization(PHANTOM, bits)) / np.linalg.norm(PHANTOM)
    assert error == pytest.approx(published, rel=0.05)


def test_ranks_at_parity_are_those_of_the_paper():
    assert [parity_rank(1000, 1000, b, 8, 4) for b in (1, 2)] == [83, 166]
    assert bits_per_entry(1000, 1000, 166, 8, 4) <= 2
    assert parity_rank(1000, 1000, 0.001, 8) == 0


def matrix(seed=0):
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.standard_normal((n, 60)))[0] for n in (200, 80))
    return (left * 0.85 ** np.arange(60)) @ right.T


@pytest.mark.parametrize("target_rank", [5, 10, 15])
def test_error_is_within_the_bound_on_the_average(target_rank):
    X, rank = matrix(), 20
    bound = error_bound(np.linalg.svd(X, compute_uv=False), target_rank, rank)
    squares = []
    for seed in range(20):
        squares.append(np.linalg.norm(X - lplr(X, rank, 16, random_state=seed).toarray()) ** 2)
    assert np.mean(squares) <= bound
    with pytest.raises(ValueError, match="target_rank"):
        error_bound(np.ones(5), 3, 4)


@pytest.mark.parametrize("parameters", [{"sketch": "cosine"}, {"n_power_iter": 2}])
def test_other_sketches(parameters):
    X = matrix()
    plain, other = (
        np.linalg.norm(X - approximate(lplr, X, 20, 12, 12, **p)) for p in ({}, parameters)
    )
    best = np.sqrt(np.sum(np.linalg.svd(X, compute_uv=False)[20:] ** 2))
    assert other < (1.05 * best if "n_power_iter" in parameters else 1.3 * plain)


@pytest.mark.parametrize("method", METHODS)
def test_dither_costs_some_error(method):
    X = matrix()
    nearest, dithered = (
        np.linalg.norm(X - approximate(method, X, 10, 6, 6, rounding=rounding))
        for rounding in ("nearest", "dithered")
    )
    assert nearest < dithered < 4 * nearest


def test_naive_quantization_keeps_to_its_range():
    X = matrix()
    levels = np.linspace(X.min(), X.max(), 8)
    assert np.isclose(naive_quantization(X, 3)[..., None], levels).any(axis=-1).all()
    dithered = naive_quantization(X, 3, rounding="dithered", random_state=0)
    assert np.isclose(dithered[..., None], levels).any(axis=-1).all()
    assert np.abs(X - dithered).max() <= levels[1] - levels[0] + 1e-12


def test_affine_correction_is_the_least_squares_line():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 30))
    approximation = 0.5 * X - 3 + 0.1 * rng.standard_normal(X.shape)
    slope, shift = np.polyfit(approximation.ravel(), X.ravel(), 1)
    assert affine_correction(X, approximation) == pytest.approx((slope, shift))
    assert affine_correction(X, np.ones(X.shape)) == pytest.approx((0.0, X.mean()))


@pytest.mark.parametrize("method", METHODS)
def test_what_comes_back_is_a_matrix_of_the_bits_asked_for(method):
    X = matrix().astype(np.float32)
    compressed = method(X, 10, 5, 3, random_state=0)
    assert compressed.shape == X.shape and compressed.dtype == X.dtype and compressed.rank == 10
    counted = bits_per_entry(*X.shape, 10, 5, 3)
    assert counted <= compressed.bits_per_entry < counted + 0.05
    assert method(X, 1000, 4, random_state=0).rank == 80


def test_parameters_out_of_range():
    X = matrix()
    for parameters in ({"rank": 0}, {"bits": 17}, {"sketch": "sparse"}, {"rounding": "up"}):
        with pytest.raises(ValueError, match=next(iter(parameters))):
            lplr(X, **{"rank": 3} | parameters)
    with pytest.raises(ValueError, match="NaN"):
        lplr(np.full((3, 3), np.nan), 1)
