"""The nested-lattice code of a block."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from reference import Plain, coset_leaders, room_for, to_panels, to_rows

from skquant._codes._nested import (
    MAX_WORD_BITS,
    NestedLatticeCode,
    Repeated,
    count_scales,
    fill_block,
    word_layout,
)
from skquant._codes._nested import coset_leaders as shift_and_centroid
from skquant._codes._scales import available_bits, code_for, scalar_code
from skquant._kernels._dispatch import FEW_VECTORS, decode_blocks, decode_e8_blocks
from skquant._kernels._vectors import LANES
from skquant._panels import take_rows
from skquant.lattices import A2, D4, E8, LATTICES, Lattice, Z, uniform_over_cell


def codes_of(lattice):
    """List the nested codes that are shipped for a lattice."""
    codes = [code_for(lattice, bits) for bits in available_bits(lattice)]
    return [code for code in codes if isinstance(code, NestedLatticeCode)]


def code_near(lattice, bits):
    """Give the shipped code that is nearest in size."""
    return min(codes_of(lattice), key=lambda code: abs(code.n_bits - bits))


every_lattice = pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
kernels_and_numpy = pytest.mark.parametrize("plain", [False, True], ids=["kernels", "numpy"])
shipped_codes = st.sampled_from([code for lat in LATTICES.values() for code in codes_of(lat)])
random_seeds = st.integers(0, 2**32 - 1)


def without_kernels(code):
    """Give the same code, served by NumPy."""
    return replace(code, lattice=Repeated(Plain(code.lattice.lattice), code.lattice.copies))


def encode(code, x, n_blocks=1, bit=0, width=LANES, dither=None):
    """Encode rows of blocks into zeroed bytes, from a given bit on."""
    codes = np.zeros((len(x), -(-(bit + n_blocks * code.n_bits) // 8)), np.uint8)
    moments = np.zeros((len(x), 2))
    code.encode(to_panels(x, width), 0, n_blocks, bit, codes, moments, dither)
    return codes, moments


def empty_panels(n_rows, n_columns, dtype, width=LANES):
    """Make panels without values."""
    return to_panels(np.full((n_rows, n_columns), np.nan, dtype), width)


def decode(code, codes, *args, **kwargs):
    return decode_and_add_energy(code, codes, np.zeros(len(codes)), *args, **kwargs)


def decode_and_add_energy(
    code, codes, energy, n_blocks=1, bit=0, dtype=None, width=LANES, dither=None
):
    """Decode rows of blocks, and add the squares of each row to its energy."""
    panels = empty_panels(len(codes), n_blocks * code.dimension, dtype or code.dtype, width)
    code.decode(codes, 0, n_blocks, bit, panels, energy, dither)
    return to_rows(panels, len(codes))


def dither_for(code, n_blocks, seed=0):
    return uniform_over_cell(code.lattice, n_blocks, np.random.RandomState(seed))


def mean_square(x):
    return np.mean(np.square(x, dtype=float))


def gaussian(n_rows, n_columns, seed=0):
    return np.random.default_rng(seed).standard_normal((n_rows, n_columns), dtype=np.float32)


def hostile_bytes(code, n_rows, seed=0, n_blocks=1):
    shape = n_rows, -(-n_blocks * code.n_bits // 8)
    codes = np.random.default_rng(seed).integers(256, size=shape, dtype=np.uint8)
    codes[0], codes[-1] = 0, 255
    return codes


# What the words mean


@kernels_and_numpy
@pytest.mark.parametrize("scale", [0.03, 1.0, 40.0])
@pytest.mark.parametrize(
    ("lattice", "q"),
    [(Z(), 2), (Z(), 101), (A2(), 2), (A2(), 15), (D4(), 2), (D4(), 7), (E8(), 2), (E8(), 3)],
    ids=repr,
)
def test_every_word_has_a_point_of_its_own_and_encodes_to_itself(lattice, q, scale, plain):
    n_words = q**lattice.dimension
    n_bits = int(np.ceil(np.log2(n_words)))
    code = NestedLatticeCode(Repeated(lattice, 1), q, np.array([scale]), n_bits, np.nan)
    code = without_kernels(code) if plain else code
    words = np.arange(n_words, dtype="<u4")[:, None].view(np.uint8)
    words = words[:, : -(-n_bits // 8)].copy()
    points = decode(code, words)
    assert len(np.unique((points / scale).round(3), axis=0)) == n_words
    np.testing.assert_array_equal(encode(code, points)[0], words)


@given(shipped_codes, random_seeds)
def test_whatever_is_decoded_is_a_coset_leader_at_one_of_the_scales(code, seed):
    points = decode(code, hostile_bytes(code, 20, seed)).astype(float)
    shift, centroid = shift_and_centroid(code.lattice.lattice, code.q, code.lattice.copies)
    found = np.zeros(len(points), bool)
    for beta in code.scales:
        t = points / beta + centroid
        nearest = code.lattice.closest_point(t)
        cell = (nearest - shift) / code.q
        leads = (np.abs(code.lattice.closest_point(cell)) < 1e-9).all(axis=1)
        found |= leads & (np.abs(nearest - t) < 1e-6 * max(code.q, 1e3)).all(axis=1)
    assert found.all()


@every_lattice
@pytest.mark.parametrize("q", [2, 3])
def test_the_centroid_is_the_mean_of_the_leaders(lattice, q):
    shift, centroid = shift_and_centroid(lattice, q, copies=2)
    np.testing.assert_array_equal(shift, np.tile(lattice.generic_point, 2))
    mean = coset_leaders(lattice, q, lattice.generic_point).mean(axis=0)
    np.testing.assert_allclose(centroid, np.tile(mean, 2), atol=1e-12)


@pytest.mark.parametrize("q", [2, 3, 16, 64, 65, 300])
def test_the_code_is_centred(q):
    """Where the centroid comes from a sample or is taken for granted, it is still the words'."""
    n_bits = 48 if q <= 64 else 96
    code = NestedLatticeCode(Repeated(E8(), 1), q, np.ones(1), n_bits, np.nan)
    points = decode(code, hostile_bytes(code, 100_000))
    assert (np.abs(points.mean(axis=0)) < 0.04 * points.std(axis=0)).all()


