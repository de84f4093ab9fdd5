"""Speed of compressing and of reading back, in GB of float32 a second, on one thread.

`compress` centres, rotates, chooses a scale for each block and packs the bits; `toarray` undoes it.
Gaussian rows; all take turns, medians over the rounds, the first one dropped.

    python benchmarks/encode_speed.py
"""

from functools import partial

import numpy as np
from datasets import gaussian
from report import Table, show, time_in_turn
from threadpoolctl import threadpool_limits

from skquant import LatticeQuantizer

SETTINGS = [("E8", 1), ("E8", 2), ("E8", 3), ("E8", 4), ("E8", 8), ("D4", 4), ("A2", 4), ("Z", 4)]


def run(n_floats=2**23, repeats=3):
    """Time every lattice, and E8 at several bits, on narrow and on wide rows."""
    results = []
    for n_features in (128, 1024):
        X = gaussian(n_floats // n_features, n_features)
        calls = []
        for lattice, bits in SETTINGS:
            quantizer = LatticeQuantizer(bits, lattice=lattice, random_state=0).fit(X)
            calls += [partial(quantizer.compress, X), quantizer.compress(X).toarray]
        with threadpool_limits(1):
            seconds = np.median(time_in_turn(calls, repeats), axis=0)
        speeds = X.nbytes / seconds / 1e9
        for setting, *pair in zip(SETTINGS, speeds[::2], speeds[1::2], strict=True):
            results.append((f"{len(X):,} x {n_features}", *setting, *pair))
    columns = [("rows", ""), ("lattice", ""), ("bits", "g")]
    columns += [("compress, GB/s", ".2f"), ("toarray, GB/s", ".2f")]
    return [Table("encode_speed", columns, results)]


if __name__ == "__main__":
    show(run())
