"""A compressed matrix as a value."""

import numpy as np

from . import _file_format, _safetensors
from ._codecs._file import codec_from_file, codec_to_file
from ._compressed_matrix import CompressedMatrix, TransposedMatrix, as_operand, require_length
from ._products import _matmul

KIND = "QuantizedMatrix"
_DTYPES = {"float32": np.float32, "float64": np.float64}


class QuantizedMatrix(CompressedMatrix):
    """Rows in compressed form, with the codec that decodes them. Immutable and picklable.

    `LatticeQuantizer.compress` makes one. Indexing selects rows, ``@`` multiplies from the codes,
    a panel of rows at a time, and gives what ``toarray() @`` would give, but for rounding: the
    finest codes are multiplied in single precision, others in 16-bit integers where the machine is
    faster with these, which adds about 1e-5 of the product of the norms of both vectors.

    Parameters
    ----------
    codec : Codec
        How rows were compressed.
    rows : uint8 array of shape (n_rows, row_bytes)
        The code words and terms of each row; may be memory-mapped.
    dtype : dtype
        float32 or float64, the dtype of reconstructions and products.

    Attributes
    ----------
    shape : tuple of int
        (n_rows, n_features).
    dtype : dtype
        The dtype of `toarray`.
    nbytes : int
        Bytes held: rows, and the arrays of the codec.
    bits_per_entry : float
        8 times the bytes of a row over the number of features; the codec is not in it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skquant import LatticeQuantizer
    >>> X, _ = load_digits(return_X_y=True)
    >>> codes = LatticeQuantizer(bits=4, random_state=0).fit(X).compress(X)
    >>> codes
    <QuantizedMatrix of shape (1797, 64), 4.625 bits an entry, 67 kB>
    >>> codes[:5].toarray().shape
    (5, 64)
    >>> (codes @ X[0]).shape
    (1797,)
    """

    def __init__(self, codec, rows, dtype=np.float32):
        self._codec = codec
        self._rows = rows
        self._dtype = np.dtype(dtype)
        if isinstance(rows, np.ndarray):
            self._rows = rows.view()
            self._rows.flags.writeable = False

    @property
    def shape(self):
        """(n_rows, n_features)."""
        return len(self._rows), self._codec.n_features

    @property
    def nbytes(self):
        """Bytes held: rows, and the arrays of the codec."""
        return self._rows.nbytes + self._codec.nbytes

    @property
    def bits_per_entry(self):
        """8 times the bytes of a row over the number of features."""
        held = getattr(self._rows, "held_bytes", self._codec.row_bytes)
        return 8 * held / self._codec.n_features

    @property
    def T(self):
        """The transpose, for products: ``A.T @ M``, ``A @ B.T``."""
        return TransposedQuantizedMatrix(self)

    def __reduce__(self):
        return type(self), (self._codec, self._rows, self.dtype.name)

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, rows):
        """Select rows by a slice, indices or a mask; one index gives a matrix of one row."""
        if isinstance(rows, tuple):
            raise IndexError("A QuantizedMatrix is indexed by rows only.")
        if not isinstance(rows, slice):
            rows = np.atleast_1d(np.asarray(rows))
            if rows.size == 0:
                rows = rows.astype(np.intp)
            if rows.dtype == bool and rows.shape != (len(self),):
                raise IndexError(
                    f"The mask has shape {rows.shape}, but there are {len(self)} rows."
                )
            if rows.ndim != 1 or rows.dtype.kind not in "iub":
                raise IndexError("Rows are selected by a slice, integers or a mask.")
            if rows.dtype == bool:
                rows = np.flatnonzero(rows)
        return QuantizedMatrix(self._codec, self._rows[rows], self.dtype)

    def __repr__(self):
        return (
            f"<QuantizedMatrix of shape {self.shape}, {self.bits_per_entry:.4g} bits an entry, "
            f"{self.nbytes / 1000:,.0f} kB>"
        )

    def toarray(self):
        """Reconstruct all rows by least squares.

        Returns
        -------
        ndarray of shape (n_rows, n_features)
            The reconstruction, of the matrix's dtype.
        """
        out = np.empty(self.shape, self.dtype)
        for rows in self._codec.blocks(len(self)):
            out[rows] = self._codec.decode(self._rows[rows], self.dtype)
        return out

    def __matmul__(self, other):
        if isinstance(other, TransposedQuantizedMatrix):
            require_length(other.shape[0], self.shape[1])
            return _matmul.times_transposed(self, other.T)
        if isinstance(other, QuantizedMatrix):
            require_length(len(other), self.shape[1])
            out = np.empty((len(self), other.shape[1]), np.result_type(self.dtype, other.dtype))
            for rows in self._codec.blocks(len(self)):
                out[rows] = self[rows].toarray() @ other
            return out
        other = as_operand(other, self.shape[1])
        return _matmul.times(self, _as_columns(other)).reshape(len(self), *other.shape[1:])

    @staticmethod
    def concatenate(matrices):
        """Stack matrices that were made with the same codec.

        Parameters
        ----------
        matrices : list of QuantizedMatrix
            At least one.

        Returns
        -------
        QuantizedMatrix
            All rows, in order.

        Raises
        ------
        ValueError
            If there are none, or they were made by differently fitted quantizers.
        """
        matrices = list(matrices)
        if not matrices:
            raise ValueError("matrices is empty.")
        first = matrices[0]
        for matrix in matrices[1:]:
            if not same_codec(first._codec, matrix._codec):
                raise ValueError("Matrices of different codecs cannot be concatenated.")
        rows = np.concatenate([np.asarray(matrix._rows) for matrix in matrices])
        return QuantizedMatrix(first._codec, rows, np.result_type(*(m.dtype for m in matrices)))

    def save(self, path):
        """Write the matrix to a file, atomically; the docs specify the format.

        Parameters
        ----------
        path : str or os.PathLike
            The file; one that exists is replaced.
        """
        _file_format.write(path, KIND, *self._to_file())

    def save_safetensors(self, path):
        """Write the matrix to a safetensors file, atomically; the docs say what is in it.

        Parameters
        ----------
        path : str or os.PathLike
            The file; one that exists is replaced.

        Raises
        ------
        ImportError
            If the package safetensors is not installed.
        """
        _safetensors.write(path, KIND, *self._to_file())

    def _to_file(self):
        """Give the dictionary and the arrays of a file."""
        meta = {"codec": codec_to_file(self._codec), "dtype": self.dtype.name}
        return meta, {**self._codec.arrays, "rows": self._rows}

    @classmethod
    def load(cls, path, mmap=False, *, lattice=None):
        """Read a matrix from a file that `save` wrote.

        Parameters
        ----------
        path : str or os.PathLike
            The file.
        mmap : bool, default=False
            Whether to map the rows into memory instead of reading them. Each panel of rows is
            verified before its first use.
        lattice : lattice object, default=None
            The lattice, where the matrix was compressed with one of the user's own.

        Returns
        -------
        QuantizedMatrix

        Raises
        ------
        ValueError
            If the file is of another format, damaged or truncated, or needs `lattice`.
        """
        return cls._from_file(path, *_file_format.read(path, KIND, mmap=mmap), lattice)

    @classmethod
    def load_safetensors(cls, path, *, lattice=None):
        """Read a matrix from a file that `save_safetensors` wrote.

        Parameters
        ----------
        path : str or os.PathLike
            The file.
        lattice : lattice object, default=None
            The lattice, where the matrix was compressed with one of the user's own.

        Returns
        -------
        QuantizedMatrix

        Raises
        ------
        ImportError
            If the package safetensors is not installed.
        ValueError
            If the file is of another format, damaged or truncated, or needs `lattice`.
        """
        return cls._from_file(path, *_safetensors.read(path, KIND), lattice)

    @classmethod
    def _from_file(cls, path, meta, arrays, lattice):
        """Build the matrix that the content of a file describes."""
        try:
            rows = arrays.pop("rows")
            # The codec's own arrays are small, or needed as a whole: read them in.
            arrays = {name: np.asarray(array) for name, array in arrays.items()}
            if rows.dtype != np.uint8 or rows.ndim != 2:
                raise ValueError("the rows are no rows of bytes")
            codec = codec_from_file(meta["codec"], arrays, rows.shape[1], lattice)
            dtype = _DTYPES[meta["dtype"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error
        return cls(codec, rows, dtype)


class TransposedQuantizedMatrix(TransposedMatrix):
    """The transpose of a `QuantizedMatrix`, a view.

    Parameters
    ----------
    matrix : QuantizedMatrix
        The matrix.
    """

    def __matmul__(self, other):
        if isinstance(other, TransposedQuantizedMatrix):
            return (other.T @ self.T).T
        if isinstance(other, QuantizedMatrix):
            require_length(len(other), self.shape[1])
            out = np.zeros((self.shape[0], other.shape[1]), np.result_type(self.dtype, other.dtype))
            for rows in other._codec.blocks(len(other)):
                out += self.T[rows].T @ other[rows].toarray()
            return out
        other = as_operand(other, self.shape[1])
        product = _matmul.transposed_times(self.T, _as_columns(other))
        return product.reshape(self.shape[0], *other.shape[1:])


def _as_columns(operand):
    """View a vector as a matrix of one column."""
    return operand[:, None] if operand.ndim == 1 else operand


def same_codec(a, b):
    """Tell whether two codecs decode alike."""
    if a is b:
        return True
    same_arrays = a.arrays.keys() == b.arrays.keys() and all(
        np.array_equal(a.arrays[name], b.arrays[name]) for name in a.arrays
    )
    return same_arrays and codec_to_file(a) == codec_to_file(b)


def matmul(a, b, *, estimator="least_squares", return_std=False):
    """Multiply two compressed matrices, Aᵀ B of the papers with a vector a row.

    Parameters
    ----------
    a : QuantizedMatrix of shape (n_rows_a, n_features)
        The left factor.
    b : TransposedQuantizedMatrix of shape (n_features, n_rows_b)
        The right factor, the transpose ``B.T`` of a `QuantizedMatrix`.
    estimator : {"least_squares", "unbiased"}, default="least_squares"
        "least_squares" gives the product of the least-squares reconstructions, which shrinks a
        little; "unbiased" divides what each pair of rows has lost.
    return_std : bool, default=False
        Whether to return the predicted standard error of each entry.

    Returns
    -------
    product : ndarray of shape (n_rows_a, n_rows_b)
        float64 if either factor is, else float32.
    std : ndarray of shape (n_rows_a, n_rows_b)
        Root of the expected squared error of each entry over random rotations, as
        `skquant.theory.matmul_bias_variance` has it, with what the estimated entries tell of the
        exact ones, and with the relation between the errors of related rows. Only if
        ``return_std=True``.

    Raises
    ------
    TypeError
        If `a` is no `QuantizedMatrix` or `b` no transpose of one.
    ValueError
        If the widths differ, `estimator` is unknown, or the factors were compressed in different
        coordinates or with ``rotation="pca"`` and more than the least-squares product is asked for.

    Notes
    -----
    Factors share their coordinates if they were compressed with the same rotation, that is by one
    fitted quantizer or by quantizers of the same ``random_state``, rotation and width; bits,
    lattice, centre and dither may differ, as long as the same coordinates are kept. The first
    prediction of a pair of codes measures on Gaussian rows how their errors are related. Since the
    entries tell together how large they are, a prediction depends somewhat on the other rows.

    Examples
    --------
    >>> import numpy as np
    >>> from skquant import LatticeQuantizer, matmul
    >>> A, B = np.random.default_rng(0).standard_normal((2, 40, 256))
    >>> quantizer = LatticeQuantizer(bits=4, center=False, random_state=0).fit(A)
    >>> product, std = matmul(quantizer.compress(A), quantizer.compress(B).T, return_std=True)
    >>> error = product - A @ B.T
    >>> bool(0.9 < np.sqrt(np.mean(error**2) / np.mean(std**2)) < 1.1)
    True
    """
    if not (isinstance(a, QuantizedMatrix) and isinstance(b, TransposedQuantizedMatrix)):
        raise TypeError(
            "matmul needs a QuantizedMatrix and the transpose of one, A and B.T, got "
            f"{type(a).__name__} and {type(b).__name__}."
        )
    require_length(b.shape[0], a.shape[1])
    return _matmul.pair_product(a, b.T, estimator, return_std)
