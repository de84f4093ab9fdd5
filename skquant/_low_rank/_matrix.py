"""A matrix as a product of two compressed factors, and perhaps a compressed residual."""

import numpy as np

from .. import _file_format
from .._compressed_matrix import CompressedMatrix, TransposedMatrix, as_operand
from ..quantized_matrix import QuantizedMatrix
from ._factors import row_blocks
from ._file import part_from_file, part_to_file

KIND = "LowRankLowPrecisionMatrix"
_DTYPES = {"float32": np.float32, "float64": np.float64}


class LowRankLowPrecisionMatrix(CompressedMatrix):
    """A matrix as a product of compressed factors. Immutable and picklable.

    `LowRankLowPrecisionCompressor.compress` makes one. Products are taken with the factors, some
    thousand rows at a time, and give what ``toarray() @`` would give.

    Parameters
    ----------
    left : Factor of shape (n_rows, rank)
        Coordinates of the rows.
    right : CodedBasis or Factor of shape (rank, n_features)
        What the coordinates refer to.
    residual : Factor or QuantizedMatrix of shape (n_rows, n_features), default=None
        What the product leaves.
    dtype : dtype, default=float32
        float32 or float64, the dtype of `toarray`.
    rows : int64 ndarray, default=None
        The rows of the factors that are this matrix; None is all.

    Attributes
    ----------
    shape : tuple of int
        (n_rows, n_features).
    rank : int
        Columns of the left factor.
    dtype : dtype
        The dtype of `toarray`.
    nbytes : int
        Bytes held, everything included: both factors, steps and scales, and the residual.
    bits_per_entry : float
        8 times `nbytes` over the number of entries.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skquant import LowRankLowPrecisionCompressor
    >>> X, _ = load_digits(return_X_y=True)
    >>> matrix = LowRankLowPrecisionCompressor(bit_budget=1.0).fit(X).compress(X)
    >>> matrix.bits_per_entry <= 1.0
    True
    >>> (matrix @ X[0]).shape
    (1797,)
    """

    def __init__(self, left, right, residual=None, dtype=np.float32, rows=None):
        self._left = left
        self._right = right
        self._residual = residual
        self._dtype = np.dtype(dtype)
        self._rows = rows
        # Decoded once, since every use needs it; the bytes are what is kept and counted.
        self._components = right.decode() if hasattr(right, "decode") else right.toarray()

    def __reduce__(self):
        parts = self._left, self._right, self._residual
        return type(self), (*parts, self.dtype.name, self._rows)

    @property
    def shape(self):
        """(n_rows, n_features)."""
        n_rows = self._left.n_rows if self._rows is None else len(self._rows)
        return n_rows, self._components.shape[1]

    @property
    def rank(self):
        """Columns of the left factor."""
        return self._components.shape[0]

    @property
    def nbytes(self):
        """Bytes held, everything included."""
        parts = (self._left, self._right, self._residual, self._rows)
        return sum(part.nbytes for part in parts if part is not None)

    @property
    def bits_per_entry(self):
        """8 times `nbytes` over the number of entries."""
        return 8 * self.nbytes / max(self.shape[0] * self.shape[1], 1)

    @property
    def T(self):
        """The transpose, for products."""
        return _Transposed(self)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        """Select rows by a slice, indices or a mask; the codes are shared, not copied."""
        if isinstance(rows, tuple):
            raise IndexError(f"A {KIND} is indexed by rows only.")
        held = np.arange(self._left.n_rows) if self._rows is None else self._rows
        selected = held[rows] if not np.size(rows) == 0 else held[:0]
        return type(self)(
            self._left, self._right, self._residual, self._dtype, np.atleast_1d(selected)
        )

    def __repr__(self):
        return (
            f"<{KIND} of shape {self.shape} and rank {self.rank}, "
            f"{self.bits_per_entry:.4g} bits an entry, {self.nbytes / 1000:,.0f} kB>"
        )

    def _panels(self):
        """Give places of rows, their coordinates, and their residual or None."""
        held = self._rows
        order = None if held is None else np.argsort(held, kind="stable")
        for block in row_blocks(len(self), self.rank):
            wanted = np.arange(block.start, block.stop) if held is None else held[order[block]]
            left = self._left.decode_rows(wanted)
            for part in row_blocks(len(left), self.shape[1]):
                own = slice(block.start + part.start, block.start + part.stop)
                places = own if held is None else order[own]
                yield places, left[part], self._decode_residual(wanted[part])

    def _decode_residual(self, rows):
        if isinstance(self._residual, QuantizedMatrix):
            return self._residual[rows].toarray()
        return None if self._residual is None else self._residual.decode_rows(rows)

    def toarray(self):
        """Reconstruct all rows.

        Returns
        -------
        ndarray of shape (n_rows, n_features)
            The reconstruction, of the matrix's dtype.
        """
        out = np.empty(self.shape, self.dtype)
        for rows, panel in self.panels(np.float64):
            out[rows] = panel
        return out

    def panels(self, dtype):
        """Reconstruct some thousand rows at a time.

        Parameters
        ----------
        dtype : dtype
            float32 or float64, the precision of the products.

        Yields
        ------
        rows : slice or int64 ndarray
            Places of the panel in the matrix.
        panel : ndarray of shape (n_panel_rows, n_features)
            Their reconstruction.
        """
        components = self._components.astype(dtype)
        for rows, left, residual in self._panels():
            panel = left.astype(dtype) @ components
            yield rows, panel if residual is None else (panel + residual).astype(dtype)

    def __matmul__(self, other):
        other = as_operand(other, self.shape[1])
        inner = self._components @ other
        out = np.empty((len(self), *other.shape[1:]), np.result_type(self.dtype, other.dtype))
        for rows, left, residual in self._panels():
            panel = left @ inner
            out[rows] = panel if residual is None else panel + residual @ other
        return out

    def _transposed_times(self, other):
        other = as_operand(other, len(self))
        inner = np.zeros((self.rank, *other.shape[1:]))
        rest = np.zeros((self.shape[1], *other.shape[1:]))
        for rows, left, residual in self._panels():
            inner += left.T @ other[rows]
            if residual is not None:
                rest += residual.T @ other[rows]
        total = self._components.T @ inner + rest
        return total.astype(np.result_type(self.dtype, other.dtype))

    def save(self, path):
        """Write the matrix to a file, atomically; the docs specify the format.

        Parameters
        ----------
        path : str or os.PathLike
            The file; one that exists is replaced.
        """
        meta, arrays = {"dtype": self.dtype.name}, {}
        for name in ("left", "right", "residual"):
            meta[name], own = part_to_file(name, getattr(self, f"_{name}"))
            arrays |= own
        if self._rows is not None:
            arrays["rows"] = self._rows
        _file_format.write(path, KIND, meta, arrays)

    @classmethod
    def load(cls, path, mmap=False):
        """Read a matrix from a file that `save` wrote.

        Parameters
        ----------
        path : str or os.PathLike
            The file.
        mmap : bool, default=False
            Whether to leave the left factor and an entropy-coded residual in the file, where they
            are of more than a mebibyte. Each mebibyte is verified before its first use.

        Returns
        -------
        LowRankLowPrecisionMatrix

        Raises
        ------
        ValueError
            If the file is of another format, damaged or truncated; if mapped, perhaps only when
            damaged rows are used.
        """
        meta, arrays = _file_format.read(path, KIND, mmap=mmap)
        try:
            levels = ("uniform", "gaussian")
            left = part_from_file("left", meta["left"], arrays, ("trellis", *levels))
            arrays = {
                name: array if name in ("left", "residual") else np.asarray(array)
                for name, array in arrays.items()
            }
            right = part_from_file("right", meta["right"], arrays, ("basis", "trellis", *levels))
            residual = part_from_file("residual", meta["residual"], arrays, ("trellis", "lattice"))
            if left is None or right is None:
                raise ValueError("a factor is missing")
            matrix = cls(left, right, residual, _DTYPES[meta["dtype"]], arrays.get("rows"))
            matrix._check_shapes()
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path}: incomplete or malformed ({error!r})") from error
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        return matrix

    def _check_shapes(self):
        """Refuse parts that do not fit together."""
        if self._left.code.n_columns != self.rank or self.rank > self.shape[1]:
            raise ValueError("the factors do not multiply")
        residual, rows = self._residual, self._rows
        if residual is not None:
            width = getattr(residual, "code", None)
            shape = residual.shape if width is None else (residual.n_rows, width.n_columns)
            if shape != (self._left.n_rows, self._components.shape[1]):
                raise ValueError("the residual has another shape than the product")
        if rows is not None and (
            rows.dtype != np.int64
            or rows.ndim != 1
            or (len(rows) and not 0 <= rows.min() <= rows.max() < self._left.n_rows)
        ):
            raise ValueError("the selected rows are impossible")


class _Transposed(TransposedMatrix):
    """The transpose of a `LowRankLowPrecisionMatrix`, a view."""

    def __matmul__(self, other):
        return self.T._transposed_times(other)
