import copy
import io
import itertools
import json
import math
import os
import pickle
import re
import struct
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skquant import _file_format
from skquant._file_format import MAGIC, MappedRows, read, write

posix_only = pytest.mark.skipif(
    os.name == "nt", reason="Windows neither replaces nor removes a file that is mapped"
)

KIND = "Thing"
DTYPES = "i1 u1 i2 u2 i4 u4 i8 u8 f2 f4 f8".split()

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
stored_arrays = hnp.arrays(
    dtype=st.sampled_from([order + dtype for order in "<>" for dtype in DTYPES]),
    shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
)


@pytest.fixture
def small_panels(monkeypatch):
    monkeypatch.setattr(_file_format, "PANEL_NBYTES", 64)


@pytest.fixture
def matrix():
    return np.arange(7 * 13, dtype=np.float32).reshape(7, 13) - 45.5


@pytest.fixture
def path(small_panels, matrix, tmp_path):
    """Give a small file with all that a file can have: panels, padding, all sorts of shapes."""
    arrays = {
        "matrix": matrix,  # a row of 52 bytes is a panel, so there are seven
        "vector": np.arange(50, dtype=np.int16),
        "scalar": np.array(3.5),
        "empty": np.empty((5, 0), np.uint8),
        "tensor": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    }
    path = tmp_path / "thing.skq"
    write(path, KIND, {"bits": 4.0, "lattice": "E8"}, arrays)
    return path


@pytest.fixture
def mapped(path):
    _, arrays = read(path, KIND, mmap=True)
    return arrays["matrix"]


