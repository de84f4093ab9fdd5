"""Derive the nested-lattice codes that skquant ships, and write skquant/_codes/_scales.json.

For each lattice and each number of bits of a block of eight coordinates the nesting ratio, the
number of scales and the scales that err least on simulated Gaussian blocks. Codes above the
lower convex hull of (bits, distortion) are left out, since mixing their neighbours does better.

    python benchmarks/derive_scales.py            # about half an hour on one core
    python benchmarks/derive_scales.py E8 24 32   # only print what these come to
    python benchmarks/derive_scales.py distortion # keep the codes, measure how much they err
    python benchmarks/derive_scales.py coarse     # print the constants of _codes/_layered.py
    python benchmarks/derive_scales.py layers     # derive the hierarchical codes alone
"""

import json
import sys
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from scipy.optimize import minimize_scalar
from scipy.spatial import cKDTree

from skquant._codes._hierarchical import MOST_LAYERS, HierarchicalCode
from skquant._codes._layered import CENTRE, REST_FACTOR, SCALE, points
from skquant._codes._nested import fill_block
from skquant._codes._scales import (
    available_bits,
    code_for,
    derive_code,
    derive_shortest_point_code,
    gaussian_blocks,
    simulate_distortion,
)
from skquant.lattices import LATTICES

TARGET = Path(__file__).parents[1] / "skquant" / "_codes" / "_scales.json"
COARSE_BLOCKS = 50_000
SETTINGS = {"n_blocks": 20_000, "max_evaluations": 40, "check_blocks": 200_000}


def block_bits():
    """List the bits per block: every one up to 8 bits an entry, then every fourth up to 16."""
    return [*range(8, 65), *range(68, 129, 4)]


def derive(lattice, n_bits):
    """Derive one code as a row of the table."""
    return as_row(derive_code(fill_block(lattice), n_bits, **SETTINGS))


def as_row(code):
    """Write a code as a row of the table; a nesting ratio of 0 stands for the shortest points."""
    ends = [float(f"{scale:.5g}") for scale in (code.scales[0], code.scales[-1])]
    return [code.q, len(code.scales), *ends, float(f"{code.distortion:.5g}")]


def lower_hull(table):
    """Keep the codes that no mixture of two others beats."""
    hull = []
    for bits in sorted(table):
        while len(hull) > 1:
            (b0, d0), (b1, d1) = ((b, table[b][-1]) for b in hull[-2:])
            if d1 < d0 + (table[bits][-1] - d0) * (b1 - b0) / (bits - b0):
                break
            hull.pop()
        hull.append(bits)
    return {str(bits): table[bits] for bits in hull}


def measure_distortions():
    """Measure the distortions of the shipped codes anew, after a change of the encoder."""
    shipped = json.loads(TARGET.read_text(encoding="utf-8"))
    for lattice in LATTICES.values():
        sample = gaussian_blocks(SETTINGS["check_blocks"], fill_block(lattice).dimension)
        table = {int(bits): row for bits, row in shipped["codes"][lattice.name].items()}
        for bits, row in table.items():
            row[-1] = float(f"{simulate_distortion(code_for(lattice, bits), *sample):.5g}")
        shipped["codes"][lattice.name] = lower_hull(table)
        print(lattice.name, "done", flush=True)
    TARGET.write_text(json.dumps(shipped, indent=1) + "\n", encoding="utf-8")