# Encoding


@kernels_and_numpy
@given(shipped_codes, st.booleans(), random_seeds)
def test_moments_are_those_of_the_rows_and_what_they_decode_to(plain, code, dithered, seed):
    code = without_kernels(code) if plain else code
    dither = dither_for(code, 3, seed) if dithered else None
    x = gaussian(5, 3 * code.dimension, seed)
    codes, moments = encode(code, x, n_blocks=3, dither=dither)
    energy = np.ones(5)
    decoded = decode_and_add_energy(code, codes, energy, n_blocks=3, dither=dither).astype(float)
    np.testing.assert_allclose(moments[:, 0], (x * decoded).sum(axis=1), rtol=1e-4)
    np.testing.assert_allclose(moments[:, 1], (decoded**2).sum(axis=1), rtol=1e-4)
    np.testing.assert_allclose(energy - 1, (decoded**2).sum(axis=1), rtol=1e-5)


@kernels_and_numpy
@every_lattice
@pytest.mark.parametrize("bits", [17, 32, 64])
def test_dither_is_added_before_and_subtracted_after(lattice, bits, plain):
    """At a single scale it shifts what decodes, and does no harm."""
    code = code_near(lattice, bits)
    code = replace(code, scales=code.scales[-1:])
    code = without_kernels(code) if plain else code
    dither = dither_for(code, 2)
    x = gaussian(3000, 2 * code.dimension)
    codes = encode(code, x, n_blocks=2, dither=dither)[0]
    decoded = decode(code, codes, n_blocks=2, dither=dither)
    shifted = decode(code, codes, n_blocks=2) - code.scales[0] * dither.ravel()
    np.testing.assert_allclose(decoded, shifted, rtol=1e-4, atol=1e-5)
    plainly = decode(code, encode(code, x, n_blocks=2)[0], n_blocks=2)
    assert mean_square(x - decoded) < 1.2 * mean_square(x - plainly)
    assert (codes != encode(code, x, n_blocks=2)[0]).any()


