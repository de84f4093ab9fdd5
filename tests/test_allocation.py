"""Reverse water-filling against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skquant._allocation import integer_bits, reverse_water_fill

variances = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=12)


@given(variances, st.floats(0.01, 100), st.integers(1, 1000))
def test_all_bits_are_spent_and_distortions_are_level(variances, bits, count):
    level, rates = reverse_water_fill(variances, bits, count)
    assert np.sum(rates * count) == pytest.approx(bits)
    distortions = np.asarray(variances) * 4.0**-rates
    np.testing.assert_allclose(distortions, np.minimum(variances, level), rtol=1e-9)


@given(variances, st.floats(0.01, 100), st.integers(0, 2**32 - 1))
def test_no_other_allocation_is_better(variances, bits, seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 50, len(variances))
    _, rates = reverse_water_fill(variances, bits, counts)
    other = rng.dirichlet(np.ones(len(variances))) * bits / counts
    total, total_of_other = (np.sum(counts * variances * 4.0**-r) for r in (rates, other))
    assert total <= total_of_other * (1 + 1e-9)


def test_components_without_variance_or_entries_get_nothing():
    level, rates = reverse_water_fill([0.0, 2.0, 5.0], 4, counts=[3, 2, 0])
    assert rates.tolist() == [0.0, 2.0, 0.0]
    assert level == 2.0 / 16
    assert reverse_water_fill([0.0, 0.0], 4)[0] == 0.0


@given(variances, st.floats(1e-3, 1e3))
def test_whole_bits_are_where_another_no_longer_pays(variances, level):
    distortions = np.array([1.0, 0.36, 0.12, 0.035, 0.0095])
    bits = integer_bits(variances, level, distortions)
    price = 2 * np.log(2) * level
    for variance, b in zip(variances, bits, strict=True):
        costs = variance * distortions + price * np.arange(5)
        assert costs[b] == pytest.approx(costs.min())