def derive_coarse_layer():
    """Print how much the coarse layer errs alone and with the rest's code, by its constants.

    For Gaussian coordinates, and the codes of E8 of 2 to 4 bits an entry for the rest: the error of
    both layers is a geometric mean over these, relative to their own. The shipped scale lies
    between those of the least errors, and costs little of either.
    """
    blocks = np.random.default_rng(0).standard_normal((COARSE_BLOCKS, 8), dtype=np.float32)
    words, E8 = (points().T.astype(np.float32) - CENTRE) / 2, LATTICES["E8"]
    codes = [code_for(E8, bits) for bits in available_bits(E8) if 16 <= bits <= 32]
    weights, errors = np.ones(len(blocks)), {}
    for scale in np.arange(1.06, 1.23, 0.02).round(2):
        nearest = cKDTree(scale * words).query(blocks.reshape(-1, 4))[1]
        rest = (blocks - scale * words[nearest].reshape(blocks.shape)).astype(np.float32)
        for factor in np.arange(0.43, 0.52, 0.02, dtype=np.float32).round(2):
            own = [simulate_distortion(code, rest / factor, weights) for code in codes]
            ratios = factor**2 * np.divide(own, [code.distortion for code in codes])
            errors[scale, factor] = np.mean(rest**2), np.exp(np.mean(np.log(ratios)))
            print(f"{scale:.2f} {factor:.2f}: {errors[scale, factor][1]:.4f} of both, ", end="")
            print(f"{errors[scale, factor][0]:.4f} of the coarse layer", flush=True)
    least = np.min(list(errors.values()), axis=0)
    alone, both = np.divide(errors[SCALE, REST_FACTOR], least) - 1
    print(
        f"SCALE {SCALE}, REST_FACTOR {REST_FACTOR}: DISTORTION {both * least[1] + least[1]:.3f}, "
    )
    print(f"{both:.1%} above the least of both layers, {alone:.1%} above that of the coarse one")


def derive_layers(lattice, n_layers, n_blocks=10_000):
    """Derive scale and distortion of a hierarchical code."""
    block, radius = fill_block(lattice), lattice.covolume ** (1 / lattice.dimension)
    sample = gaussian_blocks(n_blocks, block.dimension)

    def make(logarithm):
        scale = np.exp(logarithm) / radius / 2**n_layers
        return HierarchicalCode(block, np.array([scale]), n_layers, np.nan)

    result = minimize_scalar(
        lambda logarithm: simulate_distortion(make(logarithm), *sample),
        bounds=(np.log(2.5), np.log(12)), method="bounded", options={"maxiter": 25, "xatol": 2e-3},
    )  # fmt: skip
    check = gaussian_blocks(SETTINGS["check_blocks"], block.dimension)
    best = make(result.x)
    return [float(f"{v:.5g}") for v in (best.scales[0], simulate_distortion(best, *check))]


def derive_all_layers():
    """Derive the hierarchical codes of all lattices and write them."""
    shipped = json.loads(TARGET.read_text(encoding="utf-8"))
    shipped["hierarchical"] = {}
    for lattice in LATTICES.values():
        numbers = range(1, MOST_LAYERS + 1)
        rows = Parallel(n_jobs=2)(delayed(derive_layers)(lattice, n) for n in numbers)
        shipped["hierarchical"][lattice.name] = rows
        print(lattice.name, "done", flush=True)
    TARGET.write_text(json.dumps(shipped, indent=1) + "\n", encoding="utf-8")


def main(names):
    """Derive all codes, or print those asked for."""
    if names == ["distortion"]:
        measure_distortions()
    elif names == ["coarse"]:
        derive_coarse_layer()
    elif names == ["layers"]:
        derive_all_layers()
    elif names:
        lattice = LATTICES[names[0]]
        for bits in map(int, names[1:]):
            row = derive(lattice, bits)
            gap = bits / 8 + 0.5 * np.log2(row[-1])
            print(f"{lattice.name} {bits} bits a block: {row}, {gap:.3f} bits from the bound")
    else:
        derive_all()


def derive_all():
    """Derive all codes and write them."""
    codes = {}
    for lattice in LATTICES.values():
        rows = Parallel(n_jobs=2)(delayed(derive)(lattice, bits) for bits in block_bits())
        table = dict(zip(block_bits(), rows, strict=True))
        if hasattr(lattice, "shortest_points"):
            code = derive_shortest_point_code(fill_block(lattice), **SETTINGS)
            table[code.n_bits] = as_row(code)
        codes[lattice.name] = lower_hull(table)
        print(lattice.name, "done", flush=True)
    note = {
        "provenance": "python benchmarks/derive_scales.py",
        "settings": SETTINGS,
        "columns": ["nesting ratio", "scales", "first scale", "last scale", "distortion"],
        "keys": "bits of a block of eight coordinates",
    }
    shipped = json.loads(TARGET.read_text(encoding="utf-8"))
    body = json.dumps({**shipped, **note, "codes": codes}, indent=1)
    TARGET.write_text(body + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
