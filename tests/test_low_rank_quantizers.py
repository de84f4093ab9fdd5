"""Scalar levels, rounding and packing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skquant._low_rank._quantizers import (
    dithered_indices,
    gaussian_distortions,
    nearest_indices,
    pack_rows,
    unit_levels,
    unpack_rows,
)


def test_gaussian_levels_have_the_distortions_of_max():
    """J. Max, "Quantizing for minimum distortion", IRE Trans. Inform. Theory 6(1), 1960."""
    np.testing.assert_allclose(
        gaussian_distortions(5), [1, 0.3634, 0.1175, 0.03454, 0.009497, 0.002499], rtol=3e-3
    )


@pytest.mark.parametrize("kind", ["uniform", "gaussian"])
@pytest.mark.parametrize("bits", [1, 3, 8])
def test_indices_are_those_of_the_nearest_levels(kind, bits):
    values = np.random.default_rng(0).normal(0, 0.8, 500)
    levels = unit_levels(kind, bits)
    distance = np.abs(values - levels[nearest_indices(values, kind, bits)])
    np.testing.assert_allclose(distance, np.abs(values[:, None] - levels).min(axis=1), atol=1e-12)


def test_dither_is_unbiased():
    rng, values = np.random.RandomState(0), np.linspace(-1, 1, 23)
    indices = dithered_indices(np.tile(values, (20000, 1)), 2, rng)
    np.testing.assert_allclose(unit_levels("uniform", 2)[indices].mean(axis=0), values, atol=0.02)


@given(st.lists(st.integers(1, 16), min_size=1, max_size=9), st.integers(1, 40))
def test_packed_rows_come_back_without_a_bit_more(bits, n_rows):
    bits = np.array(bits)
    indices = np.random.default_rng(0).integers(0, 2**bits, (n_rows, len(bits)))
    data = pack_rows(indices, bits)
    assert len(data) == -(-n_rows * bits.sum() // 8)
    np.testing.assert_array_equal(unpack_rows(data, bits, n_rows), indices)
