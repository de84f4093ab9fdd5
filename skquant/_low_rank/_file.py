"""The parts of a low-rank matrix as a dictionary and arrays, and back, every value checked."""

import math
import os
import tempfile

import numpy as np

from ..quantized_matrix import QuantizedMatrix
from ._basis import CodedBasis
from ._factors import Factor, LevelCode, TrellisCode, block_height
from ._quantizers import MAX_BITS
from ._stream import ORDERS, TAILS, Model

# The entropy coder writes no fewer than a byte for so many entries, so a file that claims more is
# refused before memory is taken for them.
_ENTRIES_PER_BYTE = 1 << 19
_LARGEST = 2.0**512


def part_to_file(name, part):
    """Describe a part: meta of JSON types, and arrays named after it.

    Parameters
    ----------
    name : str
    part : Factor, CodedBasis, QuantizedMatrix or None

    Returns
    -------
    meta : dict or None
    arrays : dict of str to ndarray
    """
    if part is None:
        return None, {}
    if isinstance(part, QuantizedMatrix):
        return {"kind": "lattice"}, {name: _saved_bytes(part)}
    if isinstance(part, CodedBasis):
        meta = {"kind": "basis", "shape": list(part.shape), **_model_to_file(part.model)}
        return meta, {name: part.data}
    meta = {"n_rows": part.n_rows, "n_columns": part.code.n_columns}
    # A matrix of one column, since those are what can be mapped.
    data = part.data[:, None] if part.data.ndim == 1 else part.data
    arrays = {name: data, f"{name}_ends": part.ends}
    if isinstance(part.code, TrellisCode):
        meta |= {"kind": "trellis", "step": part.code.step, **_model_to_file(part.code.model)}
    else:
        meta |= {"kind": part.code.kind, "top": part.code.top, "centre": part.code.centre}
        arrays[f"{name}_bits"] = part.code.bits
    return meta, arrays | {f"{name}_falls": part.code.falls}


def part_from_file(name, meta, arrays, kinds):
    """Rebuild a part.

    Parameters
    ----------
    name : str
    meta : dict or None
    arrays : dict of str to ndarray
    kinds : tuple of str
        Kinds that the part may have.

    Returns
    -------
    Factor, CodedBasis, QuantizedMatrix or None

    Raises
    ------
    ValueError
        If a value is missing, of the wrong type or impossible.
    """
    if meta is None:
        return None
    try:
        kind = meta["kind"]
        _require(kind in kinds, name)
        if kind == "lattice":
            return _loaded_bytes(_array(arrays, name, np.uint8))
        if kind == "basis":
            return _basis_from_file(name, meta, _array(arrays, name, np.uint8))
        data = arrays[name]
        _require(data.dtype == np.uint8 and data.ndim == 2 and data.shape[1] == 1, name)
        return _factor_from_file(name, kind, meta, arrays, data)
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"the {name} is incomplete or malformed ({error!r})") from error


def _basis_from_file(name, meta, data):
    rank, n_features = meta["shape"]
    _integer(rank, 1, 2**31), _integer(n_features, rank, 2**31)
    _require(rank * n_features <= _ENTRIES_PER_BYTE * len(data), name)
    return CodedBasis(data, (rank, n_features), _model_from_file(meta))


def _factor_from_file(name, kind, meta, arrays, data):
    n_rows = _integer(meta["n_rows"], 1, 2**48)
    n_columns = _integer(meta["n_columns"], 1, 2**31)
    ends = _array(arrays, f"{name}_ends", np.int64)
    height = block_height(n_columns)
    _require(len(ends) == -(-n_rows // height) and ends[-1] == len(data), f"{name}_ends")
    lengths = np.diff(ends, prepend=0)
    _require(bool((lengths >= 0).all()), f"{name}_ends")
    rows = np.minimum(height, n_rows - height * np.arange(len(ends)))
    falls = _array(arrays, f"{name}_falls", np.uint8)
    _require(len(falls) in (1, n_columns), f"{name}_falls")
    if kind == "trellis":
        _require(bool((n_columns * rows <= _ENTRIES_PER_BYTE * lengths).all()), name)
        code = TrellisCode(_real(meta["step"]), _model_from_file(meta), n_columns, falls)
        return Factor(code, n_rows, data, ends)
    bits = _array(arrays, f"{name}_bits", np.uint8)
    _require(len(bits) in (1, n_columns), f"{name}_bits")
    _require(1 <= bits.min() and bits.max() <= MAX_BITS, f"{name}_bits")
    row_bits = int(bits.sum(dtype=np.int64)) * (n_columns if len(bits) == 1 else 1)
    _require(lengths.tolist() == [math.ceil(int(n) * row_bits / 8) for n in rows], name)
    centre = _real(meta["centre"], least=-_LARGEST)
    code = LevelCode(kind, bits, _real(meta["top"]), falls, n_columns, centre)
    return Factor(code, n_rows, data, ends)


def _model_to_file(model):
    return {"order": model.order, "tail": model.tail}


def _model_from_file(meta):
    _require(type(meta["order"]) is int and meta["order"] in ORDERS, "order")
    _require(type(meta["tail"]) is int and meta["tail"] in TAILS, "tail")
    return Model(meta["order"], meta["tail"])


def _saved_bytes(matrix):
    """Give the file of a QuantizedMatrix as an array, to stand in another file."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "residual.skq")
        matrix.save(path)
        return np.fromfile(path, np.uint8)


def _loaded_bytes(data):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "residual.skq")
        data.tofile(path)
        return QuantizedMatrix.load(path)


def _require(condition, name):
    if not condition:
        raise ValueError(f"the {name} is impossible")


def _integer(value, least, most):
    _require(type(value) is int and least <= value <= most, "shape")
    return value


def _real(value, least=0.0):
    _require(type(value) in (int, float) and least <= value <= _LARGEST, "scale")
    return float(value)


def _array(arrays, name, dtype):
    array = np.asarray(arrays[name])
    _require(array.dtype == dtype and array.ndim == 1 and len(array) > 0, name)
    return array