@kernels_and_numpy
@given(shipped_codes, st.integers(0, 20), st.booleans(), random_seeds)
def test_products_are_those_of_what_is_decoded(plain, code, bit, dithered, seed):
    code = without_kernels(code) if plain else code
    n_rows, width = LANES + 5, 2 * code.dimension
    dither = dither_for(code, 2, seed) if dithered else None
    codes = encode(code, gaussian(n_rows, width, seed), 2, bit, dither=dither)[0]
    vectors = gaussian(FEW_VECTORS, 3 + width, seed)
    products, energy = np.ones((n_rows, FEW_VECTORS)), np.ones(n_rows)
    code.multiply(codes, 3, 2, bit, vectors, products, energy, dither)
    decoded = decode(code, codes, 2, bit, dither=dither).astype(float)
    expected = decoded @ vectors[:, 3:].T.astype(float)
    np.testing.assert_allclose(products - 1, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(energy - 1, (decoded**2).sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize("bits", [16, 25, 32, 42, 50, 64])
def test_distortion_is_the_one_in_the_table(bits):
    code = code_near(E8(), bits)
    x = gaussian(100_000, 8, seed=bits)
    assert mean_square(x - decode(code, encode(code, x)[0])) == pytest.approx(
        code.distortion, rel=0.03
    )


@every_lattice
@pytest.mark.parametrize("bits", [8, 14, 32, 51, 64])
def test_kernels_and_numpy_agree(lattice, bits):
    code = code_near(lattice, bits)
    plain = without_kernels(code)
    codes = hostile_bytes(code, 500)
    np.testing.assert_allclose(decode(code, codes), decode(plain, codes), rtol=1e-4, atol=1e-6)
    for width in (1, 1.5):  # wider than the code is made for: overload is frequent
        x = np.float32(width) * gaussian(4000, code.dimension)
        distortion, plainly = (mean_square(x - decode(c, encode(c, x)[0])) for c in (code, plain))
        # NumPy tries every scale, the kernels only those that are likely to be the best.
        assert 0.9 * distortion < plainly
        if lattice != Z():  # whose kernel projects coordinate by coordinate, which is better
            assert plainly < 1.02 * distortion


@kernels_and_numpy
@every_lattice
@pytest.mark.parametrize("bits", [8, 16, 32, 50, 64])
@pytest.mark.parametrize("size", [30.0, 1e3, 1e6])
def test_overload_is_projected_onto_the_rim(lattice, bits, size, plain):
    """However large a block is, it decodes to a point on the rim on its own side."""
    code = code_near(lattice, bits)
    code = without_kernels(code) if plain else code
    direction = gaussian(2000, 8)
    direction[:16] *= np.eye(8, dtype=np.float32)[np.arange(16) % 8]  # spikes
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    decoded = decode(code, encode(code, size * direction)[0])
    along = (decoded * direction).sum(axis=1)
    assert (along > 0.15 * code.q * code.scales[-1]).all()


@kernels_and_numpy
@every_lattice
def test_zero_decodes_to_little(lattice, plain):
    code = code_near(lattice, 32)
    code = without_kernels(code) if plain else code
    decoded = decode(code, encode(code, np.zeros((3, 8), np.float32))[0])
    assert (np.linalg.norm(decoded, axis=1) < 2 * code.scales[0]).all()


@kernels_and_numpy
@given(shipped_codes, random_seeds)
def test_hostile_bytes_decode_to_finite_bounded_points(plain, code, seed):
    code = without_kernels(code) if plain else code
    decoded = decode(code, hostile_bytes(code, 50, seed))
    # A leader lies within q covering radii of the shift; the centroid is one such point or less.
    assert (np.abs(decoded) <= 3 * code.q * code.scales[-1]).all()


# Where the words lie


@given(st.integers(2, 65536), st.integers(1, 25), st.floats(1, 16))
@example(4096, 22, 13.5)  # more words than it takes for the digits
def test_the_digits_and_the_scale_fit_their_words(q, dimension, bits):
    n_bits = int(bits * dimension)
    n_scales = count_scales(dimension, q, n_bits)
    assert n_scales >= 0
    if n_scales:
        word_digits, widths = word_layout(dimension, q, n_bits)
        assert widths.sum() == n_bits
        assert 0 <= widths.min() <= widths.max() <= MAX_WORD_BITS
        last = max(dimension - word_digits * (len(widths) - 1), 0)
        # Exact, in integers: the digits fit, and with them as many scales as are counted.
        assert all(q**word_digits <= 2 ** int(width) for width in widths[:-1])
        assert n_scales * q**last <= 2 ** int(widths[-1])


def test_fine_codes_take_several_words():
    codes = [code_near(E8(), bits) for bits in (48, 64, 128)]
    assert [len(code.parameters.word_bits) for code in codes] == [1, 2, 3]


@kernels_and_numpy
@given(shipped_codes, st.integers(0, 40), st.integers(1, 4), random_seeds)
def test_words_can_begin_at_any_bit_and_leave_the_others_alone(plain, code, bit, n_blocks, seed):
    code = without_kernels(code) if plain else code
    x = gaussian(3, n_blocks * code.dimension, seed)
    codes, _ = encode(code, x, n_blocks)
    n_bits = n_blocks * code.n_bits
    around = np.zeros((3, -(-(bit + n_bits) // 8) + 2), np.uint8)
    code.encode(to_panels(x), 0, n_blocks, bit, around, np.zeros((3, 2)))
    bits = np.unpackbits(around, axis=1, bitorder="little")
    expected = np.unpackbits(codes, axis=1, bitorder="little")[:, :n_bits]
    np.testing.assert_array_equal(bits[:, bit : bit + n_bits], expected)
    assert not bits[:, :bit].any()
    assert not bits[:, bit + n_bits :].any()
    around = np.packbits(
        np.hstack([bits[:, :bit] ^ 1, expected, bits[:, bit + n_bits :] ^ 1]),
        axis=1,
        bitorder="little",
    )
    np.testing.assert_array_equal(
        decode(code, around, n_blocks, bit), decode(code, codes, n_blocks)
    )


@kernels_and_numpy
def test_blocks_are_taken_from_and_put_to_their_coordinates(plain):
    code = code_near(D4(), 17)
    code = without_kernels(code) if plain else code
    x = gaussian(10, 30)
    codes = np.zeros((10, 7), np.uint8)
    code.encode(to_panels(x), 5, 2, 9, codes, np.zeros((10, 2)))
    panels = empty_panels(10, 30, np.float32)
    code.decode(codes, 5, 2, 9, panels, np.zeros(10))
    assert np.isnan(panels[:, np.r_[:5, 21:30]]).all()
    expected = decode(code, encode(code, x[:, 5:21], 2)[0], 2)
    np.testing.assert_array_equal(to_rows(panels, 10)[:, 5:21], expected)


# Rows are independent of each other


@kernels_and_numpy
@every_lattice
@pytest.mark.parametrize("bits", [8, 17, 64, 128])
def test_a_row_gives_the_same_bits_alone_and_among_others(lattice, bits, plain):
    code = code_near(lattice, bits)
    code = without_kernels(code) if plain else code
    x = gaussian(1000, 16)
    codes, moments = encode(code, x, n_blocks=2)
    energy = np.zeros(1000)
    decoded = decode_and_add_energy(code, codes, energy, n_blocks=2)
    parts = slice(0, 1), slice(517, 518), slice(2, 9), slice(63, 130), slice(999, 1000)
    for rows, width in [(rows, LANES) for rows in parts] + [(slice(63, 130), room_for(67))]:
        own_codes, own_moments = encode(code, x[rows], n_blocks=2, width=width)
        np.testing.assert_array_equal(own_codes, codes[rows])
        np.testing.assert_array_equal(own_moments, moments[rows])
        own_energy = np.zeros(len(own_codes))
        own_decoded = decode_and_add_energy(code, codes[rows], own_energy, n_blocks=2, width=width)
        np.testing.assert_array_equal(own_decoded, decoded[rows])
        np.testing.assert_array_equal(own_energy, energy[rows])


@kernels_and_numpy
@pytest.mark.parametrize("bits", [8, 32, 64])
def test_rows_that_there_is_only_room_for_decode_to_finite_values(bits, plain):
    """What is multiplied with whole panels must not spoil the others."""
    code = code_near(E8(), bits)
    code = without_kernels(code) if plain else code
    panels = empty_panels(33, 8, np.float32, room_for(33))
    code.decode(hostile_bytes(code, 33), 0, 1, 0, panels, np.zeros(33))
    assert np.isfinite(panels).all()


def test_panels_of_another_precision():
    for bits in (32, 64):  # float32 and float64 arithmetic
        code = code_near(E8(), bits)
        codes = hostile_bytes(code, 100)
        single, double = (decode(code, codes, dtype=dtype) for dtype in (np.float32, np.float64))
        np.testing.assert_allclose(single, double, rtol=1e-6)


# Blocks of lattices of other dimensions


class Cubic(Lattice):
    def __init__(self, dimension):
        self.generator = np.eye(dimension)

    def closest_point(self, x):
        return np.rint(x)


@pytest.mark.parametrize(("dimension", "copies"), [(1, 8), (3, 2), (5, 1), (8, 1), (24, 1)])
def test_lattices_are_repeated_to_fill_eight_coordinates(dimension, copies):
    block = fill_block(Cubic(dimension))
    assert (block.copies, block.dimension) == (copies, copies * dimension)
    x = gaussian(4, block.dimension)
    np.testing.assert_array_equal(block.closest_point(x), np.rint(x))


@given(st.integers(1, 7), st.integers(1, 112), random_seeds)
def test_scalar_codes_of_a_few_coordinates(n_coordinates, n_bits, seed):
    n_bits = min(max(n_bits, n_coordinates), 16 * n_coordinates)
    code = scalar_code(n_coordinates, n_bits)
    x = np.clip(gaussian(30, n_coordinates, seed), -1, 1)
    errors = np.abs(x - decode(code, encode(code, x)[0]))
    step = code.scales[0]
    reach = step * (code.q - 1) / 2
    # The error is half a step, or what is beyond the outermost level.
    assert (errors <= np.maximum(step / 2, np.abs(x) - reach) * (1 + 1e-5)).all()


@pytest.mark.parametrize(
    "n_bits", [bits for bits in available_bits(LATTICES["E8"]) if 8 < bits < 36]
)
def test_small_integers_decode_what_floats_decode(n_bits):
    """Any bytes decode to the same numbers; few cosets are tried all."""
    code = code_for(LATTICES["E8"], n_bits)
    rng, n_rows = np.random.RandomState(0), 3000
    codes = rng.randint(0, 256, (n_rows, n_bits + 1)).astype(np.uint8)
    if n_bits <= 16:
        words = np.arange(2**n_bits, dtype="<u4").reshape(-1, 8)
        bits = (words[:, :, None] >> np.arange(n_bits, dtype="<u4")) & 1
        codes = np.packbits(
            bits.reshape(len(words), -1).astype(np.uint8), axis=1, bitorder="little"
        )
    floats, integers = (empty_panels(len(codes), 64, np.float32) for _ in range(2))
    energies = np.zeros((2, len(codes)))
    decode_blocks(code.parameters, codes, 0, 8, 0, floats, energies[0])
    decode_e8_blocks(code.e8_parameters, codes, 0, 8, 0, integers, energies[1])
    np.testing.assert_array_equal(take_rows(integers, len(codes)), take_rows(floats, len(codes)))
    np.testing.assert_allclose(energies[1], energies[0], rtol=1e-12)
