"""A small file of arrays, and what the tests of the file format do with files."""

import re

import numpy as np
import pytest

from skquant import _file_format
from skquant._file_format import read, write

KIND = "Thing"


def make_matrix():
    return np.arange(7 * 13, dtype=np.float32).reshape(7, 13) - 45.5


def write_thing(folder, monkeypatch):
    """Write a small file with all that a file can have: panels, padding, all sorts of shapes."""
    monkeypatch.setattr(_file_format, "PANEL_NBYTES", 64)
    arrays = {
        "matrix": make_matrix(),  # a row of 52 bytes is a panel, so there are seven
        "vector": np.arange(50, dtype=np.int16),
        "scalar": np.array(3.5),
        "empty": np.empty((5, 0), np.uint8),
        "tensor": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    }
    path = folder / "thing.skq"
    write(path, KIND, {"bits": 4.0, "lattice": "E8"}, arrays)
    return path


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


def flip(path, position, mask=0xFF):
    data = bytearray(path.read_bytes())
    data[position] ^= mask
    path.write_bytes(data)
