"""Few queries: when a scan of a coarse layer for each is faster than decoding rows for all at once.

For each number of rows, the milliseconds of calls with so many queries, by the scan and by whole
codes; the least of a few runs, one thread. `FEW_QUERIES` of skquant/_neighbors/_scan.py is where
both take about as long for the smallest searches that take notable time. For lists the estimate
stands beside the times that skquant/_neighbors/_rows.py chooses by.

    python benchmarks/few_queries.py
"""

from unittest.mock import patch

import datasets
from report import timed
from threadpoolctl import threadpool_limits

from skquant import QuantizedNearestNeighbors
from skquant._neighbors import _rows

N_CANDIDATES, RUNS = 192, 5
N_ROWS, N_QUERIES = (1_000, 5_000, 20_000, 100_000), (8, 16, 32, 64, 96, 128)
N_LISTS, N_PROBES, MANY = 300, (2, 8, 32), (65, 130, 260, 520)


def compare(search, queries):
    """Give the milliseconds of a call by the scan and by whole codes."""
    times = []
    for few in (len(queries), -1):
        with patch.multiple(_rows, FEW_QUERIES=few, COST_OF_CANDIDATE=1e9):
            search.kneighbors(queries)
            times.append(1e3 * min(timed(search.kneighbors, queries)[1] for _ in range(RUNS)))
    return "{:6.1f} scan, {:6.1f} whole codes".format(*times)


def main():
    """Print the times."""
    X, queries = datasets.gaussian(max(N_ROWS), 128), datasets.gaussian(max(MANY), 128, seed=1)
    parameters = {"bits": 3.5, "n_candidates": N_CANDIDATES, "random_state": 0}
    with threadpool_limits(1):
        for n_rows in N_ROWS:
            search = QuantizedNearestNeighbors(10, **parameters).fit(X[:n_rows])
            for n in N_QUERIES:
                print(f"{n_rows:7} rows, {n:3} queries: {compare(search, queries[:n])}")
        search = QuantizedNearestNeighbors(10, n_lists=N_LISTS, **parameters).fit(X)
        for n_probe in N_PROBES:
            for n in MANY:
                times = compare(search.set_params(n_probe=n_probe), queries[:n])
                scans = _rows.scan_is_faster(search.lists_, n, N_CANDIDATES, n_probe)
                chosen = "scan" if scans else "whole codes"
                print(f"{n_probe:3} lists, {n:3} queries: {times}, estimated {chosen}")


if __name__ == "__main__":
    main()
