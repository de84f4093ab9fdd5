"""What was written by this version and by older ones is read."""

import numpy as np
import pytest
from fuzz_files import fuzz
from stored_files import FOLDER, load, main, make_matrices, save

import skquant
from skquant import LowRankLowPrecisionMatrix, QuantizedMatrix

FILES = sorted(path for path in FOLDER.glob("*/*") if path.suffix in (".skq", ".safetensors"))


def label(path):
    return "/".join(path.parts[-2:])


def needs_safetensors(path):
    if path.suffix == ".safetensors":
        pytest.importorskip("safetensors")


@pytest.mark.parametrize("path", FILES, ids=label)
def test_a_stored_file_is_read(path):
    needs_safetensors(path)
    expected = np.load(path.parent / "expected.npz")[path.name]
    found = load(path).toarray()
    # Not exactly the same on every machine: products of matrices are the machine's own.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("path", FILES, ids=label)
def test_a_stored_file_is_written_again(path, tmp_path):
    needs_safetensors(path)
    matrix = load(path)
    save(matrix, tmp_path / path.name)
    again = load(tmp_path / path.name)
    assert type(again) is type(matrix) and again.dtype == matrix.dtype
    np.testing.assert_array_equal(again.toarray(), matrix.toarray())


def test_files_of_this_version_are_stored():
    folder = FOLDER / skquant.__version__
    assert folder.is_dir(), "a new version: run tests/stored_files.py"
    names = {path.name for path in folder.iterdir()}
    assert names == set(np.load(folder / "expected.npz").files) | {"expected.npz"}


def test_every_kind_of_file_is_stored():
    pytest.importorskip("safetensors")
    stored = {path.name for path in FILES if path.parent.name == skquant.__version__}
    assert stored == set(make_matrices())


def test_files_of_a_version_are_not_overwritten():
    with pytest.raises(SystemExit, match="only once"):
        main()


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("fixed.skq", QuantizedMatrix.load),
        ("low_rank.skq", LowRankLowPrecisionMatrix.load),
    ],
)
def test_a_file_of_a_newer_version_is_refused_by_name(tmp_path, name, read):
    data = bytearray((FOLDER / skquant.__version__ / name).read_bytes())
    data[8] += 1
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=rf"{name}: its format version 2 is newer than 1"):
        read(tmp_path / name)


def test_spoiled_files_are_refused(tmp_path):
    """`python tests/fuzz_files.py` does so ten thousand times."""
    pytest.importorskip("safetensors")
    outcomes = fuzz(tmp_path, 400, seed=3)
    assert outcomes["damaged", "refused"] > 150
    assert outcomes["forged", "refused"] > 50
    assert outcomes["forged", "altered"] > 20
    assert outcomes["damaged", "altered"] == 0
