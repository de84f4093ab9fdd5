"""The code of one bit an entry: the origin and the shortest points of a lattice.

E8 has 240 shortest points, so a byte names eight coordinates. At this rate nesting cannot compete:
every nonzero coset of 2 E8 holds a point and its negative, of which a code can have only one.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ._kernels._dispatch import decode_words, encode_words
from ._nested_code import Repeated


@dataclass(frozen=True, eq=False)
class ShortestPointCode:
    """A code for blocks of d coordinates of unit variance, a byte a block.

    It has the interface of `NestedLatticeCode`, with a nesting ratio of 0.

    Parameters
    ----------
    lattice : Repeated
        The lattice of a block, with `shortest_points`, at most 255.
    scales : ndarray of shape (1,)
        β; the words are β times the origin and the shortest points.
    distortion : float
        Expected squared error of a coordinate when the input is Gaussian.
    """

    lattice: Repeated
    scales: np.ndarray
    distortion: float
    q = 0
    n_bits = 8

    @property
    def dimension(self):
        """Coordinates of a block, d."""
        return self.lattice.dimension

    @cached_property
    def words(self):
        """The words, (n_words, d) float32."""
        points = self.lattice.lattice.shortest_points()
        words = np.vstack([np.zeros((1, self.dimension)), points])
        return (self.scales[0] * words).astype(np.float32)

    def encode(self, rows, first, n_blocks, bit, codes, moments):
        """Encode blocks of normalised rows; `NestedLatticeCode.encode` explains the arguments."""
        rows = rows.astype(np.float32, copy=False)
        half_energy = np.einsum("ij,ij->i", self.words, self.words) / 2
        encode_words(self.words, half_energy, rows, first, n_blocks, bit // 8, codes, moments)

    def decode(self, codes, first, n_blocks, bit, panel):
        """Decode blocks into a panel of shape (n_coordinates, n_rows)."""
        decode_words(self.words, codes, first, n_blocks, bit // 8, panel)
