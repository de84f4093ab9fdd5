"""Factors in compressed form: rows of numbers that are decoded a range at a time."""

from dataclasses import dataclass, field, replace

import numpy as np

from ._quantizers import dithered_indices, nearest_indices, pack_rows, unit_levels, unpack_rows
from ._stream import Model, choose_model, decode, encode, new_predictor, quantize

_BLOCK_ROWS = 4096  # rows of a stream, which is decoded as a whole; fewer where they are wide
_BLOCK_NUMBERS = 1 << 22
_FEWEST_ROWS = 8  # they end with a whole byte
_FALLS_PER_OCTAVE = 8


@dataclass(frozen=True)
class LevelCode:
    """Fixed bits for the numbers of each column.

    Parameters
    ----------
    kind : {"uniform", "gaussian"}
        Levels, as of `unit_levels`.
    bits : uint8 ndarray of shape (n_columns,) or (1,)
        Bits of a number, from 1 on; one entry stands for all columns.
    top : float
        The largest scale of a column; 0 if all numbers are.
    falls : uint8 ndarray of shape (n_columns,) or (1,)
        Eighths of an octave by which the scale of each column is below `top`.
    n_columns : int
    centre : float, default=0
        What the levels of all columns are about.
    """

    kind: str
    bits: np.ndarray
    top: float
    falls: np.ndarray
    n_columns: int
    centre: float = 0.0

    @classmethod
    def fit(cls, kind, bits, scales, n_columns, centre=0.0):
        """Make a code for columns of the given scales."""
        top, falls = _fall(scales)
        bits = np.atleast_1d(np.asarray(bits, np.uint8))
        return cls(kind, bits, top, falls, n_columns, centre)

    @property
    def nbytes(self):
        """Bytes of what all rows share."""
        return self.bits.nbytes + self.falls.nbytes + 16

    @property
    def column_bits(self):
        """Bits of each column."""
        return np.broadcast_to(self.bits, self.n_columns).astype(np.int64)

    @property
    def scales(self):
        """Scale of each column."""
        return np.broadcast_to(self.top * _fallen(self.falls), self.n_columns)

    def encode(self, rows, rng=None):
        """Quantize and pack rows: to the nearest levels, or with dither by a random state."""
        indices = np.empty(rows.shape, np.int64)
        for b in np.unique(self.bits):
            columns = self.column_bits == b
            values = rows[:, columns] - self.centre
            values /= self.scales[columns] if self.top > 0 else 1.0
            if rng is None:
                indices[:, columns] = nearest_indices(values, self.kind, int(b))
            else:
                indices[:, columns] = dithered_indices(values, int(b), rng)
        return pack_rows(indices, self.column_bits)

    def decode(self, data, n_rows):
        """Unpack rows to float64."""
        indices = unpack_rows(data, self.column_bits, n_rows)
        rows = np.empty(indices.shape)
        for b in np.unique(self.bits):
            columns = self.column_bits == b
            rows[:, columns] = unit_levels(self.kind, int(b))[indices[:, columns]]
        return rows * self.scales + self.centre


@dataclass(frozen=True)
class TrellisCode:
    """Variable bits for numbers that are multiples of one step.

    Parameters
    ----------
    step : float
        That of the columns that are worth most.
    model : Model
        What the entropy coder assumes of the columns.
    n_columns : int
    falls : uint8 ndarray of shape (n_columns,) or (1,), default=(0,)
        Eighths of an octave by which an error in each column is worth less than in others, and its
        step is larger.
    """

    step: float
    model: Model
    n_columns: int
    falls: np.ndarray = field(default_factory=lambda: np.zeros(1, np.uint8))

    @classmethod
    def fit(cls, rows, step, root=None, model=None):
        """Make a code for rows, their errors weighted by the root of a metric if there is one."""
        top, falls = _fall(1.0 if root is None else np.diag(root))
        code = cls(step / top, Model(), rows.shape[1], falls)
        model = model or choose_model((rows * code.worth).T, code.step)
        return replace(code, model=model)

    @property
    def nbytes(self):
        """Bytes of what all rows share: step, order, tail, the word that they fill, and falls."""
        return 16 + (self.falls.nbytes if len(self.falls) > 1 else 0)

    @property
    def worth(self):
        """What an error in each column is worth, 1 at most."""
        return _fallen(self.falls)

    def encode(self, rows, root=None):
        """Quantize and code rows, a column a vector; with a root, each mends those before it."""
        if root is None:
            columns = np.ascontiguousarray((rows * self.worth).T)
            return encode(quantize(columns, self.step, self.model)[0], self.model)
        errors, memory = np.zeros(rows.shape), new_predictor(len(rows))
        indices = np.empty(rows.T.shape, np.int64)
        for j, worth in enumerate(np.broadcast_to(self.worth, self.n_columns)):
            column = rows[:, j] + errors[:, :j] @ (root[:j, j] / root[j, j])
            indices[j], values = quantize(worth * column[None], self.step, self.model, memory)
            errors[:, j] = rows[:, j] - values[0] * (self.step / worth)
        return encode(indices, self.model)

    def decode(self, data, n_rows):
        """Decode rows to float64."""
        values = decode(data, (self.n_columns, n_rows), self.model)
        return values.T * (self.step / self.worth)


