"""The code of a whole row."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skquant._row_code import spend_bits
from skquant._scales import MAX_BITS_PER_ENTRY
from skquant.lattices import E8, LATTICES

every_lattice = pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)


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
    codes = np.zeros((n_rows, row_code.n_bytes), np.uint8)
    moments = row_code.encode(rows, codes)
    decoded = row_code.decode(codes)
    assert decoded.shape == (n, n_rows)
    assert decoded.dtype == np.float32
    exact = decoded.astype(float)
    np.testing.assert_allclose(moments[:, 0], (rows.T * exact).sum(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(moments[:, 1], (exact**2).sum(axis=0), rtol=1e-4)
    # No single row is ever far from what Gaussian rows come to on average.
    assert (np.mean((rows.T - exact) ** 2, axis=0) < 30 * row_code.distortion + 4 / n**2).all()


@every_lattice
@pytest.mark.parametrize(
    ("n", "bits"), [(8, 1), (64, 1.4), (64, 2), (100, 3.3), (13, 4), (61, 7.9), (5, 6)]
)
def test_distortion_is_the_expected_one(lattice, n, bits):
    row_code = spend_bits(lattice, n, int(n * bits))
    rows = np.random.default_rng(0).standard_normal((500_000 // n, n), dtype=np.float32)
    codes = np.zeros((len(rows), row_code.n_bytes), np.uint8)
    row_code.encode(rows, codes)
    measured = np.mean((rows.T - row_code.decode(codes)) ** 2, dtype=float)
    assert measured == pytest.approx(row_code.distortion, rel=0.03)


def test_every_byte_string_decodes_to_finite_rows():
    row_code = spend_bits(E8(), 61, 400)
    shape = 1000, row_code.n_bytes
    codes = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    assert (np.abs(row_code.decode(codes)) < 100).all()
