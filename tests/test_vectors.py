"""Vectors inside Numba functions, lane by lane beside NumPy."""

from hashlib import sha256

import numpy as np
import pytest
from machines import other_machines, run_as
from numba import njit
from numba.core.errors import TypingError
from reference import to_panels

from skquant._codecs._rotation import HadamardRotation
from skquant._codes._entropy import EntropyRowCode
from skquant._codes._scales import available_bits, code_for
from skquant._kernels._lanes import any_lane, fold, lane_bits, lanes_of, lowest_bit, pick, unfold
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
    splat,
    where,
)
from skquant.lattices import LATTICES

FLOATS = (np.float32, np.float64)
INTEGERS = (np.int16, np.int32, np.int64, np.uint32, np.uint64)
AWKWARD_FLOATS = [
    0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 0.1, -7.3, 1e-40, 8388609.0, -3e30, 1e30,
    np.inf, -np.inf, np.nan,
]  # fmt: skip


def awkward(dtype):
    """Give a vector's values of a type, the awkward ones among them."""
    rng = np.random.default_rng(0)
    if dtype in FLOATS:
        values = rng.standard_normal(LANES).astype(dtype)
        values[: len(AWKWARD_FLOATS)] = AWKWARD_FLOATS
    else:
        limits = np.iinfo(dtype)
        values = rng.integers(limits.min, limits.max, LANES, dtype)
        values[:7] = limits.min, limits.max, 0, 1, 2, 7, limits.max // 2 + 1
    return values


def assert_same(found, expected):
    """Compare values and types, the signs of zeros included."""
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    if found.dtype in FLOATS:
        signs = (np.where(np.isnan(x), 0, np.signbit(x)) for x in (found, expected))
        np.testing.assert_array_equal(*signs)


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


def test_masks_convert_to_zero_and_one():
    @njit
    def run(x, out):
        store(out, 0, cast(load(x, 0) > 0.0, np.int32))

    x, out = awkward(np.float32), np.empty(LANES, np.int32)
    run(x, out)
    assert_same(out, (x > 0).astype(np.int32))


# Masks


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


# Other machines


@other_machines
def test_the_vectors_of_other_machines(cpu):
    sample = "(float32 or words) and not neighbours and not registers"
    run_as(cpu, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", sample)


def digest_of_codes():
    """Rotate, encode and decode some rows, and condense what comes out, to the last bit."""
    panels = to_panels(np.random.default_rng(0).standard_normal((200, 48), dtype=np.float32))
    HadamardRotation.draw(48, np.random.RandomState(0)).forward(panels)
    digest = sha256()
    for lattice in LATTICES.values():
        for n_bits in (available_bits(lattice)[2], 32):
            code = code_for(lattice, n_bits)
            codes, decoded = np.zeros((200, 6 * code.n_bits), np.uint8), np.zeros_like(panels)
            moments, energy = np.zeros((200, 2)), np.zeros(200)
            code.encode(panels, 0, 6, 0, codes, moments)
            code.decode(codes, 0, 6, 0, decoded, energy)
            for array in (codes, moments, decoded, energy):
                digest.update(array.tobytes())
    return digest.hexdigest()


def digest_of_entropy_codes():
    """Encode and decode some rows by entropy coding, and condense what comes out."""
    panels = to_panels(np.random.default_rng(0).standard_normal((70, 96), dtype=np.float32))
    digest = sha256()
    for name, n_bytes in (("E8", 17), ("D4", 70), ("Trellis", 24)):
        code = EntropyRowCode.choose(name, 96, n_bytes)
        codes, decoded = np.zeros((70, n_bytes), np.uint8), np.zeros_like(panels)
        for array in (code.encode(panels, codes), codes, code.decode(codes, decoded), decoded):
            digest.update(array.tobytes())
    return digest.hexdigest()


@other_machines
def test_entropy_codes_do_not_depend_on_the_machine(cpu):
    there = run_as(cpu, "-c", "import test_vectors; print(test_vectors.digest_of_entropy_codes())")
    assert there.strip() == digest_of_entropy_codes()


@other_machines
def test_codes_do_not_depend_on_the_machine(cpu):
    there = run_as(cpu, "-c", "import test_vectors; print(test_vectors.digest_of_codes())")
    assert there.strip() == digest_of_codes()


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


def test_entries_are_picked_by_the_lowest_bits_of_an_index():
    @njit
    def run(table, index, out):
        store(out, 0, pick(table, load(index, 0)))

    table, out = np.arange(8, dtype=np.float32) ** 2, np.empty(LANES, np.float32)
    index = np.random.default_rng(0).integers(-50, 50, LANES).astype(np.int32)
    run(table, index, out)
    np.testing.assert_array_equal(out, table[index % 8])


def test_roots_and_products_added():
    @njit
    def run(x, out):
        a = load(x, 0)
        store(out, (0, 0), root(a))
        store(out, (1, 0), multiply_add(a, a, a))

    x, out = np.arange(LANES, dtype=np.float32), np.empty((2, LANES), np.float32)
    run(x, out)
    np.testing.assert_array_equal(out, [np.sqrt(x), x * x + x])
