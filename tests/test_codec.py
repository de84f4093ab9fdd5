"""The codec: rows to bytes and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import Plain

from skquant._codecs._codec import LARGEST_NORM
from skquant._codecs._drawn import draw_codec
from skquant._panels import take_rows
from skquant.lattices import E8, LATTICES

CENTERS = ["features", "rows", False]
every_center = pytest.mark.parametrize("center", CENTERS)
every_rotation = pytest.mark.parametrize("rotation", ["hadamard", "orthogonal", None])
random_seeds = st.integers(0, 2**32 - 1)


def codec_for(
    n_features,
    bits=4.0,
    lattice="E8",
    rotation="hadamard",
    center="features",
    objective="reconstruction",
    seed=0,
):
    """Draw a codec; with center="features" its centre is not zero."""
    random_state = np.random.RandomState(seed)
    mean = np.zeros(n_features)
    if center == "features":
        mean = random_state.standard_normal(n_features)
    return draw_codec(
        mean,
        np.sqrt(n_features),
        bits=bits,
        lattice=LATTICES.get(lattice, lattice),
        rotation=rotation,
        center=center,
        objective=objective,
        random_state=random_state,
    )


def decode_panel(codec, packed):
    """Decode all rows at once: words a row a column, their norms, terms."""
    ((_, panels, decoded_norm, terms),) = codec.decode_panels(packed, len(packed))
    return take_rows(panels, len(packed)).T.copy(), decoded_norm, terms


def gaussian(n_rows, n_features, seed=0):
    return np.random.default_rng(seed).standard_normal((n_rows, n_features))


def relative_error(rows, decoded):
    return np.linalg.norm(rows - decoded, axis=1) / np.linalg.norm(rows, axis=1)


# Bits


@given(
    st.integers(1, 300),
    st.floats(0.05, 18),
    st.sampled_from(sorted(LATTICES)),
    st.sampled_from(CENTERS),
)
def test_the_bytes_of_a_row_keep_the_budget(n_features, bits, lattice, center):
    budget = int(bits * n_features + 1e-9)
    if budget == 0:
        return
    codec = codec_for(n_features, bits, lattice, center=center)
    assert 8 * codec.row_code.n_bytes < budget + 8
    assert 8 * codec.terms.n_bytes <= 64
    assert codec.row_bytes == codec.row_code.n_bytes + codec.terms.n_bytes
    assert codec.bits_per_entry == 8 * codec.row_bytes / n_features
    # Nothing is held back either: less than a byte, or more than what is useful.
    assert 8 * codec.row_code.n_bytes > min(budget, 16 * n_features) - 8


@pytest.mark.parametrize("bits", [1e-9, 0.009])
def test_less_than_a_bit_a_row_is_refused(bits):
    with pytest.raises(ValueError, match="bits must be at least 0.01"):
        codec_for(100, bits)


def test_below_one_bit_a_share_of_the_coordinates_is_coded():
    codec = codec_for(1000, 0.3)
    assert len(codec.kept) == codec.row_code.n_coordinates == 300
    assert (np.diff(codec.kept) > 0).all()
    assert (codec.kept != codec_for(1000, 0.3, seed=1).kept).any()
    rows = codec.mean + gaussian(300, 1000)
    error = rows - codec.decode(codec.encode(rows), float)
    expected = 1 - 0.3 * (1 - codec.row_code.distortion)
    assert (error**2).mean() == pytest.approx(expected, rel=0.02)


def test_arrays_are_what_nbytes_counts():
    assert codec_for(100, rotation=None, center=False).arrays.keys() == {"scales"}
    assert codec_for(100, 0.5).arrays.keys() == {"scales", "mean", "rotation", "kept"}
    codec = codec_for(100, rotation="orthogonal", center="rows")
    assert codec.nbytes == 100 * 100 * 4 + codec.arrays["scales"].nbytes


# Reconstruction


@every_center
@every_rotation
@pytest.mark.parametrize("n_features", [1, 2, 7, 64, 101])
@pytest.mark.parametrize("lattice", LATTICES)
def test_many_bits_give_the_rows_back(center, rotation, n_features, lattice):
    codec = codec_for(n_features, 12, lattice, rotation, center)
    rows = 3 + gaussian(70, n_features)
    decoded = codec.decode(codec.encode(rows), np.float64)
    np.testing.assert_allclose(decoded, rows, atol=0.02)


@every_center
def test_a_reconstruction_is_the_best_multiple_of_what_the_words_decode_to(center):
    codec = codec_for(200, 2, center=center)
    rows = 1 + gaussian(50, 200)
    packed = codec.encode(rows)
    panel, decoded_norm, terms = decode_panel(codec, packed)
    np.testing.assert_allclose(decoded_norm, np.linalg.norm(panel, axis=0), rtol=1e-6)
    u = codec.from_coordinates(panel.T).astype(float)
    r = rows - codec.mean - terms.row_mean[:, None]
    best = (r * u).sum(axis=1) / (u**2).sum(axis=1)
    np.testing.assert_allclose(terms.least_squares_factor(decoded_norm), best, rtol=0.02)
    decoded = codec.decode(packed, np.float64)
    factor = terms.least_squares_factor(decoded_norm)[:, None]
    estimate = factor * u
    if center == "rows":  # nothing of a row is known better than its mean
        estimate -= estimate.mean(axis=1, keepdims=True)
    expected = estimate + codec.mean + terms.row_mean[:, None]
    np.testing.assert_allclose(decoded, expected, atol=1e-5)


def test_terms_are_those_of_the_row():
    codec = codec_for(200, 2)
    rows = codec.mean + gaussian(500, 200) * np.geomspace(1e-6, 1e6, 500)[:, None]
    panel, _, terms = decode_panel(codec, codec.encode(rows))
    r = rows - codec.mean
    norm, centre_norm = np.linalg.norm(r, axis=1), np.linalg.norm(codec.mean)
    np.testing.assert_allclose(terms.norm, norm, rtol=2.0**-codec.terms.mantissa)
    # The error of the code in the product of r with a vector as long as c is the larger one.
    error = (terms.centre_product - r @ codec.mean) / (norm * centre_norm)
    assert np.abs(error).max() < np.sqrt(codec.row_code.distortion / 200)
    u = codec.from_coordinates(panel.T).astype(float)
    alignment = (r * u).sum(axis=1) / (norm * np.linalg.norm(u, axis=1))
    np.testing.assert_allclose(terms.alignment, alignment, atol=0.01)


def test_means_of_rows_are_a_term():
    codec = codec_for(64, 4, center="rows")
    rows = gaussian(30, 64) + np.linspace(-1000, 1000, 30)[:, None]
    _, _, terms = decode_panel(codec, codec.encode(rows))
    np.testing.assert_allclose(terms.row_mean, rows.mean(axis=1), rtol=2.0**-23)
    deviations = rows - rows.mean(axis=1, keepdims=True)
    error = rows - codec.decode(codec.encode(rows), float)
    assert (error**2).sum() < 0.02 * (deviations**2).sum() + 1e-4 * (rows**2).mean()


# Products


def test_the_unbiased_factor_is_unbiased_and_least_squares_shrinks():
    """E⟨q, r⟩ is estimated right; the best reconstruction of r is shorter than r by 1 - D."""
    n = 128
    rows = gaussian(8000, n)
    queries = 0.7 * rows + np.sqrt(0.51) * gaussian(8000, n, seed=1)
    exact = np.einsum("ij,ij->i", queries, rows)
    for bits in (0.5, 1, 2):
        codec = codec_for(n, bits, center="features")
        panel, decoded_norm, terms = decode_panel(codec, codec.encode(rows + codec.mean))
        products = np.einsum("ij,ji->i", codec.to_coordinates(queries).astype(float), panel)
        unbiased = products * terms.unbiased_factor(decoded_norm) - exact
        assert abs(unbiased.mean()) < 4 * unbiased.std() / np.sqrt(len(rows))
        least_squares = products * terms.least_squares_factor(decoded_norm)
        distortion = 1 - codec.row_code.n_coordinates / n * (1 - codec.row_code.distortion)
        assert least_squares.sum() / exact.sum() == pytest.approx(1 - distortion, abs=0.02)
        assert abs(least_squares.mean() - exact.mean()) > 10 * abs(unbiased.mean())


@every_rotation
@pytest.mark.parametrize("bits", [0.4, 4])
def test_coordinates_keep_products(rotation, bits):
    """⟨v, T⁻¹u⟩ = ⟨T v, u⟩, where coordinates that are not kept count as zero."""
    codec = codec_for(90, bits, rotation=rotation)
    vectors = gaussian(5, 90)
    u = gaussian(4, codec.row_code.n_coordinates, seed=1)
    there = codec.to_coordinates(vectors)
    assert there.dtype == np.float32
    back = codec.from_coordinates(u)
    np.testing.assert_allclose(vectors @ back.T, there @ u.T, rtol=1e-4, atol=1e-4)


# Rows are independent, whatever they are


@every_center
@every_rotation
@pytest.mark.parametrize("bits", [0.4, 3.3])
@pytest.mark.parametrize("lattice", ["E8", "A2", Plain(E8())], ids=["E8", "A2", "numpy"])
def test_a_row_gives_the_same_bytes_alone_and_among_others(center, rotation, bits, lattice):
    if isinstance(lattice, Plain):
        bits = 1.0  # no other code needs to be derived
    codec = codec_for(61, bits, lattice, rotation, center)
    rows = gaussian(500, 61).astype(np.float32)
    packed = codec.encode(rows)
    decoded = codec.decode(packed, np.float32)
    for part in (slice(0, 1), slice(499, 500), slice(63, 130), slice(2, 500)):
        np.testing.assert_array_equal(codec.encode(rows[part]), packed[part])
        np.testing.assert_array_equal(codec.decode(packed[part], np.float32), decoded[part])


@pytest.mark.parametrize("center", ["rows", False])
def test_rows_of_any_size_are_equally_good(center):
    codec = codec_for(96, 4, center=center)
    sizes = 10.0 ** np.array([-36, -30, -3, 0, 3, 30, 34])
    rows = gaussian(7, 96) * sizes[:, None]
    decoded = codec.decode(codec.encode(rows), np.float64)
    assert (relative_error(rows, decoded) < 0.15).all()


@every_center
def test_zero_rows_come_back_exactly(center):
    codec = codec_for(30, 2, center=center)
    rows = codec.mean + np.zeros((4, 30))
    decoded = codec.decode(codec.encode(rows), np.float64)
    np.testing.assert_array_equal(decoded, rows)


@every_center
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_rows_and_those_that_are_too_large(center, dtype):
    codec = codec_for(40, 8, center=center)
    signs = np.resize([1.0, -1.0], 40)
    largest = (0.999 * LARGEST_NORM / np.sqrt(40) * signs).astype(dtype)[None]
    decoded = codec.decode(codec.encode(largest), np.float64)
    assert relative_error(largest.astype(float), decoded) < 0.02
    for factor in (1.01, 100.0) if dtype == np.float32 else (1.01, 1e100, 1e250):
        with pytest.raises(ValueError, match="row too large to compress"):
            codec.encode(np.vstack([signs, factor * largest[0]]).astype(dtype))


@every_center
def test_a_large_mean_of_a_row_is_no_obstacle_or_refused(center):
    codec = codec_for(8, 8, center=center)
    for size in (1e30, 1e39, 1e300):
        rows = np.full((2, 8), size)
        try:
            decoded = codec.decode(codec.encode(rows), np.float64)
        except ValueError as error:
            assert "row too large" in str(error)
            assert size > LARGEST_NORM / 8
        else:
            np.testing.assert_allclose(decoded, rows, rtol=0.01)


@every_center
@given(random_seeds)
def test_hostile_bytes_decode_to_finite_rows(center, seed):
    codec = codec_for(50, 2.2, center=center)
    rng = np.random.default_rng(seed)
    packed = rng.integers(256, size=(60, codec.row_bytes), dtype=np.uint8)
    packed[0], packed[1] = 0, 255
    assert np.isfinite(codec.decode(packed, np.float64)).all()


def test_panels_are_decoded_from_any_memory_layout():
    codec = codec_for(33, 3)
    packed = codec.encode(gaussian(20, 33))
    expected = codec.decode(packed, np.float32)
    for layout in (np.asfortranarray(packed), np.repeat(packed, 2, axis=0)[::2]):
        np.testing.assert_array_equal(codec.decode(layout, np.float32), expected)


def test_blocks_of_rows_are_of_bounded_size():
    for n_features in (1, 100, 10**6):
        codec = codec_for(n_features, 1)
        blocks = codec.blocks(200_000)
        assert sum(block.stop - block.start for block in blocks) == 200_000
        largest = max(block.stop - block.start for block in blocks)
        assert largest * n_features <= max(2**18, 64 * n_features)
        assert largest % 64 == 0
