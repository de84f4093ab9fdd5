"""A fitted scheme as one value: how rows become a left factor, and what it is multiplied by."""

from dataclasses import dataclass

import numpy as np

from .._lattice_quantizer import LatticeQuantizer
from .._threads import run_in_threads
from ..quantized_matrix import QuantizedMatrix
from ._basis import CodedBasis
from ._factors import Factor, LevelCode, TrellisCode, row_blocks
from ._matrix import LowRankLowPrecisionMatrix
from ._metric import weighted_norm
from ._spectrum import product


@dataclass(frozen=True)
class Scheme:
    """Codes for the rows of a matrix.

    Parameters
    ----------
    projection : float64 ndarray of shape (n_features, rank)
        What rows are multiplied by to get their numbers in the left factor.
    left : LevelCode or TrellisCode
        For those numbers.
    right : CodedBasis or Factor
        The coded right factor.
    rows : float64 ndarray of shape (rank, n_features)
        The right factor, decoded.
    residual : TrellisCode, LatticeQuantizer or None, default=None
        For what the product leaves.
    left_root, residual_root : float64 ndarray or None, default=None
        Roots of the metrics in which the left factor and the residual are quantized.
    """

    projection: np.ndarray
    left: LevelCode | TrellisCode
    right: CodedBasis | Factor
    rows: np.ndarray
    residual: TrellisCode | LatticeQuantizer | None = None
    left_root: np.ndarray | None = None
    residual_root: np.ndarray | None = None

    def compress(self, X, dtype, n_jobs=None):
        """Code rows, block by block.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_features)
            May be memory-mapped.
        dtype : dtype
            Of the matrix that is made.
        n_jobs : int or None, default=None
            Threads.

        Returns
        -------
        LowRankLowPrecisionMatrix
        """

        def code(block):
            rows = np.asarray(X[block])
            data = self._encode_left(product(rows, self.projection))
            if self.residual is None:
                return data, []
            left = self.left.decode(data, len(rows))
            parts = row_blocks(*rows.shape)
            return data, [self._encode_rest(rows[p] - left[p] @ self.rows) for p in parts]

        blocks = row_blocks(len(X), len(self.rows))
        coded = run_in_threads(code, blocks, n_jobs, "quantize")
        left = Factor.from_blocks(self.left, len(X), [data for data, _ in coded])
        rest, residual = [part for _, parts in coded for part in parts], None
        if isinstance(self.residual, LatticeQuantizer):
            residual = QuantizedMatrix.concatenate(rest)
        elif self.residual is not None:
            residual = Factor.from_blocks(self.residual, len(X), rest)
        return LowRankLowPrecisionMatrix(left, self.right, residual, dtype)

    def remainder(self, rows):
        """Give what the product leaves of rows, float64."""
        data = self._encode_left(rows @ self.projection)
        return rows - self.left.decode(data, len(rows)) @ self.rows

    def squared_error(self, rows, root=None):
        """Give the squared error of compressed rows, in a metric if its root is given."""
        return weighted_norm(rows - self.compress(rows, np.float64).toarray(), root)

    def _encode_left(self, scores):
        if isinstance(self.left, TrellisCode):
            return self.left.encode(scores, self.left_root)
        return self.left.encode(scores)

    def _encode_rest(self, rest):
        if isinstance(self.residual, LatticeQuantizer):
            return self.residual.compress(rest)
        return self.residual.encode(rest, self.residual_root)
