"""The hierarchical nested-lattice code: layers of a byte, whose products come from small tables.

A point t of a lattice Λ is taken apart into cosets of 2Λ in Λ, M times over (I. Kaplan and
O. Ordentlich, *High-rate nested-lattice quantized matrix multiplication with small lookup tables*,
arXiv:2505.13164):

    t = c₀ + 2 c₁ + 4 c₂ + ... + 2^(M-1) c_(M-1),    c_m a coset leader of Λ/2Λ

Eight coordinates have 256 leaders, whatever the lattice, so a byte names one. What all of them are
worth to a block of a vector stands in one table for all layers, and a product with a vector takes M
look-ups a block and no decoding. Three things differ from the published code:

* **Centred leaders.** The words are the leaders less their mean; else those of a layer, of which
  none has its negative beside it, would shift all sums.
* **Search instead of overload.** The points that leaders add up to fill a cell with a ragged rim.
  The encoder chooses the words from the coarsest layer on and keeps the best few beginnings, which
  finds a near point where the nearest has no code.
* **A stored norm.** Tables tell products, but not ‖u‖², which the row terms need: it stands in two
  bytes behind the words.
"""

import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files

import numpy as np

from .._kernels._dispatch import (
    BYTE_OFFSET,
    HAS_BYTES,
    decode_layers,
    encode_layers,
    multiply_layers,
)
from .._kernels._layers import BLOCK, LAYERS_AT_ONCE, N_WORDS
from .._kernels._squares import SIDE
from .._kernels._vectors import LANES
from .._panels import aligned_empty
from .._value import Value
from ._nested import Repeated, coset_leaders, fill_block
from ._row_code import Codes, RowCode, spend_bits

MOST_LAYERS = 8
NORM_BYTES, NORM_UNIT = 2, 2.0**-12  # of a coordinate's root mean square
_FINEST = 2**16 - 1  # entries of tables are 16-bit integers without sign
_SIGNED = HAS_BYTES and BYTE_OFFSET == 0  # whether products take bytes as signed


