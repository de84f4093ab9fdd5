"""Recall of the ten nearest neighbours when candidates are measured again.

By inner product, among the 60 000 training images of Fashion-MNIST and 1500 digits, both at unit
length, and 100 000 Gaussian rows of 128 entries; 1000 queries each, and the other 297 digits.
"file" reads the original rows of the candidates from an ``.npy`` file that is mapped into memory,
here one that the system has in its cache; "code" refines them with the code of what the first one
left over. "bits" is all that is held in memory for a row, per dimension. "search" is the processor
time of all queries, on one thread, once.

    python benchmarks/rescore.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import numpy as np
from datasets import digits, fashion_mnist, gaussian, unit_rows
from report import Table, show
from threadpoolctl import threadpool_limits

from skquant import QuantizedNearestNeighbors
from skquant.metrics import bits_scorer

K = 10
SETTINGS = [
    (1, None, "codes"),
    (1, 5, "file"),
    (1, 20, "file"),
    (2, None, "codes"),
    (2, 3, "code"),
    (2, 2, "file"),
    (2, 5, "file"),
    (2, 10, "file"),
    (4, None, "codes"),
    (4, 2, "file"),
]


def nearest(rows, queries):
    """Find the K rows of the largest products."""
    return np.argpartition(-(queries @ rows.T), K, axis=1)[:, :K]


def compare(name, rows, queries, path):
    """Measure each setting: recall, bits held for a row, and seconds to search."""
    np.save(path, rows)
    exact = nearest(rows, queries)
    results = []
    for bits, rescore, by in SETTINGS:
        search = QuantizedNearestNeighbors(
            K,
            bits=bits,
            metric="inner_product",
            rescore=rescore,
            rescore_source=path if by == "file" else None,
            random_state=0,
        ).fit(rows)
        search.kneighbors(queries[:1])  # compiles the kernels
        start = process_time()
        found = search.kneighbors(queries, return_distance=False)
        seconds = process_time() - start
        hits = np.mean([np.isin(*pair).mean() for pair in zip(found, exact, strict=True)])
        candidates = K * (rescore or 1)
        results.append((name, bits, by, candidates, bits_scorer(search, rows), hits, seconds))
    return results


def run(n_rows=100_000, n_images=60_000):
    """Compare on all data sets."""
    images, _, test_images, _ = fashion_mnist()
    small = unit_rows(digits()[0])
    with TemporaryDirectory() as folder, threadpool_limits(1):
        path = Path(folder) / "rows.npy"
        results = compare(
            "Fashion-MNIST", unit_rows(images[:n_images]), unit_rows(test_images[:1000]), path
        )
        results += compare("digits", small[:1500], small[1500:], path)
        results += compare("Gaussian", gaussian(n_rows, 128), gaussian(1000, 128, seed=1), path)
    columns = [
        ("data", ""), ("code bits", "g"), ("measured by", ""), ("candidates", "d"),
        ("bits", ".2f"), ("recall@10", ".3f"), ("search, s", ".2f"),
    ]  # fmt: skip
    return [Table("rescore", columns, results)]


if __name__ == "__main__":
    show(run())
