"""The code of a whole row by entropy coding: rows of fixed size, near the bound.

The rows of a matrix become the nearest points y of a lattice or a trellis code, and these become
bits under a Gaussian model (`_entropy_model`). Their number varies from row to row. To fill rows
of one size, and thereby keep random access, the encoder multiplies each row with a gain of its own
before it rounds: the largest that fits. The decoder needs no gain, because what a row is worth
beside others is a row term already, so that no bit is spent on side information; and because a
row of unit variance takes nearly the same bits whatever it looks like, gains hardly differ.

This is the entropy-coded dithered quantizer of R. Zamir and M. Feder (*On universal quantization by
randomized uniform/lattice quantizers*, 1992), without the dither. With G the normalised second
moment of a cell its distortion at R bits a coordinate is 2πeG 4^-R.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from .._kernels._entropy import (
    MIN_BYTES,
    PRECISION,
    blend_rows,
    keep_rows,
    measure_lengths,
    push_rows,
    read_rows,
    sum_moments,
)
from .._kernels._vectors import LANES
from .._panels import aligned_empty, by_lane, empty_panels, put_lanes, take_lanes
from .._value import Value
from ._entropy_model import SPREADS_PER_OCTAVE, entropy_model
from ._trellis import trellis_code

CHUNK_FLOATS = 2**19  # what is encoded at a time stays in the cache
LEAST_TOLERANCE = 1e-6  # what float32 can tell apart
MAX_GAIN = 256  # times the usual, for rows of which few entries are not zero
TINY_GAIN = 1e-12  # times the largest: what is smaller makes no entry differ from zero
GAIN_TOLERANCE = 0.12  # costs less than .2 % of distortion
FULL = 0.25  # unused bits that no further pass could use
ENOUGH = 2.0  # unused bits that a further pass is not worth
START_BITS = 0.35  # bits that a row may take beyond its own, as its leading one is left out
MAX_TRIES = 4
SPARE = 3.0  # bits that a row of zeros leaves, so that it always comes out right
MIN_SPREAD, MAX_SPREAD = -2 * SPREADS_PER_OCTAVE, 18 * SPREADS_PER_OCTAVE


@dataclass(frozen=True, eq=False)
class EntropyRowCode(Value):
    """A code for rows of unit variance.

    Parameters
    ----------
    lattice : str
        The name of a trellis code.
    n_coordinates : int
        Coordinates of a row.
    n_bytes : int
        Bytes of a row.
    spread : int
        Names the model.
    """

    lattice: str
    n_coordinates: int
    n_bytes: int
    spread: int
    short_unit = None
    rows_at_once = 2**10

    @classmethod
    @lru_cache(maxsize=256)
    def choose(cls, lattice, n_coordinates, n_bytes):
        """Choose the model for rows of a size, of which at most 16 bits a coordinate are used."""
        n_bytes = min(n_bytes, 2 * n_coordinates)
        return cls(lattice, n_coordinates, n_bytes, _choose_spread(lattice, n_coordinates, n_bytes))

    @property
    def spreads(self):
        """Root mean square of each coordinate."""
        return np.ones(self.n_coordinates)

    @property
    def code(self):
        """The trellis code."""
        return trellis_code(self.lattice)

    @property
    def model(self):
        """The model of its integers."""
        return entropy_model(self.lattice, self.spread)[0]

    @property
    def distortion(self):
        """Expected squared error of a coordinate when the row is Gaussian."""
        rate = 8 * self.n_bytes / self.n_coordinates
        return float(2 * np.pi * np.e * self.code.second_moment * 4.0**-rate)

    @property
    def arrays(self):
        """The arrays that define the code: none."""
        return {}

    @cached_property
    def steps(self):
        """What integers are multiplied with, float32 (n_coordinates,).

        With it, a Gaussian row is what it decodes to plus an error that is uncorrelated to that.
        """
        shrink = np.sqrt(max(1 - self.distortion, 0.05))
        axes = np.resize(self.code.axes, self.n_coordinates)
        return (shrink / self.deviation * axes).astype(np.float32)

    @cached_property
    def deviation(self):
        """Standard deviation of the integers of a Gaussian row that fits."""
        rate = 8 * self.n_bytes / self.n_coordinates
        sigma = 2.0 ** (self.spread / SPREADS_PER_OCTAVE)
        return sigma * 2.0 ** np.clip(rate - entropy_model(self.lattice, self.spread)[1], -1, 1)

    def encode(self, panels, codes, dither=None):
        """Encode rows into zeroed bytes.

        Parameters
        ----------
        panels : float32 ndarray of shape (n_panels, n_coordinates, LANES)
            Rows of unit variance; lanes beyond the last row are zero.
        codes : uint8 ndarray of shape (n_rows, >= n_bytes)
            Written to, in the first `n_bytes` columns.
        dither : float32 ndarray of shape (n_coordinates,), default=None
            As `draw_dither` gives it.

        Returns
        -------
        moments : ndarray of shape (n_rows, 2)
            ⟨w, u⟩ and ‖u‖² of each row w and what it decodes to, u.
        """
        shift = self._shift(dither)
        moments = np.zeros((len(panels), 2, LANES))
        step = max(1, CHUNK_FLOATS // (LANES * self.n_coordinates))
        for first in range(0, len(panels), step):
            some, rows = panels[first : first + step], codes[first * LANES :][: step * LANES]
            points = self._fit(some, rows, shift)
            sum_moments(some, points, self.steps, shift, moments[first : first + step])
        return moments.transpose(0, 2, 1).reshape(-1, 2)[: len(codes)]

    def decode(self, codes, panels, dither=None):
        """Decode rows into panels, float32 (n_panels, n_coordinates, width).

        The width is a multiple of LANES; `codes` and `dither` are `encode`'s.

        Returns
        -------
        energy : ndarray of shape (n_rows,)
            ‖u‖².
        """
        energy = np.empty(-(-len(codes) // LANES) * LANES)
        if codes.shape[1] < MIN_BYTES:
            codes = np.pad(codes, ((0, 0), (0, MIN_BYTES - codes.shape[1])))
        read_rows(
            self.model, codes.reshape(-1), codes.shape[1], self.n_bytes,
            self.steps, self._shift(dither), panels, energy,
        )  # fmt: skip
        return energy[: len(codes)]

    def peak(self, n_coordinates=None):
        """Know no bound of coordinates."""
        return np.inf

    def multiply(self, codes, vectors, dither=None):
        """Multiply what rows decode to by vectors: products (n_rows, n_vectors), and ‖u‖²."""
        panels = empty_panels(len(codes), self.n_coordinates)
        energy = self.decode(codes, panels, dither)
        products = panels.transpose(0, 2, 1) @ np.ascontiguousarray(vectors.T)
        return products.reshape(-1, len(vectors))[: len(codes)].astype(np.float64), energy

    def draw_dither(self, random_state):
        """Draw a vector uniform over the cell of the code, float32 (n_coordinates,).

        All multiples of the modulus are in the code, so that what is left of uniform residues
        when the nearest sequence is subtracted is uniform over the cell.
        """
        n, code = self.n_coordinates, self.code
        residues = random_state.random_sample(n).astype(np.float32) * np.float32(code.modulus)
        panels = np.zeros((1, n, LANES), np.float32)
        panels[0, :, 0] = residues * np.resize(code.axes, n)
        points = code.quantize(panels, np.ones((1, LANES), np.float32))
        return residues - points[0, :, 0].astype(np.float32)

    def _shift(self, dither):
        return np.zeros(self.n_coordinates, np.float32) if dither is None else dither

    def _fit(self, panels, codes, shift):
        """Write rows as finely as their bytes allow, and give their integers."""
        n_bits, rows, points = 8 * self.n_bytes, np.arange(len(codes)), None
        budget = n_bits + START_BITS
        while len(rows):
            some = panels if points is None else take_lanes(panels, rows)
            best, fine, free = self._search(some, len(rows), budget, shift)
            blend_rows(self.model, best, fine, free, aligned_empty(best.shape[1:], np.int32))
            surplus = free.ravel()[: len(rows)] + (n_bits - budget)
            written = self._write(best, surplus, codes, rows)
            if points is None:
                points = best
            else:
                put_lanes(best, np.arange(len(rows)), points, rows)
            rows, budget = rows[~written], budget - 1
        return points

    def _search(self, panels, n_rows, budget, shift):
        """Find a version of each row that fits, one a little finer, and what the former leaves."""
        search, rows = _GainSearch(self, panels, n_rows, budget), np.arange(n_rows)
        coarse, fine = aligned_empty((2, *panels.shape), np.int32)
        coarse[:] = fine[:] = 0
        while len(rows):
            every = len(rows) == n_rows
            some = panels if every else take_lanes(panels, rows)
            gains = by_lane(search.gains[rows]).astype(np.float32)
            points, lengths = self.code.quantize(some, gains, shift), np.empty(gains.shape)
            measure_lengths(self.model, points, lengths)
            kinds = search.update(rows, lengths.ravel()[: len(rows)])
            for chosen, kept in zip(kinds, (coarse, fine), strict=True):
                if every:
                    keep_rows(points, by_lane(chosen.astype(np.int32)), kept)
                else:
                    put_lanes(points, np.flatnonzero(chosen), kept, rows[chosen])
            rows = rows[~search.settled[rows]]
        keep_rows(coarse, by_lane(np.isinf(search.exceeds).astype(np.int32)), fine)
        free = np.empty((len(panels), LANES))
        measure_lengths(self.model, coarse, free)
        return coarse, fine, budget - free

    def _write(self, points, surplus, codes, rows):
        """Write rows whose numbers come to as many digits as there are bits, and tell which do.

        A number grows with the one that it starts from, which is bisected where a guess fails.
        """
        n_bits, stride, left = 8 * self.n_bytes, self.n_bytes + 4, np.arange(len(rows))
        low, high = np.full((2, len(rows)), [[-2.0], [n_bits]])
        scratch = aligned_empty((2, *points.shape[1:]), np.int32)
        for _ in range(MAX_TRIES):
            some = points if len(left) == len(rows) else take_lanes(points, left)
            surplus = np.clip(surplus, low, high)
            start = np.stack([by_lane(n) for n in _first_numbers(surplus[left])], axis=1)
            streams = np.zeros((len(some) * LANES, stride), np.uint8)
            digits = np.empty((len(some), LANES), np.int32)
            push_rows(self.model, some, start, streams.reshape(-1), digits, *scratch)
            missing = n_bits - digits.ravel()[: len(left)]
            done = missing == 0
            codes[rows[left[done]], : self.n_bytes] = streams[: len(left)][done, 4:]
            low[left[missing > 0]] = surplus[left[missing > 0]]
            high[left[missing < 0]] = surplus[left[missing < 0]]
            surplus[left] += np.clip(
                missing, *(bound[left] / 2 - surplus[left] / 2 for bound in (low, high))
            )
            left = left[~done]
            if len(left) == 0:
                break
        written = np.ones(len(rows), bool)
        written[left] = False
        return written


def _first_numbers(surplus):
    """Find the numbers nearest to 2^(surplus + 1/2): the head of each, and zeros that follow it.

    A number x stands for x + 1/2, as the slots of rank x do. Between powers of two, a straight line
    is near enough and the same on every machine.
    """
    exponent = np.floor(surplus + 0.5)
    mantissa = 1.5 + surplus - exponent
    zeros = np.maximum(exponent - PRECISION, 0)
    heads = np.ldexp(mantissa, (exponent - zeros).astype(int))
    heads = np.where(zeros > 0, np.floor(heads), np.rint(heads - 0.5))
    return heads.astype(np.int32), zeros.astype(np.int32)


def switching_rate(lattice):
    """Find the bits a coordinate below which products gain from coding fewer coordinates.

    With D(r) = c 4^-r, and a share R/r of the coordinates coded at rate r, the error of a product
    of two rows falls by R (1 - D(r))²/r; the best r solves 4^r = c (1 + 4 r ln 2). For c = 1 it is
    the critical rate of Ordentlich and Polyanskiy (arXiv:2410.13780), .906.
    """
    constant = 2 * np.pi * np.e * trellis_code(lattice).second_moment
    rate = 1.0
    for _ in range(60):
        rate = float(np.log2(constant * (1 + 4 * rate * np.log(2))) / 2)
    return rate


class _GainSearch:
    """The search for two gains, one with which a row fits and one a little larger than fit.

    Every lane is on its own. The bits of a Gaussian row grow by n/ln 2 for each unit of the
    logarithm of its gain, so that two or three passes do; rows of another kind are bisected.
    A row may be blended of both versions, so that gains have to agree: their relative difference
    stays below a share of the error, √D.
    """

    def __init__(self, row_code, panels, n_rows, budget):
        n, distortion = panels.shape[1], min(row_code.distortion, 0.9)
        energy = np.square(panels).sum(axis=1).ravel()[:n_rows].astype(float)
        usual = np.divide(
            row_code.deviation * np.sqrt((1 - distortion) * n), np.sqrt(energy),
            out=np.zeros_like(energy), where=energy > 0,
        )  # fmt: skip
        self.gains, self.largest = usual, MAX_GAIN * usual
        self.budget, self.slope = budget, n * (1 - distortion) / np.log(2)
        self.tolerance = max(GAIN_TOLERANCE * np.sqrt(distortion), LEAST_TOLERANCE)
        self.fits, self.exceeds = np.zeros_like(usual), np.full_like(usual, np.inf)
        self.longest = np.full_like(usual, -np.inf)
        self.settled = np.zeros(n_rows, bool)
        self.n_passes, self.patience = 0, row_code.code.patience

    def update(self, rows, lengths):
        """Take in the lengths that the gains of some rows led to, and choose their next gains.

        Returns
        -------
        fits, exceeds : bool ndarray of shape (n_some,)
            The rows whose best coarse or whose fine version so far this pass gave.
        """
        self.n_passes += 1
        gains, largest, longest = self.gains[rows], self.largest[rows], self.longest[rows]
        fit, exceeds = lengths <= self.budget, lengths > self.budget
        fits = fit & (lengths > longest)
        self.fits[rows] = low = np.where(fit, gains, self.fits[rows])
        self.exceeds[rows] = high = np.where(exceeds, gains, self.exceeds[rows])
        self.longest[rows] = longest = np.where(fits, lengths, longest)
        missing = (self.budget - lengths) / self.slope
        overshoot = 0.2 * self.tolerance * 2.0 ** min(self.n_passes, 60)
        step = missing + np.copysign(overshoot, missing)
        gains = np.minimum(gains * (1 + np.clip(step, -0.5, 1.0)), largest)
        self.gains[rows] = np.where((gains <= low) | (gains >= high), (low + high) / 2, gains)
        full = (self.budget - longest < ENOUGH) | (self.n_passes >= self.patience)
        near = high <= low * (1 + np.where(full, self.tolerance, LEAST_TOLERANCE))
        near |= self.budget - longest < FULL
        self.settled[rows] = near | (low >= 0.999 * largest) | (high <= TINY_GAIN * largest)
        return fits, exceeds


@lru_cache(maxsize=256)
def _choose_spread(lattice, n_coordinates, n_bytes):
    """Choose the spread whose expected rate is nearest to the bits of a row.

    It is lowered where not even a row of zeros would fit.
    """
    rate, spread = 8 * n_bytes / n_coordinates, 0
    for _ in range(40):
        step = round((rate - entropy_model(lattice, spread)[1]) * SPREADS_PER_OCTAVE)
        spread = min(max(spread + step, MIN_SPREAD), MAX_SPREAD)
        if step == 0:
            break
    zeros, length = np.zeros((1, n_coordinates, LANES), np.int32), np.empty((1, LANES))
    while spread > MIN_SPREAD:
        measure_lengths(entropy_model(lattice, spread)[0], zeros, length)
        if length[0, 0] < 8 * n_bytes - SPARE:
            break
        spread -= 1
    return spread
