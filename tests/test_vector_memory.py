"""Vectors between memory and registers."""

import numpy as np
import pytest
from lane_values import FLOATS, INTEGERS, assert_same, awkward
from numba import njit
from numba.core.errors import TypingError

from skquant._kernels._lanes import pick
from skquant._kernels._memory import (
    gather,
    gather_words,
    load,
    load_words,
    scatter_words,
    store,
    store_words,
)
from skquant._kernels._registers import registers, transpose
from skquant._kernels._vectors import LANES, cast, inlined, splat

# Scalars and memory


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
def test_splat(dtype):
    @njit
    def run(scalars, out):
        for i in range(LANES):
            store(out, (i, 0), splat(scalars[i]))

    scalars, out = awkward(dtype), np.empty((LANES, LANES), dtype)
    run(scalars, out)
    assert_same(out, np.repeat(scalars[:, None], LANES, axis=1))


@njit
def copy(source, start, target, stop):
    store(target, stop, load(source, start))


types_and_indices = pytest.mark.parametrize(
    ("dtype", "index_type"),
    [*((dtype, int) for dtype in FLOATS + INTEGERS),
     *((np.float32, index) for index in (np.int32, np.uint64, np.uint8))],
)  # fmt: skip


@types_and_indices
def test_neighbours_are_read_and_written(dtype, index_type):
    """At any place on the last axis, and none beside them."""
    rng = np.random.default_rng(0)
    for shape in [(3 * LANES,), (3, LANES + 21), (2, 3, LANES + 4)]:
        source = rng.integers(1, 100, shape).astype(dtype)
        source.flags.writeable = False
        for first in range(shape[-1] - LANES + 1):
            start = (*(n - 1 for n in shape[:-1]), first)
            stop = (*(n - 2 for n in shape[:-1]), shape[-1] - LANES - first)
            target = np.zeros(shape, dtype)
            expected = target.copy()
            expected[(*stop[:-1], slice(stop[-1], stop[-1] + LANES))] = source[
                (*start[:-1], slice(first, first + LANES))
            ]
            start, stop = (tuple(map(index_type, index)) for index in (start, stop))
            if len(shape) == 1:
                start, stop = start[0], stop[0]
            copy(source, start, target, stop)
            assert_same(target, expected)


def test_what_cannot_be_read_or_written_is_refused():
    x = np.zeros((3 * LANES, 3 * LANES), np.float32)
    frozen = x.copy()
    frozen.flags.writeable = False
    for source, target in [
        (x[:, ::2], x), (x, x[:, ::2]), (x.T, x), (x, frozen), (x, x.astype(np.float64)),
    ]:  # fmt: skip
        with pytest.raises(TypingError):
            copy(source, (0, 0), target, (0, 0))
    with pytest.raises(TypingError):
        copy(x, 0, x, 0)
    with pytest.raises(TypingError):
        copy(x, (0, 0, 0), x, (0, 0))


def test_words_are_read_from_bytes():
    @njit
    def read(codes, row, byte, words):
        store(words, 0, load_words(codes, (row, byte)))

    codes = np.random.default_rng(0).integers(256, size=(LANES + 3, 21), dtype=np.uint8)
    codes[:2] = 255
    codes.flags.writeable = False
    words = np.empty(LANES, np.uint64)
    for row in range(4):
        for byte in range(14):
            read(codes, row, byte, words)
            expected = codes[row : row + LANES, byte : byte + 8].copy().view("<u8").ravel()
            np.testing.assert_array_equal(words, expected)
    for refused in (codes.view(np.int8), codes[:, :20], codes.T):
        with pytest.raises(TypingError):
            read(refused, 0, 0, words)


def test_words_are_written_to_bytes():
    @njit
    def run(codes, words):
        store_words(codes, (1, 3), load(words, 0))

    codes, words = np.zeros((LANES + 2, 13), np.uint8), awkward(np.uint64)
    run(codes, words)
    expected = np.zeros_like(codes)
    expected[1:-1, 3:11] = words.astype("<u8")[:, None].view(np.uint8)
    np.testing.assert_array_equal(codes, expected)


# Registers


