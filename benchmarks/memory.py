"""Memory that fitting and compressing take, on a memory-mapped float32 matrix.

The matrix lies in a file. "allocated" is the most that NumPy and Python hold at one time during the
call, by `tracemalloc`; "resident" is by how much the memory of the process that no file backs grows
at most, sampled each millisecond from /proc. Both include the codes; "beyond codes" is the greater
of the two without them. Every measurement is a process of its own, with compiled kernels.

    python benchmarks/memory.py        # Linux
"""

import resource
import threading
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from datasets import gaussian
from report import Table, show
from sklearn.utils import gen_batches

from skquant import (
    LatticeQuantizer,
    LowRankLowPrecisionCompressor,
    QuantizedKNeighborsClassifier,
)

ROW_CALLS = [
    (LatticeQuantizer(), "fit"),
    (LatticeQuantizer(), "compress"),
    (QuantizedKNeighborsClassifier(), "fit"),
]
LOW_RANK_CALLS = [
    (LowRankLowPrecisionCompressor(), "fit"),
    (LowRankLowPrecisionCompressor(), "compress"),
    (LowRankLowPrecisionCompressor(coding="entropy"), "fit"),
    (LowRankLowPrecisionCompressor(method="lplr"), "fit"),
    (LowRankLowPrecisionCompressor(residual_bits=1), "fit"),
]
# The last is so wide that there is no Gram matrix of it.
CALLS = {
    (200_000, 256): ROW_CALLS + LOW_RANK_CALLS,
    (400_000, 256): ROW_CALLS + LOW_RANK_CALLS,
    (5_000, 16_000): LOW_RANK_CALLS,
}
WARM_UP = 2**20  # entries


def perform(estimator, method, X):
    """Fit an estimator, or compress with a fitted one."""
    if method == "compress":
        return estimator.compress(X)
    return estimator.fit(X, np.zeros(len(X), np.int8))


def code_bytes(result):
    """Bytes of the codes in what a call gives: an estimator that may keep codes, or a matrix."""
    return getattr(getattr(result, "codes_", result), "nbytes", 0)


def resident():
    """Bytes of this process that no file backs."""
    _, pages, of_files, *_ = map(int, Path("/proc/self/statm").read_text().split())
    return (pages - of_files) * resource.getpagesize()


def peak_resident(function, *arguments):
    """Call a function: by how many bytes `resident` rises meanwhile, and the bytes of codes."""
    before, samples, done = resident(), [0], threading.Event()

    def watch():
        while not done.wait(0.001):
            samples.append(resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    result = function(*arguments)
    samples.append(resident())
    done.set()
    watcher.join()
    return max(samples) - before, code_bytes(result)


def peak_allocated(function, *arguments):
    """Do so with what NumPy and Python hold."""
    tracemalloc.start()
    result = function(*arguments)
    return tracemalloc.get_traced_memory()[1], code_bytes(result)


def measure(peak_of, estimator, method, path):
    """Measure a call in this process: peak, and codes of the whole matrix."""
    X = np.load(path, mmap_mode="r")
    sample = X[: WARM_UP // X.shape[1]]
    estimator.set_params(random_state=0)
    # This compiles the kernels too, and fills the pools of BLAS.
    perform(estimator, "fit", sample)
    perform(estimator, method, sample)
    return peak_of(perform, estimator, method, X)


def write_matrix(path, shape):
    """Write Gaussian rows block by block."""
    X = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    for rows in gen_batches(len(X), 1000):
        X[rows] = gaussian(*X[rows].shape, seed=rows.start)


def run(calls=CALLS):
    """Measure calls on matrices of some shapes."""
    results = []
    for shape, own in calls.items():
        with TemporaryDirectory() as folder:
            path = Path(folder) / "rows.npy"
            write_matrix(path, shape)
            for estimator, method in own:
                peaks = []
                for peak_of in (peak_allocated, peak_resident):
                    with ProcessPoolExecutor(1, get_context("spawn")) as process:
                        call = process.submit(measure, peak_of, estimator, method, path)
                        peak, codes = (n_bytes / 1e6 for n_bytes in call.result())
                    peaks.append(peak)
                matrix = 4 * np.prod(shape) / 1e6
                name, size = f"{estimator!r}.{method}", f"{shape[0]:,} x {shape[1]:,}"
                results.append((name, size, matrix, codes, *peaks, max(peaks) - codes))
                print(*results[-1], flush=True)
    columns = [("call", ""), ("matrix", ""), ("MB", ".0f"), ("codes, MB", ".0f")]
    columns += [(name, ".1f") for name in ("allocated, MB", "resident, MB", "beyond codes, MB")]
    return [Table("memory", columns, results)]


if __name__ == "__main__":
    show(run())
