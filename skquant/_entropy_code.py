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

from ._entropy_model import SPREADS_PER_OCTAVE, entropy_model
from ._kernels._entropy import (
    MIN_BYTES,
    blend_rows,
    keep_rows,
    measure_lengths,
    read_rows,
    sum_moments,
    write_rows,
)
from ._kernels._vectors import LANES
from ._panels import empty_panels
from ._trellis_code import trellis_code

CHUNK_FLOATS = 2**18  # what is encoded at a time stays in the cache
LEAST_TOLERANCE = 1e-6  # what float32 can tell apart
MAX_GAIN = 256  # times the usual, for rows of which few entries are not zero
TINY_GAIN = 1e-12  # times the largest: what is smaller makes no entry differ from zero
GAIN_TOLERANCE = 0.12  # costs less than .2 % of distortion
FULL = 0.25  # unused bits that no further pass could use
ENOUGH = 2.0  # unused bits that a further pass is not worth
START_BITS = 0.35  # bits that a row may take beyond its own, as its leading one is left out
SPARE = 3.0  # bits that a row of zeros leaves, so that it always comes out right
MIN_SPREAD, MAX_SPREAD = -2 * SPREADS_PER_OCTAVE, 18 * SPREADS_PER_OCTAVE


@dataclass(frozen=True, eq=False)
class EntropyRowCode:
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

    @classmethod
    @lru_cache(maxsize=256)
    def choose(cls, lattice, n_coordinates, n_bytes):
        """Choose the model for rows of a size, of which at most 16 bits a coordinate are used."""
        n_bytes = min(n_bytes, 2 * n_coordinates)
        return cls(lattice, n_coordinates, n_bytes, _choose_spread(lattice, n_coordinates, n_bytes))

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
        energy, shift = np.empty(len(codes)), self._shift(dither)
        missing = max(0, MIN_BYTES - codes.shape[1])
        codes = np.ascontiguousarray(np.pad(codes, ((0, 0), (0, missing))) if missing else codes)
        read_rows(self.model, codes, self.n_bytes, self.steps, shift, panels, energy)
        return energy

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
        n_bits = 8 * self.n_bytes
        budgets = np.full((len(panels), LANES), n_bits + START_BITS)
        coarse, fine = np.zeros((2, *panels.shape), np.int32)
        written = np.zeros(budgets.size, bool)
        while not written[: len(codes)].all():
            done = written.reshape(budgets.shape)
            np.copyto(coarse, 0, where=~done[:, None])
            search = _GainSearch(self, panels, budgets)
            search.settled |= done
            while len(active := np.flatnonzero(~search.settled.all(axis=1))):
                lengths = np.empty((len(active), LANES))
                points = self.code.quantize(panels[active], search.gains[active], shift)
                measure_lengths(self.model, points, lengths)
                fits, exceeds = search.update(active, lengths)
                keep_rows(points, active, fits, coarse)
                keep_rows(points, active, exceeds, fine)
            keep_rows(coarse, np.arange(len(panels)), np.isinf(search.exceeds), fine)
            free = np.empty_like(budgets)
            measure_lengths(self.model, coarse, free)
            np.subtract(budgets, free, out=free)
            blend_rows(self.model, coarse, fine, free)
            surplus = free + (n_bits - budgets)
            write_rows(self.model, coarse, surplus, self.n_bytes, codes, written)
            budgets.ravel()[: len(codes)][~written[: len(codes)]] -= 1
        return coarse


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

    def __init__(self, row_code, panels, budgets):
        n, distortion = panels.shape[1], min(row_code.distortion, 0.9)
        energy = np.einsum("pil,pil->pl", panels, panels, dtype=float)
        usual = np.divide(
            row_code.deviation * np.sqrt((1 - distortion) * n), np.sqrt(energy),
            out=np.zeros_like(energy), where=energy > 0,
        )  # fmt: skip
        self.gains, self.largest = usual.astype(np.float32), MAX_GAIN * usual
        self.budgets, self.slope = budgets, n * (1 - distortion) / np.log(2)
        self.tolerance = max(GAIN_TOLERANCE * np.sqrt(distortion), LEAST_TOLERANCE)
        self.fits, self.exceeds = np.zeros_like(usual), np.full_like(usual, np.inf)
        self.longest = np.full_like(usual, -np.inf)
        self.settled = np.zeros(usual.shape, bool)
        self.n_passes, self.patience = 0, row_code.code.patience

    def update(self, active, lengths):
        """Take in the lengths that the gains of some panels led to, and choose their next gains.

        Returns
        -------
        fits, exceeds : bool ndarray of shape (n_active, LANES)
            The lanes whose best coarse or whose fine version so far this pass gave.
        """
        self.n_passes += 1
        gains, budgets, settled = self.gains[active], self.budgets[active], self.settled[active]
        largest, longest = self.largest[active], self.longest[active]
        fit = (lengths <= budgets) & ~settled
        exceeds = (lengths > budgets) & ~settled
        fits = fit & (lengths > longest)
        self.fits[active] = low = np.where(fit, gains, self.fits[active])
        self.exceeds[active] = high = np.where(exceeds, gains, self.exceeds[active])
        self.longest[active] = longest = np.where(fits, lengths, longest)
        missing = (budgets - lengths) / self.slope
        overshoot = 0.2 * self.tolerance * 2.0 ** min(self.n_passes, 60)
        step = missing + np.copysign(overshoot, missing)
        gains = np.minimum(gains * (1 + np.clip(step, -0.5, 1.0)), largest)
        gains = np.where((gains <= low) | (gains >= high), (low + high) / 2, gains)
        self.gains[active] = np.where(settled, self.gains[active], gains)
        full = (budgets - longest < ENOUGH) | (self.n_passes >= self.patience)
        near = high <= low * (1 + np.where(full, self.tolerance, LEAST_TOLERANCE))
        near |= budgets - longest < FULL
        self.settled[active] |= near | (low >= 0.999 * largest) | (high <= TINY_GAIN * largest)
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
