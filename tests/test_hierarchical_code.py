"""Hierarchical codes against NumPy: words, nearest points, tables, bytes and norms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from skquant import LatticeQuantizer, QuantizedMatrix
from skquant._codes import _hierarchical
from skquant._codes._hierarchical import (
    MOST_LAYERS,
    HierarchicalCode,
    code_for,
    spend_bits_on_layers,
)
from skquant._codes._nested import fill_block
from skquant._codes._row_code import spend_bits
from skquant._codes._scales import gaussian_blocks, simulate_distortion
from skquant._kernels._dispatch import FEW_VECTORS
from skquant._kernels._look_up import look_up_words
from skquant._kernels._memory import load, store
from skquant._kernels._vectors import LANES
from skquant._panels import empty_panels, put_rows, take_rows
from skquant.lattices import E8, LATTICES

every_lattice = pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)


def gaussian(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def encode(code, X):
    panels, codes = empty_panels(*X.shape), np.zeros((len(X), code.n_bytes), np.uint8)
    put_rows(X, panels)
    return codes, code.encode(panels, codes)


def decode(code, codes):
    panels = empty_panels(len(codes), code.n_coordinates)
    energy = code.decode(codes, panels)
    return take_rows(panels, len(codes)), energy


def encode_blocks(code, X):
    """Encode one block a row."""
    panels, codes = empty_panels(*X.shape), np.zeros((len(X), code.n_layers), np.uint8)
    put_rows(X, panels)
    code.encode(panels, 0, 1, 0, codes, np.zeros((len(X), 2)))
    return codes


def sums_of_words(code):
    """All points of a code of at most two layers, the finest layer's word first."""
    layers = [size * code.words.astype(float) for size in code.sizes]
    points = layers[0]
    for layer in layers[1:]:
        points = (points[:, None] + layer).reshape(-1, 8)
    return points


# Words


@every_lattice
def test_words_are_leaders_of_all_cosets_less_their_mean(lattice):
    words = code_for(lattice, 8).words.astype(float)
    assert words.shape == (256, 8)
    np.testing.assert_allclose(words.mean(axis=0), 0, atol=1e-6)
    block = fill_block(lattice)
    steps = (words - words[0]) @ np.linalg.inv(block.generator)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-5)
    assert len(np.unique(np.rint(steps).astype(int) % 2, axis=0)) == 256
    # No member of a coset is shorter than its leader: such a one would be nearer to the origin.
    shift, _ = _hierarchical.coset_leaders(lattice, 2, block.copies)
    points = np.indices((2,) * 8).reshape(8, -1).T @ block.generator
    leaders = points - 2 * block.closest_point((points - shift) / 2)
    np.testing.assert_allclose(words, leaders - leaders.mean(axis=0), atol=1e-6)
    other = leaders + 2 * block.closest_point(gaussian(256, 8).astype(float))
    assert (np.sum(leaders**2, axis=1) <= np.sum(other**2, axis=1) + 1e-6).all()


# Encode and decode


@every_lattice
def test_one_layer_takes_the_nearest_word(lattice):
    code, X = code_for(lattice, 8), gaussian(300, 8)
    distances = ((X[:, None] - sums_of_words(code)) ** 2).sum(axis=2)
    chosen = encode_blocks(code, X)[:, 0]
    found = np.take_along_axis(distances, chosen[:, None].astype(int), axis=1)[:, 0]
    np.testing.assert_allclose(found, distances.min(axis=1), rtol=1e-4)


@every_lattice
def test_two_layers_nearly_always_take_the_nearest_point(lattice):
    code, X = code_for(lattice, 16), gaussian(200, 8)
    distances = ((X[:, None] - sums_of_words(code)) ** 2).sum(axis=2)
    coarse, fine = encode_blocks(code, X).astype(int).T
    found = distances[np.arange(len(X)), 256 * coarse + fine]
    least = distances.min(axis=1)
    assert np.mean(found <= least * (1 + 1e-4)) > 0.93
    assert found.sum() < 1.01 * least.sum()


