import json
import os
import pickle
import struct
import sys
import zlib

import numpy as np
import pytest

from skquant import LatticeQuantizer, QuantizedMatrix
from skquant._safetensors import _checksum

safetensors = pytest.importorskip("safetensors")
from safetensors.numpy import load_file, save_file  # noqa: E402


def compress(dtype=np.float64, n_features=21, **options):
    rows = np.random.default_rng(0).standard_normal((50, n_features)).astype(dtype) + 1
    return LatticeQuantizer(**{"random_state": 0, **options}).fit(rows).compress(rows)


@pytest.fixture
def small_path(tmp_path):
    path = tmp_path / "x.safetensors"
    compress(n_features=3, bits=1)[:5].save_safetensors(path)
    return path


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "x.safetensors"
    compress().save_safetensors(path)
    return path


def strings_of(path):
    with safetensors.safe_open(path, framework="numpy") as file:
        return file.metadata()


def rewrite(path, alter=lambda header: None, **changes):
    """Alter the dictionary and the tensors of a file, with all checksums right."""
    tensors, strings = load_file(path), strings_of(path)
    header = json.loads(strings["skquant"])
    alter(header)
    for name, value in changes.items():
        tensors[name] = value(tensors[name])
        header["checksums"][name] = _checksum(name, tensors[name])
    text = json.dumps(header)
    strings |= {"skquant": text, "skquant_crc32": str(zlib.crc32(text.encode()))}
    save_file(tensors, path, strings)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rotation": "orthogonal", "center": "rows"},
        {"rotation": "pca", "bits": 2},
        {"coding": "entropy", "lattice": "Leech"},
        {"coding": "hierarchical", "bits": 2.5},
        {"bits": 0.5, "rotation": None},
    ],
)
@pytest.mark.parametrize("n_rows", [0, 1, 50])
def test_what_is_saved_is_loaded(tmp_path, dtype, options, n_rows):
    matrix = compress(dtype, **options)[:n_rows]
    matrix.save_safetensors(tmp_path / "x.safetensors")
    loaded = QuantizedMatrix.load_safetensors(str(tmp_path / "x.safetensors"))
    assert loaded.dtype == dtype and loaded.nbytes == matrix.nbytes
    np.testing.assert_array_equal(loaded.toarray(), matrix.toarray())
    loaded.save(tmp_path / "loaded.skq")
    matrix.save(tmp_path / "matrix.skq")
    assert (tmp_path / "loaded.skq").read_bytes() == (tmp_path / "matrix.skq").read_bytes()


def test_others_can_read_the_tensors(path):
    matrix, tensors = compress(), load_file(path)
    assert tensors.keys() == {*matrix._codec.arrays, "rows"}
    np.testing.assert_array_equal(tensors["rows"], matrix._rows)
    np.testing.assert_array_equal(tensors["mean"], matrix._codec.mean)


def test_the_checksums_are_those_that_the_docs_specify(path):
    strings = strings_of(path)
    assert strings["skquant_crc32"] == str(zlib.crc32(strings["skquant"].encode()))
    header = json.loads(strings["skquant"])
    assert (header["version"], header["kind"]) == (1, "QuantizedMatrix")
    tensors = load_file(path)
    assert header["checksums"].keys() == tensors.keys()
    rows = tensors["rows"]
    label = f'["rows", "|u1", {len(rows)}, {rows.shape[1]}]'.encode()
    assert header["checksums"]["rows"] == zlib.crc32(label + rows.tobytes())


def test_rows_of_any_layout_are_saved(tmp_path):
    matrix = compress()
    for selected in (matrix[::-2], matrix[5:30:3]):
        selected.save_safetensors(tmp_path / "x")
        loaded = QuantizedMatrix.load_safetensors(tmp_path / "x")
        np.testing.assert_array_equal(loaded.toarray(), selected.toarray())


def test_a_mapped_matrix_is_saved(tmp_path):
    rows = np.random.default_rng(0).standard_normal((9000, 128))
    matrix = LatticeQuantizer(8, random_state=0).fit(rows[:100]).compress(rows)
    matrix.save(tmp_path / "x.skq")
    QuantizedMatrix.load(tmp_path / "x.skq", mmap=True).save_safetensors(tmp_path / "x")
    loaded = QuantizedMatrix.load_safetensors(tmp_path / "x")
    np.testing.assert_array_equal(loaded._rows, matrix._rows)


