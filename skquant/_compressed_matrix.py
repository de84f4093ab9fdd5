"""What matrices in compressed form have in common: their place among arrays, and the transpose."""

import numpy as np
from scipy.sparse.linalg import LinearOperator


class CompressedMatrix:
    """A matrix that has a shape, ``_dtype``, `toarray`, ``T`` and products ``@`` from the left."""

    __array_ufunc__ = None  # so that ndarray @ matrix comes to __rmatmul__

    @property
    def ndim(self):
        """2."""
        return 2

    @property
    def dtype(self):
        """The dtype of `toarray`."""
        return self._dtype

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError(f"A {type(self).__name__} cannot become an array without a copy.")
        return self.toarray().astype(dtype or self.dtype, copy=False)

    def __rmatmul__(self, other):
        other = np.asarray(other)
        return (self.T @ other.T).T if other.ndim == 2 else self.T @ other

    def as_linear_operator(self):
        """Wrap the products for `scipy.sparse.linalg.svds`, `lsqr` and their like.

        Returns
        -------
        scipy.sparse.linalg.LinearOperator
            An operator of the shape of the matrix.
        """
        return LinearOperator(
            self.shape,
            matvec=self.__matmul__,
            rmatvec=self.T.__matmul__,
            matmat=self.__matmul__,
            rmatmat=self.T.__matmul__,
            dtype=self.dtype,
        )


class TransposedMatrix:
    """The transpose of a compressed matrix, a view.

    Parameters
    ----------
    matrix : CompressedMatrix
        The matrix.
    """

    __array_ufunc__ = None

    def __init__(self, matrix):
        self._matrix = matrix

    @property
    def T(self):
        """The matrix."""
        return self._matrix

    @property
    def ndim(self):
        """2."""
        return 2

    @property
    def dtype(self):
        """The dtype of `toarray`."""
        return self.T.dtype

    @property
    def shape(self):
        """(n_features, n_rows)."""
        return self.T.shape[::-1]

    def toarray(self):
        """Reconstruct, (n_features, n_rows)."""
        return self.T.toarray().T

    def __array__(self, dtype=None, copy=None):
        return self.T.__array__(dtype, copy).T

    def __rmatmul__(self, other):
        other = np.asarray(other)
        return (self.T @ other.T).T if other.ndim == 2 else self.T @ other


def as_operand(other, length):
    """Take the dense operand of a product as a float array of one or two dimensions."""
    other = np.asarray(other)
    if other.ndim not in (1, 2) or other.dtype.kind not in "biuf":
        raise TypeError(f"@ needs a real vector or matrix, got {other.dtype} {other.shape}.")
    require_length(len(other), length)
    return other if other.dtype in (np.float32, np.float64) else other.astype(np.float64)


def require_length(length, expected):
    """Refuse an operand of another length."""
    if length != expected:
        raise ValueError(f"@ needs an operand of length {expected}, got {length}.")
