"""Search four million rows on four processes, kill one of them, and compare with one process.

    python benchmarks/several_processes.py [--n-rows 4000000] [--n-features 128] [--n-workers 4]

The rows are made chunk by chunk from seeds, so that a lost worker's rows can be made again, and no
process holds them all: the search on one process compresses them chunk by chunk as well, with a
quantizer that Dask fitted to all of them, and that is compared with the sums of one process. A
worker is killed when the first of the batches of queries has come back. All distances and indices
have to be the same, bit for bit.
"""

import argparse
import os
import signal
import time

import dask
import dask.array as da
import numpy as np
from dask.distributed import Client, LocalCluster, as_completed

from skquant import LatticeQuantizer, QuantizedMatrix
from skquant._codecs._fit import _mean_and_spread
from skquant._neighbors._metric import in_units
from skquant._neighbors._search import search
from skquant.distributed import DistributedNearestNeighbors

N_CHUNKS = 64
N_BATCHES = 4


def make_rows(number, n_rows, n_features):
    """Make a chunk of rows, all of whose numbers follow from its own."""
    rng = np.random.default_rng(number)
    return rng.standard_normal((n_rows, n_features), dtype=np.float32) + np.float32(0.1)


class MadeRows:
    """All rows as a fit reads them, made when they are asked for."""

    def __init__(self, n_rows, n_features):
        self.chunk_rows, self.shape = n_rows // N_CHUNKS, (n_rows, n_features)
        self.last = None, None

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        first, last = rows.start, min(rows.stop, len(self))
        pieces = []
        for number in range(first // self.chunk_rows, (last - 1) // self.chunk_rows + 1):
            start = number * self.chunk_rows
            pieces.append(self.chunk(number)[max(first - start, 0) : last - start])
        return np.concatenate(pieces)

    def chunk(self, number):
        """Give a chunk, the last one without making it again."""
        if self.last[0] != number:
            self.last = number, make_rows(number, self.chunk_rows, self.shape[1])
        return self.last[1]


def search_cluster(rows, queries, options, n_workers):
    """Search on several processes, and kill one when a part of the answers is there."""
    with (
        LocalCluster(n_workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        start = time.perf_counter()
        found = DistributedNearestNeighbors(**options).fit(rows)
        print(f"{n_workers} processes fit in {time.perf_counter() - start:.0f} s: {found.codes_}")
        start = time.perf_counter()
        plans = [
            dask.delayed(found._plan_search(q, 10)) for q in np.array_split(queries, N_BATCHES)
        ]
        futures = client.compute(plans)
        next(iter(as_completed(futures)))
        held = client.has_what()
        address = max(held, key=lambda worker: len(held[worker]))
        pid = client.run(os.getpid, workers=[address])[address]
        os.kill(pid, signal.SIGKILL)
        waiting = sum(not future.done() for future in futures)
        print(f"killed {address}, which held {len(held[address])} results; {waiting} batches to go")
        answers = [np.concatenate(parts) for parts in zip(*client.gather(futures), strict=True)]
        print(f"searched in {time.perf_counter() - start:.0f} s")
        return found.quantizer_, answers


def main():
    """Search in both ways, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-rows", type=int, default=4_000_000)
    parser.add_argument("--n-features", type=int, default=128)
    parser.add_argument("--n-workers", type=int, default=4)
    parser.add_argument("--n-queries", type=int, default=400)
    arguments = parser.parse_args()
    made = MadeRows(arguments.n_rows, arguments.n_features)
    chunk_shape = made.chunk_rows, arguments.n_features
    rows = da.concatenate(
        [
            da.from_delayed(dask.delayed(make_rows)(number, *chunk_shape), chunk_shape, np.float32)
            for number in range(N_CHUNKS)
        ]
    )
    queries = make_rows(N_CHUNKS, arguments.n_queries, arguments.n_features)
    options = {"n_neighbors": 10, "bits": 4, "random_state": 0}
    quantizer, answers = search_cluster(rows, queries, options, arguments.n_workers)

    start = time.perf_counter()
    mean, _ = _mean_and_spread(made)
    one = LatticeQuantizer(bits=4, random_state=0)
    one.n_features_in_ = arguments.n_features
    one._fit_rows(made)
    print("the mean is the same:", np.array_equal(mean, quantizer.mean_))
    codes = [one._compress(one._codec, made.chunk(number)) for number in range(N_CHUNKS)]
    codes = QuantizedMatrix.concatenate(codes)
    print(f"one process fits in {time.perf_counter() - start:.0f} s: {codes}")
    start = time.perf_counter()
    distances, indices = search(codes, queries, 10, metric="sqeuclidean")
    print(f"searched in {time.perf_counter() - start:.0f} s")
    print(
        "the distances are the same:", np.array_equal(in_units(distances, "euclidean"), answers[0])
    )
    print("the indices are the same:", np.array_equal(indices, answers[1]))


if __name__ == "__main__":
    main()