def test_a_failure_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        compress(bits=2).save_safetensors(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_file_has_the_usual_permissions(path):
    compress().save(path.with_suffix(".skq"))
    assert path.stat().st_mode == path.with_suffix(".skq").stat().st_mode


def test_without_safetensors_the_message_says_what_to_install(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for action in (compress().save_safetensors, QuantizedMatrix.load_safetensors):
        with pytest.raises(ImportError, match=r"need the package safetensors.*skquant\[safeten"):
            action(path)


# Files that are not what they should be


def refuses(path, what):
    with pytest.raises(ValueError, match=rf"x\.safetensors: .*{what}"):
        QuantizedMatrix.load_safetensors(path)


@pytest.mark.parametrize("data", [b"", b"x", bytes(1000), b"\xff" * 64, pickle.dumps([1])])
def test_a_foreign_file_is_refused(path, data):
    path.write_bytes(data)
    refuses(path, "")


def test_safetensors_of_others_are_refused(path):
    save_file({"rows": np.zeros((3, 4), np.uint8)}, path)
    refuses(path, "skquant did not write this file")
    save_file({"rows": np.zeros((3, 4), np.uint8)}, path, {"format": "pt"})
    refuses(path, "skquant did not write this file")


def test_no_file_is_an_error_of_the_operating_system(path):
    with pytest.raises(FileNotFoundError):
        QuantizedMatrix.load_safetensors(path.with_suffix(".missing"))
    with pytest.raises(OSError):
        QuantizedMatrix.load_safetensors(path.parent)


def test_a_flip_of_any_byte_is_noticed_or_changes_nothing(small_path):
    path, data = small_path, small_path.read_bytes()
    expected = pickle.dumps(QuantizedMatrix.load_safetensors(path))
    for position in range(len(data)):
        spoiled = bytearray(data)
        spoiled[position] ^= 0x01
        path.write_bytes(spoiled)
        try:
            loaded = QuantizedMatrix.load_safetensors(path)
        except ValueError as error:
            assert path.name in str(error)
        else:  # white space for white space
            assert pickle.dumps(loaded) == expected


def test_a_file_cut_anywhere_is_refused(small_path):
    path, data = small_path, small_path.read_bytes()
    for length in range(0, len(data), 3):
        path.write_bytes(data[:length])
        refuses(path, "")


@pytest.mark.parametrize(
    ("alter", "what"),
    [
        (lambda header: header.update(version=2), "version 2 is newer than 1"),
        (lambda header: header.update(version="1"), "lacks a version"),
        (lambda header: header.pop("version"), "lacks a version"),
        (lambda header: header.update(kind="Other"), "holds a 'Other'"),
        (lambda header: header.pop("kind"), "lacks a kind"),
        (lambda header: header.pop("meta"), "lacks a kind, a meta"),
        (lambda header: header["checksums"].pop("mean"), "not those that its metadata lists"),
        (lambda header: header["checksums"].update(more=0), "not those that its metadata lists"),
        (lambda header: header["checksums"].update(mean=0), "tensor 'mean': .*checksum"),
        (lambda header: header["meta"].update(dtype="float16"), "float16"),
        (lambda header: header["meta"]["codec"].update(n_features=20), "codec"),
        (lambda header: header["meta"]["codec"].update(rotation="pca"), "codec"),
    ],
)
def test_impossible_metadata_is_refused(path, alter, what):
    rewrite(path, alter)
    refuses(path, what)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("rows", lambda rows: rows[:, 1:]),
        ("rows", lambda rows: rows.astype(np.int8)),
        ("rows", lambda rows: rows[0]),
        ("mean", lambda mean: mean * np.nan),
        ("mean", lambda mean: mean[1:]),
        ("rotation", lambda signs: 2 * signs),
        ("scales", lambda scales: -scales),
    ],
)
def test_impossible_tensors_are_refused(path, name, change):
    rewrite(path, **{name: lambda array: np.ascontiguousarray(change(array))})
    refuses(path, "")


def test_a_rewritten_file_can_be_loaded(path):
    """So that the files above are refused for what was altered."""
    rewrite(path, lambda header: header["meta"].update(comment="unknown keys are ignored"))
    assert pickle.dumps(QuantizedMatrix.load_safetensors(path)) == pickle.dumps(compress())


def test_metadata_that_is_no_sound_json_is_refused(path):
    tensors = load_file(path)
    for text in ("", "{", "[]", "[" * 100_000, '{"version": NaN}', "1"):
        strings = {"skquant": text, "skquant_crc32": str(zlib.crc32(text.encode()))}
        save_file(tensors, path, strings)
        refuses(path, "")
    save_file(tensors, path, {"skquant": "{}"})
    refuses(path, "damaged")


def test_a_header_that_lies_about_its_length_is_refused(path):
    data = path.read_bytes()
    for length in (0, 2**31, 2**63 - 1, 2**64 - 1):
        path.write_bytes(struct.pack("<Q", length) + data[8:])
        refuses(path, "")