@every_lattice
@pytest.mark.parametrize("n_layers", [1, 2, 3, 4, 6])
def test_the_distortion_is_the_one_that_is_stated(lattice, n_layers):
    code = code_for(lattice, 8 * n_layers)
    blocks, weights = gaussian_blocks(30_000, 8)
    blocks = np.random.default_rng(1).permuted(blocks, axis=1)
    assert simulate_distortion(code, blocks, weights) == pytest.approx(code.distortion, rel=0.03)


def test_up_to_two_bits_cost_little_against_nested_codes():
    for bits, loss in ((1, 1.03), (2, 1.03), (3, 1.2), (4, 1.45)):
        nested = spend_bits(E8(), 128, 128 * bits).distortion
        assert nested < spend_bits_on_layers(E8(), 128, 128 * bits).distortion < loss * nested


@given(st.integers(1, 70), st.integers(1, 90), st.floats(1, 9), st.booleans())
def test_rows_decode_to_sums_of_words(n_rows, n, bits, has_dither):
    code = spend_bits_on_layers(E8(), n, int(n * bits))
    assert code.n_bytes <= int(n * bits) // 8 + 3 and code.n_coordinates == n
    codes = np.random.default_rng(n_rows).integers(0, 256, (n_rows, code.n_bytes), np.uint8)
    dither = code.draw_dither(np.random.RandomState(0)) if has_dither else None
    panels = empty_panels(n_rows, n)
    code.decode(codes, panels, dither)
    found = take_rows(panels, n_rows)
    for i, segment in enumerate(code.blocks.segments):
        if isinstance(segment.code, HierarchicalCode):
            stop = segment.first + 8 * segment.n_blocks
            layers = codes[:, segment.bit // 8 :][:, : segment.n_blocks * segment.code.n_layers]
            layers = layers.reshape(n_rows, segment.n_blocks, -1)
            expected = sum(
                size * segment.code.words.astype(float)[layers[..., m]]
                for m, size in enumerate(segment.code.sizes)
            )
            if has_dither:
                expected = expected - segment.code.scales[0] * dither[i]
            np.testing.assert_allclose(
                found[:, segment.first : stop].reshape(expected.shape), expected, atol=2e-5
            )


@pytest.mark.parametrize("has_dither", [False, True])
def test_moments_are_those_of_what_rows_decode_to(has_dither):
    code, X = spend_bits_on_layers(E8(), 75, 200), gaussian(40, 75)
    dither = code.draw_dither(np.random.RandomState(0)) if has_dither else None
    panels, codes = empty_panels(*X.shape), np.zeros((40, code.n_bytes), np.uint8)
    put_rows(X, panels)
    inner, energy = code.encode(panels, codes, dither).T
    stored = code.decode(codes, panels, dither)
    decoded = take_rows(panels, 40).astype(float)
    np.testing.assert_allclose(inner, (X * decoded).sum(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(energy, stored)
    np.testing.assert_allclose(np.sqrt(stored), np.linalg.norm(decoded, axis=1), rtol=2e-4)


# Products


def test_tables_of_256_bytes_are_looked_up():
    @njit
    def look(tables, words, found):
        for i in range(len(tables)):
            store(found, (i, 0), look_up_words(tables, (i, 0), load(words, (i, 0))))

    rng = np.random.default_rng(0)
    tables = rng.integers(0, 256, (5, 256), np.uint8)
    places = rng.integers(0, 256, (5, 4 * LANES), np.uint8)
    found = np.zeros((5, LANES), np.int32)
    look(tables, places.view(np.int32), found)
    np.testing.assert_array_equal(found.view(np.uint8), np.take_along_axis(tables, places, axis=1))


@given(
    st.integers(1, 100),
    st.integers(1, 300),
    st.integers(1, MOST_LAYERS),
    st.integers(1, FEW_VECTORS),
    st.booleans(),
)
def test_products_are_those_of_what_rows_decode_to(n_rows, n, n_layers, n_vectors, has_dither):
    code = spend_bits_on_layers(E8(), n, min(8 * n, n * n_layers + 5))
    vectors = gaussian(n_vectors, n)
    codes, _ = encode(code, gaussian(n_rows, n, seed=n_rows))
    dither = code.draw_dither(np.random.RandomState(0)) if has_dither else None
    products, energy = code.multiply(codes, vectors, dither)
    panels = empty_panels(n_rows, n)
    np.testing.assert_array_equal(energy, code.decode(codes, panels, dither))
    expected = take_rows(panels, n_rows).astype(float) @ vectors.T
    # Far below what the code itself errs.
    scale = np.linalg.norm(vectors, axis=1) * code.peak()
    assert (np.abs(products - expected) <= 1e-4 * scale).all()


def test_rows_and_their_neighbours_in_memory_do_not_matter():
    code = spend_bits_on_layers(E8(), 64, 256)
    codes, _ = encode(code, gaussian(65, 64))
    vector = gaussian(1, 64)
    together, _ = code.multiply(codes, vector)
    alone = np.concatenate([code.multiply(row[None], vector)[0] for row in codes])
    np.testing.assert_array_equal(together, alone)
    wide = np.full((65, code.n_bytes + 100), 7, np.uint8)
    wide[:, : code.n_bytes] = codes
    np.testing.assert_array_equal(code.multiply(wide, vector)[0], together)


def test_vectors_that_are_not_finite_give_what_floats_give():
    codes = LatticeQuantizer(3, coding="hierarchical", random_state=0).fit(gaussian(30, 16))
    matrix = codes.compress(gaussian(30, 16))
    for bad in (np.nan, np.inf):
        vector = np.ones(16, np.float32)
        vector[3] = bad
        with np.errstate(invalid="ignore"):
            assert not np.isfinite(matrix @ vector).any()


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_vectors_of_any_size(size):
    matrix = LatticeQuantizer(3, coding="hierarchical", random_state=0).fit_transform(
        gaussian(30, 16)
    )
    codes = LatticeQuantizer(3, coding="hierarchical", random_state=0).fit(gaussian(30, 16))
    vector = size * gaussian(16).astype(float)
    found = codes.compress(gaussian(30, 16)) @ vector
    np.testing.assert_allclose(found, matrix @ vector, atol=1e-3 * size)


# The interface


@pytest.mark.parametrize("bits", [0.3, 1, 2.6, 8, 20])
@pytest.mark.parametrize("center", ["features", "rows", False])
def test_a_matrix_multiplies_and_is_stored(tmp_path, bits, center):
    X = 1 + gaussian(70, 50)
    quantizer = LatticeQuantizer(bits, coding="hierarchical", center=center, random_state=0)
    matrix = quantizer.fit(X).compress(X)
    decoded, v = matrix.toarray(), gaussian(50, 2)
    atol = 2e-3 * np.linalg.norm(v)
    np.testing.assert_allclose(matrix @ v, decoded @ v, atol=atol)
    np.testing.assert_allclose(matrix @ matrix.T, decoded @ decoded.T, atol=0.1)
    matrix.save(tmp_path / "x.skq")
    loaded = QuantizedMatrix.load(tmp_path / "x.skq", mmap=True)
    np.testing.assert_array_equal(loaded.toarray(), decoded)
    np.testing.assert_array_equal(loaded @ v, matrix @ v)


def test_what_is_not_offered_is_refused():
    X = gaussian(40, 16)
    with pytest.raises(ValueError, match='lattice=.* needs coding="entropy"'):
        LatticeQuantizer(coding="hierarchical", lattice="Leech").fit(X)
    with pytest.raises(ValueError, match="is for lattices of the package"):
        LatticeQuantizer(coding="hierarchical", lattice=OwnLattice()).fit(X)
    with pytest.raises(ValueError, match='rotation="pca" needs coding="fixed"'):
        LatticeQuantizer(coding="hierarchical", rotation="pca").fit(X)
    assert LatticeQuantizer(coding="hierarchical", rotation="auto").fit(X).rotation_ == "hadamard"


class OwnLattice(type(LATTICES["Z"]).__mro__[1]):
    """Integers, in a class of one's own."""

    generator = np.eye(1) * 2

    def closest_point(self, x):
        return 2 * np.rint(x / 2)
