"""The nested-lattice code of a block.

A block x of d coordinates is scaled, quantized to the lattice Λ and named by its coset modulo qΛ
(Conway and Sloane, *A fast encoding method for lattice codes and quantizers*, 1983; used for
matrix products by Ordentlich and Polyanskiy, arXiv:2410.13780, and NestQuant, arXiv:2502.09720):

    encode   t = Q(x/β + μ),   c = G⁻¹ t mod q
    decode   y = G c,   t = y - q Q((y - a)/q),   x̂ = β (t - μ)

The decoder finds the coset leader, the member of the coset inside the cell qV + a. The shift a
keeps every point off the cell's boundary, so that encoder and decoder never break a tie apart, and
μ, the mean of the leaders, centres the code. Three things differ from the textbook code:

* **Union of scales.** β is the best of K scales, chosen for each block and sent along.
* **Projection on overload.** A point t that is no leader would be decoded a whole qβ away. The
  encoder shrinks x along its ray until it fits instead.
* **Repetition.** A lattice of few dimensions is repeated to fill a block, so that the choice
  of scale costs every lattice equally little.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from .._kernels._dispatch import (
    decode_blocks,
    decode_e8_blocks,
    decode_e8_shorts,
    encode_blocks,
    encode_e8_blocks,
    multiply_blocks,
    multiply_e8_blocks,
    multiply_e8_runs,
)
from .._kernels._e8 import LARGEST_Q, MOST_SCALES, RUN_BITS
from .._kernels._nested import Code
from .._kernels._vectors import LANES
from .._panels import empty_panels, put_rows, take_rows
from .._value import Value
from ..lattices import A2, D4, E8, Lattice, Z
from ._e8_parameters import e8_decoder, e8_encoder, e8_offsets

BLOCK = 8
MAX_WORD_BITS = 48  # words stay exact in a double while their digits are split off
_KERNEL_LATTICES = {Z: 0, A2: 1, D4: 2, E8: 3}


class Repeated(Lattice):
    """The direct sum of copies of a lattice."""

    def __init__(self, lattice, copies):
        self.lattice = lattice
        self.copies = copies
        self.generator = np.kron(np.eye(copies), lattice.generator)

    def closest_point(self, x):
        """Find the closest points copy by copy."""
        d = self.lattice.generator.shape[0]
        return self.lattice.closest_point(x.reshape(-1, d)).reshape(x.shape)


def fill_block(lattice):
    """Repeat a lattice to fill a block of eight coordinates, at least once."""
    return Repeated(lattice, max(1, BLOCK // lattice.generator.shape[0]))


def word_layout(dimension, q, n_bits):
    """Split a block's digits into words of at most 48 bits; the last word takes the scale.

    Returns
    -------
    word_digits : int
        Digits in a word; the last word may have fewer.
    word_bits : ndarray of shape (n_words,)
        Bits of each word; they sum to `n_bits`.
    """
    n_words = -(-n_bits // MAX_WORD_BITS)
    word_digits = -(-dimension // n_words)
    word_bits = np.full(n_words, int(np.ceil(word_digits * np.log2(q) - 1e-9)))
    word_bits[-1] = n_bits - word_bits[:-1].sum()
    return word_digits, word_bits


def count_scales(dimension, q, n_bits):
    """Count the scales that n_bits leave room for beside the digits."""
    word_digits, word_bits = word_layout(dimension, q, n_bits)
    last_digits = max(dimension - word_digits * (len(word_bits) - 1), 0)
    if word_bits.max() > MAX_WORD_BITS:
        return 0
    return int(2.0 ** word_bits[-1] / float(q) ** last_digits)


def _bisections(q):
    """Choose the steps towards the cell's boundary: fine nesting has less to gain from them.

    More steps would lower the distortion by less than one per cent.
    """
    return 3 if q > 5 else 7


@dataclass(frozen=True, eq=False)
class NestedLatticeCode(Value):
    """A code for blocks of d coordinates of unit variance.

    Parameters
    ----------
    lattice : Repeated
        Λ, the lattice of a block.
    q : int
        Nesting ratio.
    scales : ndarray of shape (n_scales,)
        β, ascending.
    n_bits : int
        Bits of a block, the choice of the scale included.
    distortion : float
        Expected squared error of a coordinate when the input is Gaussian.
    """

    lattice: Repeated
    q: int
    scales: np.ndarray
    n_bits: int
    distortion: float
    lays_apart = False  # rows that it multiplies

    @property
    def dimension(self):
        """Coordinates of a block, d."""
        return self.lattice.dimension

    @property
    def dtype(self):
        """Precision of the arithmetic: fine nesting needs more than float32 has."""
        return np.dtype(np.float32 if self.q <= 128 else np.float64)

    @cached_property
    def parameters(self):
        """The code as the kernels take it."""
        real, base = self.dtype.type, self.lattice.lattice
        shift, centroid = coset_leaders(base, self.q, self.lattice.copies)
        word_digits, word_bits = word_layout(self.dimension, self.q, self.n_bits)
        half_bits = self.n_bits - 4 * np.log2(self.q)
        fits = self.dimension <= BLOCK
        return Code(
            lattice=_KERNEL_LATTICES.get(type(base), -1) if fits else -1,  # -1 for NumPy
            dimension=self.dimension,
            q=real(self.q),
            inverse_q=real(1 / self.q),
            scales=self.scales.astype(real),
            shift=_pad(shift).astype(real),
            no_shift=np.zeros(BLOCK, real),
            centres=_pad(centroid).astype(real)[None],
            origin=_pad(self.lattice.closest_point(centroid[None])[0]).astype(real),
            bisections=_bisections(self.q),
            n_bits=self.n_bits,
            word_digits=word_digits,
            word_bits=word_bits,
            wide_digits=np.ceil(np.maximum(word_bits - 21, 0) / np.log2(self.q)).astype(int),
            halves_are_narrow=self.dimension == BLOCK and len(word_bits) == 1 and half_bits < 21,
        )

    @cached_property
    def e8_parameters(self):
        """The code as the kernels for E8 in small integers take it; None where they cannot."""
        p = self.parameters
        is_small = self.q <= LARGEST_Q and len(self.scales) <= MOST_SCALES and p.halves_are_narrow
        return e8_decoder(p) if p.lattice == _KERNEL_LATTICES[E8] and is_small else None

    def encode(self, panels, first, n_blocks, bit, codes, moments, dither=None):
        """Encode blocks of normalised rows into zeroed code bytes, from a given bit on.

        `panels` are as `skquant._panels` makes them. `moments`, (n_rows, 2), gets added the product
        of each row with what it decodes to, and the square of the latter. `dither`, of shape
        (n_blocks, dimension) and in units of the lattice, is added before and subtracted after.
        """
        dithered = self._with_centres(n_blocks, dither)
        if dithered.lattice >= 0:
            panels = panels.astype(self.dtype, copy=False)
            if self.e8_parameters is not None:
                encoder = e8_encoder(dithered, is_dithered=dither is not None)
                encode_e8_blocks(encoder, panels, first, n_blocks, bit, codes, moments)
            else:
                encode_blocks(dithered, panels, first, n_blocks, bit, codes, moments)
            return
        x = take_rows(panels[:, first : first + n_blocks * self.dimension], len(codes))
        x = x.astype(float, order="C")
        centres = self._all_centres(dithered, n_blocks, len(codes))
        points, choice = _quantize(self, centres, x.reshape(-1, self.dimension))
        words = _pack_words(self, points, choice).reshape(len(codes), -1)
        _put_words(words, np.tile(self.parameters.word_bits, n_blocks), bit, codes)
        decoded = (self.scales[choice][:, None] * (points - centres)).reshape(x.shape)
        moments[:, 0] += (x * decoded).sum(axis=1)
        moments[:, 1] += (decoded**2).sum(axis=1)

    def decode(self, codes, first, n_blocks, bit, panels, energy, dither=None):
        """Decode blocks into panels with room for the rows.

        `energy`, (n_rows,), gets added the square of what each row decodes to.
        """
        dithered = self._with_centres(n_blocks, dither)
        stop = first + n_blocks * self.dimension
        if dithered.lattice >= 0:
            fine, start = panels, first
            if panels.dtype != self.dtype:
                shape = len(panels), stop - first, panels.shape[2]
                fine, start = np.zeros(shape, self.dtype), 0
            kernel, code = self._kernel(dithered, decode_e8_blocks, decode_blocks)
            kernel(code, codes, start, n_blocks, bit, fine, energy)
            if fine is not panels:
                panels[:, first:stop] = fine
            return
        words = _get_words(codes, np.tile(self.parameters.word_bits, n_blocks), bit)
        centres = self._all_centres(dithered, n_blocks, len(codes))
        blocks = _unpack_words(self, centres, words.reshape(-1, len(self.parameters.word_bits)))
        blocks = blocks.reshape(len(codes), -1)
        energy += (blocks**2).sum(axis=1)
        put_rows(blocks, panels[:, first:stop])

    def multiply(self, codes, first, n_blocks, bit, vectors, products, energy, dither=None):
        """Add the products of what blocks decode to with a few vectors.

        `vectors` has the shape (n_vectors, n_coordinates), `products` (n_rows, n_vectors); `energy`
        is as in `decode`.
        """
        dithered = self._with_centres(n_blocks, dither)
        if dithered.lattice >= 0:
            kernel, code = self._kernel(dithered, multiply_e8_blocks, multiply_blocks)
            vectors = vectors.astype(self.dtype, order="C", copy=False)
            kernel(code, codes, first, n_blocks, bit, vectors, products, energy)
        else:
            multiply_decoded(self, codes, first, n_blocks, bit, vectors, products, energy, dither)

    @property
    def makes_runs(self):
        """Whether `multiply_run` serves."""
        return self.n_bits == RUN_BITS and self.e8_parameters is not None

    def multiply_run(self, codes, first, n_blocks, bit, vectors, products, energy):
        """Do what `multiply` does with vectors rounded to 16-bit integers."""
        part = vectors[:, first : first + n_blocks * BLOCK]
        unit = np.maximum(np.abs(part).max(axis=1) / 32767, np.finfo(np.float32).tiny)
        integers = np.zeros((len(part), -(-n_blocks // LANES) * LANES, BLOCK), np.int16)
        with np.errstate(invalid="ignore"):  # the unit remembers what is not finite
            integers[:, :n_blocks] = np.rint(part / unit[:, None]).reshape(len(part), -1, BLOCK)
        pairs = np.ascontiguousarray(integers.view(np.int32).transpose(0, 2, 1))
        sums = np.zeros_like(products)
        multiply_e8_runs(self.e8_parameters, codes, n_blocks, bit // 8, pairs, sums, energy)
        with np.errstate(invalid="ignore"):
            products += sums * unit

    @property
    def reach(self):
        """A bound of decoded coordinates; of an E8 code, of the norm of a decoded block."""
        # Cells reach as far as the covering radius, at most 1; a and the dither, somewhat more.
        return float(self.scales[-1]) * (self.q + 2) if self.parameters.lattice >= 0 else np.inf

    def decode_shorts(self, codes, first, n_blocks, bit, unit, tiles, energy, dither=None):
        """Decode blocks of an E8 code to multiples of a unit, 16-bit integers in tiles.

        `energy`, (n_rows,), gets added the squares of these integers.
        """
        kernel, code = self._kernel(self._with_centres(n_blocks, dither), decode_e8_shorts, None)
        factors = np.rint(code.units * np.float32(2**15 / unit))
        kernel(code, factors, codes, first, n_blocks, bit, tiles, energy)

    def _kernel(self, code, for_e8, for_all):
        """Choose the kernel for E8 in small integers where it serves; give it and its code."""
        if self.e8_parameters is None:
            return for_all, code
        parameters = self.e8_parameters
        if code is not self.parameters:
            parameters = parameters._replace(centres=2 * code.centres, offsets=e8_offsets(code))
        return for_e8, parameters

    def _all_centres(self, dithered, n_blocks, n_rows):
        """Repeat the centres for all blocks of all rows."""
        centres = np.broadcast_to(dithered.centres[:, : self.dimension], (n_blocks, self.dimension))
        return np.tile(centres, (n_rows, 1))

    def _with_centres(self, n_blocks, dither):
        """Give the parameters with what each block adds before quantization: μ and the dither."""
        if dither is None:
            return self.parameters
        centres = np.repeat(self.parameters.centres, n_blocks, axis=0)
        centres[:, : self.dimension] += dither
        return self.parameters._replace(centres=centres)


def multiply_decoded(code, codes, first, n_blocks, bit, vectors, products, energy, dither):
    """Multiply blocks by vectors by way of a panel: for codes without a kernel that fuses both."""
    stop = first + n_blocks * code.dimension
    panels = empty_panels(len(codes), stop - first)
    code.decode(codes, 0, n_blocks, bit, panels, energy, dither)
    products += take_rows(panels, len(codes)) @ vectors[:, first:stop].T


def _pad(vector):
    """Fill a short block's vector up to eight coordinates with its first, as kernels take it."""
    return np.concatenate([vector, np.full(max(0, BLOCK - len(vector)), vector[0])])


