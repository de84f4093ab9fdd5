"""Speed of exhaustive search, on one thread, beside the float32 product that it replaces.

The 10 nearest of 100 000 Gaussian rows of 128 entries for 1000 queries. All take turns; medians
over the rounds, the first one dropped. "times sgemm" and "times scikit-learn" are speeds: above 1
is faster than the matrix product alone, or than scikit-learn's brute-force `kneighbors`.

    python benchmarks/search_speed.py
"""

import faiss
import numpy as np
from datasets import gaussian
from report import Table, show, time_in_turn
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from skquant import QuantizedKNeighborsClassifier

K = 10


def run(n_rows=100_000, n_features=128, repeats=11):
    """Time every search."""
    rows, queries = gaussian(n_rows, n_features), gaussian(1000, n_features, seed=1)
    products = np.empty((len(queries), n_rows), np.float32)
    flat = faiss.IndexFlatIP(n_features)
    flat.add(rows)
    brute = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(rows)
    searches = {
        "sgemm alone": lambda: np.matmul(queries, rows.T, out=products),
        "faiss IndexFlatIP": lambda: flat.search(queries, K),
        "scikit-learn brute, euclidean": lambda: brute.kneighbors(queries),
    }
    for metric in ("inner_product", "euclidean"):
        for bits in (1, 2, 4, 8):
            knn = QuantizedKNeighborsClassifier(bits=bits, metric=metric, random_state=0)
            knn.fit(rows, np.zeros(n_rows))
            searches[f"skquant, {bits} bits, {metric}"] = lambda knn=knn: knn.kneighbors(queries, K)
    with threadpool_limits(1):
        rounds = time_in_turn(searches.values(), repeats)
    medians = [
        np.median(r, axis=0) for r in (rounds, rounds[:, [0]] / rounds, rounds[:, [2]] / rounds)
    ]
    results = list(zip(searches, *medians, strict=True))
    columns = [("search", ""), ("s", ".3f"), ("times sgemm", ".2f"), ("times scikit-learn", ".2f")]
    return [Table("search_speed", columns, results)]


if __name__ == "__main__":
    show(run())
