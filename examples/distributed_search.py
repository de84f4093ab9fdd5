"""
Search on several processes
===========================

The rows of a Dask array are compressed where they are, on the workers of a cluster: here two
processes of this machine. One of them is killed while it searches, and the answers stay the same.
"""

# Rows in chunks.
# Each chunk is made from its number, as it would be read from a file. No process ever holds them
# all.

import os
import signal
import sys

import numpy as np

try:
    import dask
    import dask.array as da
    from dask.distributed import Client, LocalCluster
except ImportError:
    print('This example needs Dask: python -m pip install "skquant[dask]".')
    sys.exit()

from skquant import QuantizedNearestNeighbors

N_CHUNKS, CHUNK, N_FEATURES = 20, 2000, 64


def make_chunk(number):
    rng = np.random.default_rng(number)
    return rng.standard_normal((CHUNK, N_FEATURES), dtype=np.float32)


def main():
    from skquant.distributed import DistributedNearestNeighbors

    rows = da.concatenate(
        [
            da.from_delayed(dask.delayed(make_chunk)(i), (CHUNK, N_FEATURES), np.float32)
            for i in range(N_CHUNKS)
        ]
    )
    queries = np.random.default_rng(1000).standard_normal((500, N_FEATURES), dtype=np.float32)

    # Fit and search.
    # The workers hold codes of four bits an entry.

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        search = DistributedNearestNeighbors(n_neighbors=10, bits=4, random_state=0).fit(rows)
        print(search.codes_)
        print(f"the floats would take {rows.nbytes / 1e6:.1f} MB")

        # A worker is lost.
        # Dask compresses again what it held.

        found = client.compute(search.kneighbors(da.from_array(queries, chunks=(100, -1))))
        (address, *_) = client.scheduler_info()["workers"]
        pid = client.run(os.getpid, workers=[address])[address]
        os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        distances, indices = (future.result() for future in found)

    # One machine finds the same.

    here = QuantizedNearestNeighbors(n_neighbors=10, bits=4, random_state=0)
    here.fit(np.vstack([make_chunk(i) for i in range(N_CHUNKS)]))
    expected = here.kneighbors(queries)
    same = np.array_equal(distances, expected[0]) and np.array_equal(indices, expected[1])
    print("the same answers, bit for bit:", same)


if __name__ == "__main__":
    main()
