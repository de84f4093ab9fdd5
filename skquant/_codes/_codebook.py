"""The code of one bit an entry: the origin and the shortest points of a lattice.

E8 has 240 shortest points, so a byte names eight coordinates. At this rate nesting cannot compete:
every nonzero coset of 2 E8 holds a point and its negative, of which a code can have only one.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._kernels._dispatch import MOST_WORDS, decode_words, encode_words, multiply_words
from .._value import Value
from ._nested import Repeated, multiply_decoded


@dataclass(frozen=True, eq=False)
class ShortestPointCode(Value):
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
    makes_runs = False
    lays_apart = False
    e8_parameters = None

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

    @property
    def reach(self):
        """A bound of decoded coordinates, which a dither moves by at most the covering radius."""
        return float(np.abs(self.words).max() + self.scales[0])

    @cached_property
    def half_energy(self):
        """‖w‖²/2 of each word w."""
        return np.einsum("ij,ij->i", self.words, self.words) / 2

    def encode(self, panels, first, n_blocks, bit, codes, moments, dither=None):
        """Encode blocks of normalised rows; `NestedLatticeCode.encode` explains the arguments."""
        own = panels[:, first : first + n_blocks * self.dimension].astype(np.float32)
        shift = 0 if dither is None else self._shift(dither)
        product_and_energy = np.zeros_like(moments)
        encode_words(
            self.words, self.half_energy, own + shift, 0, n_blocks, bit // 8, codes,
            product_and_energy,
        )  # fmt: skip
        if dither is not None:  # the moments are those of the words less the dither
            decoded, energy = np.empty_like(own), np.zeros(len(codes))
            self.decode(codes, 0, n_blocks, bit, decoded, energy, dither)
            product = np.einsum("pij,pij->pj", own, decoded).ravel()[: len(codes)]
            product_and_energy = np.stack([product, energy], axis=1)
        moments += product_and_energy

    def decode(self, codes, first, n_blocks, bit, panels, energy, dither=None):
        """Decode blocks into panels; `NestedLatticeCode.decode` explains the arguments."""
        words, half_energy = self.words, self.half_energy
        if dither is None:
            decode_words(words, half_energy, codes, first, n_blocks, bit // 8, panels, energy)
            return
        decode_words(words, half_energy, codes, first, n_blocks, bit // 8, panels, 0 * energy)
        own = panels[:, first : first + n_blocks * self.dimension]
        own -= self._shift(dither)
        energy += np.einsum("pij,pij->pj", own, own).ravel()[: len(codes)]

    def multiply(self, codes, first, n_blocks, bit, vectors, products, energy, dither=None):
        """Multiply blocks by a few vectors; `NestedLatticeCode.multiply` explains the arguments."""
        if dither is not None:
            multiply_decoded(self, codes, first, n_blocks, bit, vectors, products, energy, dither)
            return
        blocks = vectors[:, first : first + n_blocks * self.dimension]
        blocks = blocks.reshape(len(vectors), n_blocks, self.dimension)
        tables = np.zeros((len(vectors), n_blocks, MOST_WORDS), np.float32)
        tables[:, :, : len(self.words)] = blocks @ self.words.T
        squares = np.zeros(MOST_WORDS)
        squares[: len(self.words)] = 2 * self.half_energy
        multiply_words(tables, squares, codes, bit // 8, products, energy)

    def _shift(self, dither):
        """Scale the dither to what it adds to coordinates, shaped for panels."""
        return (self.scales[0] * dither).astype(np.float32).reshape(1, -1, 1)
