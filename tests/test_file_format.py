"""Files of arrays: what is written comes back, and no failure leaves half a file."""

import json
import math
import struct
import zlib
from unittest import mock

import numpy as np
import pytest
from array_files import KIND, assert_same, flip, leftovers, write_thing
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skquant import _file_format
from skquant._file_format import MappedRows, read, write

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
def path(tmp_path, monkeypatch):
    return write_thing(tmp_path, monkeypatch)


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


def test_a_link_is_followed(path, tmp_path):
    link = tmp_path / "link"
    try:
        link.symlink_to(path)
    except OSError:
        pytest.skip("this system lets us make no links")
    write(link, KIND, {"new": True}, {})
    assert link.is_symlink()
    assert read(path, KIND) == ({"new": True}, {})
