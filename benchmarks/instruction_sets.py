"""Batch search on older processors: kernels and sgemm held to fewer vector instructions.

Numba compiles for the processor that ``NUMBA_CPU_NAME`` names, without the features of this one
(``NUMBA_CPU_FEATURES``), and OpenBLAS takes the kernels of what ``OPENBLAS_CORETYPE`` names. 1000
queries among Gaussian rows at 4 bits, inner product, one thread; search and sgemm take turns, in a
process for each instruction set. Seconds of the processor, the least of the rounds.

    python benchmarks/instruction_sets.py
"""

import json
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

K = 10
MACHINES = {
    "all of this machine": {},
    "AVX2": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "", "OPENBLAS_CORETYPE": "Haswell"},
    "SSE2": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "OPENBLAS_CORETYPE": "Core2"},
}
SHAPES = [(100_000, 128), (35_000, 384)]


def seconds(function):
    """Time a call in seconds of the processor."""
    start = process_time()
    function()
    return process_time() - start


def measure(n_rows, n_features, repeats):
    """Give the seconds of search and of sgemm, and the recall of the search."""
    X, queries = gaussian(n_rows, n_features), gaussian(1000, n_features, seed=1)
    search = QuantizedNearestNeighbors(K, metric="inner_product", random_state=0).fit(X)
    products = np.empty((len(queries), len(X)), np.float32)
    calls = [lambda: search.kneighbors(queries), lambda: np.matmul(queries, X.T, out=products)]
    with threadpool_limits(1):
        rounds = [[seconds(call) for call in calls] for _ in range(repeats + 1)]
    exact = np.argpartition(-products, K, axis=1)[:, :K]
    found = search.kneighbors(queries, return_distance=False)
    recall = np.mean([np.isin(*pair).mean() for pair in zip(found, exact, strict=True)])
    return [*np.min(rounds[1:], axis=0), recall]


def run(repeats=5):
    """Measure every instruction set in a process of its own."""
    results = []
    for name, variables in MACHINES.items():
        with TemporaryDirectory() as folder:
            environment = variables | {"NUMBA_CACHE_DIR": folder}
            done = subprocess.run(
                [sys.executable, __file__, str(repeats)],
                env=os.environ | environment, check=True, capture_output=True, text=True,
            )  # fmt: skip
        for (n_rows, n_features), (ours, sgemm, recall) in zip(
            SHAPES, json.loads(done.stdout), strict=True
        ):
            rows = f"{n_rows:,} x {n_features}"
            results.append((rows, name, ours, sgemm, sgemm / ours, recall))
    columns = [("rows", ""), ("instructions", ""), ("search, s", ".3f"), ("sgemm, s", ".3f")]
    columns += [("× sgemm", ".2f"), ("recall@10", ".4f")]
    return [Table("instruction_sets", columns, sorted(results, key=lambda row: -len(row[0])))]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps([measure(*shape, int(sys.argv[1])) for shape in SHAPES]))
    else:
        show(run())
