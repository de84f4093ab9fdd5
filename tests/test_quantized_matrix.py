"""QuantizedMatrix: a value that multiplies, is indexed, saved and loaded."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import lsqr, svds

from skquant import LatticeQuantizer, QuantizedMatrix, _file_format
from skquant._codecs._codec import Codec
from skquant.quantized_matrix import KIND

CENTERS = ["features", "rows", False]
ROUNDED = 100.0


def compress(n_rows, n_features, dtype=np.float64, bits=3.0, seed=0, **parameters):
    """Compress Gaussian rows about a centre that is not zero."""
    rng = np.random.default_rng(seed)
    X = (rng.standard_normal((n_rows, n_features)) + rng.standard_normal(n_features)).astype(dtype)
    return LatticeQuantizer(bits, random_state=seed, **parameters).fit(X).compress(X)


@pytest.fixture(
    params=[
        {},
        {"center": "rows", "rotation": "orthogonal"},
        {"center": False, "rotation": None, "lattice": "Z"},
        {"bits": 0.4},
        {"rotation": "pca"},
    ],
    ids=["features", "rows", "plain", "below one bit", "learned"],
)
def matrix(request):
    return compress(150, 21, **request.param)


@pytest.fixture
def small_panels(monkeypatch):
    """Let even small matrices be worked on, and mapped, in several panels."""
    monkeypatch.setattr(Codec, "block_rows", lambda self: 64)
    monkeypatch.setattr(_file_format, "PANEL_NBYTES", 256)


def dense(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def assert_products_equal(product, expected, scale=1.0):
    """Compare up to rounding errors, ROUNDED times those of single precision for integers."""
    assert product.shape == expected.shape
    tolerance = 2e-6 * scale * max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(product, expected, rtol=1e-5, atol=tolerance)


# A matrix like others


def test_shape_and_size(matrix):
    assert matrix.shape == (150, 21)
    assert matrix.ndim == 2
    assert len(matrix) == 150
    n_bytes = matrix.bits_per_entry * 21 / 8
    assert n_bytes == int(n_bytes)
    assert matrix.nbytes > 150 * n_bytes
    # Rows without end make the codec negligible.
    assert matrix.nbytes - matrix[:75].nbytes == 75 * n_bytes
    assert f"{matrix.bits_per_entry:.4g} bits an entry" in repr(matrix)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_conversion_to_an_array(dtype):
    matrix = compress(30, 8, dtype)
    expected = matrix.toarray()
    assert expected.dtype == matrix.dtype == dtype
    for same in (
        np.asarray(matrix),
        np.array(matrix),
        matrix.T.toarray().T,
        np.asarray(matrix.T).T,
    ):
        assert same.dtype == dtype
        np.testing.assert_array_equal(same, expected)
    half = np.asarray(matrix, dtype=np.float16)
    np.testing.assert_array_equal(half, expected.astype(np.float16))
    with pytest.raises(ValueError, match="without a copy"):
        matrix.__array__(copy=False)


def test_reconstruction_is_what_the_quantizer_transforms_to():
    X = dense(40, 30)
    quantizer = LatticeQuantizer(random_state=0).fit(X)
    np.testing.assert_array_equal(quantizer.compress(X).toarray(), quantizer.transform(X))


# Products


def test_products_are_those_of_the_reconstruction(matrix, small_panels):
    array = matrix.toarray()
    v, w, M, N = dense(21), dense(150), dense(21, 6), dense(6, 150)
    assert_products_equal(matrix @ v, array @ v)
    assert_products_equal(matrix @ M, array @ M, scale=ROUNDED)
    assert_products_equal(w @ matrix, w @ array, scale=10)
    assert_products_equal(N @ matrix, N @ array, scale=10)
    assert_products_equal(matrix.T @ w, array.T @ w, scale=10)
    assert_products_equal(matrix.T @ N.T, array.T @ N.T, scale=10)
    assert_products_equal(v @ matrix.T, v @ array.T)
    assert_products_equal(M.T @ matrix.T, M.T @ array.T, scale=ROUNDED)


def test_products_of_compressed_matrices(matrix, small_panels):
    """Whether the codecs are one and the same or not."""
    others = [matrix, matrix[20:70], compress(90, 21, bits=5, lattice="D4", seed=3)]
    for other in others:
        expected = matrix.toarray() @ other.toarray().T
        assert_products_equal(matrix @ other.T, expected, scale=ROUNDED)
        assert_products_equal(other @ matrix.T, expected.T, scale=ROUNDED)
    gram = matrix.toarray().T @ matrix.toarray()
    assert_products_equal(matrix.T @ matrix, gram, scale=10)
    square = compress(21, 21)
    assert_products_equal(matrix @ square, matrix.toarray() @ square.toarray())
    assert_products_equal(square.T @ square.T, (square.toarray() @ square.toarray()).T)


@pytest.mark.parametrize(
    ("dtype", "operand", "expected"),
    [
        (np.float32, np.float32, np.float32),
        (np.float32, np.float64, np.float64),
        (np.float64, np.float32, np.float64),
        (np.float32, np.int64, np.float64),
        (np.float32, bool, np.float64),
    ],
)
def test_dtypes_of_products(dtype, operand, expected):
    matrix = compress(40, 12, dtype)
    array = matrix.toarray()
    M, N = (3 * dense(12, 5)).astype(operand), (3 * dense(40, 5)).astype(operand)
    for product, exact in ((matrix @ M, array @ M), (matrix.T @ N, array.T @ N)):
        assert product.dtype == expected
        assert_products_equal(product, exact, scale=ROUNDED)


@pytest.mark.parametrize("size", [1e-60, 1e-30, 1e30, 1e60])
@pytest.mark.parametrize("center", CENTERS)
def test_operands_may_be_of_any_size(size, center):
    matrix = compress(40, 12, center=center)
    array = matrix.toarray()
    v, w = dense(12), dense(40)
    assert_products_equal(matrix @ (size * v) / size, array @ v, scale=10)
    assert_products_equal(matrix.T @ (size * w) / size, array.T @ w, scale=10)


def test_columns_of_very_different_sizes():
    matrix = compress(40, 12)
    sizes = 10.0 ** np.arange(-20, 21, 10)
    M = dense(12, 5)
    assert_products_equal(matrix @ (M * sizes) / sizes, matrix.toarray() @ M, scale=ROUNDED)


def test_products_of_no_rows_and_with_no_columns():
    matrix = compress(10, 6)
    none = matrix[:0]
    assert none.shape == (0, 6)
    assert none.toarray().shape == (0, 6)
    assert (none @ dense(6)).shape == (0,)
    assert (none @ dense(6, 3)).shape == (0, 3)
    assert (matrix @ np.empty((6, 0))).shape == (10, 0)
    assert (matrix @ none.T).shape == (10, 0)
    np.testing.assert_array_equal(none.T @ np.empty(0), np.zeros(6))


@pytest.mark.parametrize(
    ("operand", "error", "message"),
    [
        (np.ones(5), ValueError, "length 6"),
        (np.ones((5, 6)), ValueError, "length 6"),
        (np.ones((6, 2, 2)), TypeError, "vector or matrix"),
        (3.0, TypeError, "vector or matrix"),
        (np.full(6, "x"), TypeError, "real"),
        (np.full(6, 1j), TypeError, "real"),
    ],
    ids=["short", "transposed", "cube", "scalar", "strings", "complex"],
)
def test_other_operands_are_refused(operand, error, message):
    with pytest.raises(error, match=message):
        compress(10, 6) @ operand


def test_shapes_that_do_not_match_are_refused():
    matrix, other = compress(10, 6), compress(10, 5)
    for product in (
        lambda: matrix @ other.T,
        lambda: matrix @ matrix,
        lambda: matrix.T @ other[:3],
        lambda: np.ones(6) @ matrix,
        lambda: np.ones((2, 10)) @ matrix.T,
    ):
        with pytest.raises(ValueError, match="length|multiply"):
            product()


def test_as_linear_operator():
    matrix = compress(120, 20)
    operator, array = matrix.as_linear_operator(), matrix.toarray()
    assert operator.shape == array.shape
    singular_values = svds(operator, k=4, return_singular_vectors=False, random_state=0)
    expected = np.linalg.svd(array, compute_uv=False)[:4]
    np.testing.assert_allclose(np.sort(singular_values)[::-1], expected, rtol=1e-4)
    target = dense(120)
    solution = lsqr(operator, target, atol=1e-10, btol=1e-10)[0]
    expected = np.linalg.lstsq(array, target, rcond=None)[0]
    np.testing.assert_allclose(solution, expected, atol=1e-4)


def test_products_take_bounded_memory():
    """A product decodes a panel at a time, and never the whole matrix."""
    X = np.tile(dense(1000, 256).astype(np.float32), (100, 1))
    matrix = LatticeQuantizer(2, random_state=0).fit(X[:1000]).compress(X)
    v, w = np.ones(256, np.float32), np.ones(len(X), np.float32)
    matrix[:10] @ v
    tracemalloc.start()
    try:
        matrix @ v
        matrix.T @ w
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16e6 < X.nbytes / 4


# Indexing


@pytest.mark.parametrize(
    "key",
    [
        slice(None),
        slice(3, 9),
        slice(None, None, -2),
        slice(200, 300),
        [4, 4, 0, -1],
        np.array([7, 2], np.uint8),
        [],
        np.zeros(0, bool)[:0],
        np.arange(150) % 3 == 0,
        (np.arange(150) > 140).tolist(),
    ],
    ids=str,
)
def test_rows_are_selected_as_of_an_array(key):
    matrix = compress(150, 8)
    array = matrix.toarray()
    index = np.asarray(key, np.intp) if np.size(key) == 0 else key
    np.testing.assert_array_equal(matrix[key].toarray(), array[index])


@pytest.mark.parametrize("key", [0, -1, np.int64(3), np.uint8(149)])
def test_one_row_stays_a_matrix(key):
    matrix = compress(150, 8)
    np.testing.assert_array_equal(matrix[key].toarray(), matrix.toarray()[key][None])


@given(st.data())
def test_selections_of_selections(data):
    matrix = compress(30, 5)
    rows = np.arange(30)
    for _ in range(3):
        bound = st.none() | st.integers(-40, 40)
        step = data.draw(st.none() | st.sampled_from([-3, -1, 1, 2]))
        key = slice(data.draw(bound), data.draw(bound), step)
        matrix, rows = matrix[key], rows[key]
    np.testing.assert_array_equal(matrix.toarray(), compress(30, 5).toarray()[rows])


@pytest.mark.parametrize(
    "key",
    [
        150,
        -151,
        [0, 150],
        (0, 0),
        (slice(None), 0),
        None,
        ...,
        1.0,
        "a",
        [[0, 1]],
        np.ones(149, bool),
        np.ones((150, 8), bool),
        True,
    ],
    ids=str,
)
def test_other_selections_are_refused(key):
    with pytest.raises(IndexError):
        compress(150, 8)[key]


# A value


def test_concatenation(matrix):
    array = matrix.toarray()
    whole = QuantizedMatrix.concatenate([matrix[:40], matrix[40:41], matrix[41:]])
    np.testing.assert_array_equal(whole.toarray(), array)
    # A codec that is equal will do, for example one that was pickled in between.
    twin = pickle.loads(pickle.dumps(matrix))
    both = QuantizedMatrix.concatenate(iter([matrix, twin]))
    np.testing.assert_array_equal(both.toarray(), np.vstack([array, array]))


def test_concatenation_takes_the_wider_dtype():
    single = compress(5, 4, np.float32)
    double = QuantizedMatrix(single._codec, single._rows, np.float64)
    assert QuantizedMatrix.concatenate([single, double]).dtype == np.float64
    assert QuantizedMatrix.concatenate([single, single]).dtype == np.float32


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"bits": 5},
        {"center": False},
        {"rotation": None},
        {"lattice": "D4"},
        {"n_features": 9},
    ],
    ids=str,
)
def test_matrices_of_different_codecs_are_not_concatenated(other):
    matrices = [compress(10, **{"n_features": 8} | parameters) for parameters in ({}, other)]
    with pytest.raises(ValueError, match="different codecs"):
        QuantizedMatrix.concatenate(matrices)


def test_nothing_is_not_concatenated():
    with pytest.raises(ValueError, match="empty"):
        QuantizedMatrix.concatenate([])


@pytest.mark.parametrize("clone", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy])
def test_copies(matrix, clone):
    twin = clone(matrix)
    assert (twin.dtype, twin.nbytes) == (matrix.dtype, matrix.nbytes)
    np.testing.assert_array_equal(twin.toarray(), matrix.toarray())


def test_a_matrix_cannot_be_changed():
    matrix = compress(10, 8)
    expected = matrix.toarray()
    with pytest.raises(TypeError, match="does not support item assignment"):
        matrix[0] = 1
    for name in ("shape", "dtype", "nbytes", "bits_per_entry", "T"):
        with pytest.raises(AttributeError):
            setattr(matrix, name, None)
    matrix.toarray()[:] = 0  # a copy
    np.testing.assert_array_equal(matrix.toarray(), expected)


# Files


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("as_path", [str, lambda path: path])
def test_what_is_saved_is_loaded(matrix, tmp_path, small_panels, mmap, as_path):
    path = as_path(tmp_path / "x.skq")
    matrix.save(path)
    loaded = QuantizedMatrix.load(path, mmap=mmap)
    assert (loaded.shape, loaded.dtype) == (matrix.shape, matrix.dtype)
    assert (loaded.nbytes, loaded.bits_per_entry) == (matrix.nbytes, matrix.bits_per_entry)
    np.testing.assert_array_equal(loaded.toarray(), matrix.toarray())
    v, w = dense(21), dense(150)
    np.testing.assert_array_equal(loaded @ v, matrix @ v)
    np.testing.assert_array_equal(loaded.T @ w, matrix.T @ w)
    for key in (slice(5, 90, 2), [3, -1], np.arange(150) % 2 == 0, 17, []):
        np.testing.assert_array_equal(loaded[key].toarray(), matrix[key].toarray())
    both = QuantizedMatrix.concatenate([loaded, matrix])
    np.testing.assert_array_equal(both.toarray()[:150], matrix.toarray())
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(loaded)).toarray(), matrix.toarray())
    loaded.save(tmp_path / "again.skq")
    assert (tmp_path / "again.skq").read_bytes() == (tmp_path / "x.skq").read_bytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_rows", [0, 1])
def test_few_rows_are_saved_and_loaded(tmp_path, dtype, n_rows):
    matrix = compress(2, 5, dtype)[:n_rows]
    matrix.save(tmp_path / "x.skq")
    loaded = QuantizedMatrix.load(tmp_path / "x.skq", mmap=True)
    assert loaded.dtype == dtype
    np.testing.assert_array_equal(loaded.toarray(), matrix.toarray())


def test_a_mapped_matrix_is_not_read(tmp_path):
    X = np.tile(dense(1000, 128), (200, 1)).astype(np.float32)
    matrix = LatticeQuantizer(8, random_state=0).fit(X[:1000]).compress(X)
    matrix.save(tmp_path / "x.skq")
    matrix[:2] @ X[0]  # kernels are compiled by now
    tracemalloc.start()
    try:
        loaded = QuantizedMatrix.load(tmp_path / "x.skq", mmap=True)
        loaded[[5, 150_000]] @ X[0]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < loaded.nbytes / 10


# Damaged files


@pytest.fixture
def small_file(tmp_path):
    path = tmp_path / "small.skq"
    compress(5, 3, np.float32, bits=1).save(path)
    return path


def test_a_file_cut_at_any_byte_is_refused(small_file):
    whole = small_file.read_bytes()
    for length in range(len(whole)):
        small_file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=small_file.name):
            QuantizedMatrix.load(small_file)


@pytest.mark.parametrize("mask", [0x01, 0xFF])
def test_a_flip_of_any_byte_is_noticed(small_file, mask):
    whole = small_file.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= mask
        small_file.write_bytes(damaged)
        with pytest.raises(ValueError, match=small_file.name):
            QuantizedMatrix.load(small_file)


def test_a_damaged_row_of_a_mapped_matrix_is_noticed_when_it_is_used(tmp_path, small_panels):
    matrix, path = compress(150, 21), tmp_path / "x.skq"
    matrix.save(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    loaded = QuantizedMatrix.load(path, mmap=True)
    np.testing.assert_array_equal(loaded[:10].toarray(), matrix[:10].toarray())
    for use in (loaded.toarray, lambda: loaded[[149]], lambda: loaded @ np.ones(21)):
        with pytest.raises(ValueError, match=r"x\.skq.*checksum"):
            use()


def test_files_of_other_kinds_are_refused(tmp_path):
    path = tmp_path / "other.skq"
    _file_format.write(path, "SomethingElse", {}, {})
    with pytest.raises(ValueError, match=r"other\.skq.*'SomethingElse', not a 'QuantizedMatrix'"):
        QuantizedMatrix.load(path)
    np.save(tmp_path / "x.npy", np.ones(3))
    with pytest.raises(ValueError, match="not a skquant file"):
        QuantizedMatrix.load(tmp_path / "x.npy")
    with pytest.raises(FileNotFoundError):
        QuantizedMatrix.load(tmp_path / "nothing.skq")


# Files with sound checksums whose content is impossible


REMOVED = object()


def rewrite(path, **changes):
    """Save a matrix, alter values under dotted keys such as codec__segments__0__copies."""
    meta, arrays = _file_format.read(path, KIND)
    everything = {"meta": meta, "arrays": dict(arrays)}
    for key, value in changes.items():
        *parents, last = (int(k) if k.isdecimal() else k for k in key.split("__"))
        holder = everything
        for parent in parents:
            holder = holder[parent]
        if value is REMOVED:
            del holder[last]
        else:
            holder[last] = value(holder[last]) if callable(value) else value
    _file_format.write(path, KIND, everything["meta"], everything["arrays"])


def with_entry(index, value):
    """Make a change that sets one entry of an array."""

    def change(array):
        array = array.copy()
        array.flat[index] = value
        return array

    return change


SEGMENT = "meta__codec__segments__0__"


@pytest.fixture
def rewritable(tmp_path):
    """Give a file with all that a file can have: two segments, a mean, signs, kept coordinates."""
    path = tmp_path / "x.skq"
    compress(5, 40, bits=0.5).save(path)
    meta, arrays = _file_format.read(path, KIND)
    assert arrays.keys() == {"rows", "scales", "mean", "rotation", "kept"}
    assert len(meta["codec"]["segments"]) == 2
    return path


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("meta__codec", REMOVED),
        ("meta__codec", None),
        ("meta__codec", []),
        ("meta__codec", "codec"),
        ("meta__dtype", REMOVED),
        ("meta__dtype", "float16"),
        ("meta__dtype", ["float32"]),
        ("meta__codec__n_features", REMOVED),
        ("meta__codec__n_features", 0),
        ("meta__codec__n_features", -40),
        ("meta__codec__n_features", 41),
        ("meta__codec__n_features", 20),
        ("meta__codec__n_features", 19),
        ("meta__codec__n_features", 40.0),
        ("meta__codec__n_features", True),
        ("meta__codec__n_features", "40"),
        ("meta__codec__n_features", 2**31),
        ("meta__codec__n_features", 2**31 - 1),
        ("meta__codec__n_features", 10**30),
        ("meta__codec__center", REMOVED),
        ("meta__codec__center", True),
        ("meta__codec__center", 0),
        ("meta__codec__center", "columns"),
        ("meta__codec__center", []),
        ("meta__codec__mantissa", REMOVED),
        ("meta__codec__mantissa", -1),
        ("meta__codec__mantissa", 24),
        ("meta__codec__mantissa", 60),
        ("meta__codec__mantissa", 8.0),
        ("meta__codec__gaussian_alignment", -0.1),
        ("meta__codec__gaussian_alignment", 1.1),
        ("meta__codec__gaussian_alignment", "1"),
        ("meta__codec__rotation", REMOVED),
        ("meta__codec__rotation", "fourier"),
        ("meta__codec__rotation", False),
        ("meta__codec__rotation", "orthogonal"),
        ("meta__codec__segments", REMOVED),
        ("meta__codec__segments", []),
        ("meta__codec__segments", None),
        ("meta__codec__segments", {}),
        ("meta__codec__segments", [1, 2]),
        ("meta__codec__segments", lambda segments: segments[:1]),
        ("meta__codec__segments", lambda segments: 1000 * segments),
        (SEGMENT + "lattice", REMOVED),
        (SEGMENT + "lattice", "E9"),
        (SEGMENT + "lattice", "A2"),
        (SEGMENT + "lattice", "custom"),
        (SEGMENT + "lattice", ["E8"]),
        (SEGMENT + "copies", 0),
        (SEGMENT + "copies", 2),
        (SEGMENT + "copies", 8),
        (SEGMENT + "copies", -1),
        (SEGMENT + "nesting_ratio", REMOVED),
        (SEGMENT + "nesting_ratio", -14),
        (SEGMENT + "nesting_ratio", 1),
        (SEGMENT + "nesting_ratio", 16),
        (SEGMENT + "nesting_ratio", 2.0),
        (SEGMENT + "nesting_ratio", 10**30),
        (SEGMENT + "n_scales", 0),
        (SEGMENT + "n_scales", 2),
        (SEGMENT + "n_scales", -1),
        (SEGMENT + "n_scales", 10**9),
        (SEGMENT + "block_bits", 0),
        (SEGMENT + "block_bits", 7),
        (SEGMENT + "block_bits", 9),
        (SEGMENT + "block_bits", 129),
        (SEGMENT + "block_bits", 10**12),
        (SEGMENT + "distortion", -1.0),
        (SEGMENT + "distortion", None),
        (SEGMENT + "n_blocks", 0),
        (SEGMENT + "n_blocks", 1),
        (SEGMENT + "n_blocks", 3),
        (SEGMENT + "n_blocks", 10**9),
        (SEGMENT + "n_blocks", -2),
        ("arrays__rows", REMOVED),
        ("arrays__rows", lambda rows: rows[:, 1:]),
        ("arrays__rows", lambda rows: np.hstack([rows, rows])),
        ("arrays__rows", lambda rows: rows[0]),
        ("arrays__rows", lambda rows: rows.astype(np.int8)),
        ("arrays__scales", REMOVED),
        ("arrays__scales", lambda scales: scales[:-1]),
        ("arrays__scales", lambda scales: np.append(scales, 1.0)),
        ("arrays__scales", lambda scales: -scales),
        ("arrays__scales", lambda scales: 0 * scales),
        ("arrays__scales", lambda scales: scales.astype(np.float32)),
        ("arrays__scales", lambda scales: scales[:, None]),
        ("arrays__scales", with_entry(0, np.nan)),
        ("arrays__scales", with_entry(0, np.inf)),
        ("arrays__scales", with_entry(0, 1e300)),
        ("arrays__mean", REMOVED),
        ("arrays__mean", lambda mean: mean[1:]),
        ("arrays__mean", lambda mean: mean[None]),
        ("arrays__mean", lambda mean: mean.astype(np.float32)),
        ("arrays__mean", with_entry(3, np.nan)),
        ("arrays__mean", with_entry(3, -np.inf)),
        ("arrays__rotation", REMOVED),
        ("arrays__rotation", lambda signs: signs[:, 1:]),
        ("arrays__rotation", lambda signs: signs[:0]),
        ("arrays__rotation", lambda signs: signs[0]),
        ("arrays__rotation", lambda signs: signs.astype(np.int16)),
        ("arrays__rotation", with_entry(7, 0)),
        ("arrays__rotation", with_entry(7, 2)),
        ("arrays__rotation", with_entry(7, -128)),
        ("arrays__kept", REMOVED),
        ("arrays__kept", lambda kept: kept[:-1]),
        ("arrays__kept", lambda kept: np.append(kept, 39)),
        ("arrays__kept", lambda kept: kept[::-1]),
        ("arrays__kept", lambda kept: kept.astype(np.int32)),
        ("arrays__kept", with_entry(0, -1)),
        ("arrays__kept", with_entry(-1, 40)),
        ("arrays__kept", with_entry(-1, 2**62)),
        ("arrays__kept", lambda kept: np.repeat(kept[::2], 2)),
    ],
)
def test_impossible_content_is_refused(rewritable, key, value):
    rewrite(rewritable, **{key: value})
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rewritable.name):
            QuantizedMatrix.load(rewritable)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10e6  # a length that lies does not make us allocate


@pytest.fixture
def learned_file(tmp_path):
    """Give a file with a learned rotation: groups of both kinds of codes, and lone coordinates."""
    path = tmp_path / "learned.skq"
    rows = np.random.default_rng(0).standard_normal((300, 43)) * 0.9 ** np.arange(43)
    quantizer = LatticeQuantizer(2, rotation="pca", random_state=0).fit(rows)
    quantizer.compress(rows[:5]).save(path)
    meta, arrays = _file_format.read(path, KIND)
    assert arrays.keys() == {"rows", "scales", "mean", "rotation"}
    ratios = [segment["nesting_ratio"] for segment in meta["codec"]["segments"]]
    assert 3 < len(ratios) and min(ratios) == 0
    assert arrays["rotation"].shape[1] < 43
    return path


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("meta__codec__rotation", "orthogonal"),
        ("meta__codec__rotation", "hadamard"),
        ("meta__codec__rotation", None),
        ("meta__codec__n_features", 44),
        ("meta__codec__n_features", 8),
        ("meta__codec__segments", lambda segments: segments[1:]),
        ("meta__codec__segments", lambda segments: segments[::-1]),
        ("meta__codec__segments", lambda segments: 100 * segments),
        (SEGMENT + "nesting_ratio", 1),
        (SEGMENT + "block_bits", 9),
        (SEGMENT + "copies", 2),
        (SEGMENT + "n_blocks", 10**9),
        (SEGMENT + "distortion", -1.0),
        (SEGMENT + "distortion", 1e300),
        (SEGMENT + "spread", REMOVED),
        (SEGMENT + "spread", -1.0),
        (SEGMENT + "spread", 1e300),
        ("arrays__scales", lambda scales: 1e9 * scales),
        ("arrays__scales", lambda scales: 1e-20 * scales),
        ("arrays__scales", with_entry(-1, np.nan)),
        ("arrays__rotation", REMOVED),
        ("arrays__rotation", lambda matrix: matrix[1:]),
        ("arrays__rotation", lambda matrix: matrix[:, 1:]),
        ("arrays__rotation", lambda matrix: matrix.T),
        ("arrays__rotation", lambda matrix: matrix.astype(float)),
        ("arrays__rotation", lambda matrix: 2 * matrix),
        ("arrays__rotation", lambda matrix: 0 * matrix),
        ("arrays__rotation", with_entry(3, np.inf)),
        ("arrays__rotation", with_entry(3, 1e30)),
        ("arrays__rotation", with_entry(3, np.nan)),
    ],
)
def test_impossible_content_of_a_learned_codec_is_refused(learned_file, key, value):
    test_impossible_content_is_refused(learned_file, key, value)


def test_any_rows_of_a_learned_codec_decode_to_finite_numbers(learned_file):
    rewrite(learned_file)
    QuantizedMatrix.load(learned_file)
    test_any_rows_decode_to_finite_numbers(learned_file, 43)


def test_a_lattice_is_repeated_as_often_as_fills_a_block_and_not_more(rewritable):
    """The kernels know E8 in eight coordinates, though sixteen would fit the rest of the file."""
    doubled = {"copies": 2, "n_blocks": 1, "block_bits": 16, "nesting_ratio": 2}
    rewrite(rewritable, **{SEGMENT + name: value for name, value in doubled.items()})
    with pytest.raises(ValueError, match=rewritable.name):
        QuantizedMatrix.load(rewritable)


def test_a_rewritten_file_can_be_loaded(rewritable):
    """So that the files above are refused for what was altered."""
    expected = QuantizedMatrix.load(rewritable).toarray()
    rewrite(rewritable, meta__dtype="float32", meta__comment="unknown keys are ignored")
    loaded = QuantizedMatrix.load(rewritable).toarray()
    assert loaded.dtype == np.float32
    np.testing.assert_allclose(loaded, expected, atol=1e-5)


def test_any_rows_decode_to_finite_numbers(rewritable, n_features=40):
    rewrite(
        rewritable,
        arrays__rows=lambda rows: np.tile(np.arange(256, dtype=np.uint8)[:, None], rows.shape[1]),
    )
    loaded = QuantizedMatrix.load(rewritable)
    assert np.isfinite(loaded.toarray()).all()
    assert np.isfinite(loaded @ np.ones(n_features)).all()
