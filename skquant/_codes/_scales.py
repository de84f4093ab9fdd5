"""Choose nesting ratio and scales for a number of bits.

`derive_code` minimises the simulated distortion of a Gaussian block. For the lattices of the
package the results stand in `_scales.json`, written by ``python benchmarks/derive_scales.py``; for
a lattice of the user's own it runs when a quantizer is fitted.
"""

import json
from dataclasses import replace
from functools import lru_cache
from importlib.resources import files

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import norm

from .._panels import empty_panels, put_rows, take_rows
from ..lattices import LATTICES, Z
from ._codebook import ShortestPointCode
from ._nested import NestedLatticeCode, Repeated, count_scales, fill_block

SCALE_COUNTS = (1, 2, 3, 4, 5, 6, 8, 12)
MAX_BITS_PER_ENTRY = 16
RUNG = 4  # half a bit an entry


def simulate_distortion(code, sample, weights):
    """Measure the mean squared error of a code on weighted blocks, as `gaussian_blocks` gives."""
    panels = empty_panels(*sample.shape, sample.dtype)
    put_rows(sample, panels)
    codes = np.zeros((len(sample), -(-code.n_bits // 8)), np.uint8)
    code.encode(panels, 0, 1, 0, codes, np.zeros((len(sample), 2)))
    code.decode(codes, 0, 1, 0, panels, np.zeros(len(sample)))
    errors = np.mean((sample - take_rows(panels, len(sample))) ** 2, axis=1, dtype=float)
    return float(np.average(errors, weights=weights))


def gaussian_blocks(n_blocks, dimension, spread=1.5):
    """Draw the fixed sample of Gaussian blocks on which scales are chosen.

    Half of the blocks are drawn too wide, so that the rare overloads that decide fine codes are
    in the sample; the weights make up for it.

    Returns
    -------
    blocks : ndarray of shape (n_blocks, dimension)
    weights : ndarray of shape (n_blocks,)
    """
    blocks = np.random.RandomState(0).standard_normal((n_blocks, dimension))
    blocks[1::2] *= spread
    energy = np.einsum("ij,ij->i", blocks, blocks) / 2
    wide = np.exp(energy * (1 - spread**-2)) / spread**dimension
    return blocks, 2 / (1 + wide)


def optimise_scales(lattice, q, n_scales, n_bits, sample, max_evaluations):
    """Choose the scales of a code among the geometric progressions of n_scales.

    A free choice of each scale gains less than one per cent of distortion.
    """

    def make(logarithms):
        ends = np.exp(logarithms) / q
        scales = np.geomspace(ends[0], ends[-1], n_scales) if n_scales > 1 else ends[:1]
        return NestedLatticeCode(lattice, q, np.sort(scales), n_bits, np.nan)

    # The Voronoi cell of a lattice of covolume V has the radius V^(1/d), about: scales in units
    # of 1/q depend little on q once they are measured in that radius.
    cell = np.exp(np.log(lattice.covolume) / lattice.dimension)
    start = np.log(np.array([2.9, 5.8] if n_scales > 1 else [4.2]) / cell)
    result = minimize(
        lambda logarithms: np.log(simulate_distortion(make(logarithms), *sample)),
        start,
        method="Nelder-Mead",
        options={"maxfev": max_evaluations, "xatol": 5e-3, "fatol": 1e-3,
                 "initial_simplex": start + 0.15 * np.vstack([0 * start, np.eye(len(start))])},
    )  # fmt: skip
    return make(result.x).scales


def derive_shortest_point_code(lattice, *, n_blocks, max_evaluations, check_blocks):
    """Choose the scale of the code of the shortest points; the arguments are `derive_code`'s."""
    sample = gaussian_blocks(n_blocks, lattice.dimension)

    def make(scale):
        return ShortestPointCode(lattice, np.array([scale]), np.nan)

    result = minimize_scalar(
        lambda scale: simulate_distortion(make(scale), *sample),
        bounds=(1, 3),
        method="bounded",
        options={"maxiter": max_evaluations, "xatol": 1e-3},
    )
    scales = np.array([result.x])
    check = gaussian_blocks(check_blocks, lattice.dimension)
    return ShortestPointCode(lattice, scales, simulate_distortion(make(result.x), *check))


def _largest_ratio(dimension, n_scales, n_bits):
    """Find the largest nesting ratio that leaves room for n_scales; 1 if there is none."""
    q = int((2.0**n_bits / n_scales) ** (1 / dimension) + 1e-9)
    while q > 1 and count_scales(dimension, q, n_bits) < n_scales:
        q -= 1
    return max(q, 1)


def derive_code(lattice, n_bits, *, n_blocks=4000, max_evaluations=25, check_blocks=None):
    """Choose the best nesting ratio, number of scales and scales for blocks of n_bits.

    Parameters
    ----------
    lattice : Repeated
        The lattice of a block.
    n_bits : int
        Bits of a block.
    n_blocks : int, default=4000
        Gaussian blocks to optimise on.
    max_evaluations : int, default=25
        Evaluations for each nesting ratio.
    check_blocks : int, default=None
        Gaussian blocks to measure the distortion on; as many as `n_blocks` when None.

    Returns
    -------
    NestedLatticeCode
    """
    d = lattice.dimension
    sample = gaussian_blocks(n_blocks, d)
    candidates = {_largest_ratio(d, n_scales, n_bits) for n_scales in SCALE_COUNTS}
    best = None
    for q in sorted(candidates - {1}):
        n_scales = min(count_scales(d, q, n_bits), max(SCALE_COUNTS))
        scales = optimise_scales(lattice, q, n_scales, n_bits, sample, max_evaluations)
        code = NestedLatticeCode(lattice, q, scales, n_bits, np.nan)
        distortion = simulate_distortion(code, *sample)
        if best is None or distortion < best.distortion:
            best = NestedLatticeCode(lattice, q, scales, n_bits, distortion)
    if check_blocks is not None:
        check = gaussian_blocks(check_blocks, d)
        best = NestedLatticeCode(
            lattice, best.q, best.scales, n_bits, simulate_distortion(best, *check)
        )
    return best


def fit_scales(code, blocks, max_evaluations=15):
    """Fit the scales of a code to blocks of data, starting from those for Gaussian ones.

    Parameters
    ----------
    code : NestedLatticeCode or ShortestPointCode
    blocks : float32 ndarray of shape (n_blocks, dimension)
        Blocks of unit variance.
    max_evaluations : int, default=15

    Returns
    -------
    The code with the best geometric progression of scales that was found, and its distortion.
    """
    weights = np.ones(len(blocks))
    n_scales, best = len(code.scales), None

    def make(logarithms):
        ends = np.sort(np.exp(logarithms))
        return replace(code, scales=np.geomspace(*ends, n_scales) if n_scales > 1 else ends)

    def measure(logarithms):
        nonlocal best
        candidate = make(logarithms)
        distortion = simulate_distortion(candidate, blocks, weights)
        if best is None or distortion < best.distortion:
            best = replace(candidate, distortion=distortion)
        return distortion

    start = np.log(code.scales[[0, -1]] if n_scales > 1 else code.scales)
    simplex = start + 0.2 * np.vstack([0 * start, np.eye(len(start))])
    options = {"maxfev": max_evaluations, "xatol": 5e-3, "fatol": 0, "initial_simplex": simplex}
    minimize(measure, start, method="Nelder-Mead", options=options)
    return best


def stretch(code, factor):
    """Give the code for blocks that are so many times as wide."""
    return replace(code, scales=code.scales * factor, distortion=code.distortion * factor**2)


@lru_cache
def _table():
    """Read the derived codes of the package's lattices."""
    text = files("skquant._codes").joinpath("_scales.json").read_text(encoding="utf-8")
    return json.loads(text)["codes"]


@lru_cache(maxsize=512)
def code_for(lattice, n_bits):
    """Give the code of a lattice for blocks of n_bits.

    Parameters
    ----------
    lattice : lattice object
        The lattice before repetition.
    n_bits : int

    Returns
    -------
    NestedLatticeCode or ShortestPointCode
    """
    block = fill_block(lattice)
    if lattice not in LATTICES.values():
        return derive_code(block, n_bits, n_blocks=1000, max_evaluations=16)
    q, n_scales, first, last, distortion = _table()[lattice.name][str(n_bits)]
    if q == 0:
        return ShortestPointCode(block, np.array([first]), distortion)
    scales = np.geomspace(first, last, n_scales) if n_scales > 1 else np.array([first])
    return NestedLatticeCode(block, q, scales, n_bits, distortion)


def available_bits(lattice):
    """List the bits per block for which the lattice has a code on the lower convex hull.

    A lattice of the user's own has whole bits an entry, which mix to whatever lies between.
    """
    if lattice not in LATTICES.values():
        d = fill_block(lattice).dimension
        return list(range(d, MAX_BITS_PER_ENTRY * d + 1, d))
    return sorted(map(int, _table()[lattice.name]))


@lru_cache
def ladder(lattice):
    """List bits and distortions of the codes of a block to be fitted, that of no bits included.

    They are RUNG bits apart: more of them would give a row more segments to decode, and lower the
    error little. But for the coarsest, codes of a single scale are left out: on data with heavier
    tails than a Gaussian they do worse than mixtures of others. The codes of a lattice of the
    user's own are not derived for this: what its second moment promises at high rates will do.
    """
    if lattice in LATTICES.values():
        rungs = []
        for bits in available_bits(lattice):
            code = code_for(lattice, bits)
            if not rungs or (bits >= rungs[-1][0] + RUNG and len(code.scales) > 1):
                rungs.append((bits, code.distortion))
    else:
        d, loss = fill_block(lattice).dimension, 2 * np.pi * np.e * lattice.second_moment
        rungs = [(bits, loss * 4.0 ** (-bits / d)) for bits in available_bits(lattice)]
    return [(0, 1.0), *rungs]


@lru_cache
def scalar_ladder():
    """List bits and distortions of the codes of one coordinate, as `ladder` does."""
    bits = range(1, MAX_BITS_PER_ENTRY + 1)
    return [(0, 1.0), *((n, scalar_code(1, n).distortion) for n in bits)]


@lru_cache(maxsize=512)
def scalar_code(n_coordinates, n_bits):
    """Give the code of the few coordinates that fill no block: uniform scalar quantization.

    The step minimises the exact distortion of a Gaussian coordinate.
    """
    q = int(2.0 ** (n_bits / n_coordinates) + 1e-9)
    while count_scales(n_coordinates, q, n_bits) < 1:
        q -= 1
    step, distortion = _best_step(q)
    return NestedLatticeCode(Repeated(Z(), n_coordinates), q, np.array([step]), n_bits, distortion)


@lru_cache(maxsize=512)
def _best_step(q):
    """Find the best step of a midpoint quantizer with q levels, and its distortion."""
    result = minimize_scalar(
        lambda step: _uniform_distortion(step, q), bounds=(1e-3 / q, 12 / q), method="bounded",
        options={"xatol": 1e-6 / q},
    )  # fmt: skip
    return result.x, float(result.fun)


def _uniform_distortion(step, q):
    """Distortion of a midpoint quantizer with q levels on a standard normal coordinate."""
    levels = step * (np.arange(q) - (q - 1) / 2)
    edges = np.concatenate([[-np.inf], (levels[1:] + levels[:-1]) / 2, [np.inf]])
    finite = np.clip(edges, -40, 40)
    mass, mean = np.diff(norm.cdf(edges)), -np.diff(norm.pdf(finite))
    square = mass - np.diff(finite * norm.pdf(finite))
    return float(np.sum(square - 2 * levels * mean + levels**2 * mass))
