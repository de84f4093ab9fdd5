"""The container on disk: a kind, a dictionary and named arrays, every byte of them checked.

A file is a head and, behind it, the arrays. The head says what the file holds and carries one
CRC-32 for each *panel*, a run of whole rows of about a mebibyte, so that a memory-mapped file can
be verified piece by piece, each before its first use. Where things lie follows from what the head
says and is not stored, so it cannot be wrong. ``docs/file_format.rst`` is the specification.
"""

import json
import math
import mmap as memory_map
import os
import secrets
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

# The first byte is no text and the line ends differ, so that a transfer in text mode shows.
MAGIC = b"\x89SKQ\r\n\x1a\n"
VERSION = 1
ALIGNMENT = 64
PANEL_NBYTES = 1 << 20

# Magic, version, bytes of JSON, number of panel checksums, bytes of the whole file.
_PREAMBLE = struct.Struct("<8sIIQQ")
_CHECKSUM = np.dtype("<u4")
_DTYPES = frozenset("|i1 |u1 <i2 <u2 <i4 <u4 <i8 <u8 <f2 <f4 <f8".split())
_MAX_NDIM = 32  # the least among the supported versions of NumPy


@dataclass(frozen=True)
class _Entry:
    """An entry of the array table: what is needed to find an array and to cut it into panels."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    panel_rows: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def panel_nbytes(self) -> int:
        return self.panel_rows * math.prod(self.shape[1:]) * np.dtype(self.dtype).itemsize

    @property
    def n_panels(self) -> int:
        return -(-self.nbytes // self.panel_nbytes) if self.nbytes else 0


class MappedRows:
    """The rows of a memory-mapped matrix, each panel verified before its first use.

    A slice gives a read-only view of the file, an integer or an array of integers a copy of the
    rows it picks; `numpy.asarray` views it all. A pickle holds an ordinary array in memory.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_columns)
        The mapped matrix, C-contiguous.
    panel_rows : int
        Rows in a panel; the last panel may have fewer.
    checksums : ndarray of shape (n_panels,), dtype uint32
        The CRC-32 of each panel.
    label : str
        The file and the name of the array, for messages.

    Attributes
    ----------
    shape, ndim, dtype, nbytes
        As of an ndarray.

    Raises
    ------
    ValueError
        At each use of rows of a panel whose bytes do not match their checksum.
    """

    def __init__(self, rows: np.ndarray, panel_rows: int, checksums: np.ndarray, label: str):
        self.shape, self.ndim, self.nbytes = rows.shape, rows.ndim, rows.nbytes
        self._rows = rows
        self._panel_rows = panel_rows
        self._checksums = checksums
        self._label = label
        # Threads share this without a lock: to verify a panel twice does no harm.
        self._verified = np.zeros(len(checksums), dtype=bool)

    @property
    def dtype(self) -> np.dtype:
        return self._rows.dtype

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: Any) -> np.ndarray:
        if isinstance(key, slice):
            if rows := range(len(self))[key]:
                first, last = sorted((rows[0], rows[-1]))
                self._verify(slice(first // self._panel_rows, last // self._panel_rows + 1))
            return self._rows[key]
        index = np.asarray(key)
        if isinstance(key, tuple) or index.dtype.kind not in "iu":
            raise IndexError("rows are picked by a slice, an integer or an array of integers")
        self._verify(index.astype(np.intp) % len(self) // self._panel_rows)
        return self._rows[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is None:  # which NumPy 1 does not take
            return np.asarray(self[:], dtype)
        return np.array(self[:], dtype, copy=copy)

    def verified(self, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
        """View the whole matrix, of which the rows between starts and stops may be used."""
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            self._verify(slice(start // self._panel_rows, -(-stop // self._panel_rows)))
        return self._rows

    def __reduce__(self) -> tuple:
        # The file may be gone, or another one, where the pickle is loaded.
        return np.array, (self[:],)

    def _verify(self, panels: slice | np.ndarray) -> None:
        pending = np.zeros_like(self._verified)
        pending[panels] = True
        pending &= ~self._verified
        for panel in np.flatnonzero(pending).tolist():
            rows = self._rows[panel * self._panel_rows : (panel + 1) * self._panel_rows]
            _check(_as_bytes(rows), self._checksums[panel], f"{self._label}, panel {panel}")
            self._verified[panel] = True


Arrays = Mapping[str, np.ndarray | MappedRows]


def write(path: str | os.PathLike, kind: str, meta: Mapping[str, Any], arrays: Arrays) -> None:
    """Write a file, all of it or nothing: after a failure, `path` is as it was.

    Arrays are written panel by panel, so that a mapped one is never in memory as a whole.

    Parameters
    ----------
    path : str or path-like
        Where to write. A symbolic link is followed. On POSIX it may be the file that `arrays`
        are mapped from.
    kind : str
        What the file is, as `read` will ask for it.
    meta : dict
        Strings, booleans, None, integers, finite floats, and lists and dicts (with strings as
        keys) of them. All come back exactly, but a tuple comes back as a list.
    arrays : dict of str to ndarray or MappedRows
        Integers of 8 to 64 bits and floats of 16 to 64, in any memory layout and byte order.

    Raises
    ------
    TypeError
        If `meta` holds something that JSON cannot.
    ValueError
        If `meta` holds NaN or an infinity, an array has another dtype, or an array is mapped
        from a damaged file.
    OSError
        If the file cannot be written.
    """
    table = [_describe(name, array) for name, array in arrays.items()]
    header = {"kind": kind, "meta": meta, "arrays": table}
    text = json.dumps(header, allow_nan=False, separators=(",", ":")).encode()
    # The reader's own checks: what it would refuse is never written.
    _, _, entries = _parse_header(text)
    n_checksums = sum(entry.n_panels for entry in entries)
    head_nbytes = _head_nbytes(len(text), n_checksums)

    with replacement(path) as temporary, open(temporary, "xb") as file:
        # The head waits for the checksums, which are known when the arrays have passed.
        file.write(bytes(head_nbytes))
        checksums = []
        for entry, array in zip(entries, arrays.values(), strict=True):
            file.write(bytes(-file.tell() % ALIGNMENT))
            for panel in _panels(array, entry):
                checksums.append(zlib.crc32(panel))
                file.write(panel)
        preamble = _PREAMBLE.pack(
            MAGIC, VERSION, len(text), n_checksums, _file_nbytes(head_nbytes, entries)
        )
        head = preamble + text + np.array(checksums, dtype=_CHECKSUM).tobytes()
        file.seek(0)
        file.write(head + struct.pack("<I", zlib.crc32(head)))


def read(path: str | os.PathLike, kind: str, *, mmap: bool = False) -> tuple[dict, Arrays]:
    """Read a file that `write` has made, and verify what is read.

    Parameters
    ----------
    path : str or path-like
        The file.
    kind : str
        What the file is expected to be.
    mmap : bool, default=False
        Whether to leave matrices of more than one panel in the file. They come back as
        `MappedRows`, which verify each panel before its first use.

    Returns
    -------
    meta : dict
        As given to `write`.
    arrays : dict of str to ndarray or MappedRows
        As given to `write`, in little-endian byte order and C-contiguous.

    Raises
    ------
    ValueError
        If the file is not a skquant file, is of a newer version or of another kind, or is
        truncated or damaged. The message names the file and what is wrong.
    OSError
        If the file cannot be opened or read.
    """
    path = os.fsdecode(path)
    with open(path, "rb") as file:
        try:
            text, checksums = _read_head(file)
            found, meta, entries = _parse_header(text)
            if found != kind:
                raise ValueError(f"it holds a {found!r}, not a {kind!r}")
            return meta, _read_arrays(file, entries, checksums, mmap)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def _describe(name: str, array: np.ndarray | MappedRows) -> dict[str, Any]:
    """Make the entry of an array in the header, and choose its panels."""
    row_nbytes = math.prod(array.shape[1:]) * array.dtype.itemsize
    return {
        "name": name,
        "dtype": array.dtype.newbyteorder("<").str,
        "shape": list(array.shape),
        "panel_rows": max(PANEL_NBYTES // max(row_nbytes, 1), 1),
    }


def _parse_header(text: bytes) -> tuple[str, dict[str, Any], list[_Entry]]:
    """Give kind, meta and array table; raise ValueError unless all of them are sound."""
    match parse_json(text):
        case {"kind": str(kind), "meta": dict(meta), "arrays": list(table)}:
            entries = [_parse_entry(entry) for entry in table]
        case _:
            raise ValueError("its header lacks a kind, a meta or an array table")
    if len({entry.name for entry in entries}) < len(entries):
        raise ValueError("two of its arrays have the same name")
    return kind, meta, entries


def parse_json(text: bytes) -> Any:
    """Parse strict JSON; raise ValueError if it is none."""
    try:
        return json.loads(text.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"its header is not JSON: {error}") from error


def _refuse_constant(constant: str) -> None:
    """Refuse NaN and Infinity, which Python takes for JSON."""
    raise ValueError(f"{constant} is not a number")


def _parse_entry(entry: Any) -> _Entry:
    match entry:
        case {"name": str(name), "dtype": str(dtype), "shape": [*shape], "panel_rows": rows}:
            pass
        case _:
            raise ValueError("an entry of its array table is malformed")
    if dtype not in _DTYPES:
        raise ValueError(f"array {name!r} has the unsupported dtype {dtype!r}")
    if (
        len(shape) > _MAX_NDIM
        or not all(type(n) is int and n >= 0 for n in shape)
        # NumPy has this limit even for an array without entries.
        or math.prod(max(n, 1) for n in shape) * np.dtype(dtype).itemsize >= 1 << 63
    ):
        raise ValueError(f"array {name!r} has an impossible shape")
    if type(rows) is not int or rows < 1:
        raise ValueError(f"array {name!r} has impossible panels")
    return _Entry(name, dtype, tuple(shape), rows)


def require_version(version: int) -> None:
    """Refuse a version that is not known here."""
    if version != VERSION:
        age = "newer" if version > VERSION else "older"
        raise ValueError(f"its format version {version} is {age} than {VERSION}, known here")


def _head_nbytes(text_nbytes: int, n_checksums: int) -> int:
    """Count the preamble, the JSON, the checksums of the panels, and that of the head itself."""
    return _PREAMBLE.size + text_nbytes + (n_checksums + 1) * _CHECKSUM.itemsize


def _file_nbytes(head_nbytes: int, entries: list[_Entry]) -> int:
    """Count the head and the arrays behind it, each aligned."""
    position = head_nbytes
    for entry in entries:
        position += -position % ALIGNMENT + entry.nbytes
    return position


def _read_head(file: BinaryIO) -> tuple[bytes, np.ndarray]:
    """Give the JSON and the checksums of the panels, and leave `file` behind the head."""
    size = os.fstat(file.fileno()).st_size
    preamble = file.read(_PREAMBLE.size)
    if not preamble.startswith(MAGIC):
        raise ValueError("not a skquant file")
    if len(preamble) < _PREAMBLE.size:
        raise ValueError("the file is truncated")
    _, version, text_nbytes, n_checksums, file_nbytes = _PREAMBLE.unpack(preamble)
    require_version(version)
    if size != file_nbytes:
        what = "truncated" if size < file_nbytes else "followed by other bytes"
        raise ValueError(f"the file is {what}: it has {size} bytes and should have {file_nbytes}")
    # Before any of it is read: a length that lies must not make us allocate.
    head_nbytes = _head_nbytes(text_nbytes, n_checksums)
    if head_nbytes > size:
        raise ValueError("its head is damaged: it is longer than the file")
    rest = file.read(head_nbytes - _PREAMBLE.size)
    covered, checksum = rest[: -_CHECKSUM.itemsize], rest[-_CHECKSUM.itemsize :]
    if struct.pack("<I", zlib.crc32(covered, zlib.crc32(preamble))) != checksum:
        raise ValueError("its head is damaged: the bytes do not match their checksum")
    return covered[:text_nbytes], np.frombuffer(covered, _CHECKSUM, offset=text_nbytes)


def _read_arrays(
    file: BinaryIO, entries: list[_Entry], checksums: np.ndarray, mmap: bool
) -> Arrays:
    """Read, or map, the arrays from here, where the head ends."""
    if sum(entry.n_panels for entry in entries) != len(checksums):
        raise ValueError("its array table does not match the number of its checksums")
    if _file_nbytes(file.tell(), entries) != os.fstat(file.fileno()).st_size:
        raise ValueError("its array table does not match the length of the file")
    arrays = {}
    for entry in entries:
        if any(file.read(-file.tell() % ALIGNMENT)):
            raise ValueError(f"the padding before array {entry.name!r} is not zero")
        own, checksums = checksums[: entry.n_panels], checksums[entry.n_panels :]
        load = _map_rows if mmap and len(entry.shape) == 2 and entry.n_panels > 1 else _read_array
        arrays[entry.name] = load(file, entry, own)
    return arrays


def _map_rows(file: BinaryIO, entry: _Entry, checksums: np.ndarray) -> MappedRows:
    """Map the matrix that begins here, and step over it."""
    # Not numpy.memmap: joblib sends that to its workers as a path, past the verification.
    mapping = memory_map.mmap(file.fileno(), 0, access=memory_map.ACCESS_READ)
    rows = np.ndarray(entry.shape, entry.dtype, mapping, offset=file.tell())
    file.seek(entry.nbytes, os.SEEK_CUR)
    return MappedRows(rows, entry.panel_rows, checksums, f"{file.name}: array {entry.name!r}")


def _read_array(file: BinaryIO, entry: _Entry, checksums: np.ndarray) -> np.ndarray:
    """Read and verify the array that begins here."""
    array = np.empty(entry.shape, entry.dtype)
    content = _as_bytes(array)
    for number, checksum in enumerate(checksums):
        panel = content[number * entry.panel_nbytes : (number + 1) * entry.panel_nbytes]
        file.readinto(panel)
        _check(panel, checksum, f"array {entry.name!r}, panel {number}")
    return array


def _check(panel: memoryview, checksum: int, label: str) -> None:
    if zlib.crc32(panel) != checksum:
        raise ValueError(f"{label}: the bytes do not match their checksum")


def _panels(array: np.ndarray | MappedRows, entry: _Entry) -> Iterator[memoryview]:
    """Give the bytes of an array as the file holds them, copied only where they differ."""
    rows = array if array.ndim else array.reshape(1)
    for number in range(entry.n_panels):
        panel = rows[number * entry.panel_rows : (number + 1) * entry.panel_rows]
        yield _as_bytes(np.ascontiguousarray(panel, entry.dtype))


def _as_bytes(array: np.ndarray) -> memoryview:
    """View a C-contiguous array as its bytes."""
    return memoryview(array.reshape(-1).view(np.uint8))


@contextmanager
def replacement(path: str | os.PathLike) -> Iterator[str]:
    """Name a file to write, which takes the place of `path` if the block succeeds."""
    path = os.path.realpath(os.fsdecode(path))
    temporary = os.path.join(os.path.dirname(path), f".skquant-{secrets.token_hex(8)}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.remove(temporary)
        raise
