"""Rows of a matrix that stay in their file."""

import copy
import os
import pickle
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import joblib
import numpy as np
import pytest
from array_files import KIND, assert_same, flip, leftovers, make_matrix, refuses, write_thing
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skquant import _file_format
from skquant._file_format import MappedRows, read, write

posix_only = pytest.mark.skipif(
    os.name == "nt", reason="Windows neither replaces nor removes a file that is mapped"
)


@pytest.fixture
def path(tmp_path, monkeypatch):
    return write_thing(tmp_path, monkeypatch)


@pytest.fixture
def matrix():
    return make_matrix()


@pytest.fixture
def mapped(path):
    _, arrays = read(path, KIND, mmap=True)
    return arrays["matrix"]


# Like an array


def test_only_matrices_of_more_than_one_panel_are_mapped(path):
    _, arrays = read(path, KIND, mmap=True)
    assert [name for name, array in arrays.items() if isinstance(array, MappedRows)] == ["matrix"]


def test_mapped_rows_look_like_the_matrix(mapped, matrix):
    assert mapped.shape == matrix.shape
    assert mapped.ndim == 2
    assert mapped.dtype == matrix.dtype
    assert mapped.nbytes == matrix.nbytes
    assert len(mapped) == len(matrix)
    assert_same(mapped, matrix)
    np.testing.assert_array_equal(list(mapped), matrix)


bounds = st.none() | st.integers(-10, 10)


@given(start=bounds, stop=bounds, step=bounds.filter(lambda step: step != 0))
def test_mapped_rows_are_sliced_like_an_array(matrix_and_mapped, start, stop, step):
    matrix, mapped = matrix_and_mapped
    assert_same(mapped[start:stop:step], matrix[start:stop:step])


@given(
    index=hnp.arrays(
        st.sampled_from([np.int8, np.int32, np.int64]),
        hnp.array_shapes(min_dims=0, max_dims=2, min_side=0),
        elements=st.integers(-7, 6),
    )
)
def test_mapped_rows_are_picked_like_those_of_an_array(matrix_and_mapped, index):
    matrix, mapped = matrix_and_mapped
    assert_same(mapped[index], matrix[index])
    assert_same(mapped[index % 7], matrix[(index % 7).astype(np.uint64)])


@pytest.fixture(scope="module")
def matrix_and_mapped(tmp_path_factory):
    path = tmp_path_factory.mktemp("mapped") / "x.skq"
    matrix = np.random.default_rng(0).standard_normal((7, 13))
    with mock.patch.object(_file_format, "PANEL_NBYTES", 2 * 13 * 8):
        write(path, KIND, {}, {"matrix": matrix})
    return matrix, read(path, KIND, mmap=True)[1]["matrix"]


def test_a_small_integer_type_can_index_many_rows(tmp_path):
    matrix = np.arange(400_000, dtype=np.int64).reshape(-1, 2)
    write(tmp_path / "x", KIND, {}, {"a": matrix})
    mapped = read(tmp_path / "x", KIND, mmap=True)[1]["a"]
    assert_same(mapped[np.array([-1, 3], np.int8)], matrix[[-1, 3]])


@pytest.mark.parametrize(
    "key", [7, -8, [0, 7], (1, 2), (slice(None), 0), None, ..., 1.0, "a", np.ones(7, bool)]
)
def test_other_keys_are_refused(mapped, key):
    with pytest.raises(IndexError):
        mapped[key]


def test_mapped_rows_are_read_only(mapped):
    for view in (mapped[1:3], np.asarray(mapped)):
        assert not view.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            view[:] = 0
    with pytest.raises(TypeError):
        mapped[0] = 0


def test_conversion_to_an_array(mapped, matrix):
    assert np.asarray(mapped, dtype=np.float64).dtype == np.float64
    assert np.shares_memory(np.asarray(mapped), mapped[:])
    owned = np.array(mapped)
    owned[:] = 0
    assert_same(mapped, matrix)
    assert_same(np.concatenate([mapped, mapped]), np.concatenate([matrix, matrix]))


# Panels are verified when they are used


def panels_checked(monkeypatch):
    """Count the checksums from here on, by the first byte of what is checked."""
    checked = []
    crc32 = zlib.crc32
    monkeypatch.setattr(zlib, "crc32", lambda panel: checked.append(bytes(panel)) or crc32(panel))
    return checked


