"""Rotations of rows: forward, inverse, state.

A random rotation makes the coordinates of any row look like independent Gaussian draws, which is
what the lattice codes are made for, and spreads the error evenly over the features.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr

from ._kernels._dispatch import rotate, rotate_back

# One round maps a spike to entries of one magnitude, two rounds leave two spiky rows with
# correlated errors; three rounds bring the errors of products to the law of a Haar rotation
# (benchmarks/rotation_rounds.py).
ROUNDS = 3
PANEL = 64


@dataclass(frozen=True, eq=False)
class HadamardRotation:
    """Random signs and fast Walsh-Hadamard transforms, in rounds; any number of features.

    Parameters
    ----------
    signs : int8 ndarray of shape (n_rounds, n_features)
        Entries 1 and -1.
    """

    signs: np.ndarray
    kind = "hadamard"

    @classmethod
    def draw(cls, n_features, random_state):
        """Draw the signs."""
        flips = random_state.randint(2, size=(ROUNDS, n_features))
        return cls((2 * flips - 1).astype(np.int8))

    @property
    def state(self):
        """The array that defines the rotation."""
        return self.signs

    def forward(self, rows):
        """Rotate C-contiguous rows in place."""
        rotate(rows, self.signs)
        return rows

    def inverse(self, rows):
        """Undo `forward` in place."""
        rotate_back(rows, self.signs)
        return rows


@dataclass(frozen=True, eq=False)
class OrthogonalRotation:
    """A rotation drawn from the Haar measure, by the QR decomposition of a Gaussian matrix.

    Parameters
    ----------
    matrix : float32 ndarray of shape (n_features, n_features)
        Rows x are mapped to x @ matrix.
    """

    matrix: np.ndarray
    kind = "orthogonal"

    @classmethod
    def draw(cls, n_features, random_state):
        """Draw the matrix (F. Mezzadri, *How to generate random matrices*, 2007)."""
        q, r = qr(random_state.standard_normal((n_features, n_features)))
        return cls(np.ascontiguousarray(q * np.sign(np.diag(r)), dtype=np.float32))

    @property
    def state(self):
        """The array that defines the rotation."""
        return self.matrix

    def forward(self, rows):
        """Rotate rows in place."""
        return _multiply_in_panels(rows, self.matrix)

    def inverse(self, rows):
        """Undo `forward` in place."""
        return _multiply_in_panels(rows, self.matrix.T)


def _multiply_in_panels(rows, matrix):
    """Multiply by panels of constant shape: a row's result must not depend on how many follow."""
    panel = np.zeros((PANEL, rows.shape[1]), rows.dtype)
    matrix = matrix.astype(rows.dtype, copy=False)
    for start in range(0, len(rows), PANEL):
        block = rows[start : start + PANEL]
        panel[: len(block)] = block
        block[:] = (panel @ matrix)[: len(block)]
    return rows


KINDS = {cls.kind: cls for cls in (HadamardRotation, OrthogonalRotation)}
