"""QuantizedMatrix: a value that multiplies, is indexed, saved and loaded."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quantized_matrices import compress, dense, use_small_panels
from scipy.sparse.linalg import lsqr, svds

from skquant import LatticeQuantizer, QuantizedMatrix

CENTERS = ["features", "rows", False]
ROUNDED = 100.0


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
    use_small_panels(monkeypatch)


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
