"""LowRankLowPrecisionMatrix: a value that multiplies, is indexed, saved and loaded."""

import json
import pickle
import tracemalloc

import numpy as np
import pytest
from scipy.sparse.linalg import svds

from skquant import LowRankLowPrecisionCompressor, LowRankLowPrecisionMatrix, _file_format
from skquant._low_rank._factors import block_height
from skquant._low_rank._matrix import KIND

SETTINGS = {
    "fixed": {},
    "entropy": {"coding": "entropy"},
    "lplr": {"method": "lplr"},
    "dsvd": {"method": "dsvd", "basis_bits": 5},
    "lattice residual": {"residual_bits": 2.0},
    "coded residual": {"bit_budget": 3.0, "coding": "entropy", "method": "auto"},
    "weighted": {"coding": "entropy", "calibration": np.diag(np.arange(1.0, 22.0))},
    "weighted residual": {
        "bit_budget": 5.0,
        "coding": "entropy",
        "calibration": np.diag(np.arange(10.0, 31.0)),
    },
}


def compress(n_rows=150, n_features=21, dtype=np.float64, calibration=None, **parameters):
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((n_rows, n_features)) + rng.standard_normal(n_features)).astype(dtype)
    settings = {"rank": 6, "bits": 6, "random_state": 0} | parameters
    compressor = LowRankLowPrecisionCompressor(**settings).fit(X, calibration=calibration)
    return compressor.compress(X)


@pytest.fixture(params=SETTINGS.values(), ids=SETTINGS.keys())
def matrix(request):
    return compress(**request.param)


def dense(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def test_shape_and_size(matrix):
    assert matrix.shape == (150, 21)
    assert matrix.T.shape == (21, 150)
    assert matrix.ndim == matrix.T.ndim == 2
    assert len(matrix) == 150
    assert matrix.bits_per_entry == 8 * matrix.nbytes / (150 * 21)
    assert f"{matrix.bits_per_entry:.4g} bits an entry" in repr(matrix)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_conversion_to_an_array(dtype):
    matrix = compress(dtype=dtype)
    expected = matrix.toarray()
    assert expected.dtype == matrix.dtype == matrix.T.dtype == dtype
    for same in (np.asarray(matrix), matrix.T.toarray().T, np.asarray(matrix.T).T):
        np.testing.assert_array_equal(same, expected)
    with pytest.raises(ValueError, match="without a copy"):
        matrix.__array__(copy=False)


def test_rows_are_selected_as_in_an_array(matrix):
    array = matrix.toarray()
    mask = np.arange(150) % 7 == 3
    for rows in (slice(20, 90, 3), [5, 3, 3, -1], mask, slice(0, 0), []):
        selected = matrix[rows]
        expected = array[np.asarray(rows, int) if isinstance(rows, list) else rows]
        np.testing.assert_allclose(selected.toarray(), expected, atol=1e-9)
        again = selected[::-1]
        np.testing.assert_allclose(again.toarray(), expected[::-1], atol=1e-9)
    np.testing.assert_allclose(matrix[7].toarray(), array[7:8], atol=1e-9)
    with pytest.raises(IndexError):
        matrix[150]
    with pytest.raises(IndexError, match="rows only"):
        matrix[0, 0]


def test_products_are_those_of_the_reconstruction(matrix):
    for A in (matrix, matrix[40:130:2]):
        array, n = A.toarray(), len(A)
        v, w, M, N = dense(21), dense(n), dense(21, 6), dense(6, n)
        for product, expected in (
            (A @ v, array @ v),
            (A @ M, array @ M),
            (w @ A, w @ array),
            (N @ A, N @ array),
            (A.T @ w, array.T @ w),
            (M.T @ A.T, M.T @ array.T),
            (A @ A.T, array @ array.T),
            (A.T @ A, array.T @ array),
        ):
            np.testing.assert_allclose(product, expected, atol=1e-8)
    with pytest.raises(ValueError, match="length 21"):
        matrix @ dense(20)
    with pytest.raises(TypeError, match="real"):
        matrix @ np.array(["a"] * 21)


def test_linear_operator(matrix):
    expected = np.linalg.svd(matrix.toarray(), compute_uv=False)[:3]
    found = svds(matrix.as_linear_operator(), 3, return_singular_vectors=False, random_state=0)
    np.testing.assert_allclose(np.sort(found)[::-1], expected, rtol=1e-6)


@pytest.mark.parametrize("coding", ["fixed", "entropy"])
def test_blocks_of_rows(coding):
    matrix = compress(9000, 12, np.float32, coding=coding)
    array = matrix.toarray()
    rows = [8999, 0, 4096, 4095, 17]
    np.testing.assert_allclose(matrix[rows].toarray(), array[rows], rtol=1e-6)


@pytest.mark.parametrize("name", ["entropy", "lattice residual", "coded residual"])
def test_blocks_of_wide_rows_are_lower(name, monkeypatch, tmp_path):
    """Blocks of the residual are bounded in numbers, and lie within those of the left factor."""
    monkeypatch.setattr("skquant._low_rank._factors._BLOCK_NUMBERS", 1 << 10)
    matrix = compress(300, **SETTINGS[name])
    assert block_height(matrix.shape[1]) == 32 < block_height(matrix.rank)
    if name == "coded residual":
        assert len(matrix._residual.ends) == 10
    array, rows = matrix.toarray(), [299, 0, 32, 31, 260]
    np.testing.assert_allclose(matrix[rows].toarray(), array[rows], rtol=1e-12)
    np.testing.assert_allclose(matrix @ dense(21), array @ dense(21), atol=1e-10)
    matrix.save(tmp_path / "matrix.skq")
    same = LowRankLowPrecisionMatrix.load(tmp_path / "matrix.skq")
    np.testing.assert_array_equal(same.toarray(), array)


def test_pickle_and_file(matrix, tmp_path):
    for A in (matrix, matrix[[4, 2]]):
        path = tmp_path / "matrix.skq"
        A.save(path)
        for same in (pickle.loads(pickle.dumps(A)), LowRankLowPrecisionMatrix.load(path)):
            np.testing.assert_array_equal(same.toarray(), A.toarray())
            assert same.dtype == A.dtype
            assert same.nbytes == A.nbytes


@pytest.mark.parametrize("coding", ["fixed", "entropy"])
def test_a_mapped_file_gives_the_same_and_is_verified_when_used(coding, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40_000, 64)).astype(np.float32)
    compressor = LowRankLowPrecisionCompressor(40, 7, coding=coding, random_state=0).fit(X)
    matrix, path = compressor.compress(X), tmp_path / "matrix.skq"
    matrix.save(path)
    tracemalloc.start()
    mapped = LowRankLowPrecisionMatrix.load(path, mmap=True)
    assert tracemalloc.get_traced_memory()[1] < matrix.nbytes / 4
    tracemalloc.stop()
    rows = [39_999, 5, 20_000]
    np.testing.assert_array_equal(mapped[rows].toarray(), matrix[rows].toarray())
    np.testing.assert_array_equal(mapped.toarray(), matrix.toarray())
    assert mapped.nbytes == matrix.nbytes
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(mapped))[rows], matrix[rows])
    mapped.save(tmp_path / "again.skq")
    assert (tmp_path / "again.skq").read_bytes() == path.read_bytes()

    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    damaged = LowRankLowPrecisionMatrix.load(path, mmap=True)
    with pytest.raises(ValueError, match="do not match their checksum"):
        damaged.toarray()


