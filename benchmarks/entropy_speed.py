"""Speed of entropy coding alone, in GB of float32 a second, beside that of moving and multiplying.

1024 Gaussian rows of 1024 entries are encoded to R bits an entry and decoded, without centring and
rotation (`products.py` times all of it). "copy" is a copy of the rows, and "multiply" their product
with as many rows by the BLAS of NumPy, on one thread: what they take in or give out per second of
the processor's time. The least of some runs, all in turn: other processes cannot make them faster.

    python benchmarks/entropy_speed.py
"""

from functools import partial
from time import thread_time

import numpy as np
from datasets import gaussian
from report import Table, show
from threadpoolctl import threadpool_limits

from skquant._codes._entropy import EntropyRowCode
from skquant._codes._trellis import TRELLIS_CODES
from skquant._panels import empty_panels, put_rows

RATES = (1, 2, 3, 4)


def least_seconds(functions, repeats):
    """Find the least time of the processor that each function takes, all in turn."""
    seconds = np.empty((repeats + 1, len(functions)))
    for row in seconds:
        for i, function in enumerate(functions):
            start = thread_time()
            function()
            row[i] = thread_time() - start
    return seconds[1:].min(axis=0)


def run(n=1024, repeats=5):
    """Time every code at every rate."""
    X = gaussian(n, n)
    X /= np.sqrt(np.mean(X**2, axis=1, keepdims=True))
    panels, decoded = empty_panels(n, n), empty_panels(n, n)
    put_rows(X, panels)
    calls, copy, product = [], np.empty_like(X), np.empty((n, n), np.float32)
    settings = [(lattice, rate) for lattice in TRELLIS_CODES for rate in RATES]
    for lattice, rate in settings:
        code = EntropyRowCode.choose(lattice, n, n * rate // 8)
        codes = np.zeros((n, code.n_bytes), np.uint8)
        calls += [partial(code.encode, panels, codes), partial(code.decode, codes, decoded)]
    calls += [partial(np.copyto, copy, X), partial(np.matmul, X, X.T, out=product)]
    with threadpool_limits(1):
        *speeds, copying, multiplying = X.nbytes / least_seconds(calls, repeats) / 1e9
    results = [
        (*setting, encode, decode, decode / copying, decode / multiplying)
        for setting, encode, decode in zip(settings, speeds[::2], speeds[1::2], strict=True)
    ]
    columns = [("lattice", ""), ("R", "g"), ("encode, GB/s", ".3f"), ("decode, GB/s", ".2f")]
    columns += [("decode / copy", ".2f"), ("decode / multiply", ".2f")]
    return [Table("entropy_speed", columns, results)]


if __name__ == "__main__":
    show(run())
