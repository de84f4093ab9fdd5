"""The code of a whole row."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from reference import room_for, to_panels, to_rows

from skquant._codes._row_code import spend_bits
from skquant._codes._scales import MAX_BITS_PER_ENTRY
from skquant._kernels._dispatch import FEW_VECTORS
from skquant._kernels._vectors import LANES
from skquant.lattices import E8, LATTICES

every_lattice = pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)


def encode(row_code, rows):
    """Encode rows, and give the moments as well."""
    codes = np.zeros((len(rows), row_code.n_bytes), np.uint8)
    return codes, row_code.encode(to_panels(rows), codes)


def decode(row_code, codes, width=LANES):
    """Decode rows, and give their energy as well."""
    rows = np.full((len(codes), row_code.n_coordinates), np.nan, np.float32)
    panels = to_panels(rows, width)
    energy = row_code.decode(codes, panels)
    return to_rows(panels, len(codes)), energy


def used_bits(row_code):
    return sum(s.n_blocks * s.code.n_bits for s in row_code.segments)


@every_lattice
@given(st.integers(1, 200), st.fractions(1, 20, max_denominator=64))
@example(8, Fraction(1))
@example(7, Fraction(20))
@example(200, Fraction(16))
def test_the_budget_is_spent_and_never_exceeded(lattice, n, bits):
    budget = int(n * bits)
    row_code = spend_bits(lattice, n, budget)
    useful = min(budget, MAX_BITS_PER_ENTRY * n)
    assert used_bits(row_code) <= useful
    # What is left would not lift one more block to the next code of the table.
    assert useful - used_bits(row_code) < 8
    assert row_code.n_bytes == -(-used_bits(row_code) // 8)
    assert row_code.n_coordinates == n


@every_lattice
@given(st.integers(1, 200), st.fractions(1, 20, max_denominator=64))
def test_segments_cover_coordinates_and_bits_without_gaps(lattice, n, bits):
    first, bit = 0, 0
    for segment in spend_bits(lattice, n, int(n * bits)).segments:
        assert (segment.first, segment.bit) == (first, bit)
        assert segment.n_blocks >= 1
        first += segment.n_blocks * segment.code.dimension
        bit += segment.n_blocks * segment.code.n_bits
    assert first == n


@every_lattice
@pytest.mark.parametrize("n", [1, 3, 8, 12, 13, 64, 101])
def test_more_bits_never_hurt(lattice, n):
    budgets = range(n, MAX_BITS_PER_ENTRY * n + 1, 1 + n // 30)
    distortion = np.array([spend_bits(lattice, n, budget).distortion for budget in budgets])
    assert (np.diff(distortion) <= 1e-12).all()


@every_lattice
@given(
    st.integers(1, 200),
    st.fractions(1, 20, max_denominator=64),
    st.integers(1, 70),
    st.integers(0, 2**32 - 1),
)
@example(n=64, bits=Fraction(7, 5), n_rows=5, seed=0)
def test_rows_come_back(lattice, n, bits, n_rows, seed):
    row_code = spend_bits(lattice, n, int(n * bits))
    rows = np.random.default_rng(seed).standard_normal((n_rows, n), dtype=np.float32)
    rows = rows.clip(-3, 3)  # beyond which fine codes overload, once in some thousand rows
    codes, moments = encode(row_code, rows)
    assert moments.shape == (n_rows, 2)
    decoded, energy = decode(row_code, codes)
    again, own_energy = decode(row_code, codes, room_for(n_rows))
    np.testing.assert_array_equal(again, decoded)
    np.testing.assert_allclose(own_energy, energy, rtol=1e-5)
    exact = decoded.astype(float)
    np.testing.assert_allclose(energy, (exact**2).sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(moments[:, 0], (rows * exact).sum(axis=1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(moments[:, 1], (exact**2).sum(axis=1), rtol=1e-4)
    # No single row is ever far from what Gaussian rows come to on average.
    assert (np.mean((rows - exact) ** 2, axis=1) < 30 * row_code.distortion + 4 / n**2).all()


@every_lattice
@pytest.mark.parametrize(
    ("n", "bits"), [(8, 1), (64, 1.4), (64, 2), (100, 3.3), (13, 4), (61, 7.9), (5, 6)]
)
def test_distortion_is_the_expected_one(lattice, n, bits):
    row_code = spend_bits(lattice, n, int(n * bits))
    rows = np.random.default_rng(0).standard_normal((500_000 // n, n), dtype=np.float32)
    decoded, _ = decode(row_code, encode(row_code, rows)[0])
    measured = np.mean((rows - decoded) ** 2, dtype=float)
    assert measured == pytest.approx(row_code.distortion, rel=0.03)


def test_every_byte_string_decodes_to_finite_rows():
    row_code = spend_bits(E8(), 61, 400)
    shape = 1000, row_code.n_bytes
    codes = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    assert (np.abs(decode(row_code, codes)[0]) < 100).all()


@every_lattice
@given(
    st.integers(1, 100),
    st.fractions(1, 17, max_denominator=16),
    st.integers(1, FEW_VECTORS),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_products_are_those_of_what_is_decoded(lattice, n, bits, n_vectors, dithered, seed):
    row_code = spend_bits(lattice, n, int(n * bits))
    dither = row_code.draw_dither(np.random.RandomState(seed)) if dithered else None
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((LANES + 7, n), dtype=np.float32)
    vectors = rng.standard_normal((n_vectors, n), dtype=np.float32)
    codes = np.zeros((len(rows), row_code.n_bytes), np.uint8)
    panels = to_panels(rows)
    row_code.encode(panels, codes, dither)
    energy = row_code.decode(codes, panels, dither)
    decoded = to_rows(panels, len(rows)).astype(float)
    products, own_energy = row_code.multiply(codes, vectors, dither)
    assert products.shape == (len(rows), n_vectors)
    np.testing.assert_allclose(products, decoded @ vectors.T.astype(float), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(energy, (decoded**2).sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(own_energy, energy, rtol=1e-5)
