"""Spoil files at random and read them: what is damaged is refused, and nothing crashes.

    python tests/fuzz_files.py --n-files 10000

takes the stored files of all kinds in turn. Half of the time bytes are flipped, cut, doubled or
taken from another file; such a file has to be refused with ValueError, or to decode to what it
held before. Half of the time the content is altered and all checksums are made anew, as somebody
with bad intentions would; such a file has to be refused with ValueError, or to decode to a matrix.
The address space is limited, so that a length that lies shows as a MemoryError. With
NUMBA_BOUNDSCHECK=1 the kernels check every index as well.
"""

import argparse
import json
import math
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from stored_files import FOLDER, load

from skquant._safetensors import _checksum

ROOM = 2**30  # bytes of address space beyond those in use at the beginning


def main():
    """Read the arguments, fuzz, and say what happened."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = fuzz(Path(folder), arguments.n_files, arguments.seed)
    print(f"{arguments.n_files} files in {time.perf_counter() - start:.0f} s")
    for (how, outcome), count in sorted(outcomes.items()):
        print(f"{how:10} {outcome:10} {count}")


def fuzz(folder, n_files, seed):
    """Spoil and read files.

    Parameters
    ----------
    folder : Path
        Where to write them.
    n_files, seed : int

    Returns
    -------
    Counter
        How often a file that was "damaged" or "forged" came out "refused", "the same" or "altered".

    Raises
    ------
    AssertionError
        If damage gave other data. Whatever else but ValueError reading raises is raised.
    """
    rng = np.random.default_rng(seed)
    sources = sorted(p for p in FOLDER.glob("*/*") if p.suffix in (".skq", ".safetensors"))
    contents = [source.read_bytes() for source in sources]
    expected = [load(source).toarray() for source in sources]
    outcomes = Counter()
    with limited_address_space():
        for number in range(n_files):
            which, how = number % len(sources), ("damaged", "forged")[rng.integers(2)]
            if how == "damaged":
                spoiled = damage(contents[which], contents[rng.integers(len(contents))], rng)
            else:
                forge = forge_skq if sources[which].suffix == ".skq" else forge_safetensors
                spoiled = forge(contents[which], rng)
            path = folder / sources[which].name
            if spoiled in contents:  # the end of a file put to the beginning of its twin
                continue
            path.write_bytes(spoiled)
            outcomes[how, read(path, expected[which], how == "damaged")] += 1
    return outcomes


def read(path, expected, must_be_same):
    """Load a file, decode it, and say what became of it."""
    try:
        matrix = load(path)
    except ValueError as error:
        assert path.name in str(error), f"the message does not name the file: {error}"
        return "refused"
    try:
        with np.errstate(all="ignore"):  # a forged mean may overflow
            found = matrix.toarray()
    except ValueError:
        assert not must_be_same, f"{path.name} was damaged, and that was noticed late"
        return "refused"
    assert found.shape == matrix.shape
    same = np.array_equal(found, expected, equal_nan=True)
    assert same or not must_be_same, f"{path.name} was damaged, and gave other data"
    return "the same" if same else "altered"


@contextmanager
def limited_address_space():
    """Leave only so much room for what is allocated, on the systems that let us."""
    if sys.platform != "linux":
        yield
        return
    import resource

    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (in_use + ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


# Damage


def damage(data, other, rng):
    """Spoil bytes without regard to what they mean."""
    position, length = rng.integers(len(data)), rng.integers(1, 65)
    spoiled = bytearray(data)
    match rng.integers(6):
        case 0:
            spoiled[position] ^= 1 << rng.integers(8)
        case 1:
            spoiled[position : position + length] = rng.bytes(length)
        case 2:
            del spoiled[position : position + length]
        case 3:
            spoiled[position:position] = data[position : position + length]
        case 4:
            del spoiled[position:]
        case 5:
            spoiled[position:] = other[position:]
    return bytes(spoiled)


# Forgery


def forge_skq(data, rng):
    """Alter the header or the arrays of a file of our own format, and make its checksums anew."""
    _, _, text_nbytes, n_checksums, _ = struct.unpack_from("<8sIIQQ", data)
    header = json.loads(data[32 : 32 + text_nbytes])
    position, arrays = 32 + text_nbytes + 4 * n_checksums + 4, []
    for entry in header["arrays"]:
        position += -position % 64
        size = math.prod(entry["shape"]) * np.dtype(entry["dtype"]).itemsize
        arrays.append(data[position : position + size])
        position += size
    if rng.integers(2):
        forge_json(header, rng)
    else:
        which = rng.integers(len(arrays))
        arrays[which] = forge_bytes(arrays[which], rng)
    text = json.dumps(header).encode()
    checksums = [zlib.crc32(array) for array in arrays]
    body, position = b"", 32 + len(text) + 4 * len(checksums) + 4
    for array in arrays:
        body += bytes(-(position + len(body)) % 64) + array
    size = position + len(body)
    head = struct.pack("<8sIIQQ", data[:8], 1, len(text), len(checksums), size)
    head += text + struct.pack(f"<{len(checksums)}I", *checksums)
    return head + struct.pack("<I", zlib.crc32(head)) + body


def forge_safetensors(data, rng):
    """Alter the strings or the tensors of a safetensors file, and make its checksums anew."""
    (length,) = struct.unpack_from("<Q", data)
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    strings = header.pop("__metadata__")
    ours = json.loads(strings["skquant"])
    match rng.integers(3):
        case 0:
            forge_json(ours, rng)
        case 1:
            forge_json(header, rng)
        case 2:
            body = forge_bytes(body, rng)
    if isinstance(ours.get("checksums"), dict):
        for name in ours["checksums"]:
            ours["checksums"][name] = _checksum_of_tensor(name, header.get(name), body)
    strings["skquant"] = json.dumps(ours)
    strings["skquant_crc32"] = str(zlib.crc32(strings["skquant"].encode()))
    text = json.dumps({"__metadata__": strings, **header}).encode()
    return struct.pack("<Q", len(text)) + text + body


def _checksum_of_tensor(name, entry, body):
    """Give the checksum of a tensor as the reader will see it, or 0 where it will see none."""
    dtypes = {"U8": "|u1", "I8": "|i1", "I64": "<i8", "F32": "<f4", "F64": "<f8"}
    try:
        first, last = entry["data_offsets"]
        array = np.frombuffer(body[first:last], dtypes[entry["dtype"]]).reshape(entry["shape"])
        return _checksum(name, array)
    except (KeyError, TypeError, ValueError):
        return 0


def forge_bytes(data, rng):
    """Give bytes of the same length, of which one or eight in a row are others."""
    forged = bytearray(data)
    if forged:
        length = (1, 8)[rng.integers(2)]
        position = rng.integers(len(forged)) // length * length
        kinds = (rng.bytes(length), b"\xff" * length, bytes(length), struct.pack("<d", np.nan))
        forged[position : position + length] = kinds[rng.integers(4)][:length]
    return bytes(forged[: len(data)])


def forge_json(value, rng):
    """Alter one value somewhere in a tree of dictionaries and lists."""
    places = list(_places(value))
    holder, key = places[rng.integers(len(places))]
    old = holder[key]
    others = [None, True, -1, 0, 1, 2, 7, 2**31 - 1, 2**31, 2**63, 10**30, -0.5, 1e300, "x", [], {}]
    if type(old) in (int, float) and rng.integers(2):
        others = [old + 1, old - 1, 2 * old, old // 2, 256 * old, float(old)]
    if isinstance(old, list) and rng.integers(2):
        others = [old[:-1], old + old, old[::-1]]
    if rng.integers(20) == 0:
        del holder[key]
    else:
        holder[key] = others[rng.integers(len(others))]


def _places(value):
    """Yield every holder of a value in a tree, and the key that it has there."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


if __name__ == "__main__":
    main()
