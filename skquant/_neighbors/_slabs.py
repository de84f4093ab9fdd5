"""Compressed rows of which the coarse layer lies apart, in the order in which a scan reads it."""

from functools import cached_property

import numpy as np

from .._codecs._coarse_layer import add_coarse_layer
from .._codecs._codec import batches
from .._kernels._dispatch import SLAB_ROWS
from .._kernels._vectors import LANES
from .._panels import aligned_empty, empty_panels
from .._threads import run_in_threads, single_threaded_blas
from ..quantized_matrix import QuantizedMatrix
from ._estimates import scale_and_offset

_BLOCK_ROWS = 2**12
_LARGEST = 1e37
_TERM_BYTES = 4


class SlabRows:
    """The bytes of compressed rows: an array of shape (n_rows, row_bytes) that is made as needed.

    Parameters
    ----------
    slabs : uint16 ndarray of shape (n_slabs, n_bytes, LANES)
        The words of the coarse layer.
    terms : float32 ndarray of shape (n_slabs, 2, LANES)
        What turns products with them into scores, as a scan reads it.
    rest : uint8 ndarray of shape (n_rows, n_rest_bytes)
        The other bytes.
    place : int
        Where in a row the words belong.
    unit : float
        The norm of rows that scores are relative to.

    Attributes
    ----------
    nbytes : int
        Bytes held.
    held_bytes : int
        Bytes held for a row.
    downwards : bool
        Where the last scan began.
    """

    ndim = 2
    dtype = np.dtype(np.uint8)
    downwards = False

    def __init__(self, slabs, terms, rest, place, unit):
        self.slabs, self.terms, self.rest, self.place, self.unit = slabs, terms, rest, place, unit

    @classmethod
    def split(cls, codec, packed, unpack_terms, metric, unit=None):
        """Take rows of a layered code apart.

        Parameters
        ----------
        codec : Codec
            With a layered code.
        packed : uint8 ndarray of shape (n_rows, row_bytes)
        unpack_terms : callable
            Called with a slice, reads the terms of these rows.
        metric : {"sqeuclidean", "inner_product"}
            What scores stand for.
        unit : float, default=None
            The norm that scores are relative to; None chooses one.
        """
        code = codec.row_code
        words = slice(code.rest.n_bytes, code.n_bytes)
        scale, offset = np.empty(len(packed)), np.empty(len(packed))
        for rows in batches(len(packed), _BLOCK_ROWS):
            terms = unpack_terms(rows)
            scale[rows], offset[rows] = _score_terms(codec, packed[rows], terms, metric)
        if unit is None:
            unit = float(np.max(np.abs(scale), initial=0.0)) or 1.0
        terms = _join_terms(scale / unit, offset / unit**2)
        return cls.lay_out(
            packed[:, words], terms, np.delete(packed, words, axis=1), words.start, unit
        )

    @classmethod
    def lay_out(cls, words, terms, rest, place, unit):
        """Put words, (n_rows, n_bytes), and terms, (n_rows,), into slabs."""
        return cls(_to_slabs(words), _to_slab_terms(terms), rest, place, unit)

    def __getstate__(self):
        """Give what is held, and not where the last scan began."""
        return {name: vars(self)[name] for name in ("slabs", "terms", "rest", "place", "unit")}

    @staticmethod
    def concatenate(parts):
        """Join the rows of several, which have one unit."""
        words = np.concatenate([part.words() for part in parts])
        terms = np.concatenate([part.terms.ravel()[: len(part)] for part in parts])
        rest = np.concatenate([part.rest for part in parts])
        return SlabRows.lay_out(words, terms, rest, parts[0].place, parts[0].unit)

    def take(self, order):
        """Give some of the rows, in an order."""
        words, terms = self.words(order), self.terms.ravel()[order]
        return SlabRows.lay_out(words, terms, self.rest[order], self.place, self.unit)

    def words(self, rows=slice(None)):
        """Give the bytes of the words of rows, (..., n_bytes)."""
        slab, lane = np.divmod(np.arange(len(self))[rows], SLAB_ROWS)
        half, lane = np.divmod(lane, LANES)
        return (self.slabs[slab, :, lane] >> (8 * half)[..., None]).astype(np.uint8)

    @property
    def shape(self):
        """(n_rows, row_bytes)."""
        return len(self.rest), self.rest.shape[1] + self.slabs.shape[1]

    @cached_property
    def all_bits(self):
        """All rows, as `chosen_bits` has them."""
        return chosen_bits(len(self), slice(None))

    @property
    def nbytes(self):
        """Bytes held."""
        return self.slabs.nbytes + self.terms.nbytes + self.rest.nbytes

    @property
    def held_bytes(self):
        """Bytes held for a row."""
        return self.shape[1] + _TERM_BYTES

    def __len__(self):
        return len(self.rest)

    def __getitem__(self, key):
        """Give the bytes of some rows; a second index selects among these."""
        if isinstance(key, tuple):
            rows, columns = key
            blocks = batches(len(self), _BLOCK_ROWS) if rows == slice(None) else [rows]
            return np.concatenate([self[block][..., columns] for block in blocks])
        return self.join(self.words(key), self.rest[key])

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("Rows that lie apart cannot become an array without a copy.")
        return self[:].astype(dtype or self.dtype, copy=False)

    def join(self, words, rest):
        """Put the words of rows and their other bytes together."""
        return np.concatenate([rest[..., : self.place], words, rest[..., self.place :]], axis=-1)


