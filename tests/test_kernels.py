"""The kernels beside the oracles of `reference.py`.

Run with NUMBA_CPU_NAME=generic too, which compiles for a CPU without SIMD extensions.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit
from reference import (
    coset_leaders,
    decode_block,
    least_error,
    power_of_two,
    room_for,
    rounds_of_transforms,
    smallest,
    to_panels,
    to_rows,
)
from scipy.linalg import hadamard

from skquant._codes._nested import NestedLatticeCode, Repeated, word_layout
from skquant._kernels._dispatch import (
    centre_rows,
    decode_words,
    encode_words,
    gather_rows,
    rotate,
    rotate_back,
    scale_rows,
    update_top_k,
)
from skquant._kernels._memory import copy_bytes
from skquant._kernels._vectors import LANES
from skquant.lattices import A2, D4, E8, LATTICES, Z

every_lattice = pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
both_precisions = pytest.mark.parametrize("dtype", [np.float32, np.float64])
widths = st.sampled_from([LANES, 2 * LANES, 5 * LANES])


def empty_panels(n_rows, n_columns, dtype=np.float32, width=LANES):
    """Make panels without values."""
    return to_panels(np.full((n_rows, n_columns), np.nan, dtype), width)


def make_code(lattice, q, scales):
    """Give a code of eight coordinates with as many bits as the scales need."""
    block = Repeated(lattice, 8 // lattice.dimension)
    n_bits = int(np.ceil(8 * np.log2(q) + np.log2(len(scales)) + 1e-9))
    if n_bits > 48:  # then each word is rounded up on its own
        n_bits += len(word_layout(8, q, n_bits)[1])
    return NestedLatticeCode(block, q, np.array(scales), n_bits, np.nan)


# Encode and decode


@every_lattice
# q > 128 is worked in double precision, q > 60 takes two words.
@pytest.mark.parametrize("q", [2, 3, 5, 16, 64, 101, 215, 1000])
def test_words_decode_to_the_leaders_of_their_cosets(lattice, q):
    code = make_code(lattice, q, [0.5, 0.7, 1.1])
    assert code.dtype == (np.float32 if q <= 128 else np.float64)
    n_bytes = -(-code.n_bits // 8)
    room = room_for(70)
    codes = np.random.default_rng(q).integers(256, size=(room, n_bytes), dtype=np.uint8)
    codes[70:] = 0  # as do rows that there is only room for
    words = [int.from_bytes(row.tobytes(), "little") for row in codes]
    expected = np.array([decode_block(code, word) for word in words])
    for width in (LANES, room):
        panels = empty_panels(room, 8, code.dtype, width)
        code.decode(codes[:70], 0, 1, 0, panels, np.zeros(70))
        np.testing.assert_allclose(to_rows(panels, room), expected, rtol=1e-5, atol=1e-5)


def errors_and_least_errors(code, x):
    """Squared errors of blocks, and the least there could be over all words and scales."""
    codes = np.zeros((len(x), -(-code.n_bits // 8)), np.uint8)
    code.encode(to_panels(x), 0, 1, 0, codes, np.zeros((len(x), 2)))
    panels = empty_panels(len(x), 8, code.dtype)
    code.decode(codes, 0, 1, 0, panels, np.zeros(len(x)))
    lattice = code.lattice.lattice
    leaders = coset_leaders(lattice, code.q, lattice.generic_point)
    least = np.array([least_error(code, block, leaders) for block in x.astype(float)])
    return ((x - to_rows(panels, len(x))) ** 2).sum(axis=1, dtype=float), least


@pytest.mark.parametrize(
    ("lattice", "q", "factors"),
    [
        (Z(), 2, [4.3]),
        (A2(), 3, [4.3]),
        (D4(), 4, [4.3]),
        (E8(), 2, [4.3]),
        (Z(), 13, [2.9, 3.7, 4.6, 5.8]),
        (A2(), 13, [2.9, 3.7, 4.6, 5.8]),
        (D4(), 4, [2.9, 3.7, 4.6, 5.8]),
        (E8(), 2, [2.9, 3.7, 4.6, 5.8]),
    ],
    ids=str,
)
def test_encoding_is_nearly_as_good_as_an_exhaustive_search(lattice, q, factors):
    radius = lattice.covolume ** (1 / lattice.dimension)
    code = make_code(lattice, q, np.array(factors) / (q * radius))
    x = np.random.default_rng(0).standard_normal((400, 8)).astype(code.dtype)
    errors, least = errors_and_least_errors(code, x)
    assert (errors > least * (1 - 1e-4) - 1e-6).all()
    assert errors.mean() < 1.1 * least.mean()
    if len(factors) == 1:  # and within the cell, the nearest lattice point is the best word
        errors, least = errors_and_least_errors(code, x / 5)
        np.testing.assert_allclose(errors, least, rtol=5e-3)  # ties to 16 bits fall either way
        assert np.mean(errors) < (1 + 1e-4) * np.mean(least)


# Encode and decode with a list of words


@given(st.integers(1, 256), st.integers(1, 150), widths, st.integers(0, 2**32 - 1))
def test_the_nearest_word_of_a_list_is_found(n_words, n_rows, width, seed):
    rng = np.random.default_rng(seed)
    words = rng.standard_normal((n_words, 8), dtype=np.float32)
    words[0] = 0
    rows = rng.standard_normal((n_rows, 2 + 3 * 8), dtype=np.float32)
    codes, moments = np.zeros((n_rows, 5), np.uint8), np.ones((n_rows, 2))
    half_energy = (words**2).sum(axis=1) / 2
    encode_words(words, half_energy, to_panels(rows, width), 2, 3, 1, codes, moments)
    blocks = rows[:, 2:].reshape(n_rows, 3, 1, 8)
    distances = ((blocks - words) ** 2).sum(axis=3)
    found = np.take_along_axis(distances, codes[:, 1:4, None].astype(int), axis=2)[..., 0]
    np.testing.assert_allclose(found, distances.min(axis=2), rtol=1e-5, atol=1e-6)
    assert not codes[:, [0, 4]].any()
    panels = empty_panels(n_rows, 2 + 3 * 8, width=width)
    energy = np.ones(n_rows)
    decode_words(words, half_energy, codes, 2, 3, 1, panels, energy)
    decoded = to_rows(panels, n_rows)[:, 2:]
    np.testing.assert_array_equal(decoded, words[codes[:, 1:4]].reshape(n_rows, -1))
    assert np.isnan(panels[:, :2]).all()
    expected = np.column_stack([(rows[:, 2:] * decoded).sum(axis=1), (decoded**2).sum(axis=1)])
    np.testing.assert_allclose(moments - 1, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(energy - 1, expected[:, 1], rtol=1e-5)


def test_bytes_that_name_no_word_decode_to_the_first_as_do_missing_rows():
    words = np.arange(3 * 8, dtype=np.float32).reshape(3, 8)
    codes, panels = np.array([[2], [3], [255]], np.uint8), empty_panels(3, 8)
    half_energy, energy = (words**2).sum(axis=1) / 2, np.zeros(3)
    decode_words(words, half_energy, codes, 0, 1, 0, panels, energy)
    np.testing.assert_array_equal(to_rows(panels, LANES), words[[2] + (LANES - 1) * [0]])
    np.testing.assert_array_equal(energy, 2 * half_energy[[2, 0, 0]])


# Rotate


@both_precisions
@given(
    st.integers(1, 130), st.integers(1, 4), st.integers(1, 40), widths, st.integers(0, 2**32 - 1)
)
def test_rotation_is_the_product_of_dense_matrices(dtype, n, n_rounds, n_rows, width, seed):
    rng = np.random.default_rng(seed)
    length = power_of_two(n)
    factors = rng.choice([-1, 1], (n_rounds, 2, n)) * rng.uniform(0.5, 1.2, n) / np.sqrt(length)
    factors = factors.astype(dtype)
    rows = rng.standard_normal((n_rows, n)).astype(dtype)
    rotation = rounds_of_transforms(factors.astype(float), hadamard(length))
    tolerance = 2e-6 if dtype == np.float32 else 1e-13
    for kernel, matrix in ((rotate, rotation), (rotate_back, rotation.T)):
        panels = to_panels(rows, width)
        kernel(panels, length, factors)
        np.testing.assert_allclose(to_rows(panels, n_rows), rows @ matrix, atol=tolerance * n)


# Centre and scale


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_features", [1, 7, LANES, 64, 1001])
@pytest.mark.parametrize("n_rows", [0, 1, 5, LANES, 50])
def test_centring(dtype, n_features, n_rows):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((n_rows, n_features)).astype(dtype)
    rows.flags.writeable = False
    mean, offset = rng.standard_normal(n_features), rng.standard_normal(n_rows)
    centred = rows.astype(float) - mean - offset[:, None]
    energy, product = np.full(n_rows, np.nan), np.full(n_rows, np.nan)
    centre_rows(rows, mean, offset, energy, product)
    np.testing.assert_allclose(energy, (centred**2).sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(product, centred @ mean, rtol=1e-9, atol=1e-11)
    factor = 10.0 ** np.resize([-30, -1, 0, 2, 30], n_rows)
    panels = empty_panels(n_rows, n_features)
    scale_rows(rows, mean, offset, factor, panels)
    expected = (centred * factor[:, None]).astype(np.float32)
    np.testing.assert_array_equal(to_rows(panels, n_rows), expected)
    assert not to_rows(panels, room_for(n_rows))[n_rows:].any()
    again = np.full((n_rows, n_features), np.nan, np.float32)
    gather_rows(panels, again)
    np.testing.assert_array_equal(again, expected)


def test_rows_are_gathered_exactly_and_from_no_other_lanes():
    rows = np.random.default_rng(0).standard_normal((37, 51), dtype=np.float32)
    rows[3, 7], rows[20, 49] = np.nan, -0.0
    gathered = np.full(rows.shape, 7, np.float32)
    gather_rows(to_panels(rows), gathered)
    np.testing.assert_array_equal(gathered.view(np.uint32), rows.view(np.uint32))


def test_centring_is_worked_in_double_precision():
    """What is left of rows far from the origin is not lost."""
    rows = 1e6 + np.arange(12, dtype=np.float32).reshape(3, 4)
    mean = rows.mean(axis=0, dtype=float) + 1e-3
    energy, product = np.empty(3), np.empty(3)
    centre_rows(rows, mean, np.zeros(3), energy, product)
    np.testing.assert_allclose(energy, 4 * np.array([4.001, 0.001, 3.999]) ** 2, rtol=1e-6)


# Keep the nearest


def top_k(products, weight, offset, k, panel_rows):
    """Search panel by panel, and sort what was found."""
    n_queries, n_rows = products.shape
    distances = np.full((n_queries, k), np.inf)
    indices = np.full((n_queries, k), np.iinfo(np.int64).max)
    for first in range(0, n_rows, panel_rows):
        rows = slice(first, first + panel_rows)
        panel = np.ascontiguousarray(products[:, rows])
        update_top_k(panel, weight, offset[rows], first, distances, indices)
    order = np.lexsort((indices, distances), axis=1)
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(indices, order, axis=1)


sizes = st.tuples(*(st.integers(1, most) for most in (5, 300, 300, 40)))


@given(sizes, st.sampled_from([1, 3, 10**6]), st.integers(0, 2**32 - 1))
def test_the_nearest_rows_are_kept_and_the_first_of_those_that_tie(sizes, n_values, seed):
    """With few distinct values nearly everything ties; integers make the oracle exact."""
    n_queries, n_rows, panel_rows, k = sizes
    rng = np.random.default_rng(seed)
    k = min(k, n_rows)
    products = rng.integers(-n_values, n_values, (n_queries, n_rows), endpoint=True)
    weight = rng.integers(0, 3, n_queries).astype(float)
    offset = rng.integers(-2, 3, n_rows).astype(float)
    expected = smallest(offset + weight[:, None] * products, k)
    found = top_k(products.astype(np.float32), weight, offset, k, panel_rows)
    np.testing.assert_array_equal(found, expected)


@given(sizes, st.integers(-12, 12), st.integers(-12, 12), st.integers(0, 2**32 - 1))
def test_the_nearest_rows_are_kept_whatever_outweighs_what(sizes, product_size, offset_size, seed):
    """Also where the product is lost in the offset's rounding, or the offset in the product's."""
    n_queries, n_rows, panel_rows, k = sizes
    rng = np.random.default_rng(seed)
    k = min(k, n_rows)
    products = rng.standard_normal((n_queries, n_rows), dtype=np.float32)
    weight = 10.0**product_size * rng.random(n_queries)
    offset = 10.0**offset_size * rng.integers(-1, 3, n_rows)
    expected = smallest(offset + weight[:, None] * products.astype(float), k)
    found = top_k(products, weight, offset, k, panel_rows)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-15)


def test_fewer_rows_than_neighbours_leave_room_for_the_next_panels():
    products = np.ones((1, 2), np.float32)
    found, rows = top_k(products, np.ones(1), np.zeros(2), k=4, panel_rows=1)
    np.testing.assert_array_equal(found, [[1, 1, np.inf, np.inf]])
    np.testing.assert_array_equal(rows[:, :2], [[0, 1]])


@njit
def copy(source, row, target, to, count):
    copy_bytes(source, (row, 0), target, (to, 3), count)


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 20))
def test_copies_of_bytes(row, to, count):
    source = np.random.default_rng(0).integers(256, size=(8, 10), dtype=np.uint8)
    target = np.zeros((8, 10), np.uint8)
    copy(source, row, target, to, count)
    expected = np.zeros(80, np.uint8)
    expected[10 * to + 3 : 10 * to + 3 + count] = source.ravel()[10 * row : 10 * row + count]
    np.testing.assert_array_equal(target.ravel(), expected)
