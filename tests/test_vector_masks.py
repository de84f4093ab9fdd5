"""Masks of vectors: where lanes compare, and what is chosen by them."""

import numpy as np
import pytest
from lane_values import FLOATS, assert_same, awkward
from numba import njit

from skquant._kernels._lanes import any_lane, lane_bits, lanes_of, lowest_bit
from skquant._kernels._memory import load, store
from skquant._kernels._vectors import LANES, cast, splat, where


def test_masks_convert_to_zero_and_one():
    @njit
    def run(x, out):
        store(out, 0, cast(load(x, 0) > 0.0, np.int32))

    x, out = awkward(np.float32), np.empty(LANES, np.int32)
    run(x, out)
    assert_same(out, (x > 0).astype(np.int32))


@pytest.mark.parametrize("dtype", FLOATS)
def test_masks_combine_and_choose(dtype):
    @njit
    def run(a, b, out, chosen):
        x, y = load(a, 0), load(b, 0)
        positive, less = x > 0.0, x < y
        store(out, (0, 0), cast(positive & less, np.int32))
        store(out, (1, 0), cast(positive | less, np.int32))
        store(out, (2, 0), cast(positive ^ less, np.int32))
        store(out, (3, 0), cast(~positive, np.int32))
        store(chosen, (0, 0), where(positive ^ less, x, y))
        store(chosen, (1, 0), where(positive, 2.5, y))
        store(chosen, (2, 0), where(~less, x, -1))

    for shift in range(LANES):
        a = awkward(dtype)
        b = np.roll(a, shift)
        positive, less = a > 0, a < b
        out, chosen = np.empty((4, LANES), np.int32), np.empty((3, LANES), dtype)
        run(a, b, out, chosen)
        assert_same(
            out, np.array([positive & less, positive | less, positive ^ less, ~positive], np.int32)
        )
        expected = [
            np.where(positive ^ less, a, b),
            np.where(positive, dtype(2.5), b),
            np.where(~less, a, dtype(-1)),
        ]
        assert_same(chosen, np.array(expected))


def test_integers_are_chosen_by_masks_of_floats():
    @njit
    def run(x, integers, out):
        store(out, 0, where(load(x, 0) > 1.0, load(integers, 0), -1))

    x, integers, out = awkward(np.float32), awkward(np.int32), np.empty(LANES, np.int32)
    run(x, integers, out)
    assert_same(out, np.where(x > 1, integers, np.int32(-1)))


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint64])
def test_any_lane(dtype):
    @njit
    def run(x):
        return any_lane(load(x, 0) > 1)

    x = np.zeros(LANES, dtype)
    assert run(x) is False
    for lane in range(LANES):
        x[:] = 0
        x[lane] = 2
        assert run(x) is True
    x[:] = 2
    assert run(x) is True


def test_lanes_of_a_mask_as_bits():
    @njit
    def run(x, out):
        near, count = lane_bits(load(x, 0) > 0), 0
        while near != 0:
            out[count] = lowest_bit(near)
            near &= near - np.uint64(1)
            count += 1
        return count

    for chosen in ([], [0], [31], [0, 3, 17, 31], list(range(LANES))):
        x, out = np.zeros(LANES, np.int32), np.zeros(LANES, np.int64)
        x[chosen] = 1
        assert list(out[: run(x, out)]) == chosen


def test_a_mask_of_bits():
    @njit
    def run(bits, out):
        store(out, 0, where(lanes_of(bits), 1, splat(np.int32(0))))

    for mask in (0, 1, 1 << LANES - 1, 0xA5F00C31, (1 << 64) - 1, 0xFF << LANES):
        out = np.empty(LANES, np.int32)
        run(np.uint64(mask), out)
        assert list(out) == [mask >> lane & 1 for lane in range(LANES)]
