"""Row terms: what is packed comes back within the stated steps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skquant._row_terms import (
    ALIGNMENT_BITS,
    ALIGNMENT_LOWEST,
    ALIGNMENT_STEPS,
    MANTISSAS,
    TermLayout,
)

LARGEST = float(np.finfo(np.float32).max)
TINY = float(np.finfo(np.float32).tiny)

centers = st.sampled_from(["features", "rows", False])
mantissas = st.sampled_from(MANTISSAS)
magnitudes = st.sampled_from([0.0, TINY, LARGEST]) | st.floats(TINY, LARGEST)
layouts = st.builds(TermLayout, centers, mantissas, st.floats(0.05, 1))


def there_and_back(layout, norm=1.0, alignment=1.0, centre_cosine=0.0, row_mean=0.0, centre=1.0):
    """Pack and unpack the terms of one row or several."""
    terms = np.broadcast_arrays(norm, alignment, centre_cosine, row_mean)
    packed = layout.pack(*(np.atleast_1d(term).astype(float) for term in terms))
    assert packed.dtype == np.uint8
    assert packed.shape[1] == layout.n_bytes
    return layout.unpack(packed, centre)


@pytest.mark.parametrize("center", ["features", "rows", False])
@pytest.mark.parametrize("mantissa", MANTISSAS)
def test_terms_take_at_most_64_bits(center, mantissa):
    layout = TermLayout(center, mantissa, 0.9)
    assert sum(layout.widths) <= 64
    assert 8 * layout.n_bytes - 8 < sum(layout.widths) <= 8 * layout.n_bytes


# center="features": the norm, the alignment, the cosine with the centre


@given(mantissas, magnitudes)
def test_norms_are_rounded_to_the_nearest_step(mantissa, norm):
    terms = there_and_back(TermLayout("features", mantissa, 0.9), norm=norm)
    # Half a step of the leading bits; the last step below infinity is a whole one.
    tolerance = 2.0 ** -(mantissa + 1) if norm < LARGEST / 2 else 2.0**-mantissa
    assert terms.norm[0] == pytest.approx(norm, rel=tolerance)


@given(st.floats(0, 1), mantissas)
def test_alignments_are_rounded_to_a_step_of_the_signal_to_noise_ratio(alignment, mantissa):
    terms = there_and_back(TermLayout("features", mantissa, 0.9), alignment=alignment)
    (found,) = terms.alignment
    assert 0 <= found <= 1
    lowest = ALIGNMENT_LOWEST
    highest = lowest + (2**ALIGNMENT_BITS - 2) / ALIGNMENT_STEPS
    with np.errstate(divide="ignore"):
        ratio = 2 * np.log2(alignment) - np.log2(1 - alignment**2)
    if ratio < lowest - 0.5 / ALIGNMENT_STEPS:
        assert found == 0
    elif ratio > highest:
        assert 1 - found < 2.0**-16
    else:
        rounded = 2 * np.log2(found) - np.log2(1 - found**2)
        assert abs(rounded - ratio) <= 0.5 / ALIGNMENT_STEPS + 1e-6


@given(st.floats(-1, 1), mantissas, st.floats(1e-3, 1e3))
def test_cosines_are_rounded_to_the_nearest_step(cosine, mantissa, centre):
    layout = TermLayout("features", mantissa, 0.9)
    terms = there_and_back(layout, norm=2.0, centre_cosine=cosine, centre=centre)
    assert terms.centre_product[0] / (2 * centre) == pytest.approx(cosine, abs=2.0**-mantissa)


@pytest.mark.parametrize("mantissa", MANTISSAS)
@pytest.mark.parametrize("cosine", [-1.0, 0.0, 1.0])
def test_no_and_full_cosine_are_exact(mantissa, cosine):
    layout = TermLayout("features", mantissa, 0.9)
    assert there_and_back(layout, centre_cosine=cosine).centre_product == cosine
    # What rounding errors have carried a little too far is clipped.
    assert there_and_back(layout, centre_cosine=cosine * (1 + 1e-9)).centre_product == cosine


# center="rows" and center=False: the amplitude and the mean


@given(st.sampled_from(["rows", False]), mantissas, magnitudes, st.floats(0.1, 1))
def test_amplitudes_are_rounded_to_the_nearest_step(center, mantissa, norm, alignment):
    terms = there_and_back(TermLayout(center, mantissa, 0.9), norm=norm, alignment=alignment)
    amplitude = norm * alignment
    tolerance = 2.0 ** -(mantissa + 1) if norm < LARGEST / 2 else 2.0**-mantissa
    expected = pytest.approx(amplitude, rel=tolerance * 1.001, abs=1.01 * TINY)
    assert terms.norm[0] * terms.alignment[0] == expected
    assert terms.alignment[0] == pytest.approx(0.9)


@pytest.mark.parametrize("center", ["rows", False])
def test_an_amplitude_in_the_wrong_direction_is_none(center):
    """A row whose code words point away from it is better decoded to nothing than to infinity."""
    terms = there_and_back(TermLayout(center, 8, 0.9), alignment=-0.1)
    assert terms.norm[0] * terms.alignment[0] == 0


@given(mantissas, magnitudes, st.sampled_from([-1, 1]))
def test_means_of_rows_are_stored_as_they_were_rounded(mantissa, size, sign):
    layout = TermLayout("rows", mantissa, 0.9)
    rounded = layout.round_mean(np.array([sign * size]))
    assert there_and_back(layout, row_mean=rounded).row_mean == rounded
    tolerance = 2.0**-mantissa if size < LARGEST / 2 else 2.0 ** (1 - mantissa)
    assert rounded[0] == pytest.approx(sign * size, rel=tolerance)


def test_magnitudes_too_small_for_a_normal_float32_become_zero():
    for center in ("features", "rows", False):
        terms = there_and_back(TermLayout(center, 16, 0.9), norm=[1e-38, 1e-45, 1e-300])
        np.testing.assert_array_equal(terms.norm, 0)


# What both have in common


@given(layouts, st.integers(0, 2**32 - 1))
def test_hostile_bytes_give_finite_terms(layout, seed):
    shape = 200, layout.n_bytes
    packed = np.random.default_rng(seed).integers(256, size=shape, dtype=np.uint8)
    packed[0], packed[1] = 0, 255
    terms = layout.unpack(packed, 3.0)
    for term in (terms.norm, terms.alignment, terms.centre_product, terms.row_mean):
        assert term.shape == (200,)
        assert np.isfinite(term).all()
    assert (terms.norm >= 0).all()
    assert ((terms.alignment >= 0) & (terms.alignment <= 1)).all()
    decoded_norm = np.where(np.arange(200) % 2, 1.0, 0.0)
    for factor in (terms.least_squares_factor, terms.unbiased_factor):
        assert np.isfinite(factor(decoded_norm)).all()


@given(layouts)
def test_rows_are_packed_one_by_one_as_together(layout):
    rng = np.random.default_rng(0)
    norm, alignment, cosine = rng.random((3, 20)) + 1e-3
    mean = layout.round_mean(rng.standard_normal(20))
    together = layout.pack(norm, alignment, cosine, mean)
    for i in range(20):
        alone = layout.pack(*(term[i : i + 1] for term in (norm, alignment, cosine, mean)))
        np.testing.assert_array_equal(alone[0], together[i])


def test_factors():
    terms = there_and_back(
        TermLayout("features", 16, 0.9), norm=[3.0, 3.0, 0.0], alignment=[0.8, 0.0, 0.8]
    )
    size = np.array([2.0, 2.0, 2.0])
    np.testing.assert_allclose(terms.least_squares_factor(size), [1.2, 0, 0], rtol=0.02)
    np.testing.assert_allclose(terms.unbiased_factor(size), [3 / 1.6, 0, 0], rtol=0.02)
    nothing = np.zeros(3)
    np.testing.assert_array_equal(terms.least_squares_factor(nothing), 0)
    np.testing.assert_array_equal(terms.unbiased_factor(nothing), 0)


@given(centers, st.floats(1e-9, 1), st.integers(1, 10**6))
def test_terms_are_chosen_as_fine_as_they_have_to_be_and_no_finer(center, distortion, n_features):
    layout = TermLayout.choose(center, n_features, distortion)
    if center == "features":  # a step is at most the standard error of a product of unit vectors
        target = np.sqrt(distortion / n_features)
    else:  # rounding, uniform in a step, adds at most one per cent to the squared error
        target = np.sqrt(12 * 0.01 * distortion)
    fine_enough = 2.0**-layout.mantissa <= target
    assert fine_enough or layout.mantissa >= 15
    assert layout.mantissa <= 8 or 2.0 ** -(layout.mantissa // 2) > target
    assert layout.gaussian_alignment == pytest.approx(np.sqrt(1 - distortion))
    assert sum(layout.widths) <= 64
