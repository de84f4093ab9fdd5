"""Arithmetic of vectors inside Numba functions, lane by lane beside NumPy."""

import numpy as np
import pytest
from lane_values import FLOATS, INTEGERS, assert_same, awkward
from numba import njit
from numba.core.errors import TypingError

from skquant._kernels._lanes import fold, unfold
from skquant._kernels._memory import load, store
from skquant._kernels._vectors import (
    LANES,
    bits,
    cast,
    flip,
    floor,
    from_bits,
    high_half,
    inlined,
    least,
    most,
    multiply_add,
    rint,
    root,
    rounded_product,
    where,
)

# Two operands


def arithmetic(a, b):
    return a + b, a - b, a * b


def division(a, b):
    return (a / b,)


def bitwise_operators(a, b):
    return a & b, a | b, a ^ b


def shifts(a, b):
    return a << b, a >> b


def comparisons(a, b):
    return a < b, a <= b, a > b, a >= b, a == b, a != b


def choices(a, b):
    return least(a, b), most(a, b)


def expected_choices(a, b):
    """Take the second operand where they do not compare, or are equal."""
    return np.where(a < b, a, b), np.where(a > b, a, b)


def flips(a, b):
    return (flip(a, b),)


def expected_flips(a, b):
    return (np.where(np.signbit(b), -a, a),)


def high_halves(a, b):
    return (high_half(a, b),)


def expected_high_halves(a, b):
    return ((a.astype(np.int64) * b.astype(np.int64) >> 16).astype(a.dtype),)


def rounded_products(a, b):
    return (rounded_product(a, b),)


def expected_rounded_products(a, b):
    return (((a.astype(np.int64) * b.astype(np.int64) + 2**14) >> 15).astype(a.dtype),)


@inlined
def unchanged(vector):
    return vector


@inlined
def as_integers(mask):
    return cast(mask, np.int32)


@njit
def run_pairs(operations, finish, a, b, out):
    """Combine a with windows of b, a with each value of b, and each value of a with b."""
    for i in range(LANES):
        values = operations(load(a, 0), load(b, i))
        with_scalars = operations(load(a, 0), b[i])
        of_scalars = operations(a[i], load(b, 0))
        for k in range(len(values)):
            store(out, (k, 0, i, 0), finish(values[k]))
            store(out, (k, 1, i, 0), finish(with_scalars[k]))
            store(out, (k, 2, i, 0), finish(of_scalars[k]))


PAIRS = [
    (arithmetic, arithmetic, FLOATS + INTEGERS),
    (division, division, FLOATS),
    (bitwise_operators, bitwise_operators, INTEGERS),
    (shifts, shifts, [np.int16, np.uint16, np.int32, np.uint32, np.uint64]),
    (high_halves, expected_high_halves, [np.int16, np.uint16]),
    (rounded_products, expected_rounded_products, [np.int16]),
    (comparisons, comparisons, FLOATS + INTEGERS),
    (choices, expected_choices, FLOATS + INTEGERS),
    (flips, expected_flips, FLOATS),
]


@pytest.mark.parametrize(
    ("operations", "expected", "dtype"),
    [
        pytest.param(operations, expected, dtype, id=f"{operations.__name__}-{dtype.__name__}")
        for operations, expected, dtypes in PAIRS
        for dtype in dtypes
    ],
)
def test_operations_on_pairs_of_vectors_and_of_vectors_with_scalars(operations, expected, dtype):
    a = b = awkward(dtype)
    if operations is shifts:
        b = np.resize([0, 1, 2, 3, 7, 8, 9, 15, 16, 31, 32, 33, 47, 48, 62, 63], LANES)
        b = np.minimum(b, np.iinfo(dtype).bits - 1).astype(dtype)
    twice = np.tile(b, 2)
    windows = np.array([twice[i : i + LANES] for i in range(LANES)])
    with np.errstate(all="ignore"):
        forms = expected(a, windows), expected(a, b[:, None]), expected(a[:, None], b)
    values, finish = np.array(forms).swapaxes(0, 1), unchanged
    if values.dtype == bool:
        values, finish = values.astype(np.int32), as_integers
    out = np.empty(values.shape, values.dtype)
    run_pairs(inlined(operations), finish, a, twice, out)
    assert_same(out, values)


@pytest.mark.parametrize("dtype", FLOATS)
def test_scalars_join_at_the_precision_of_the_vector(dtype):
    @njit
    def run(x, out):
        store(out, (0, 0), 0.1 * load(x, 0))
        store(out, (1, 0), load(x, 0) + 3)
        store(out, (2, 0), where(load(x, 0) > 0.1, 0.1, load(x, 0)))
        store(out, (3, 0), most(1e-30, load(x, 0)))

    x = awkward(dtype)
    x[0] = np.float32(0.1)  # which is larger than .1
    out = np.empty((4, LANES), dtype)
    run(x, out)
    tenth = dtype(0.1)
    expected = [
        tenth * x,
        x + dtype(3),
        np.where(x > tenth, tenth, x),
        np.where(dtype(1e-30) > x, dtype(1e-30), x),
    ]
    assert_same(out, np.array(expected))


