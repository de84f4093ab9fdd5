"""Distortion of a Gaussian source against bits, beside Shannon's bound 4^-R.

Rows of 1024 independent N(0, 1) entries. "true bits" is `bits_per_feature_`, the terms of a row
included, and it is R in the bound and in the gap, R - log2(1/D)/2. The Lloyd-Max quantizer, the
best scalar one of fixed rate, is given the variance and pays for no row terms.

    python benchmarks/distortion.py
"""

import numpy as np
from datasets import gaussian
from published_codes import lloyd_max_distortion
from report import Table, show

from skquant import LatticeQuantizer

SETTINGS = [
    *[("E8", bits) for bits in (1, 2, 3, 3.25, 4, 4.25, 6, 8)],
    *[(lattice, bits) for lattice in ("D4", "A2", "Z") for bits in (1, 2, 3, 4)],
]


def run(n_rows=2000):
    """Measure the distortion of every lattice."""
    train, test = gaussian(n_rows, 1024, seed=0), gaussian(n_rows, 1024, seed=1)
    rows = []
    for lattice, bits in SETTINGS:
        quantizer = LatticeQuantizer(bits, lattice=lattice, random_state=0).fit(train)
        error = test - quantizer.transform(test)
        distortion = np.sum(error**2, dtype=float) / np.sum(test**2, dtype=float)
        rows.append((lattice, bits, quantizer.bits_per_feature_, distortion))
    rows += [("Lloyd-Max", bits, bits, lloyd_max_distortion(bits)) for bits in (1, 2, 3, 4)]
    rows = [(*row, 4.0 ** -row[2], row[2] + np.log2(row[3]) / 2) for row in rows]
    columns = [("code", ""), ("bits", "g"), ("true bits", ".3f"), ("D", ".4g"), ("4^-R", ".4g")]
    return [Table("distortion", [*columns, ("gap, bits", ".3f")], rows)]


if __name__ == "__main__":
    show(run())
