"""Files that are damaged, foreign or hostile."""

import io
import itertools
import json
import pickle
import struct
import zlib
from unittest import mock

import numpy as np
import pytest
from array_files import KIND, assert_same, flip, refuses, write_thing

from skquant._file_format import MAGIC, read, write


@pytest.fixture
def path(tmp_path, monkeypatch):
    return write_thing(tmp_path, monkeypatch)


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


# Damage


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
