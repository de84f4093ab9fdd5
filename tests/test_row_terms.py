"""Row terms: what is packed comes back within the stated steps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skquant._codecs._row_terms import ALIGNMENT_BITS, ALIGNMENT_LOWEST, ALIGNMENT_STEPS, TermLayout

LARGEST = float(np.finfo(np.float32).max)
TINY = float(np.finfo(np.float32).tiny)

mantissas = st.integers(7, 23)
cosine_widths = st.sampled_from([0, *range(2, 21)])
magnitudes = st.sampled_from([0.0, TINY, LARGEST]) | st.floats(TINY, LARGEST)
layouts = st.builds(
    TermLayout,
    st.sampled_from(["features", "rows", False]),
    mantissas,
    cosine_widths,
    st.floats(0.05, 1),
)


def features(mantissa=16, cosine_bits=16):
    return TermLayout("features", mantissa, cosine_bits, 0.9)


def amplitudes(center, mantissa=16):
    return TermLayout(center, mantissa, 0, 0.9)


def there_and_back(layout, norm=1.0, alignment=1.0, centre_cosine=0.0, row_mean=0.0, centre=1.0):
    """Pack and unpack the terms of one row or several."""
    terms = np.broadcast_arrays(norm, alignment, centre_cosine, row_mean)
    packed = layout.pack(*(np.atleast_1d(term).astype(float) for term in terms))
    assert packed.dtype == np.uint8
    assert packed.shape[1] == layout.n_bytes
    return layout.unpack(packed, centre)


def near(value, mantissa):
    """Expect a magnitude to half a step of its leading bits, rounded to float32 before.

    Above the last step below infinity there is none to round to.
    """
    half_step = 2.0 ** -(mantissa + 1)
    return pytest.approx(value, rel=2 * half_step if value > LARGEST / 2 else half_step + 2**-24)


@given(layouts)
def test_terms_take_at_most_64_bits(layout):
    assert sum(layout.widths) <= 64
    assert 8 * layout.n_bytes - 8 < sum(layout.widths) <= 8 * layout.n_bytes


# center="features": the norm, the alignment, the cosine with the centre


@given(mantissas, magnitudes)
def test_norms_are_rounded_to_the_nearest_step(mantissa, norm):
    assert there_and_back(features(mantissa), norm=norm).norm[0] == near(norm, mantissa)


@given(st.floats(0, 1))
def test_alignments_are_rounded_to_a_step_of_the_signal_to_noise_ratio(alignment):
    (found,) = there_and_back(features(), alignment=alignment).alignment
    assert 0 <= found <= 1
    highest = ALIGNMENT_LOWEST + (2**ALIGNMENT_BITS - 2) / ALIGNMENT_STEPS
    with np.errstate(divide="ignore"):
        ratio = 2 * np.log2(alignment) - np.log2(1 - alignment**2)
    if ratio < ALIGNMENT_LOWEST - 0.5 / ALIGNMENT_STEPS - 1e-9:
        assert found == 0
    elif ratio > highest:
        assert found**2 == pytest.approx(1 / (1 + 2.0**-highest))
    else:
        rounded = 2 * np.log2(found) - np.log2(1 - found**2)
        assert abs(rounded - ratio) <= 0.5 / ALIGNMENT_STEPS + 1e-6


@given(st.floats(-1, 1), st.integers(2, 20), st.floats(1e-3, 1e3))
def test_cosines_are_rounded_to_the_nearest_step(cosine, n_bits, centre):
    terms = there_and_back(features(16, n_bits), norm=2.0, centre_cosine=cosine, centre=centre)
    half_step = 0.5 / (2 ** (n_bits - 1) - 1)
    assert terms.centre_product[0] / (2 * centre) == pytest.approx(cosine, abs=half_step + 1e-9)


@pytest.mark.parametrize("n_bits", [2, 9, 20])
@pytest.mark.parametrize("cosine", [-1.0, 0.0, 1.0])
def test_no_and_full_cosine_are_exact(n_bits, cosine):
    layout = features(16, n_bits)
    assert there_and_back(layout, centre_cosine=cosine).centre_product == cosine
    # What rounding errors have carried a little too far is clipped.
    assert there_and_back(layout, centre_cosine=cosine * (1 + 1e-9)).centre_product == cosine


def test_a_cosine_without_bits_is_none():
    assert there_and_back(features(16, 0), centre_cosine=0.7).centre_product == 0


# center="rows" and center=False: the amplitude and the mean


@given(st.sampled_from(["rows", False]), mantissas, magnitudes, st.floats(0.1, 1))
def test_amplitudes_are_rounded_to_the_nearest_step(center, mantissa, norm, alignment):
    terms = there_and_back(amplitudes(center, mantissa), norm=norm, alignment=alignment)
    found = terms.norm[0] * terms.alignment[0]
    if norm * alignment < TINY:
        assert found <= TINY * (1 + 1e-12)
    else:
        assert found * (1 + 1e-15) == near(norm * alignment, mantissa)
    assert terms.alignment[0] == pytest.approx(0.9)


@pytest.mark.parametrize("center", ["rows", False])
def test_an_amplitude_in_the_wrong_direction_is_none(center):
    """A row whose code words point away from it is better decoded to nothing than to infinity."""
    terms = there_and_back(amplitudes(center), alignment=-0.1)
    assert terms.norm[0] * terms.alignment[0] == 0


@given(mantissas, magnitudes, st.sampled_from([-1, 1]))
def test_means_of_rows_are_stored_in_single_precision(mantissa, size, sign):
    layout = amplitudes("rows", mantissa)
    mean = np.float32(sign * size)
    assert there_and_back(layout, row_mean=np.array([float(mean)])).row_mean == mean


# What both have in common


@given(layouts)
def test_magnitudes_too_small_for_a_normal_float32_become_zero(layout):
    terms = there_and_back(layout, norm=[1e-38, 1e-45, 1e-300])
    np.testing.assert_array_equal(terms.norm, 0)


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
    mean = rng.standard_normal(20)
    together = layout.pack(norm, alignment, cosine, mean)
    for i in range(20):
        alone = layout.pack(*(term[i : i + 1] for term in (norm, alignment, cosine, mean)))
        np.testing.assert_array_equal(alone[0], together[i])


def test_factors():
    terms = there_and_back(features(), norm=[3.0, 3.0, 0.0], alignment=[0.8, 0.0, 0.8])
    size = np.array([2.0, 2.0, 2.0])
    np.testing.assert_allclose(terms.least_squares_factor(size), [1.2, 0, 0], rtol=0.02)
    np.testing.assert_allclose(terms.unbiased_factor(size), [3 / 1.6, 0, 0], rtol=0.02)
    nothing = np.zeros(3)
    np.testing.assert_array_equal(terms.least_squares_factor(nothing), 0)
    np.testing.assert_array_equal(terms.unbiased_factor(nothing), 0)


@given(st.floats(1e-9, 1), st.integers(1, 10**6), st.floats(0, 1e6))
def test_terms_of_distances_are_fine_against_the_error_of_a_product(distortion, n_features, ratio):
    layout = TermLayout.choose("features", n_features, distortion, ratio)
    finest = 2.0**-16
    step = max(np.sqrt(distortion / n_features) / 3, finest)
    assert 2.0**-layout.mantissa <= step
    if ratio <= step:
        assert layout.cosine_bits == 0
    elif layout.cosine_bits < 20:
        assert ratio / (2 ** (layout.cosine_bits - 1) - 1) <= 2 * step
    assert layout.n_bytes <= 8
    # No bit of the last byte is left over, as long as the magnitude can use it.
    assert sum(layout.widths) == 8 * layout.n_bytes or layout.mantissa == 23
    assert layout.gaussian_alignment == pytest.approx(np.sqrt(1 - distortion))


@given(st.sampled_from(["rows", False]), st.floats(1e-9, 1))
def test_rounding_an_amplitude_adds_at_most_a_hundredth_to_the_error(center, distortion):
    layout = TermLayout.choose(center, 100, distortion, np.inf)
    step = 2.0**-layout.mantissa
    assert step**2 / 12 <= 0.01 * distortion or layout.mantissa == 16
    assert layout.mantissa == 8 or 2.0**-16 / 12 > 0.01 * distortion
    assert layout.gaussian_alignment == pytest.approx(np.sqrt(1 - distortion))
