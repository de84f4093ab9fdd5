"""Few queries: when it is faster to scan a coarse layer for each than to decode all rows at once.

For each number of rows, the milliseconds of calls with so many queries, by the scan and by whole
codes; the least of a few runs, one thread. `FEW_QUERIES` of skquant/_neighbors/_scan.py is where
both take about as long for the smallest searches that take notable time.

    python benchmarks/few_queries.py
"""

from unittest.mock import patch

import datasets
from report import timed
from threadpoolctl import threadpool_limits

from skquant import QuantizedNearestNeighbors
from skquant._neighbors import _base

N_ROWS, N_QUERIES, RUNS = (1_000, 5_000, 20_000, 100_000), (8, 16, 32, 64, 96, 128), 5


def milliseconds(search, queries, few):
    """Time a call where so many queries are few."""
    with patch.object(_base, "FEW_QUERIES", few):
        return 1e3 * min(timed(search.kneighbors, queries)[1] for _ in range(RUNS))


def main():
    """Print the times."""
    X, queries = datasets.gaussian(max(N_ROWS), 128), datasets.gaussian(max(N_QUERIES), 128, seed=1)
    with threadpool_limits(1):
        for n_rows in N_ROWS:
            search = QuantizedNearestNeighbors(10, bits=3.5, n_candidates=192, random_state=0)
            search.fit(X[:n_rows])
            for n in N_QUERIES:
                scan, whole = (milliseconds(search, queries[:n], few) for few in (n, 0))
                print(f"{n_rows:7} rows, {n:3} queries: {scan:6.1f} scan, {whole:6.1f} whole codes")


if __name__ == "__main__":
    main()