def test_only_what_is_used_is_verified_and_only_once(mapped, matrix, monkeypatch):
    checked = panels_checked(monkeypatch)
    mapped[2:2], mapped[9:], mapped[np.array([], int)]
    assert checked == []
    mapped[2:4], mapped[3], mapped[np.array([-4, 2, -5])]
    assert checked == [matrix[2].tobytes(), matrix[3].tobytes()]
    mapped[5::-3]
    assert checked[2:] == [matrix[4].tobytes(), matrix[5].tobytes()]
    np.asarray(mapped)
    assert len(checked) == 7


def test_a_damaged_panel_is_refused_each_time_and_the_others_serve(path, matrix):
    flip(path, path.read_bytes().index(matrix[3].tobytes()) + 5)
    _, arrays = read(path, KIND, mmap=True)
    mapped = arrays["matrix"]
    uses = [
        lambda: mapped[3],
        lambda: mapped[:],
        lambda: mapped[2:5],
        lambda: mapped[5:1:-1],
        lambda: mapped[np.array([0, 3])],
        lambda: mapped[-4],
        lambda: np.asarray(mapped),
        lambda: pickle.dumps(mapped),
        lambda: write(path, KIND, {}, {"matrix": mapped}),
    ]
    for action in uses * 2:
        with pytest.raises(ValueError, match=r"thing\.skq: array 'matrix', panel 3: .*checksum"):
            action()
    assert_same(mapped[:3], matrix[:3])
    assert_same(mapped[np.array([0, 6, 4])], matrix[[0, 6, 4]])
    refuses(path, "array 'matrix', panel 3: .*checksum")


# Copies, threads, memory


@pytest.mark.parametrize("clone", [lambda rows: pickle.loads(pickle.dumps(rows)), copy.deepcopy])
def test_a_pickle_holds_an_ordinary_array(mapped, matrix, path, clone):
    rows = clone(mapped)
    assert type(rows) is np.ndarray and rows.flags.owndata and rows.flags.writeable
    assert_same(rows, matrix)


@posix_only
def test_workers_of_joblib_get_the_rows_and_not_their_path(path, mapped, matrix):
    path.unlink()
    for rows in joblib.Parallel(n_jobs=2)(joblib.delayed(np.array)(x) for x in (mapped, mapped[:])):
        assert_same(rows, matrix)


def test_threads_can_share_mapped_rows(tmp_path):
    path = tmp_path / "x"
    matrix = np.random.default_rng(0).standard_normal((2000, 64))
    with mock.patch.object(_file_format, "PANEL_NBYTES", 10 * 512):
        write(path, KIND, {}, {"matrix": matrix})
    flip(path, path.read_bytes().index(matrix[1234].tobytes()))

    def look(seed):
        failures = 0
        for start in np.random.default_rng(seed).permutation(200) * 10:
            try:
                np.testing.assert_array_equal(
                    mapped[start : start + 10], matrix[start : start + 10]
                )
            except ValueError:
                assert start == 1230
                failures += 1
        return failures

    for _ in range(5):
        mapped = read(path, KIND, mmap=True)[1]["matrix"]
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(look, range(16))) == [1] * 16


def test_a_mapped_matrix_is_never_in_memory_as_a_whole(tmp_path):
    write(tmp_path / "x", KIND, {}, {"a": np.broadcast_to(np.float32(1), (1 << 16, 256))})
    tracemalloc.start()
    try:
        mapped = read(tmp_path / "x", KIND, mmap=True)[1]["a"]
        write(tmp_path / "y", KIND, {}, {"a": mapped, "again": np.asarray(mapped).T})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert mapped.nbytes == 64 << 20
    assert peak < 8 << 20


@posix_only
def test_a_file_can_be_written_onto_the_file_it_is_mapped_from(path, mapped, matrix):
    for _ in range(2):
        write(path, KIND, {}, {"matrix": mapped, "more": mapped[2:]})
        _, arrays = read(path, KIND, mmap=True)
        assert_same(arrays["matrix"], matrix)
        assert_same(arrays["more"], matrix[2:])
    assert_same(mapped, matrix)
    assert not leftovers(path)