# Files that lie


def test_a_cut_or_altered_file_is_refused(tmp_path):
    compress().save(tmp_path / "good.skq")
    content = (tmp_path / "good.skq").read_bytes()
    for position in range(0, len(content), 37):
        altered = bytearray(content)
        altered[position] ^= 1
        for bad in (bytes(altered), content[:position]):
            (tmp_path / "bad.skq").write_bytes(bad)
            with pytest.raises(ValueError, match=r"bad\.skq"):
                LowRankLowPrecisionMatrix.load(tmp_path / "bad.skq")


def walk(value, path=()):
    """Give the path of every value in nested dictionaries and lists."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield from walk(value[key], (*path, key))
    else:
        yield path


@pytest.mark.parametrize("name", SETTINGS)
def test_values_with_right_checksums_are_verified_too(name, tmp_path):
    """Each value is replaced by every kind of nonsense: it is refused, or makes a matrix."""
    compress(**SETTINGS[name]).save(tmp_path / "good.skq")
    meta, arrays = _file_format.read(tmp_path / "good.skq", KIND)
    refused = 0
    for path in walk(meta):
        for nonsense in (None, -1, 0, 3, 2**40, 1.5, -0.5, "x", [], {}, True):
            changed = json.loads(json.dumps(meta))
            place = changed
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = nonsense
            refused += not loads(tmp_path / "bad.skq", changed, arrays)
    assert refused > 20


@pytest.mark.parametrize("name", SETTINGS)
def test_arrays_with_right_checksums_are_verified_too(name, tmp_path):
    compress(**SETTINGS[name]).save(tmp_path / "good.skq")
    meta, arrays = _file_format.read(tmp_path / "good.skq", KIND)
    rng = np.random.default_rng(0)
    for key, array in arrays.items():
        noise = rng.integers(0, 256, len(array)).astype(array.dtype)
        for nonsense in (array[:-1], array[:0], array.astype(np.float32), array[None], noise):
            loads(tmp_path / "bad.skq", meta, arrays | {key: nonsense})
        without = {other: a for other, a in arrays.items() if other != key}
        assert not loads(tmp_path / "bad.skq", meta, without)
    outside = np.array([150])
    assert not loads(tmp_path / "bad.skq", meta, dict(arrays) | {"rows": outside})


def loads(path, meta, arrays):
    """Write and load a file: tell whether it makes a matrix that decodes."""
    _file_format.write(path, KIND, meta, arrays)
    try:
        with np.errstate(all="ignore"):
            matrix = LowRankLowPrecisionMatrix.load(path)
            assert matrix.toarray().shape == matrix.shape
    except ValueError:
        return False
    return True


def test_another_kind_of_file_is_refused(tmp_path):
    _file_format.write(tmp_path / "other.skq", "QuantizedMatrix", {}, {})
    with pytest.raises(ValueError, match="holds a 'QuantizedMatrix'"):
        LowRankLowPrecisionMatrix.load(tmp_path / "other.skq")
