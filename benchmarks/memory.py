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

from skquant import LatticeQuantizer, QuantizedKNeighborsClassifier

N_FEATURES = 256
CALLS = {
    "LatticeQuantizer.fit": lambda X, fitted: LatticeQuantizer(random_state=0).fit(X),
    "LatticeQuantizer.compress": lambda X, fitted: fitted.compress(X),
    "QuantizedKNeighborsClassifier.fit": lambda X, fitted: QuantizedKNeighborsClassifier(
        random_state=0
    ).fit(X, np.zeros(len(X), np.int8)),
}


def resident():
    """Bytes of this process that no file backs."""
    _, pages, of_files, *_ = map(int, Path("/proc/self/statm").read_text().split())
    return (pages - of_files) * resource.getpagesize()


def peak_resident(function, *arguments):
    """Call a function, and give by how many bytes `resident` rises meanwhile."""
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
    del result
    return max(samples) - before


def peak_allocated(function, *arguments):
    """Call a function, and give by how many bytes what NumPy and Python hold rises meanwhile."""
    tracemalloc.start()
    result = function(*arguments)
    peak = tracemalloc.get_traced_memory()[1]
    del result
    return peak


def measure(peak_of, call, path):
    """Measure a call in this process, and the codes of the whole matrix."""
    X = np.load(path, mmap_mode="r")
    fitted = LatticeQuantizer(random_state=0).fit(X[:4096])
    CALLS[call](X[:4096], fitted)  # compiles the kernels, and fills the pools of BLAS
    return peak_of(CALLS[call], X, fitted)


def write_matrix(path, n_rows):
    """Write Gaussian rows block by block."""
    X = np.lib.format.open_memmap(path, "w+", np.float32, (n_rows, N_FEATURES))
    for start in range(0, n_rows, 10_000):
        X[start : start + 10_000] = gaussian(min(10_000, n_rows - start), N_FEATURES, seed=start)


def run(sizes=(200_000, 400_000)):
    """Measure each call on matrices of some sizes."""
    results = []
    code_bytes = LatticeQuantizer().fit(gaussian(2, N_FEATURES)).bits_per_feature_ * N_FEATURES / 8
    for n_rows in sizes:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "rows.npy"
            write_matrix(path, n_rows)
            for call in CALLS:
                peaks = []
                for peak_of in (peak_allocated, peak_resident):
                    with ProcessPoolExecutor(1, get_context("spawn")) as process:
                        peaks.append(process.submit(measure, peak_of, call, path).result() / 1e6)
                codes = 0 if call == "LatticeQuantizer.fit" else n_rows * code_bytes / 1e6
                matrix = n_rows * N_FEATURES * 4 / 1e6
                results.append((call, matrix, codes, *peaks, max(peaks) - codes))
    columns = [("call", ""), ("matrix, MB", ".0f"), ("codes, MB", ".0f")]
    columns += [(name, ".1f") for name in ("allocated, MB", "resident, MB", "beyond codes, MB")]
    return [Table("memory", columns, results)]


if __name__ == "__main__":
    show(run())
