"""Search one fitted estimator from many threads at once, and compare all answers.

    python benchmarks/threads.py [--n-threads 8] [--n-searches 1000]

Every thread searches for the same batches of queries, each in an order of its own, in an estimator
that was unpickled just before, so that what is computed once is computed by whoever comes first.
Every answer has to be, bit for bit, what a single thread found.
"""

import argparse
import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from skquant import LatticeQuantizer, QuantizedNearestNeighbors

SEARCHES = {
    "fixed": QuantizedNearestNeighbors(bits=4, random_state=0),
    "fixed, two threads each": QuantizedNearestNeighbors(bits=2.5, random_state=0, n_jobs=2),
    "rescored": QuantizedNearestNeighbors(bits=2, rescore=3, random_state=0),
    "learned": QuantizedNearestNeighbors(
        quantizer=LatticeQuantizer(3, rotation="pca", random_state=0)
    ),
    "entropy": QuantizedNearestNeighbors(
        quantizer=LatticeQuantizer(2, coding="entropy", lattice="Trellis", random_state=0)
    ),
}


def count_differences(search, queries, n_threads, n_searches):
    """Count the answers that differ from those of a single thread."""
    batches = np.array_split(queries, 20)
    expected = [search.kneighbors(batch) for batch in batches]
    search = pickle.loads(pickle.dumps(search))

    def look(seed):
        differences = 0
        for which in np.random.default_rng(seed).integers(len(batches), size=n_searches):
            found = search.kneighbors(batches[which])
            pairs = zip(found, expected[which], strict=True)
            differences += not all(np.array_equal(a, b) for a, b in pairs)
        return differences

    with ThreadPoolExecutor(n_threads) as pool:
        return sum(pool.map(look, range(n_threads)))


def main():
    """Try every kind of search."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-threads", type=int, default=8)
    parser.add_argument("--n-searches", type=int, default=1000)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((2000, 48), dtype=np.float32)
    queries = rng.standard_normal((100, 48), dtype=np.float32)
    for name, search in SEARCHES.items():
        start = time.perf_counter()
        differences = count_differences(search.fit(rows), queries, **vars(arguments))
        print(
            f"{name}: {arguments.n_threads} threads x {arguments.n_searches} searches, "
            f"{differences} differences, {time.perf_counter() - start:.0f} s"
        )


if __name__ == "__main__":
    main()
