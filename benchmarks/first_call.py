"""What the first use costs: import, and the first fit and predict in a fresh process.

Every measurement is a process of its own. "import skquant" comes after importing the parts of
scikit-learn and Numba that it builds on. "fit + predict" is a QuantizedKNeighborsClassifier on the
digits: once with an empty folder for compiled kernels, and then with the one that this filled.
Medians where there are several.

    python benchmarks/first_call.py
"""

import os
import subprocess
import sys
import tempfile
from statistics import median

from report import ROOT, Table, show

IMPORTS = """
from time import perf_counter
start = perf_counter()
import numba, sklearn.neighbors, sklearn.pipeline
base = perf_counter()
import skquant
print(base - start, perf_counter() - base)
"""
FIRST_USE = """
from time import perf_counter
from sklearn.datasets import load_digits
from skquant import QuantizedKNeighborsClassifier
X, y = load_digits(return_X_y=True)
start = perf_counter()
QuantizedKNeighborsClassifier(random_state=0).fit(X, y).predict(X)
print(perf_counter() - start)
"""


def seconds(code, kernel_folder):
    """Run code in a fresh process and read the seconds that it prints."""
    environment = os.environ | {"NUMBA_CACHE_DIR": kernel_folder}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment, cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [float(number) for number in done.stdout.split()]


def run(repeats=5):
    """Time imports and first calls."""
    with tempfile.TemporaryDirectory() as folder:
        [fresh] = seconds(FIRST_USE, folder)
        warm = [seconds(FIRST_USE, folder)[0] for _ in range(repeats)]
        base, ours = zip(*[seconds(IMPORTS, folder) for _ in range(repeats)], strict=True)
    results = [
        ("import scikit-learn and Numba", median(base)),
        ("import skquant, after these", median(ours)),
        ("first fit + predict, kernels compiled before", median(warm)),
        ("first fit + predict, kernels compiled now", fresh),
    ]
    return [Table("first_call", [("what", ""), ("s", ".2f")], results)]


if __name__ == "__main__":
    show(run())