@inlined
def reverse(block):
    """Exchange the first vectors with the last."""
    for i in range(LANES // 2):
        block[i], block[LANES - 1 - i] = block[LANES - 1 - i], block[i]


@njit
def order_registers(source, order, out):
    block = registers(source[0, 0], LANES)
    for i in range(LANES):
        block[order[i]] = load(source, (i, 0))
    reverse(block)
    for i in range(LANES):
        store(out, (i, 0), block[i])


@types_and_indices
def test_registers_are_indexed_dynamically_and_changed_by_functions(dtype, index_type):
    source = np.arange(LANES**2).reshape(LANES, LANES).astype(dtype)
    order = np.random.default_rng(0).permutation(LANES)
    out = np.empty_like(source)
    order_registers(source, order.astype(index_type), out)
    expected = np.empty_like(source)
    expected[order] = source
    assert_same(out, expected[::-1])


def test_registers_of_several_counts_live_side_by_side():
    @njit
    def run(x, out):
        one, two = registers(np.float32(0), 1), registers(1.0, 2)
        one[0] = load(x, 0)
        two[0] = two[1] = cast(one[0], np.float64)
        for i in range(10):
            two[i % 2] = two[i % 2] + i
            one[0] = one[0] * 2
        store(out, (0, 0), two[0])
        store(out, (1, 0), two[1])
        store(out, (2, 0), cast(one[0], np.float64))

    x, out = np.arange(LANES, dtype=np.float32), np.empty((3, LANES))
    run(x, out)
    assert_same(out, np.array([x + 20, x + 25, x * 1024], float))


def test_registers_take_only_their_own_type():
    @njit
    def run(x):
        block = registers(np.float64(0), 2)
        block[0] = load(x, 0)

    run(np.zeros(LANES))
    with pytest.raises(TypingError):
        run(np.zeros(LANES, np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_transpose(dtype):
    @njit
    def run(source, out):
        tile = registers(source[0, 0], LANES)
        for i in range(LANES):
            tile[i] = load(source, (i, 0))
        transpose(tile)
        for i in range(LANES):
            store(out, (i, 0), tile[i])

    source = np.random.default_rng(0).permutation(LANES**2).reshape(LANES, LANES).astype(dtype)
    out = np.empty_like(source)
    run(source, out)
    assert_same(out, np.ascontiguousarray(source.T))


# Gather and scatter


@njit
def gather_elements(array, index, out):
    store(out, 0, gather(array, load(index, 0)))


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
def test_gather(dtype):
    rng = np.random.default_rng(0)
    array, out = rng.integers(0, 1000, 77).astype(dtype), np.empty(LANES, dtype)
    index = rng.integers(0, len(array), LANES).astype(np.int32)
    gather_elements(array, index, out)
    assert_same(out, array[index])


@njit
def move_words(source, index, target, places, out):
    words = gather_words(source, load(index, 0))
    store(out, 0, words)
    scatter_words(target, load(places, 0), words)


def test_words_of_any_place():
    rng = np.random.default_rng(0)
    source, target = rng.integers(0, 256, 300).astype(np.uint8), np.zeros(5 * LANES, np.uint8)
    index = rng.integers(0, len(source) - 3, LANES).astype(np.int32)
    index[0], index[1] = 0, len(source) - 4
    places, out = 5 * np.arange(LANES, dtype=np.int32)[::-1].copy() + 1, np.empty(LANES, np.uint32)
    move_words(source, index, target, places, out)
    four = source[index[:, None] + np.arange(4)]
    assert_same(out, four.astype(np.uint32) @ (1 << np.arange(0, 32, 8, dtype=np.uint32)))
    expected = np.zeros_like(target)
    expected[places[:, None] + np.arange(4)] = four
    assert_same(target, expected)


def test_later_lanes_overwrite_earlier_ones():
    source, target = np.arange(LANES + 3, dtype=np.uint8), np.zeros(4, np.uint8)
    index, places = np.arange(LANES, dtype=np.int32), np.zeros(LANES, np.int32)
    move_words(source, index, target, places, np.empty(LANES, np.uint32))
    assert_same(target, source[LANES - 1 :])


def test_entries_are_picked_by_the_lowest_bits_of_an_index():
    @njit
    def run(table, index, out):
        store(out, 0, pick(table, load(index, 0)))

    table, out = np.arange(8, dtype=np.float32) ** 2, np.empty(LANES, np.float32)
    index = np.random.default_rng(0).integers(-50, 50, LANES).astype(np.int32)
    run(table, index, out)
    np.testing.assert_array_equal(out, table[index % 8])
