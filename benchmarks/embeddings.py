"""Recall of the ten nearest embeddings against the bytes that are held for each.

35 000 sentences of docstrings, embedded by all-MiniLM-L6-v2 in 384 dimensions, and the 100 000 most
frequent words of GloVe 6B, 50 dimensions; all at unit length, 1000 queries each that are not among
them. "bytes" is all that is held in memory for a row, "codec" what is held besides. "again" is the
recall when 50 candidates are measured again by their original rows, in a file that is mapped into
memory; these bytes are not in memory. Queries stay floats.

"int8" and "binary" are what sentence-transformers makes of embeddings (`quantize_embeddings`): a
byte for each dimension, in equal steps over its range among the rows, and its sign. Binary rows are
searched as rows of plus and minus one, which is what that library recommends for the second step.

    python benchmarks/embeddings.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from datasets import unit_rows, word_vectors
from report import Table, show
from sentences import sentence_embeddings
from threadpoolctl import threadpool_limits

from skquant import LatticeQuantizer, QuantizedNearestNeighbors
from skquant.metrics import neighbor_recall

K = 10
CANDIDATES = 50
N_QUERIES = 1000
BITS = (1, 2, 3, 4, 8)


def data_sets(n_sentences=35_000, n_words=100_000):
    """Yield names, rows and queries."""
    vectors = sentence_embeddings(n_sentences + N_QUERIES)
    yield "sentences", vectors[N_QUERIES:], vectors[:N_QUERIES]
    vectors = unit_rows(word_vectors(n_words + N_QUERIES))
    chosen = np.random.default_rng(0).permutation(len(vectors))
    yield "words", vectors[chosen[N_QUERIES:]], vectors[chosen[:N_QUERIES]]


def int8(rows):
    """Round each dimension to 256 equal steps over its range: bytes of a row, and the steps."""
    low, high = rows.min(axis=0), rows.max(axis=0)
    steps = (high - low) / 255
    return np.rint((rows - low) / steps) * steps + low


def binary(rows):
    """Keep the sign of each dimension."""
    return np.where(rows > 0, np.float32(1), np.float32(-1))


def nearest(rows, queries, k):
    """Find the k rows of the largest products, in order."""
    products = queries @ rows.T
    found = np.argpartition(-products, k, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(products, found, axis=1), axis=1)
    return np.take_along_axis(found, order, axis=1)


def measure_again(rows, queries, candidates):
    """Keep the K candidates of the largest exact products."""
    products = np.einsum("qd,qcd->qc", queries, rows[candidates])
    best = np.argsort(-products, axis=1)[:, :K]
    return np.take_along_axis(candidates, best, axis=1)


def of_others(rows, queries, exact):
    """Measure what keeps its rows in other ways: method, bytes, codec, recall, recall again."""
    d = rows.shape[1]
    methods = [
        ("float32", 4 * d, 0, rows),
        ("float16", 2 * d, 0, rows.astype(np.float16).astype(np.float32)),
        ("int8", d, 8 * d, int8(rows)),
        ("binary", -(-d // 8), 0, binary(rows)),
    ]
    for name, n_bytes, codec, decoded in methods:
        found = nearest(decoded, queries, CANDIDATES)
        again = measure_again(rows, queries, found)
        recalls = (neighbor_recall(exact, found[:, :K]), neighbor_recall(exact, again))
        yield name, n_bytes, codec / 1000, *recalls


def of_skquant(rows, queries, exact, path):
    """Measure the codes, as `of_others` does."""
    for bits in BITS:
        for rotation in ("hadamard", "pca"):
            quantizer = LatticeQuantizer(bits, rotation=rotation, random_state=0)
            search = QuantizedNearestNeighbors(K, metric="inner_product", quantizer=quantizer)
            found = search.fit(rows).kneighbors(queries, return_distance=False)
            search.set_params(rescore=CANDIDATES / K, rescore_source=path)
            again = search.kneighbors(queries, return_distance=False)
            codes = search.codes_
            n_bytes = codes.bits_per_entry * rows.shape[1] / 8
            codec = (codes.nbytes - n_bytes * len(rows)) / 1000
            recalls = (neighbor_recall(exact, found), neighbor_recall(exact, again))
            yield f'skquant, {bits} bits, "{rotation}"', n_bytes, codec, *recalls


def run(**sizes):
    """Compare on all data sets."""
    results = []
    with TemporaryDirectory() as folder, threadpool_limits(1):
        for name, rows, queries in data_sets(**sizes):
            path = Path(folder) / f"{name}.npy"
            np.save(path, rows)
            exact = nearest(rows, queries, K)
            measured = [*of_others(rows, queries, exact), *of_skquant(rows, queries, exact, path)]
            results += [(name, *row) for row in measured]
    columns = [
        ("data", ""), ("rows held as", ""), ("bytes", ".0f"), ("codec, kB", ",.1f"),
        ("recall@10", ".3f"), ("again", ".3f"),
    ]  # fmt: skip
    return [Table("embeddings", columns, results)]


if __name__ == "__main__":
    show(run())
