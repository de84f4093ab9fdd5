"""A row code in two layers: a coarse one, which a scan reads without decoding it, and the rest.

The coarse layer names each four coordinates by one of 64 words, which takes 1.5 bits an entry: a
table of as many bytes, which the vector registers of a machine hold, gives the product of any word
with a query. The words are the points of D4 nearest to the midpoint of two neighbours, which are
whole shells around it. What the words leave over, scaled back to unit variance, is what another
code takes.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product

import numpy as np

from .._kernels._dispatch import BLOCK, CENTRE, GROUP, N_ENTRIES, decode_coarse, encode_coarse
from .._panels import empty_panels, take_rows
from .._value import Value

# For coordinates of unit variance: what words are multiplied with, and the size of the rest.
# ``python benchmarks/derive_scales.py coarse`` measures what they cost beside others.
SCALE, REST_FACTOR = 1.14, np.float32(0.47)
DISTORTION = 0.2  # of both layers, over that of the rest's code


@cache
def points():
    """List the words, doubled and moved to where they are no less than zero, (4, 64) uint8."""
    grid = np.array(list(product(range(-CENTRE, CENTRE + 1), repeat=BLOCK)))
    grid = grid[(grid.sum(axis=1) % 2 == 0)]
    doubled = 2 * grid - np.array([1, 1, 0, 0])
    order = np.argsort((doubled**2).sum(axis=1), kind="stable")
    return np.ascontiguousarray((doubled[order[:N_ENTRIES]] + CENTRE).T, np.uint8)


@dataclass(frozen=True, eq=False)
class LayeredRowCode(Value):
    """A code for rows, of the spreads that the code of the rest is made for.

    It has the interface of `RowCode`. A row has the bytes of the rest and then those of the words.

    Parameters
    ----------
    rest : RowCode or EntropyRowCode
        The code of what the coarse layer leaves over, as if that were a row.
    """

    rest: object
    short_unit = None
    rows_at_once = 2**10

    @property
    def n_coordinates(self):
        """Number of coded coordinates."""
        return self.rest.n_coordinates

    @property
    def spreads(self):
        """Root mean square of each coordinate."""
        return self.rest.spreads

    @property
    def arrays(self):
        """The arrays that define the code, by name."""
        return self.rest.arrays

    @property
    def n_words(self):
        """Words of a row."""
        return -(-self.n_coordinates // BLOCK)

    @property
    def word_bytes(self):
        """Bytes of the words of a row."""
        return self.n_words - self.n_words // GROUP

    @property
    def n_bytes(self):
        """Bytes of a row."""
        return self.rest.n_bytes + self.word_bytes

    @property
    def distortion(self):
        """Expected squared error of a coordinate when the row is Gaussian."""
        return DISTORTION * self.rest.distortion

    @cached_property
    def sizes(self):
        """What the doubled words are multiplied with, float32 (n_words,)."""
        energy = np.zeros(self.n_words * BLOCK)
        energy[: self.n_coordinates] = self.spreads**2
        counts = np.full(self.n_words, BLOCK)
        counts[-1] -= len(energy) - self.n_coordinates
        spreads = np.sqrt(energy.reshape(-1, BLOCK).sum(axis=1) / counts)
        return (SCALE / 2 * spreads).astype(np.float32)

    def encode(self, panels, codes, dither=None):
        """Encode rows into zeroed bytes; `RowCode.encode` explains the arguments."""
        panels = np.ascontiguousarray(panels, np.float32)
        rest = np.zeros_like(panels)
        encode_coarse(points(), self.sizes, panels, self.rest.n_bytes, codes, 1 / REST_FACTOR, rest)
        own = np.zeros((len(codes), self.rest.n_bytes), np.uint8)
        self.rest.encode(rest, own, dither)  # it may write zeros after its bytes
        codes[:, : self.rest.n_bytes] = own
        energy = self.decode(codes, rest, dither)
        inner = np.einsum("pij,pij->pj", panels, rest).ravel()[: len(codes)]
        return np.stack([inner, energy], axis=1)

    def decode(self, codes, panels, dither=None):
        """Decode rows into panels; `RowCode.decode` explains the arguments."""
        self.rest.decode(codes, panels, dither)
        energy = np.empty(len(codes))
        decode_coarse(points(), self.sizes, codes, self.rest.n_bytes, REST_FACTOR, panels, energy)
        return energy

    def decode_words(self, codes, panels):
        """Decode the coarse layer of rows alone; give the squares of what comes of it."""
        energy = np.empty(len(codes))
        panels[:] = 0
        decode_coarse(
            points(), self.sizes, codes, self.rest.n_bytes, np.float32(0), panels, energy
        )  # fmt: skip
        return energy

    def peak(self, n_coordinates=None):
        """Know no bound of coordinates."""
        return np.inf

    def multiply(self, codes, vectors, dither=None):
        """Multiply what rows decode to by vectors; `RowCode.multiply` explains the arguments."""
        panels = empty_panels(len(codes), self.n_coordinates)
        energy = self.decode(codes, panels, dither)
        return (take_rows(panels, len(codes)) @ vectors.T).astype(np.float64), energy

    def draw_dither(self, random_state):
        """Draw a dither of the rest."""
        return self.rest.draw_dither(random_state)