def test_integers_join_at_the_precision_of_the_vector():
    @njit
    def run(x, out):
        store(out, (0, 0), load(x, 0) & -8 | 5)
        store(out, (1, 0), where(load(x, 0) < 0, load(x, 0), np.int64(7)))

    x = awkward(np.int32)
    out = np.empty((2, LANES), np.int32)
    run(x, out)
    assert_same(out, np.array([x & -8 | 5, np.where(x < 0, x, np.int32(7))]))


def test_vectors_of_different_types_do_not_mix():
    @njit
    def run(a, b, out):
        store(out, 0, load(a, 0) + load(b, 0))

    for one, other in [(np.float32, np.float64), (np.int32, np.int64), (np.float32, np.int32)]:
        with pytest.raises(TypingError):
            run(awkward(one), awkward(other), awkward(other))


@pytest.mark.parametrize("dtype", FLOATS)
def test_multiply_and_add_are_not_fused(dtype):
    @njit
    def run(a, b, c, out):
        store(out, 0, load(a, 0) * load(b, 0) - load(c, 0))

    a = 1 + np.arange(1, LANES + 1).astype(dtype) * np.finfo(dtype).eps
    out = np.empty(LANES, dtype)
    run(a, a, a * a, out)
    assert not out.any()


# One operand


@pytest.mark.parametrize("dtype", FLOATS)
def test_functions_of_floats(dtype):
    @njit
    def run(x, out):
        store(out, (0, 0), abs(load(x, 0)))
        store(out, (1, 0), rint(load(x, 0)))
        store(out, (2, 0), floor(load(x, 0)))

    halves = (np.arange(LANES) - LANES // 2).astype(dtype) / 2  # ties go to even
    large = (2.0 ** np.arange(13, 13 + LANES) + 0.5).astype(dtype)
    for x in (awkward(dtype), halves, large, -large):
        out = np.empty((3, LANES), dtype)
        run(x, out)
        assert_same(out, np.array([np.abs(x), np.rint(x), np.floor(x)]))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_inversion_of_integers(dtype):
    @njit
    def run(x, out):
        store(out, 0, ~load(x, 0))

    x, out = awkward(dtype), np.empty(LANES, dtype)
    run(x, out)
    assert_same(out, ~x)


@pytest.mark.parametrize("dtype", FLOATS)
def test_bits_and_back(dtype):
    @njit
    def run(x, integers, again):
        store(integers, 0, bits(load(x, 0)))
        store(again, 0, from_bits(bits(load(x, 0))))

    x = awkward(dtype)
    integer = np.int32 if dtype == np.float32 else np.int64
    integers, again = np.empty(LANES, integer), np.empty(LANES, dtype)
    run(x, integers, again)
    assert_same(integers, x.view(integer))
    assert_same(again.view(integer), x.view(integer))


# The conversions in use, and their like.
CASTS = [
    (np.float32, np.float64),
    (np.float64, np.float32),
    (np.float32, np.float32),
    (np.float64, np.float64),
    (np.float32, np.int32),
    (np.float64, np.int32),
    (np.float64, np.uint64),
    (np.float32, np.int16),
    (np.int32, np.float32),
    (np.int32, np.float64),
    (np.uint64, np.float64),
    (np.int16, np.int32),
    (np.int32, np.uint32),
    (np.uint32, np.int32),
    (np.uint16, np.uint64),
    (np.uint32, np.uint64),
    (np.uint64, np.uint32),
    (np.uint64, np.int32),
]


@pytest.mark.parametrize(("old", "new"), CASTS)
def test_conversions(old, new):
    @njit
    def run(x, out):
        store(out, (0, 0), cast(load(x, 0), new))
        store(out, (1, 0), cast(load(x, 0), out[0, 0]))

    x = awkward(old)
    if old in FLOATS and new in INTEGERS:  # floats beyond the integers convert to anything
        limits = np.iinfo(new)
        x = np.linspace(limits.min / 3, limits.max / 3, LANES).astype(old)
        x[5:9] = 0.0, 0.99, 1.01, 0.5
        x[9] = 2.0**48 - 1 if new == np.uint64 else -1.9
    out = np.zeros((2, LANES), new)
    run(x, out)
    with np.errstate(all="ignore"):
        assert_same(out, np.tile(x.astype(new), (2, 1)))


@pytest.mark.parametrize("dtype", [np.int32, np.uint32])
def test_folded_integers_unfold_to_what_16_bits_hold(dtype):
    @njit
    def run(x, out):
        folded = fold(load(x, 0))
        store(out, (0, 0), unfold(folded))
        store(out, (1, 0), unfold(where(folded > 7, folded, 7)))

    x, out = awkward(dtype), np.empty((2, LANES), dtype)
    run(x, out)
    narrow = x.astype(np.int16 if dtype == np.int32 else np.uint16)
    assert_same(out, np.array([narrow, np.maximum(narrow, 7)]).astype(dtype))


def test_roots_and_products_added():
    @njit
    def run(x, out):
        a = load(x, 0)
        store(out, (0, 0), root(a))
        store(out, (1, 0), multiply_add(a, a, a))

    x, out = np.arange(LANES, dtype=np.float32), np.empty((2, LANES), np.float32)
    run(x, out)
    np.testing.assert_array_equal(out, [np.sqrt(x), x * x + x])