@dataclass(frozen=True)
class Factor:
    """Coded rows.

    Parameters
    ----------
    code : LevelCode or TrellisCode
    n_rows : int
    data : uint8 ndarray of shape (n_bytes,), or MappedRows of shape (n_bytes, 1)
        The blocks of `block_height` rows, one behind the other.
    ends : int64 ndarray of shape (n_blocks,)
        Where each block ends in `data`.
    """

    code: LevelCode | TrellisCode
    n_rows: int
    data: np.ndarray
    ends: np.ndarray

    @classmethod
    def from_blocks(cls, code, n_rows, blocks):
        """Join the bytes of blocks."""
        blocks = list(blocks)
        ends = np.cumsum([len(block) for block in blocks], dtype=np.int64)
        return cls(code, n_rows, np.concatenate([np.empty(0, np.uint8), *blocks]), ends)

    @classmethod
    def from_rows(cls, code, rows, aid=None):
        """Code rows that are in memory; the aid is a random state for dither, or a root."""
        blocks = (code.encode(rows[block], aid) for block in row_blocks(*rows.shape))
        return cls.from_blocks(code, len(rows), blocks)

    @property
    def nbytes(self):
        """Bytes held: rows, what they share, and the ends of all blocks but the last."""
        return self.data.nbytes + self.code.nbytes + self.ends[:-1].nbytes

    def _decode_block(self, block, height):
        start = int(self.ends[block - 1]) if block else 0
        n_rows = min(height, self.n_rows - block * height)
        return self.code.decode(self._bytes(start, int(self.ends[block])), n_rows)

    def _bytes(self, start, stop):
        return self.data[start:stop].reshape(-1)

    def decode_rows(self, rows):
        """Decode the rows of ascending numbers, and of their blocks no more than needed.

        Parameters
        ----------
        rows : int64 ndarray of shape (n,)

        Returns
        -------
        float64 ndarray of shape (n, n_columns)
        """
        out = np.empty((len(rows), self.code.n_columns))
        unit = height = block_height(self.code.n_columns)
        starts = np.flatnonzero(np.diff(rows // unit, prepend=-1))
        if isinstance(self.code, LevelCode) and len(rows) < len(starts) * height // 16:
            unit = _FEWEST_ROWS
            starts = np.flatnonzero(np.diff(rows // unit, prepend=-1))
        for first, last in zip(starts, [*starts[1:], len(rows)], strict=True):
            number = int(rows[first]) // unit
            if unit == height:
                decoded = self._decode_block(number, height)
            else:
                # Eight rows take as many bytes as one has bits.
                row_bits = int(self.code.column_bits.sum())
                data = self._bytes(number * row_bits, (number + 1) * row_bits)
                decoded = self.code.decode(data, min(unit, self.n_rows - unit * number))
            out[first:last] = decoded[rows[first:last] - number * unit]
        return out

    def toarray(self):
        """Decode all rows to float64."""
        return self.decode_rows(np.arange(self.n_rows))


def _fall(scales):
    """Give the largest of some scales, and by how many eighths of an octave each is below it."""
    scales = np.atleast_1d(np.asarray(scales, np.float64))
    top = float(scales.max())
    octaves = np.log2(top / np.maximum(scales, top * 2.0**-31)) if top > 0 else 0 * scales
    return top, np.rint(_FALLS_PER_OCTAVE * octaves).astype(np.uint8)


def _fallen(falls):
    """Give scales relative to the largest."""
    return 2.0 ** (-falls.astype(np.float64) / _FALLS_PER_OCTAVE)


def block_height(n_columns):
    """Give the rows of a block of a factor: a power of two, so that narrower blocks hold wider."""
    most = max(_BLOCK_NUMBERS // n_columns, _FEWEST_ROWS)
    return min(_BLOCK_ROWS, 1 << (most.bit_length() - 1))


def row_blocks(n_rows, n_columns):
    """Cut rows into the blocks of a factor."""
    height = block_height(n_columns)
    return [slice(i, min(i + height, n_rows)) for i in range(0, n_rows, height)]
