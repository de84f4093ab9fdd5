"""Batch search on older processors: kernels and sgemm held to fewer vector instructions.

Numba compiles for the processor that ``NUMBA_CPU_NAME`` names, and OpenBLAS takes the kernels of
the one that ``OPENBLAS_CORETYPE`` names. 1000 queries at 4 bits, inner product, one thread; search
and sgemm take turns in one process for each instruction set, seconds of the processor, least of the
rounds. "same" is the share of neighbours that the search finds on the machine as it is.

    python benchmarks/instruction_sets.py
"""

import os
import subprocess
import sys
from tempfile import TemporaryDirectory
from time import process_time

import numpy as np
from datasets import gaussian
from report import Table, show
from threadpoolctl import threadpool_limits

from skquant import QuantizedNearestNeighbors

MACHINES = {
    "this machine": {},
    "AVX2": {"NUMBA_CPU_NAME": "haswell", "OPENBLAS_CORETYPE": "Haswell"},
    "SSE2": {"NUMBA_CPU_NAME": "generic", "OPENBLAS_CORETYPE": "Core2"},
}
SHAPES = [(100_000, 128), (35_000, 384)]


def seconds(function):
    """Time a call in seconds of the processor."""
    start = process_time()
    function()
    return process_time() - start


def measure(n_rows, n_features, repeats):
    """Time search and sgemm in turn; give the least of each, and the neighbours."""
    X, queries = gaussian(n_rows, n_features), gaussian(1000, n_features, seed=1)
    search = QuantizedNearestNeighbors(10, metric="inner_product", random_state=0).fit(X)
    products = np.empty((len(queries), len(X)), np.float32)
    calls = [lambda: search.kneighbors(queries), lambda: np.matmul(queries, X.T, out=products)]
    with threadpool_limits(1):
        rounds = [[seconds(call) for call in calls] for _ in range(repeats + 1)]
    return *np.min(rounds[1:], axis=0), search.kneighbors(queries, return_distance=False)


def measure_here(path, repeats):
    """Measure on what the environment asks for, and leave the results in a file."""
    results = {}
    for shape in SHAPES:
        *times, found = measure(*shape, repeats)
        results[f"{shape[0]}"] = np.array(times)
        results[f"{shape[0]}_found"] = found
    np.savez(path, **results)


def run(repeats=5):
    """Measure every instruction set in a process of its own."""
    rows, measured = [], {}
    with TemporaryDirectory() as folder:
        for machine, environment in MACHINES.items():
            path = os.path.join(folder, f"{machine}.npz")
            subprocess.run(
                [sys.executable, __file__, path, str(repeats)],
                env=os.environ | environment | {"NUMBA_CACHE_DIR": folder}, check=True,
            )  # fmt: skip
            measured[machine] = dict(np.load(path))
    for n_rows, n_features in SHAPES:
        expected = measured["this machine"][f"{n_rows}_found"]
        for machine, results in measured.items():
            ours, sgemm = results[f"{n_rows}"]
            same = np.mean(
                [np.isin(*pair).mean()
                 for pair in zip(results[f"{n_rows}_found"], expected, strict=True)]
            )  # fmt: skip
            rows.append((f"{n_rows:,} x {n_features}", machine, ours, sgemm, sgemm / ours, same))
    columns = [("rows", ""), ("instructions", ""), ("search, s", ".3f"), ("sgemm, s", ".3f")]
    columns += [("× sgemm", ".2f"), ("same", ".4f")]
    return [Table("instruction_sets", columns, rows)]


if __name__ == "__main__":
    if len(sys.argv) == 3:
        measure_here(sys.argv[1], int(sys.argv[2]))
    else:
        show(run())
