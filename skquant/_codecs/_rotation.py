"""Rotations of rows: forward, inverse, state.

A random rotation makes the coordinates of any row look like independent Gaussian draws, which is
what the lattice codes are made for, and spreads the error evenly over the features.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import qr

from .._kernels._dispatch import multiply_panels, rotate, rotate_back
from .._kernels._vectors import LANES
from .._panels import empty_panels
from .._value import Value

# One round maps a spike to entries of one magnitude, two rounds leave two spiky rows with
# correlated errors; three rounds bring the errors of products to the law of a Haar rotation
# (benchmarks/rotation_rounds.py).
ROUNDS = 3


@dataclass(frozen=True, eq=False)
class HadamardRotation(Value):
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

    @cached_property
    def _length(self):
        """Length of a transform: the largest power of two up to n_features."""
        return 1 << (self.signs.shape[1].bit_length() - 1)

    @cached_property
    def _factors(self):
        """Signs and normalisation before each transform of a round, as the kernels take them."""
        n, length = self.signs.shape[1], self._length
        in_first, in_last = np.arange(n) < length, np.arange(n) >= n - length
        scale = float(length) ** -0.5
        if length == n:
            first, second = self.signs * scale, self.signs
        else:  # both transforms are normalised between them
            first, second = self.signs, self.signs[:, ::-1] * scale ** (in_first * 1.0 + in_last)
        return np.stack([first, second], axis=1).astype(np.float32)

    def forward(self, panels):
        """Rotate the rows of panels of shape (n_panels, n_features, width) in place."""
        rotate(panels, self._length, self._factors)
        return panels

    def inverse(self, panels):
        """Undo `forward` in place."""
        rotate_back(panels, self._length, self._factors)
        return panels


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

    def forward(self, panels):
        """Rotate the rows of panels of shape (n_panels, n_features, width) in place.

        Panels have one width, so that a row's result does not depend on how many others there are.
        """
        panels[:] = self.matrix.T @ panels
        return panels

    def inverse(self, panels):
        """Undo `forward` in place."""
        panels[:] = self.matrix @ panels
        return panels


@dataclass(frozen=True, eq=False)
class PrincipalRotation:
    """Coordinates along learned axes; directions of little variance may be left out.

    Parameters
    ----------
    matrix : float32 ndarray of shape (n_features, n_coordinates)
        Orthonormal columns; rows x are mapped to x @ matrix.
    """

    matrix: np.ndarray
    kind = "pca"

    @property
    def state(self):
        """The array that defines the rotation."""
        return self.matrix

    def forward(self, panels):
        """Give the coordinates of rows, from panels of shape (n_panels, n_features, LANES)."""
        products = empty_panels(len(panels) * LANES, self.matrix.shape[1])
        multiply_panels(self.matrix, panels, products)
        return products

    def inverse(self, panels):
        """Give the rows that have these coordinates, and none along what is left out.

        Panels have one width, so that a row's result does not depend on how many others there are.
        """
        return self.matrix @ panels


DRAWN = {cls.kind: cls for cls in (HadamardRotation, OrthogonalRotation)}
KINDS = {**DRAWN, PrincipalRotation.kind: PrincipalRotation}
