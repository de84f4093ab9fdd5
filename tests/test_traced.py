"""Traced functions beside NumPy."""

from typing import NamedTuple

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from skquant._kernels._memory import load, store
from skquant._kernels._registers import registers
from skquant._kernels._traced import traced
from skquant._kernels._vectors import LANES, cast, most, where

# Older versions of Numba turn what is raised while they type into errors of their own.
old_numba_wraps_errors = pytest.mark.filterwarnings(
    "ignore::numba.core.errors.NumbaPendingDeprecationWarning"
)


class Pair(NamedTuple):
    """What a kernel takes as a tuple with names."""

    factor: np.float32
    table: np.ndarray


@traced
def polynomial(x, coefficients):
    """Combine a number of vectors that only Python knows."""
    total = x * coefficients[0] + coefficients[1]
    for i in (2, 3):
        total = total * x + coefficients[i]
    return total


@traced
def both_ends(pair, x, place):
    """Take fields, entries of arrays and tuples, and give several vectors."""
    scaled = abs(x) * -1.5 * pair.factor + pair.table[place[1]]
    return most(scaled, x), cast(where(x > 0, 1.0, x) / 2, np.int32)


@traced
def in_place(block):
    """Change vectors in registers; call another traced function; give nothing."""
    for i in range(3):
        block[i] = polynomial(block[i], [1.0, 0, 2, i])


@njit
def run(pair, x, coefficients, out, integers):
    block = registers(np.float32(0), 3)
    store(out, (0, 0), polynomial(load(x, 0), coefficients))
    ends, halves = both_ends(pair, load(x, 0), (7, 1))
    store(out, (1, 0), ends)
    store(integers, 0, halves)
    for i in range(3):
        block[i] = load(x, 0)
    in_place(block)
    for i in range(3):
        store(out, (2 + i, 0), block[i])


def test_what_they_emit():
    x = np.linspace(-3, 3, LANES).astype(np.float32)
    coefficients = np.array([1, -2, 3, 0.5], np.float32)
    pair = Pair(np.float32(1.5), np.array([4, -5], np.float32))
    out, integers = np.empty((5, LANES), np.float32), np.empty(LANES, np.int32)
    run(pair, x, coefficients, out, integers)
    np.testing.assert_allclose(out[0], np.polyval(coefficients, x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(out[1], np.maximum(np.abs(x) * -2.25 - 5, x), rtol=1e-6)
    np.testing.assert_array_equal(integers, (np.where(x > 0, 1, x) / 2).astype(np.int32))
    for i in range(3):
        expected = np.polyval([1, 0, 2, i], x)
        np.testing.assert_allclose(out[2 + i], expected, rtol=1e-5, atol=1e-5)


@old_numba_wraps_errors
def test_no_branches_on_what_only_a_call_knows():
    @traced
    def larger(a, b):
        return a if a > b else b

    @njit
    def call(x):
        store(x, 0, larger(load(x, 0), load(x, 0)))

    with pytest.raises((TypeError, TypingError), match="cannot branch"):
        call(np.zeros(LANES))


@old_numba_wraps_errors
def test_only_fields_are_attributes():
    @traced
    def shape(array):
        return array.no_such_field

    @njit
    def call(x):
        return shape(x)

    with pytest.raises((AttributeError, TypingError), match="no_such_field"):
        call(np.zeros(LANES))