@lru_cache(maxsize=256)
def coset_leaders(lattice, q, copies):
    """Describe the coset leaders of Λ/qΛ in the cell qV + a.

    Returns
    -------
    shift : ndarray of shape (copies * dimension,)
        a, small and generic.
    centroid : ndarray of shape (copies * dimension,)
        μ, the mean of the leaders, from all of them or a fixed sample.
    """
    generator = np.asarray(lattice.generator, dtype=float)
    d = len(generator)
    shift = np.asarray(lattice.generic_point)
    if q > 64:  # the cell is symmetric about a, and its rim counts for little
        return np.tile(shift, copies), np.tile(shift, copies)
    if q**d <= 2**16:
        digits = np.indices((q,) * d).reshape(d, -1).T
    else:
        digits = np.random.RandomState(0).randint(q, size=(2**14, d))
    centroid = _leaders(lattice, q, shift, digits @ generator).mean(axis=0)
    return np.tile(shift, copies), np.tile(centroid, copies)


def _leaders(lattice, q, shift, points):
    """Reduce lattice points to the leaders of their cosets."""
    return points - q * lattice.closest_point((points - shift) / q)


def _quantize(code, centres, x):
    """Find the best word of each block: lattice points and scale indices.

    The kernels know how large a cell must be to hold x, and search the best word near its rim.
    Here every scale is tried instead, coarse to fine, and the bisection below the finest that
    fits starts from the origin: slower, and slightly better.
    """
    p, n_scales = code.parameters, len(code.scales)
    best = np.tile(p.origin[: code.dimension].astype(float), (len(x), 1))
    choice, least = np.zeros(len(x), int), np.full(len(x), np.inf)

    def attempt(scale, shrink):
        beta = code.scales[scale][:, None]
        point = code.lattice.closest_point(x * (shrink[:, None] / beta) + centres)
        valid = (_leaders(code.lattice, code.q, p.shift[: code.dimension], point) == point).all(
            axis=1
        )
        error = ((x - beta * (point - centres)) ** 2).sum(axis=1)
        better = valid & (error < least)
        best[better], choice[better], least[better] = point[better], scale[better], error[better]
        return valid

    fits = np.full(len(x), n_scales)
    for k in range(n_scales - 1, -1, -1):
        fits[attempt(np.full(len(x), k), np.ones(len(x)))] = k
    below = np.maximum(fits - 1, 0)
    # No cell reaches farther than half the length of its basis, nor does a leader.
    reach = code.q * np.linalg.norm(code.lattice.generator) * code.scales[below]
    low, high = np.zeros(len(x)), np.minimum(1.0, reach / np.sqrt((x**2).sum(axis=1) + 1e-30))
    for _ in range(8):
        shrink = (low + high) / 2
        valid = attempt(below, shrink)
        low, high = np.where(valid, shrink, low), np.where(valid, high, shrink)
    return best, choice