def craft(path, header, checksums=(), body=b"", **preamble):
    """Write a file of any content with all its checksums right, as `docs/file_format.rst` says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    checksums = struct.pack(f"<{len(checksums)}I", *checksums)
    fields = {
        "magic": MAGIC,
        "version": 1,
        "text_nbytes": len(text),
        "n_checksums": len(checksums) // 4,
        "file_nbytes": 32 + len(text) + len(checksums) + 4 + len(body),
    }
    head = struct.pack("<8sIIQQ", *(fields | preamble).values()) + text + checksums
    path.write_bytes(head + struct.pack("<I", zlib.crc32(head)) + body)


def entry(name="a", dtype="<f4", shape=(3, 2), panel_rows=10):
    return {"name": name, "dtype": dtype, "shape": shape, "panel_rows": panel_rows}


def header(*entries):
    return {"kind": KIND, "meta": {}, "arrays": entries}


def slow_read(path):
    """Read a file in the plainest way, from the text of `docs/file_format.rst` alone."""
    data = path.read_bytes()
    magic, version, text_nbytes, n_checksums, file_nbytes = struct.unpack_from("<8sIIQQ", data)
    assert (magic, version, file_nbytes) == (b"\x89SKQ\r\n\x1a\n", 1, len(data))
    position = 32 + text_nbytes + 4 * n_checksums
    assert struct.unpack_from("<I", data, position) == (zlib.crc32(data[:position]),)
    header = json.loads(data[32 : 32 + text_nbytes])
    checksums = iter(struct.unpack_from(f"<{n_checksums}I", data, 32 + text_nbytes))
    position += 4
    arrays = {}
    for line in header["arrays"]:
        start = math.ceil(position / 64) * 64
        assert data[position:start] == bytes(start - position)
        size = np.dtype(line["dtype"]).itemsize
        position = start + math.prod(line["shape"]) * size
        content = data[start:position]
        if content:
            step = line["panel_rows"] * math.prod(line["shape"][1:]) * size
            for first in range(0, len(content), step):
                assert zlib.crc32(content[first : first + step]) == next(checksums)
        arrays[line["name"]] = np.frombuffer(content, line["dtype"]).reshape(line["shape"])
    assert position == len(data)
    assert next(checksums, None) is None
    return header["kind"], header["meta"], arrays


def assert_same(actual, expected):
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype.newbyteorder("<")
    assert np.asarray(actual).tobytes() == expected.astype(actual.dtype).tobytes()


def refuses(path, what, mmap=False):
    """Expect that the file is refused with its name and a message that matches `what`."""
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: .*{what}"):
        use(path, mmap)


def use(path, mmap):
    """Read a file and touch every byte of it."""
    _, arrays = read(path, KIND, mmap=mmap)
    for array in arrays.values():
        np.asarray(array)


def leftovers(path):
    return [other.name for other in path.parent.iterdir() if other != path]


# Round trips


@settings(deadline=None)
@given(
    kind=st.text(),
    meta=st.dictionaries(st.text(), json_values, max_size=4),
    arrays=st.dictionaries(st.text(), stored_arrays, max_size=4),
    panel_nbytes=st.integers(1, 200),
    mmap=st.booleans(),
)
def test_what_is_written_comes_back(tmp_path_factory, kind, meta, arrays, panel_nbytes, mmap):
    path = tmp_path_factory.getbasetemp() / "round_trip.skq"
    with mock.patch.object(_file_format, "PANEL_NBYTES", panel_nbytes):
        write(path, kind, meta, arrays)
    found_meta, found = read(path, kind, mmap=mmap)
    assert repr(found_meta) == repr(meta)  # tells 1 from 1.0 and 0.0 from -0.0
    assert list(found) == list(arrays)
    slow_kind, slow_meta, slow = slow_read(path)
    assert (slow_kind, slow_meta) == (kind, meta)
    for name, array in arrays.items():
        assert_same(found[name], array)
        assert_same(slow[name], array)


def test_the_same_content_gives_the_same_bytes_always(tmp_path):
    path = tmp_path / "golden.skq"
    matrix = np.arange(1, 7, dtype=np.int64).reshape(2, 3)
    write(path, "Golden", {"bits": 4.0, "shape": [2, 3]}, {"a": matrix})
    assert path.read_bytes() == (
        b"\x89SKQ\r\n\x1a\n"
        + bytes.fromhex("01000000 7a000000 0100000000000000 f000000000000000")
        + b'{"kind":"Golden","meta":{"bits":4.0,"shape":[2,3]},"arrays":'
        + b'[{"name":"a","dtype":"<i8","shape":[2,3],"panel_rows":43690}]}'
        + bytes.fromhex("f73fee56 52cd613a")
        + bytes(30)
        + struct.pack("<6q", 1, 2, 3, 4, 5, 6)
    )


def test_floats_of_the_meta_are_exact(tmp_path):
    values = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, float(np.float32(0.1))]
    write(tmp_path / "x", KIND, {"values": values}, {})
    meta, _ = read(tmp_path / "x", KIND)
    assert [value.hex() for value in meta["values"]] == [value.hex() for value in values]


@pytest.mark.parametrize("as_path", [str, lambda path: path, lambda path: str(path).encode()])
def test_a_path_may_be_of_any_type(tmp_path, as_path):
    path = as_path(tmp_path / "x.skq")
    write(path, KIND, {}, {"a": np.arange(3)})
    _, arrays = read(path, KIND)
    assert_same(arrays["a"], np.arange(3))


@pytest.mark.parametrize("mmap", [False, True])
def test_layouts_of_every_kind_are_written(tmp_path, mmap):
    base = np.random.default_rng(0).standard_normal((5000, 200))
    other = np.memmap(tmp_path / "other", np.float64, "w+", shape=base.shape)
    other[:] = base
    arrays = {
        "fortran": np.asfortranarray(base),
        "strided": base[::-2, ::3],
        "transposed": base.T,
        "big_endian": base.astype(">f8"),
        "broadcast": np.broadcast_to(base[0], base.shape),
        "memmap": other,
        "read_only": np.asarray(memoryview(base.tobytes())),
        "vector": base.ravel()[::2],
    }
    write(tmp_path / "x", KIND, {}, arrays)
    _, found = read(tmp_path / "x", KIND, mmap=mmap)
    for name, array in arrays.items():
        assert_same(found[name], array)
        assert isinstance(found[name], MappedRows) == (mmap and array.ndim == 2)


def test_arrays_in_memory_are_ordinary(path):
    _, arrays = read(path, KIND)
    for array in arrays.values():
        assert type(array) is np.ndarray
        assert array.flags.writeable and array.flags.c_contiguous and array.flags.owndata


def test_arrays_are_aligned(tmp_path):
    arrays = {f"a{n}": np.full((n, 3), n, np.uint8) for n in range(1, 9)}
    write(tmp_path / "x", KIND, {}, arrays)
    data = (tmp_path / "x").read_bytes()
    for array in arrays.values():
        assert data.find(array.tobytes()) % 64 == 0


# What cannot be written


@pytest.mark.parametrize(
    ("meta", "error"),
    [({"a": math.nan}, ValueError), ({"a": [-math.inf]}, ValueError), ({"a": {1}}, TypeError)],
)
def test_a_meta_that_is_not_json_is_refused(path, meta, error):
    before = path.read_bytes()
    with pytest.raises(error):
        write(path, KIND, meta, {})
    assert path.read_bytes() == before
    assert not leftovers(path)


@pytest.mark.parametrize("dtype", ["O", "c8", "?", "S3", "U3", "M8[s]", "i4,f4"])
def test_other_dtypes_are_refused(tmp_path, dtype):
    with pytest.raises(ValueError, match="array 'a' has the unsupported dtype"):
        write(tmp_path / "x", KIND, {}, {"a": np.zeros(2, dtype)})
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_no_string_is_refused(tmp_path):
    with pytest.raises(ValueError, match="malformed"):
        write(tmp_path / "x", KIND, {}, {1: np.zeros(2)})


def test_errors_of_the_operating_system_stay_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "missing" / "x", KIND, {}, {})
    with pytest.raises(OSError):
        write(tmp_path, KIND, {}, {})
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "missing", KIND)
    with pytest.raises(OSError):
        read(tmp_path, KIND)
    assert not list(tmp_path.iterdir())


# Atomicity


def test_a_failure_while_an_array_is_read_leaves_the_old_file(path, tmp_path):
    source = tmp_path / "source" / "x.skq"
    source.parent.mkdir()
    write(source, KIND, {}, {"matrix": np.ones((50, 16))})
    flip(source, source.stat().st_size - 1)
    _, arrays = read(source, KIND, mmap=True)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"source.*array 'matrix', panel 49: .*checksum"):
        write(path, KIND, {}, {"first": np.ones(1000), "second": arrays["matrix"]})
    assert path.read_bytes() == before
    assert leftovers(path) == ["source"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_at_the_end_leaves_the_old_file(path, monkeypatch, failing, error):
    before = path.read_bytes()
    monkeypatch.setattr(f"os.{failing}", mock.Mock(side_effect=error))
    with pytest.raises(error):
        write(path, KIND, {}, {"a": np.ones(1000)})
    assert path.read_bytes() == before
    assert not leftovers(path)


@posix_only
def test_a_file_can_be_written_onto_the_file_it_is_mapped_from(path, mapped, matrix):
    for _ in range(2):
        write(path, KIND, {}, {"matrix": mapped, "more": mapped[2:]})
        _, arrays = read(path, KIND, mmap=True)
        assert_same(arrays["matrix"], matrix)
        assert_same(arrays["more"], matrix[2:])
    assert_same(mapped, matrix)
    assert not leftovers(path)


def test_a_link_is_followed(path, tmp_path):
    link = tmp_path / "link"
    try:
        link.symlink_to(path)
    except OSError:
        pytest.skip("this system lets us make no links")
    write(link, KIND, {"new": True}, {})
    assert link.is_symlink()
    assert read(path, KIND) == ({"new": True}, {})


# Damage


def flip(path, position, mask=0xFF):
    data = bytearray(path.read_bytes())
    data[position] ^= mask
    path.write_bytes(data)


@pytest.mark.parametrize("mmap", [False, True])
def test_a_file_cut_anywhere_is_refused(path, mmap):
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        refuses(path, "(not a skquant file|truncated)", mmap)


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_a_byte_flipped_anywhere_is_noticed(path, mmap, mask):
    data = path.read_bytes()
    for position in range(len(data)):
        flip(path, position, mask)
        refuses(path, "", mmap)
        path.write_bytes(data)


def test_a_file_with_something_behind_it_is_refused(path):
    path.write_bytes(path.read_bytes() + b"\0")
    refuses(path, "followed by other bytes")


@pytest.mark.parametrize("mmap", [False, True])
def test_padding_that_is_not_zero_is_refused(path, mmap):
    data = path.read_bytes()
    flip(path, data.index(np.float32(-45.5).tobytes()) - 1)
    refuses(path, "padding before array 'matrix' is not zero", mmap)


def foreign_npy():
    np.save(file := io.BytesIO(), np.ones(9))
    return file.getvalue()


def foreign_npz():
    np.savez(file := io.BytesIO(), a=np.ones(9))
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        MAGIC.replace(b"\r\n", b"\n") + bytes(100),
        np.random.default_rng(0).bytes(1000),
        pickle.dumps({"a": 1}),
        foreign_npy(),
        foreign_npz(),
    ],
)
def test_a_foreign_file_is_refused(tmp_path, data):
    path = tmp_path / "x"
    path.write_bytes(data)
    refuses(path, "not a skquant file")


def test_another_kind_is_refused(path):
    with pytest.raises(ValueError, match=r"thing\.skq: it holds a 'Thing', not a 'Other'"):
        read(path, "Other")


def test_another_version_is_refused(tmp_path):
    path = tmp_path / "x"
    craft(path, header(), version=2)
    refuses(path, "version 2 is newer than 1")
    craft(path, header(), version=0)
    refuses(path, "version 0 is older than 1")


# Hostile files, all of their checksums right


def test_a_crafted_file_can_be_read(tmp_path):
    path = tmp_path / "x"
    data = np.arange(6, dtype="<f4").tobytes()
    text = json.dumps(header(entry())).encode()
    padding = bytes(-(32 + len(text) + 4 + 4) % 64)
    craft(path, text, [zlib.crc32(data)], padding + data)
    _, arrays = read(path, KIND)
    assert_same(arrays["a"], np.arange(6, dtype=np.float32).reshape(3, 2))


@pytest.mark.parametrize("length", [5, 2**31, 2**32 - 1])
def test_a_header_longer_than_the_file_is_refused(tmp_path, length):
    craft(tmp_path / "x", b"", text_nbytes=length)
    refuses(tmp_path / "x", "longer than the file")


@pytest.mark.parametrize("count", [1, 2**31, 2**62, 2**63 - 1, 2**64 - 1])
def test_more_checksums_than_the_file_holds_are_refused(tmp_path, count):
    craft(tmp_path / "x", b"", n_checksums=count)
    refuses(tmp_path / "x", "longer than the file")


@pytest.mark.parametrize("length", [0, 2**63 - 1, 2**64 - 1])
def test_a_wrong_length_of_the_file_is_refused(tmp_path, length):
    craft(tmp_path / "x", header(), file_nbytes=length)
    refuses(tmp_path / "x", f"should have {length}")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"1",
        b"null",
        b"\xff",
        b"{",
        b"{} {}",
        json.dumps(header()).encode("utf-16"),
        b'{"kind": "Thing", "meta": {"a": NaN}, "arrays": []}',
        b'{"kind": "Thing", "meta": {"a": -Infinity}, "arrays": []}',
        b'{"kind": "Thing", "meta": {}}',
        b'{"kind": "Thing", "meta": [], "arrays": []}',
        b'{"kind": "Thing", "meta": {}, "arrays": {}}',
        b'{"kind": "Thing", "meta": {}, "arrays": [[]]}',
        b'{"kind": "Thing", "meta": {}, "arrays": [{"name": "a"}]}',
        b'{"kind": 1, "meta": {}, "arrays": []}',
        b'{"kind": "Thing", "meta": {"a": ' + b"9" * 10_000 + b'}, "arrays": []}',
        b"[" * 1_000_000,
        b'{"a":' * 1_000_000,
        b'{"kind": "Thing", "arrays": [], "meta": {"a": ' + b"[" * 10**5 + b"]" * 10**5 + b"}}",
    ],
    ids=itertools.count(),
)
def test_a_header_that_is_not_one_is_refused(tmp_path, text):
    craft(tmp_path / "x", text)
    refuses(tmp_path / "x", "(header|array table)")


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ({"dtype": "O"}, "unsupported dtype"),
        ({"dtype": "|O"}, "unsupported dtype"),
        ({"dtype": ">f4"}, "unsupported dtype"),
        ({"dtype": "float32"}, "unsupported dtype"),
        ({"dtype": "<f4,<f4"}, "unsupported dtype"),
        ({"dtype": "<U1000000000"}, "unsupported dtype"),
        ({"dtype": None}, "malformed"),
        ({"dtype": ["<f4"]}, "malformed"),
        ({"name": 1}, "malformed"),
        ({"shape": 3}, "malformed"),
        ({"shape": "33"}, "malformed"),
        ({"shape": {"0": 3}}, "malformed"),
        ({"shape": [-1]}, "shape"),
        ({"shape": [-3, -2]}, "shape"),
        ({"shape": [3.0]}, "shape"),
        ({"shape": [True]}, "shape"),
        ({"shape": ["3"]}, "shape"),
        ({"shape": [2**63]}, "shape"),
        ({"shape": [2**61]}, "shape"),
        ({"shape": [2**64, 0]}, "shape"),
        ({"shape": [2**40, 0, 2**40]}, "shape"),
        ({"shape": [2**32, 2**32]}, "shape"),
        ({"shape": [1] * 33}, "shape"),
        ({"shape": [2**60]}, "checksums"),
        ({"shape": [2**40, 2**10]}, "checksums"),
        ({"shape": [2**40], "panel_rows": 2**40}, "length"),
        ({"shape": [4, 2]}, "length"),
        ({"shape": [2, 2]}, "length"),
        ({"shape": []}, "length"),
        ({"shape": [0]}, "checksums"),
        ({"panel_rows": 0}, "panels"),
        ({"panel_rows": -1}, "panels"),
        ({"panel_rows": 1.0}, "panels"),
        ({"panel_rows": True}, "panels"),
        ({"panel_rows": None}, "panels"),
        ({"panel_rows": 1}, "checksums"),
    ],
)
def test_an_impossible_array_is_refused(tmp_path, bad, what, mmap):
    data = np.arange(6, dtype="<f4").tobytes()
    text = json.dumps(header(entry() | bad)).encode()
    padding = bytes(-(32 + len(text) + 4 + 4) % 64)
    craft(tmp_path / "x", text, [zlib.crc32(data)], padding + data)
    refuses(tmp_path / "x", what, mmap)


def test_an_array_beyond_the_end_of_the_file_is_refused(tmp_path):
    # Both claim the same bytes: offsets are not stored, so this is how arrays would overlap.
    data = bytes(20)
    text = json.dumps(header(entry("a", "<i2", [10]), entry("b", "<i2", [10]))).encode()
    padding = bytes(-(32 + len(text) + 8 + 4) % 64)
    craft(tmp_path / "x", text, [zlib.crc32(data), 0], padding + data)
    refuses(tmp_path / "x", "length")


def test_an_array_without_entries_may_have_a_huge_axis(tmp_path):
    path = tmp_path / "x"
    write(path, KIND, {}, {"a": np.empty((2**40, 0), np.uint8)})
    for mmap in (False, True):
        _, arrays = read(path, KIND, mmap=mmap)
        assert arrays["a"].shape == (2**40, 0)


def test_two_arrays_of_one_name_are_refused(tmp_path):
    craft(tmp_path / "x", header(entry(shape=[0]), entry(shape=[0])))
    refuses(tmp_path / "x", "same name")


def test_a_lying_header_allocates_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(np, "empty", mock.Mock(side_effect=AssertionError))
    for shape in ([2**36], [2**20, 2**20], [2**50, 1, 1]):
        craft(tmp_path / "x", header(entry(shape=shape, panel_rows=2**50)), [0])
        refuses(tmp_path / "x", "length")


# Mapped rows


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
