"""Rows of 16-bit integers and their products, beside those of floats."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit
from reference import to_panels

from skquant import LatticeQuantizer
from skquant._codes._row_code import LEAST_BLOCKS, SHORT_NORM, spend_bits
from skquant._kernels._dispatch import (
    HAS_INTEGERS,
    has_amx,
    multiply_tiles,
    multiply_tiles_by_amx,
)
from skquant._kernels._dot import dot_shorts
from skquant._kernels._lanes import fold, pair, total, unfold
from skquant._kernels._memory import load, load_run, store
from skquant._kernels._vectors import LANES, average, rounded_product
from skquant._products import _decoded_rows as decoded_rows
from skquant._products._decoded_rows import (
    LARGEST_FACTOR,
    STRETCH,
    FloatRows,
    ShortRows,
    lay_out,
    multiply_rows,
    rows_for,
)
from skquant.lattices import LATTICES

WIDE = 8 * LEAST_BLOCKS
PRODUCTS = [multiply_tiles, multiply_tiles_by_amx] if has_amx() else [multiply_tiles]


def gaussian(n_rows, n_coordinates, seed=0):
    return np.random.default_rng(seed).standard_normal((n_rows, n_coordinates)).astype(np.float32)


def tiles_of(integers):
    """Lay rows of integers out in tiles, pairs of them in a step."""
    n_rows, n_coordinates = integers.shape
    padded = np.zeros((-(-n_rows // LANES) * LANES, -(-n_coordinates // 2) * 2), np.int16)
    padded[:n_rows, :n_coordinates] = integers
    pairs = padded.view(np.int32).reshape(-1, LANES, padded.shape[1] // 2)
    return np.ascontiguousarray(pairs.transpose(0, 2, 1))


def integers_of(rows):
    """Take rows of 16-bit integers out of tiles, and what they stand for."""
    words = np.ascontiguousarray(rows._tiles.transpose(0, 2, 1)).view(np.int16)
    integers = words.reshape(len(rows._tiles) * LANES, -1)[: len(rows)].astype(float)
    return integers, rows._units[: len(rows), None].astype(float)


# Instructions


def test_halves_are_folded_and_paired():
    @njit
    def run(a, b, out):
        one, other = fold(load(a, 0)), fold(load(b, 0))
        store(out, (0, 0), pair(one, other))
        store(out, (1, 0), unfold(one))
        store(out, (2, 0), unfold(rounded_product(one, other)))
        store(out, (3, 0), dot_shorts(load(a, 0), pair(one, other), pair(other, other)))

    rng = np.random.default_rng(0)
    a, b = rng.integers(-(2**15) + 1, 2**15, (2, LANES)).astype(np.int32)
    a[:4], b[:4] = [-32767, 32767, 0, 1], [32767, 32767, -32767, 16384]
    out = np.empty((4, LANES), np.int32)
    run(a + (7 << 16), b, out)
    np.testing.assert_array_equal(out[0], (a & 0xFFFF) | (b << 16))
    np.testing.assert_array_equal(out[1], a)
    np.testing.assert_array_equal(out[2], (a * b + 2**14) >> 15)
    np.testing.assert_array_equal(
        out[3], (a + (7 << 16) + (a + b).astype(np.int64) * b).astype(np.int32)
    )


def test_means_and_totals():
    @njit
    def run(a, b, x, out):
        store(out, 0, average(load(a, 0), load(b, 0)))
        return total(load(a, 0)), total(load(x, 0))

    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2**16, (2, LANES)).astype(np.uint16)
    a[0] = b[0] = 2**16 - 1
    x, out = rng.standard_normal(LANES).astype(np.float32), np.empty(LANES, np.uint16)
    sums = run(a, b, x, out)
    np.testing.assert_array_equal(out, (a.astype(int) + b + 1) // 2)
    halves = x
    while len(halves) > 1:
        halves = halves[: len(halves) // 2] + halves[len(halves) // 2 :]
    assert sums[0] % 2**16 == a.sum() % 2**16
    assert np.float32(sums[1]) == halves[0]


def test_neighbouring_words_are_read_from_bytes():
    @njit
    def run(codes, row, byte, out):
        store(out, 0, load_run(codes, (row, byte)))

    codes = np.random.default_rng(0).integers(0, 256, (3, 4 * LANES + 5)).astype(np.uint8)
    out = np.empty(LANES, np.uint32)
    for row, byte in ((0, 0), (1, 3), (2, 5)):
        run(codes, row, byte, out)
        np.testing.assert_array_equal(out, codes[row, byte : byte + 4 * LANES].copy().view("<u4"))


# Products


@given(
    st.integers(1, 3 * LANES),
    st.integers(1, 11 * LANES),
    st.sampled_from([1, 2, 7, STRETCH, STRETCH + 1, 3 * STRETCH - 2]),
    st.integers(0, 2**32 - 1),
)
@pytest.mark.parametrize("multiply", PRODUCTS)
def test_products_of_tiles_are_exact(multiply, n_left, n_right, n_coordinates, seed):
    rng = np.random.default_rng(seed)
    left = rng.integers(-50, 51, (n_left, n_coordinates))
    right = rng.integers(-50, 51, (n_right, n_coordinates))
    tiles = tiles_of(left), tiles_of(right)
    factors = [2.0 ** rng.integers(-3, 4, len(t) * LANES).astype(np.float32) for t in tiles]
    products = np.ones((len(factors[0]), len(factors[1])), np.float32)
    multiply(tiles[0], factors[0], tiles[1], factors[1], products)
    expected = 1 + np.outer(factors[0][:n_left], factors[1][:n_right]) * (left @ right.T)
    np.testing.assert_array_equal(products[:n_left, :n_right], expected)
    rest = products.copy()
    rest[:n_left, :n_right] = 1
    assert (rest == 1).all()


@pytest.mark.skipif(not has_amx(), reason="needs a matrix unit")
@given(
    st.integers(1, 4 * LANES),
    st.sampled_from([1, 2, 3, 63, 64, 66, 1030]),
    st.sampled_from([30, 300, 2000, 32639]),
    st.integers(0, 2**32 - 1),
)
def test_products_of_integers_of_two_bytes(n_rows, n_coordinates, largest, seed):
    rng = np.random.default_rng(seed)
    left = rng.integers(-largest, largest + 1, (n_rows, n_coordinates))
    right = rng.choice([-32639, -128, -1, 0, 127, 128, 255, 256, 32639], (40, n_coordinates))
    tiles = tiles_of(left), tiles_of(right)
    ones = [np.ones(len(t) * LANES, np.float32) for t in tiles]
    products = np.zeros((len(ones[0]), len(ones[1])), np.float32)
    multiply_tiles_by_amx(tiles[0], ones[0], tiles[1], ones[1], products)
    expected = left @ right.T
    size = np.abs(left) @ np.abs(right.T)
    assert np.all(np.abs(products[:n_rows, :40] - expected) <= 4e-7 * size)


@pytest.mark.skipif(not has_amx(), reason="needs a matrix unit")
def test_large_products_take_the_matrix_unit(monkeypatch):
    rows = [lay_out(to_panels(gaussian(400, 300, seed)), 400, ShortRows) for seed in range(2)]
    factor = np.linspace(0.5, 2, 400)
    large = multiply_rows(rows[0], factor, rows[1], factor, np.float32)
    monkeypatch.setattr(decoded_rows, "has_amx", lambda: False)
    small = multiply_rows(rows[0], factor, rows[1], factor, np.float32)
    assert not np.array_equal(large, small)  # sums of other stretches round otherwise
    np.testing.assert_allclose(large, small, atol=1e-3 * np.abs(small).std())


@pytest.mark.parametrize("kind", [FloatRows, ShortRows])
@pytest.mark.parametrize("n_coordinates", [1, 9, 3 * STRETCH + 5])
def test_scaled_rows_are_multiplied(kind, n_coordinates):
    A, B = gaussian(70, n_coordinates, seed=1), gaussian(40, n_coordinates, seed=2)
    A[3], B[:, n_coordinates // 2] = 0, 40  # of a stretch that is larger than others
    factors = np.linspace(0.5, 2, 70), np.geomspace(1e-6, 1e6, 40)
    rows = [lay_out(to_panels(X), len(X), kind) for X in (A, B)]
    product = multiply_rows(rows[0], factors[0], rows[1], factors[1], np.float64)
    assert product.dtype == np.float64
    expected = np.outer(*factors) * (A.astype(float) @ B.T)
    sizes = np.outer(*(f * np.linalg.norm(X, axis=1) for f, X in zip(factors, (A, B), strict=True)))
    assert (np.abs(product - expected) <= (5e-5 if kind is ShortRows else 1e-6) * sizes).all()
    assert (product[3] == 0).all()
    huge = multiply_rows(
        rows[0], 1e22 * LARGEST_FACTOR * factors[0], rows[1], 1e-22 * factors[1], np.float32
    )
    assert (np.abs(huge / LARGEST_FACTOR - product) <= 1e-6 * sizes).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_so(value):
    matrix = LatticeQuantizer(4, rotation=None).fit(gaussian(8, WIDE)).compress(gaussian(8, WIDE))
    for n_columns in (1, 6):
        M = gaussian(WIDE, n_columns)
        M[5, 0] = value
        product = matrix @ M
        assert not np.isfinite(product[:, 0]).any()
        np.testing.assert_array_equal(product[:, 1:], (matrix @ M)[:, 1:])
        assert np.isfinite(product[:, 1:]).all()


def test_the_finest_codes_are_multiplied_as_floats():
    coarse, fine = (spend_bits(LATTICES["E8"], WIDE, bits * WIDE) for bits in (4, 9))
    assert rows_for(coarse) is (ShortRows if HAS_INTEGERS else FloatRows)
    assert rows_for(fine) is rows_for(coarse, fine) is FloatRows


# Codes that decode to integers


@pytest.mark.parametrize("bits", [1.7, 2, 3, 4, 4.2])
@pytest.mark.parametrize("dithered", [False, True])
def test_codes_decode_to_integers_as_they_do_to_floats(bits, dithered):
    """Any bytes do, and no stretch of them has a norm that products might not hold."""
    code = spend_bits(LATTICES["E8"], 3 * WIDE, int(3 * bits * WIDE))
    codes = np.random.default_rng(0).integers(0, 256, (45, code.n_bytes)).astype(np.uint8)
    dither = code.draw_dither(np.random.RandomState(1)) if dithered else None
    panels = np.empty((2, 3 * WIDE, LANES), np.float32)
    energy = code.decode(codes, panels, dither)
    floats = FloatRows.empty(45, 3 * WIDE)
    floats.put(slice(0, 45), panels)
    rows = ShortRows.empty(45, 3 * WIDE)
    assert rows.takes_codes_of(code)
    assert not floats.takes_codes_of(code)
    found = rows.decode(slice(0, 45), code, codes, dither)
    integers, units = integers_of(rows)
    errors = integers * units - floats.words
    assert np.abs(errors).max() < 4e-3
    assert np.sqrt(np.mean(errors**2)) < 8e-4
    assert abs(errors.mean()) < 1e-4
    np.testing.assert_allclose(found, energy, rtol=1e-3)
    np.testing.assert_allclose(found, ((integers * units) ** 2).sum(axis=1), rtol=1e-6)
    for start in range(0, 3 * WIDE, STRETCH):
        assert np.linalg.norm(integers[:, start : start + STRETCH], axis=1).max() < SHORT_NORM


@pytest.mark.parametrize("bits", [1.0, 2.6, 5.0])
@pytest.mark.parametrize("n_coordinates", [8, WIDE + 3])
def test_other_codes_do_not_decode_to_integers(bits, n_coordinates):
    assert spend_bits(LATTICES["E8"], n_coordinates, int(bits * n_coordinates)).short_unit is None


@pytest.mark.parametrize("n_blocks", [LEAST_BLOCKS, LEAST_BLOCKS + 1, 3 * LANES - 1])
@pytest.mark.parametrize("n_vectors", [1, 2, 3, 4])
def test_runs_of_blocks_are_multiplied_as_blocks_are(n_blocks, n_vectors):
    """Any bytes; the last row ends with the memory that may be read."""
    code = spend_bits(LATTICES["E8"], 8 * n_blocks, 32 * n_blocks)
    (segment,) = code.segments
    assert segment.code.makes_runs
    codes = np.random.default_rng(0).integers(0, 256, (40, code.n_bytes)).astype(np.uint8)
    vectors = gaussian(n_vectors, 8 * n_blocks)
    vectors[-1] *= 1e-9
    products, energy = code.multiply(codes, vectors)
    expected, squares = np.zeros((40, n_vectors)), np.zeros(40)
    segment.code.multiply(codes, 0, n_blocks, 0, vectors, expected, squares)
    size = np.outer(np.sqrt(squares), np.linalg.norm(vectors, axis=1))
    assert (np.abs(products - expected) <= 1e-4 * size).all()
    assert (products != expected).any()  # another kernel
    np.testing.assert_allclose(energy, squares, rtol=1e-3)


def test_the_largest_products_of_runs_do_not_overflow():
    """Vectors that are parallel to a row, with entries as large as integers can be."""
    code = spend_bits(LATTICES["E8"], WIDE, 4 * WIDE)
    codes = np.random.default_rng(0).integers(0, 256, (32, code.n_bytes)).astype(np.uint8)
    panels = np.empty((1, WIDE, LANES), np.float32)
    code.decode(codes, panels)
    rows = panels[0].T
    vectors = np.copysign(1.0, rows[:4])
    products, _ = code.multiply(codes, np.ascontiguousarray(vectors))
    np.testing.assert_allclose(products, rows @ vectors.T, atol=0.05)


@pytest.mark.parametrize("n_columns", [3, 20])
def test_a_row_does_not_depend_on_the_others(n_columns):
    X = gaussian(100, 2 * WIDE)
    matrix = LatticeQuantizer(4, random_state=0).fit(X).compress(X)
    M = gaussian(2 * WIDE, n_columns)
    whole = matrix @ M
    for rows in (slice(1), slice(5, 77), [99, 3]):
        np.testing.assert_array_equal(matrix[rows] @ M, whole[rows])


def test_machines_without_integers_multiply_floats(monkeypatch):
    X = gaussian(50, WIDE)
    matrix = LatticeQuantizer(4, random_state=0).fit(X).compress(X)
    expected = matrix.toarray() @ matrix.toarray().T
    monkeypatch.setattr(decoded_rows, "HAS_INTEGERS", False)
    np.testing.assert_allclose(matrix @ matrix.T, expected, atol=3e-6 * expected.max())