@dataclass(frozen=True, eq=False)
class HierarchicalCode(Value):
    """A code for blocks of eight coordinates of unit variance, a byte a layer.

    It has the interface of `NestedLatticeCode`, with a nesting ratio of 2 for each layer, but does
    not measure the energy of what it decodes to; `HierarchicalRowCode` has it.

    Parameters
    ----------
    lattice : Repeated
        Λ, the lattice of a block.
    scales : ndarray of shape (1,)
        β, the scale of the finest layer.
    n_layers : int
        M, at most MOST_LAYERS.
    distortion : float
        Expected squared error of a coordinate when the input is Gaussian.
    """

    lattice: Repeated
    scales: np.ndarray
    n_layers: int
    distortion: float
    q = 2
    dimension = BLOCK
    makes_runs = False
    lays_apart = True
    e8_parameters = None

    @property
    def n_bits(self):
        """Bits of a block."""
        return 8 * self.n_layers

    @cached_property
    def words(self):
        """The centred leaders, (N_WORDS, 8) float32."""
        return _centred_leaders(self.lattice.lattice, self.lattice.copies)

    @cached_property
    def sizes(self):
        """What the words of each layer are multiplied with, the coarsest first."""
        powers = 2.0 ** np.arange(self.n_layers - 1, -1, -1)
        return (self.scales[0] * powers).astype(np.float32)

    @property
    def reach(self):
        """A bound of decoded coordinates, which a dither moves by at most the covering radius."""
        return float(np.abs(self.words).max() * self.sizes.sum() + self.scales[0])

    def encode(self, panels, first, n_blocks, bit, codes, moments, dither=None):
        """Encode blocks of normalised rows; `NestedLatticeCode.encode` explains the arguments."""
        if dither is None:
            panels = np.ascontiguousarray(panels, np.float32)
            arguments = panels, first, n_blocks, bit // 8, codes, moments
            encode_layers(self.words, self.sizes, *arguments)
            return
        own = panels[:, first : first + n_blocks * BLOCK].astype(np.float32)
        shifted = own + self._shift(dither)
        ignored = np.zeros_like(moments)  # the moments are those of the words less the dither
        arguments = shifted, 0, n_blocks, bit // 8, codes, ignored
        encode_layers(self.words, self.sizes, *arguments)
        decoded = np.empty_like(own)
        self.decode(codes, 0, n_blocks, bit, decoded, None, dither)
        for i, other in enumerate((own, decoded)):
            moments[:, i] += np.einsum("pij,pij->pj", other, decoded).ravel()[: len(codes)]

    def decode(self, codes, first, n_blocks, bit, panels, energy, dither=None):
        """Decode blocks into panels; `NestedLatticeCode.decode` explains the arguments."""
        decode_layers(self.words, self.sizes, codes, first, n_blocks, bit // 8, panels)
        if dither is not None:
            panels[:, first : first + n_blocks * BLOCK] -= self._shift(dither)

    def multiply(self, codes, first, n_blocks, bit, vectors, products, energy, dither=None):
        """Multiply blocks by a few vectors; `NestedLatticeCode.multiply` explains the arguments.

        A table holds ⟨w, v⟩ of all words w and a block v of a vector, as multiples of a unit from
        the least one on.
        """
        own = vectors[:, first : first + n_blocks * BLOCK].astype(np.float32)
        worth = own.reshape(len(own), n_blocks, BLOCK) @ self.words.T
        least = worth.min(axis=2, keepdims=True)
        worth -= least
        unit = np.maximum(worth.max(axis=(1, 2)) / _FINEST, np.finfo(np.float32).tiny)
        with np.errstate(invalid="ignore"):  # the unit remembers what is not finite
            worth /= unit[:, None, None]
            worth += np.float32(0.5)
            integers = worth.astype(np.uint16)
        tables = aligned_empty((len(own), n_blocks, 2, N_WORDS), np.uint8)
        tables[:, :, 0], tables[:, :, 1] = integers >> 8, integers & 255
        if _SIGNED:
            tables ^= 128
        order, weights, factors = _word_layout(self.n_layers)
        sums = np.zeros((len(codes), len(own)))
        multiply_layers(
            tables, order, weights, factors, self.n_layers, codes, bit // 8,
            aligned_empty((3, LANES, SIDE), np.int32), sums,
        )  # fmt: skip
        if _SIGNED:
            sums += 128 * 257 * n_blocks * (2**self.n_layers - 1)
        with np.errstate(invalid="ignore"):
            start = (2**self.n_layers - 1) * least.sum(axis=(1, 2), dtype=np.float64)
            if dither is not None:
                start -= own.astype(np.float64) @ dither.ravel()
            products += self.scales[0] * (sums * unit + start)

    def _shift(self, dither):
        """Scale the dither to what it adds to coordinates, shaped for panels."""
        return (self.scales[0] * dither).astype(np.float32).reshape(1, -1, 1)


@lru_cache
def _table():
    """Read the derived scales and distortions of all numbers of layers, by lattice."""
    text = files("skquant._codes").joinpath("_scales.json").read_text(encoding="utf-8")
    return json.loads(text)["hierarchical"]


def code_for(lattice, n_bits):
    """Give the code of a lattice of the package for blocks of n_bits, a multiple of eight."""
    scale, distortion = _table()[lattice.name][n_bits // 8 - 1]
    return HierarchicalCode(fill_block(lattice), np.array([scale]), n_bits // 8, distortion)


def available_bits(lattice):
    """List the bits per block for which there is a code."""
    return range(8, 8 * MOST_LAYERS + 1, 8)


HIERARCHICAL_CODES = Codes(available_bits, code_for)


def spend_bits_on_layers(lattice, n_coordinates, n_bits):
    """Choose the layers of each block so that a row's bits are spent; the norm comes on top.

    The arguments are those of `spend_bits`; what is beyond 8 a coordinate is not used.
    """
    n_bits = min(n_bits, MOST_LAYERS * n_coordinates)
    return HierarchicalRowCode(spend_bits(lattice, n_coordinates, n_bits, HIERARCHICAL_CODES))


@lru_cache
def _centred_leaders(lattice, copies):
    """List the leaders of the cosets of 2Λ, less their mean."""
    block = Repeated(lattice, copies)
    shift, _ = coset_leaders(lattice, 2, copies)
    points = np.indices((2,) * BLOCK).reshape(BLOCK, -1).T @ block.generator
    leaders = points - 2 * block.closest_point((points - shift) / 2)
    words = np.ascontiguousarray(leaders - leaders.mean(axis=0), np.float32)
    words.setflags(write=False)
    return words


@lru_cache
def _word_layout(n_layers):
    """Say how the bytes of blocks make up the words of lanes, as `multiply_layers` takes it.

    Returns
    -------
    order : uint8 ndarray of shape (4 * SIDE,)
    weights : int32 ndarray of shape (n_parts,)
    factors : float64 ndarray of shape (n_parts,)
        Such that the finest layer weighs 1.
    """
    n_parts = -(-n_layers // LAYERS_AT_ONCE)
    block, part = np.divmod(np.arange(SIDE), n_parts)
    layer = LAYERS_AT_ONCE * part[:, None] + np.arange(LAYERS_AT_ONCE)
    order = np.where(layer < n_layers, block[:, None] * n_layers + layer, 0).astype(np.uint8)
    weights = np.where(layer[:n_parts] < n_layers, 8 >> np.arange(LAYERS_AT_ONCE), 0)
    weights = weights.astype(np.uint8).view("<i4").ravel().astype(np.int32)
    factors = 2.0 ** (n_layers - LAYERS_AT_ONCE * (1.0 + np.arange(n_parts)))
    return order.ravel(), weights, factors


@dataclass(frozen=True, eq=False)
class HierarchicalRowCode(Value):
    """A code for rows of hierarchical blocks, and the norm of what a row decodes to.

    It has the interface of `RowCode`.

    Parameters
    ----------
    blocks : RowCode
        The code of the blocks.
    """

    blocks: RowCode
    short_unit = None
    rows_at_once = 2**16  # tables are made for so many rows

    @property
    def n_coordinates(self):
        """Number of coded coordinates."""
        return self.blocks.n_coordinates

    @property
    def spreads(self):
        """Root mean square of each coordinate."""
        return self.blocks.spreads

    @property
    def arrays(self):
        """The arrays that define the code, by name."""
        return self.blocks.arrays

    @property
    def n_bytes(self):
        """Bytes of a row."""
        return self.blocks.n_bytes + NORM_BYTES

    @property
    def distortion(self):
        """Expected squared error of a coordinate when the row is Gaussian."""
        return self.blocks.distortion

    def encode(self, panels, codes, dither=None):
        """Encode rows into zeroed bytes; `RowCode.encode` explains the arguments."""
        moments = self.blocks.encode(panels, codes, dither)
        sizes = np.sqrt(moments[:, 1] / self.n_coordinates)  # less than 16 for all codes
        norms = np.minimum(np.rint(sizes / NORM_UNIT), _FINEST).astype("<u2")
        stored = np.ascontiguousarray(norms[:, None]).view(np.uint8)
        codes[:, self.blocks.n_bytes : self.n_bytes] = stored
        moments[:, 1] = self._energy(codes)
        return moments

    def decode(self, codes, panels, dither=None):
        """Decode rows into panels; `RowCode.decode` explains the arguments."""
        self.blocks.decode(codes, panels, dither)
        return self._energy(codes)

    def multiply(self, codes, vectors, dither=None):
        """Multiply what rows decode to by vectors; `RowCode.multiply` explains the arguments."""
        products, _ = self.blocks.multiply(codes, vectors, dither)
        return products, self._energy(codes)

    def peak(self, n_coordinates=None):
        """Bound the first coordinates, or all, of what rows decode to."""
        return self.blocks.peak(n_coordinates)

    def draw_dither(self, random_state):
        """Draw a dither of the blocks."""
        return self.blocks.draw_dither(random_state)

    def _energy(self, codes):
        stored = np.ascontiguousarray(codes[:, self.blocks.n_bytes : self.n_bytes]).view("<u2")
        return self.n_coordinates * (NORM_UNIT * stored[:, 0].astype(np.float64)) ** 2
