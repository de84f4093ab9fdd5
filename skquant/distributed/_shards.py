"""Compressed rows on many machines, and how they are made."""

import dask
import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._lattice_quantizer import LatticeQuantizer, output_dtype
from ..quantized_matrix import QuantizedMatrix, same_codec
from ._rows import RowsElsewhere, as_rows, check_features, checked, chunks_of


class QuantizedShards:
    """Compressed rows on many machines: a `QuantizedMatrix` for each chunk of a Dask array.

    `compress` makes one. Like a Dask array it is a plan until `persist` has the workers carry it
    out and hold the codes, or `compute` brings them here.

    Parameters
    ----------
    shards : list of dask.delayed.Delayed
        A `QuantizedMatrix` each.
    lengths : list of int
        Their rows.
    codec : Codec
        What all of them were compressed with.
    dtype : dtype
        float32 or float64.

    Attributes
    ----------
    shape : tuple of int
        (n_rows, n_features).
    dtype : dtype
        The dtype of reconstructions.
    lengths : tuple of int
        The rows of each shard.
    nbytes : int
        Bytes of all rows, and of one copy of the codec.
    bits_per_entry : float
        8 times the bytes of a row over the number of features.

    Examples
    --------
    >>> import dask.array as da
    >>> from skquant import LatticeQuantizer
    >>> from skquant.distributed import compress, fit
    >>> X = da.random.default_rng(0).standard_normal((2000, 64), chunks=(500, 64))
    >>> shards = compress(fit(LatticeQuantizer(bits=4, random_state=0), X), X)
    >>> shards
    <QuantizedShards of shape (2000, 64) in 4 shards, 4.5 bits an entry, 73 kB>
    >>> shards.compute().shape
    (2000, 64)
    """

    def __init__(self, shards, lengths, codec, dtype):
        self._shards = list(shards)
        self.lengths = tuple(int(length) for length in lengths)
        self._codec = codec
        self.dtype = np.dtype(dtype)

    @property
    def shape(self):
        """(n_rows, n_features)."""
        return sum(self.lengths), self._codec.n_features

    @property
    def nbytes(self):
        """Bytes of all rows, and of one copy of the codec."""
        return len(self) * self._codec.row_bytes + self._codec.nbytes

    @property
    def bits_per_entry(self):
        """8 times the bytes of a row over the number of features."""
        return self._codec.bits_per_entry

    def __len__(self):
        return self.shape[0]

    def __repr__(self):
        return (
            f"<QuantizedShards of shape {self.shape} in {len(self.lengths)} shards, "
            f"{self.bits_per_entry:.4g} bits an entry, {self.nbytes / 1000:,.0f} kB>"
        )

    def to_delayed(self):
        """Give the shards one by one, to save or to use where they are.

        Returns
        -------
        list of dask.delayed.Delayed
            A `QuantizedMatrix` each.
        """
        return list(self._shards)

    def persist(self):
        """Compress now, and hold the codes where they are made.

        What a lost worker held is compressed again from its rows.

        Returns
        -------
        QuantizedShards
            The same rows; the workers may still be at it.
        """
        return QuantizedShards(dask.persist(*self._shards), self.lengths, self._codec, self.dtype)

    def compute(self):
        """Bring all codes to this process.

        Returns
        -------
        QuantizedMatrix
            All rows, in order.
        """
        return QuantizedMatrix.concatenate(dask.compute(*self._shards))

    @staticmethod
    def concatenate(matrices):
        """Put shards of several side by side; nothing is moved.

        Parameters
        ----------
        matrices : list of QuantizedShards
            At least one.

        Returns
        -------
        QuantizedShards
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
        if not all(same_codec(first._codec, matrix._codec) for matrix in matrices):
            raise ValueError(
                "matrices were compressed by differently fitted quantizers, and cannot be "
                "concatenated."
            )
        return QuantizedShards(
            [shard for matrix in matrices for shard in matrix._shards],
            [length for matrix in matrices for length in matrix.lengths],
            first._codec,
            np.result_type(*(matrix.dtype for matrix in matrices)),
        )


def fit(quantizer, X):
    """Fit a quantizer to the rows of a Dask array or data frame.

    With ``rotation`` "hadamard", "orthogonal" or None all that is learned is the mean, and the
    workers sum it. A learned rotation reads the rows chunk by chunk in this process.

    Parameters
    ----------
    quantizer : LatticeQuantizer
        It is fitted itself.
    X : dask.array.Array or dask.dataframe.DataFrame of shape (n_samples, n_features)
        Chunked by rows alone.

    Returns
    -------
    quantizer : LatticeQuantizer
        What ``quantizer.fit(X.compute())`` would have made of it.

    Raises
    ------
    TypeError
        If `quantizer` is no `LatticeQuantizer`, or `X` is not of Dask.
    ValueError
        If the chunks of `X` are of unknown length or split its columns, it has no rows, or a sum
        meets NaN or infinity, or as `LatticeQuantizer.fit` does.

    Examples
    --------
    >>> import dask.array as da
    >>> from skquant import LatticeQuantizer
    >>> from skquant.distributed import fit
    >>> X = da.random.default_rng(0).standard_normal((2000, 64), chunks=(500, 64))
    >>> fit(LatticeQuantizer(bits=3, random_state=0), X).bits_per_feature_
    3.5
    """
    _require_quantizer(quantizer)
    rows = as_rows(X)
    quantizer._validate_params()
    check_features(quantizer, X, reset=True)
    quantizer._fit_rows(RowsElsewhere(rows))
    return quantizer


def compress(quantizer, X):
    """Compress the rows of a Dask array or data frame where they are.

    Parameters
    ----------
    quantizer : LatticeQuantizer
        Fitted, here or by `fit`.
    X : dask.array.Array or dask.dataframe.DataFrame of shape (n_samples, n_features)
        Chunked by rows alone.

    Returns
    -------
    QuantizedShards of shape (n_samples, n_features)
        A plan: nothing is compressed yet. NaN, infinity and rows that are too large to compress
        are noticed when it is carried out.

    Raises
    ------
    NotFittedError
        If the quantizer is not fitted.
    TypeError
        If `quantizer` is no `LatticeQuantizer`, or `X` is not of Dask.
    ValueError
        If the chunks of `X` are of unknown length or split its columns, or it has no rows or
        another width or other names than what the quantizer was fitted to.

    Examples
    --------
    >>> import dask.array as da
    >>> from skquant import LatticeQuantizer
    >>> from skquant.distributed import compress, fit
    >>> X = da.random.default_rng(0).standard_normal((2000, 64), chunks=(500, 64))
    >>> compress(fit(LatticeQuantizer(bits=4, random_state=0), X), X).lengths
    (500, 500, 500, 500)
    """
    _require_quantizer(quantizer)
    check_is_fitted(quantizer)
    rows = as_rows(X)
    check_features(quantizer, X, reset=False)
    return compress_rows(quantizer, rows)


def compress_rows(quantizer, rows):
    held = dask.delayed(quantizer, traverse=False)
    chunks, lengths = zip(*chunks_of(rows), strict=True)
    shards = [dask.delayed(_compress_chunk)(held, chunk) for chunk in chunks]
    return QuantizedShards(shards, lengths, quantizer._codec, output_dtype(rows))


def compress_and_wait(quantizer, rows):
    """Compress rows for a search, and raise here what goes wrong there."""
    codes = compress_rows(quantizer, rows).persist()
    dask.compute(*(dask.delayed(len)(shard) for shard in codes.to_delayed()))
    return codes


def _require_quantizer(quantizer):
    if not isinstance(quantizer, LatticeQuantizer):
        raise TypeError(f"quantizer must be a LatticeQuantizer, got {quantizer!r}.")


def _compress_chunk(quantizer, rows):
    return quantizer._compress(quantizer._codec, checked(rows))