def chosen_bits(n_rows, rows):
    """Mark some rows with a bit each: uint64, one for each slab."""
    chosen = np.zeros(-(-n_rows // SLAB_ROWS) * SLAB_ROWS, bool)
    chosen[:n_rows][rows] = True
    return np.packbits(chosen, bitorder="little").view("<u8").astype(np.uint64)


def lies_apart(codes):
    """Tell whether a `QuantizedMatrix` has its rows in slabs."""
    return isinstance(codes._rows, SlabRows)


def take(rows, order):
    """Give some of the bytes of rows, in an order; what lies apart stays so."""
    return rows.take(order) if isinstance(rows, SlabRows) else rows[order]


def compress_apart(quantizer, X, metric, n_jobs, like=None):
    """Compress rows with a coarse layer.

    Parameters
    ----------
    quantizer : estimator
        Fitted; its code takes what the coarse layer leaves over.
    X : ndarray of shape (n_rows, n_features)
    metric : {"sqeuclidean", "inner_product"}
    n_jobs : int or None
    like : QuantizedMatrix, default=None
        Rows that were compressed before, and that these will be joined with.

    Returns
    -------
    QuantizedMatrix
        Its rows are `SlabRows`.
    """
    first = quantizer.compress(X[:1])
    codec = add_coarse_layer(first._codec, X) if like is None else like._codec
    packed = np.empty((len(X), codec.row_bytes), np.uint8)

    def encode(rows):
        packed[rows] = codec.encode(X[rows])

    with single_threaded_blas():
        run_in_threads(encode, codec.blocks(len(X)), n_jobs)
    unit = None if like is None else like._rows.unit
    rows = SlabRows.split(codec, packed, lambda b: codec.unpack_terms(packed[b]), metric, unit)
    return QuantizedMatrix(codec, rows, first.dtype)


def take_matrix(codes, order):
    """Give some rows of a `QuantizedMatrix`; what lies apart stays so."""
    return QuantizedMatrix(codes._codec, take(codes._rows, order), codes.dtype)


def concatenate(parts):
    """Stack the bytes of rows; those that lie apart were made like the first."""
    if isinstance(parts[0], SlabRows):
        return SlabRows.concatenate(parts)
    return np.concatenate([np.asarray(rows) for rows in parts])


def concatenate_apart(matrices):
    """Stack matrices of `compress_apart`, the first of which the others were made like."""
    rows = concatenate([matrix._rows for matrix in matrices])
    dtype = np.result_type(*(matrix.dtype for matrix in matrices))
    return QuantizedMatrix(matrices[0]._codec, rows, dtype)


def rows_to_file(rows):
    """Give the values and the arrays of a file that has the rows."""
    if isinstance(rows, SlabRows):
        return {"unit": rows.unit}, {
            "slabs": rows.slabs,
            "slab_terms": rows.terms,
            "rows": rows.rest,
        }
    return {}, {"rows": rows}


def rows_from_file(meta, rows, slabs, terms, row_code):
    """Build rows that lie apart from what a file has of them.

    Raises
    ------
    ValueError
        If a value or an array is impossible.
    """
    n_slabs = -(-len(rows) // SLAB_ROWS)
    shape = n_slabs, row_code.word_bytes, LANES
    if slabs.dtype != np.uint16 or slabs.shape != shape:
        raise ValueError("the slabs of the rows are impossible")
    if terms.dtype != np.float32 or terms.shape != (n_slabs, 2, LANES) or not _are_finite(terms):
        raise ValueError("the slab_terms of the rows are impossible")
    unit = meta["unit"]
    if not (isinstance(unit, float) and 0 < unit < np.inf):
        raise ValueError("the unit of the rows is impossible")
    aligned = _aligned_copy(slabs), _aligned_copy(terms)
    return SlabRows(*aligned, rows, row_code.rest.n_bytes, unit)


def _are_finite(terms):
    """Tell whether no scale and no offset is infinite or NaN."""
    offsets = (np.ascontiguousarray(terms).view(np.uint32) << np.uint32(16)).view(np.float32)
    return bool(np.isfinite(terms).all() and np.isfinite(offsets).all())


def _score_terms(codec, packed, terms, metric):
    """Give what turns products with the coarse layer into distances.

    A product with the words, times ‖u‖²/⟨u, words⟩, stands for one with u.
    """
    code = codec.row_code
    decoded, words = (empty_panels(len(packed), code.n_coordinates) for _ in range(2))
    energy = code.decode(packed, decoded, codec.dither)
    code.decode_words(packed, words)
    inner = np.einsum("pij,pij->pj", decoded, words).ravel()[: len(packed)].astype(float)
    scale, offset = scale_and_offset(terms, np.sqrt(energy), metric)
    return scale * np.divide(energy, inner, out=np.ones_like(energy), where=inner > 0), offset


def _join_terms(scale, offset):
    """Make float32 near each scale whose lower 16 bits are the upper ones of the offset."""
    scale, offset = (
        np.clip(each, -_LARGEST, _LARGEST).astype(np.float32).view(np.uint32).astype(np.int64)
        for each in (scale, offset)
    )
    lower = offset + 0x8000 >> 16
    sign, magnitude = scale & 0x80000000, scale & 0x7FFFFFFF
    upper = np.maximum(magnitude - lower + 0x8000, 0) >> 16
    return (sign | upper << 16 | lower).astype(np.uint32).view(np.float32)


def _to_slabs(words):
    """Lay bytes of rows out as slabs."""
    n_slabs = -(-len(words) // SLAB_ROWS)
    slabs = aligned_empty((n_slabs, words.shape[1], LANES), np.uint16)
    padded = np.zeros((n_slabs * SLAB_ROWS, words.shape[1]), np.uint8)
    padded[: len(words)] = words
    lower, upper = padded.reshape(n_slabs, 2, LANES, -1).transpose(1, 0, 3, 2)
    slabs[:] = lower
    slabs |= upper.astype(np.uint16) << 8
    return slabs


def _to_slab_terms(terms):
    """Lay the terms of rows out beside their slabs; there are zeros for rows that there are not."""
    n_slabs = -(-len(terms) // SLAB_ROWS)
    slab_terms = aligned_empty((n_slabs, 2, LANES), np.float32)
    slab_terms.ravel()[: len(terms)] = terms
    slab_terms.ravel()[len(terms) :] = 0
    return slab_terms


def _aligned_copy(array):
    """Copy an array to where a line of the cache starts."""
    aligned = aligned_empty(array.shape, array.dtype)
    aligned[:] = array
    return aligned
