"""The container of `_file_format` in the layout of safetensors, for the tools that read that.

A safetensors file says where tensors lie, and lets its header carry strings besides. It checks
that the tensors fill the file, and nothing of what they hold. So the strings here are our own
dictionary as JSON, with a CRC-32 of each array and of how it is to be read, and a CRC-32 of that
text. ``docs/file_format.rst`` is the specification.
"""

import json
import os
import zlib

import numpy as np

from ._file_format import VERSION, parse_json, replacement, require_version

_TEXT, _CHECKSUM = "skquant", "skquant_crc32"


def write(path, kind, meta, arrays):
    """Write a file, all of it or nothing; the arguments are those of `_file_format.write`.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be written.
    """
    save_file, _, error = _import_safetensors()
    # Only what is contiguous is written as it stands.
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    checksums = {name: _checksum(name, array) for name, array in arrays.items()}
    header = {"version": VERSION, "kind": kind, "meta": meta, "checksums": checksums}
    text = json.dumps(header, allow_nan=False, separators=(",", ":"))
    strings = {_TEXT: text, _CHECKSUM: str(zlib.crc32(text.encode()))}
    with replacement(path) as temporary:
        with open(temporary, "xb") as file:
            mode = os.fstat(file.fileno()).st_mode
        try:
            save_file(arrays, temporary, strings)
        except error as reason:
            raise OSError(f"{os.fsdecode(path)}: {reason}") from reason
        os.chmod(temporary, mode)  # safetensors lets only the owner read what it writes


def read(path, kind):
    """Read a file that `write` has made, and verify what is read.

    Parameters
    ----------
    path : str or path-like
        The file.
    kind : str
        What the file is expected to be.

    Returns
    -------
    meta : dict
        As given to `write`.
    arrays : dict of str to ndarray
        As given to `write`.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    ValueError
        If the file is not a safetensors file that skquant has written, is of a newer version or of
        another kind, or is truncated or damaged. The message names the file and what is wrong.
    OSError
        If the file cannot be opened or read.
    """
    _, safe_open, error = _import_safetensors()
    path = os.fsdecode(path)
    with open(path, "rb"):  # for the operating system's own words
        pass
    try:
        with safe_open(path, framework="numpy") as file:
            meta, checksums = _parse_strings(file.metadata(), kind)
            if set(file.keys()) != checksums.keys():
                raise ValueError("its tensors are not those that its metadata lists")
            arrays = {name: file.get_tensor(name) for name in checksums}
    except (error, ValueError) as reason:
        raise ValueError(f"{path}: {reason}") from reason
    for name, array in arrays.items():
        if _checksum(name, array) != checksums[name]:
            raise ValueError(f"{path}: tensor {name!r}: the bytes do not match their checksum")
    return meta, arrays


def _import_safetensors():
    try:
        from safetensors import SafetensorError, safe_open
        from safetensors.numpy import save_file
    except ImportError as error:
        raise ImportError(
            "Files of this format need the package safetensors: "
            'python -m pip install "skquant[safetensors]".'
        ) from error
    return save_file, safe_open, SafetensorError


def _parse_strings(strings, kind):
    """Give meta and checksums; raise ValueError unless they are sound."""
    if _TEXT not in (strings or {}):
        raise ValueError("skquant did not write this file: its metadata says nothing of it")
    text = strings[_TEXT].encode()
    if strings.get(_CHECKSUM) != str(zlib.crc32(text)):
        raise ValueError("its metadata is damaged: the text does not match its checksum")
    header = parse_json(text)
    match header:
        case {"version": int(version)}:
            require_version(version)
        case _:
            raise ValueError("its metadata lacks a version")
    match header:
        case {"kind": str(found), "meta": dict(meta), "checksums": dict(checksums)}:
            pass
        case _:
            raise ValueError("its metadata lacks a kind, a meta or checksums")
    if found != kind:
        raise ValueError(f"it holds a {found!r}, not a {kind!r}")
    return meta, checksums


def _checksum(name, array):
    label = json.dumps([name, array.dtype.str, *array.shape]).encode()
    return zlib.crc32(array.reshape(-1).view(np.uint8), zlib.crc32(label))
