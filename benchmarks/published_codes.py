"""Distortion of published codes on Gaussian blocks, simulated as they are described.

* Lloyd-Max quantizers of one entry, which TurboQuant uses (arXiv:2504.19874).
* NestQuant (arXiv:2502.09720): E8 modulo 14 E8, the best of four scales for each block of eight.
* Hierarchical nested lattices (arXiv:2505.13164): layers modulo q whose digits a table looks up;
  D4, q = 4, two layers, is what the authors' C library does. Four scales for each block.

An overloaded block wraps around, as published; another scale may hold it. The scales are the best
for such blocks, which can only flatter. No row terms are counted. "error/Γ(R)" is that of a product
of two such matrices, 2 D - D².

    python benchmarks/published_codes.py
"""

import numpy as np
from report import Table, show
from scipy.optimize import minimize
from scipy.stats import norm

from skquant._codes._scales import gaussian_blocks
from skquant.lattices import D4, E8
from skquant.theory import gamma

FIRST_SCALES = (3.2, 4.1, 5.1, 7.7)  # over the ratio of the nesting


def lloyd_max_distortion(bits, n_iterations=5000):
    """Distortion of the best scalar quantizer of N(0, 1) with 2^bits levels."""
    levels = norm.ppf((np.arange(2**bits) + 0.5) / 2**bits)
    for _ in range(n_iterations):
        edges = np.concatenate([[-np.inf], (levels[1:] + levels[:-1]) / 2, [np.inf]])
        mass, moment = np.diff(norm.cdf(edges)), -np.diff(norm.pdf(edges))
        levels = moment / mass  # each level the mean of its cell
    return 1 - np.sum(moment**2 / mass)


def nested(lattice, q, n_layers, x):
    """Quantize blocks to the lattice and decode their digits, in layers modulo q."""
    # What is on the rim of a cell is moved off it, by the same step everywhere.
    shift = np.asarray(lattice.generic_point)
    point, decoded = lattice.closest_point(x), 0
    for layer in range(n_layers):
        decoded = decoded + q**layer * (point - q * lattice.closest_point((point - shift) / q))
        point = lattice.closest_point((point - shift) / q)
    return decoded


def distortion(lattice, q, n_layers, scales, x, weights):
    """Mean squared error of the best scale for each of weighted blocks."""
    candidates = [beta * nested(lattice, q, n_layers, x / beta) for beta in scales]
    errors = np.array([((x - y) ** 2).sum(axis=1) for y in candidates])
    return np.average(errors.min(axis=0), weights=weights) / x.shape[1]


def best_distortion(lattice, q, n_layers, n_blocks):
    """Distortion at the best scales."""
    # With the rare overloads in the sample, which decide the coarsest scale.
    x, weights = gaussian_blocks(n_blocks, len(lattice.generator))
    few = n_blocks // 4

    def measure(logarithms, x, weights):
        return distortion(lattice, q, n_layers, np.exp(logarithms) / q**n_layers, x, weights)

    fitted = minimize(
        lambda logarithms: np.log(measure(logarithms, x[:few], weights[:few])),
        np.log(FIRST_SCALES), method="Nelder-Mead", options={"maxfev": 80, "xatol": 5e-3},
    )  # fmt: skip
    return measure(fitted.x, x, weights)


def published_codes(n_blocks=100_000):
    """Give name, bits and distortion of each."""
    rows = [("Lloyd-Max", bits, lloyd_max_distortion(bits)) for bits in (1, 2, 3, 4)]
    for name, lattice, q, n_layers in (("NestQuant", E8(), 14, 1), ("hierarchical", D4(), 4, 2)):
        bits = n_layers * np.log2(q) + np.log2(len(FIRST_SCALES)) / len(lattice.generator)
        rows.append((name, bits, best_distortion(lattice, q, n_layers, n_blocks)))
    return rows


def run():
    """Simulate all."""
    rows = [
        (*row, row[1] + np.log2(row[2]) / 2, (2 * row[2] - row[2] ** 2) / gamma(row[1]))
        for row in published_codes()
    ]
    columns = [("code", ""), ("R", ".3f"), ("D", ".4g"), ("gap, bits", ".3f")]
    return [Table("published_codes", [*columns, ("error/Γ(R)", ".2f")], rows)]


if __name__ == "__main__":
    show(run())
