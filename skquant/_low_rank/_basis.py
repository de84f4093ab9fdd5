"""An orthonormal basis in a stream, without the numbers that orthogonality makes redundant.

A Householder reflection takes each vector of the basis, once coded, to a coordinate axis. The
vectors after it are orthogonal to it, so their reflections vanish on that axis, and one number less
is left to code of each: rank (rank + 1) / 2 in all. The decoder turns the integers into the same
reflections and gets vectors that are orthonormal up to rounding.
"""

from dataclasses import dataclass

import numpy as np

from ._stream import Model, best_tail, choose_order, decode, encode, new_predictor, quantize


@dataclass(frozen=True)
class CodedBasis:
    """The bytes of an orthonormal basis.

    Parameters
    ----------
    data : uint8 ndarray
    shape : tuple of int
        (rank, n_features).
    model : Model
        What the coder assumes.
    """

    data: np.ndarray
    shape: tuple
    model: Model

    @property
    def nbytes(self):
        """Bytes of the code."""
        return self.data.nbytes

    def decode(self):
        """Give the vectors.

        Returns
        -------
        float64 ndarray of shape (rank, n_features)

        Raises
        ------
        ValueError
            If the data are damaged.
        """
        return _unfold(decode(self.data, self.shape, self.model, shrink=1))


def code_basis(vectors, sizes, step, model=None):
    """Code orthonormal vectors, the larger their size the finer.

    Parameters
    ----------
    vectors : ndarray of shape (rank, n_features)
        Orthonormal, rank at most n_features.
    sizes : ndarray of shape (rank,)
        Norm of the coordinates of the data along each vector: what an error is multiplied by.
    step : float
        Step for the vectors times their sizes.
    model : Model, default=None
        What the coder is to assume; None chooses.

    Returns
    -------
    basis : CodedBasis
    decoded : float64 ndarray of shape (rank, n_features)
        What it decodes to.
    """
    rank, n_features = vectors.shape
    chosen = model or Model(choose_order(vectors * sizes[:, None], step))
    rest, memory = np.array(vectors, np.float64), new_predictor(n_features)
    indices, values = np.zeros((2, rank, n_features), np.int64)
    for j in range(rank):
        norm = np.linalg.norm(rest[j])
        target = rest[j : j + 1] * (sizes[j] / norm if norm > 0 else 0.0)
        length = n_features - j
        indices[j, :length], values[j, :length] = quantize(target, step, chosen, memory)
        mirror, pivot = _reflection(values[j, :length])
        remaining = rest[j + 1 :]
        remaining -= (remaining @ mirror)[:, None] * (2 * mirror)
        # What is behind the axis moves up.
        rest[:, pivot:-1] = rest[:, pivot + 1 :]
        rest = rest[:, :-1]
    chosen = model or best_tail(indices, chosen.order)
    data = encode(indices, chosen, shrink=1)
    return CodedBasis(data, vectors.shape, chosen), _unfold(values)


def _reflection(values):
    """Give the unit normal of the mirror that takes integers to the axis of the largest of them."""
    pivot = int(np.argmax(np.abs(values)))
    mirror = values.astype(np.float64)
    norm = np.linalg.norm(mirror)
    if norm == 0:
        mirror[pivot] = norm = 1.0
    mirror /= norm
    mirror[pivot] += 1.0 if mirror[pivot] >= 0 else -1.0
    return mirror / np.linalg.norm(mirror), pivot


def _unfold(values):
    """Build the vectors from the integers, the innermost first."""
    rank, n_features = values.shape
    basis = np.zeros((rank, n_features))
    for j in range(rank - 1, -1, -1):
        length = n_features - j
        mirror, pivot = _reflection(values[j, :length])
        inner = basis[j:, :length]
        inner[1:, pivot + 1 :] = inner[1:, pivot : length - 1].copy()
        inner[1:, pivot] = 0.0
        inner[0, pivot] = -1.0 if mirror[pivot] > 0 else 1.0
        inner -= (inner @ mirror)[:, None] * (2 * mirror)
    return basis