def _pack_words(code, points, choice):
    """Name lattice points and scales by words, (n_blocks, n_words)."""
    p = code.parameters
    coordinates = np.rint(points @ np.linalg.inv(code.lattice.generator))
    digits = np.mod(coordinates, code.q).astype(np.uint64)
    words = np.zeros((len(points), len(p.word_bits)), np.uint64)
    words[:, -1] = choice
    for axis in range(code.dimension - 1, -1, -1):
        word = axis // p.word_digits
        words[:, word] = words[:, word] * np.uint64(code.q) + digits[:, axis]
    return words


def _unpack_words(code, centres, words):
    """Decode words of shape (n_blocks, n_words) to points of shape (n_blocks, dimension)."""
    p, words = code.parameters, words.copy()
    digits = np.empty((len(words), code.dimension))
    for axis in range(code.dimension):
        word = axis // p.word_digits
        words[:, word], digits[:, axis] = np.divmod(words[:, word], np.uint64(code.q))
    choice = np.minimum(words[:, -1], len(code.scales) - 1).astype(int)
    leaders = _leaders(
        code.lattice, code.q, p.shift[: code.dimension], digits @ code.lattice.generator
    )
    return code.scales[choice][:, None] * (leaders - centres)


def _put_words(words, widths, bit, codes):
    """Write words of given widths side by side, least significant bit first."""
    bits = [np.zeros((len(words), bit % 8), np.uint64)]
    for i, width in enumerate(widths):
        bits.append((words[:, [i]] >> np.arange(width, dtype=np.uint64)) & np.uint64(1))
    bits = np.hstack(bits).astype(np.uint8)
    packed = np.packbits(bits, axis=1, bitorder="little")
    codes[:, bit // 8 : bit // 8 + packed.shape[1]] |= packed


def _get_words(codes, widths, bit):
    """Read words of given widths that lie side by side."""
    stop = bit + int(widths.sum())
    bits = np.unpackbits(codes[:, bit // 8 : -(-stop // 8)], axis=1, bitorder="little")
    bits = bits[:, bit % 8 :].astype(np.uint64)
    words, start = np.empty((len(codes), len(widths)), np.uint64), 0
    for i, width in enumerate(widths):
        powers = np.uint64(1) << np.arange(width, dtype=np.uint64)
        words[:, i] = bits[:, start : start + width] @ powers
        start += width
    return words
