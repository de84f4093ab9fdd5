"""Recall of the ten nearest neighbours by inner product, beside the quantizers of faiss.

100 000 Gaussian rows of 128 entries and the 60 000 training images of Fashion-MNIST at unit length;
1000 queries each. "bits" is all that is held for a row, per dimension; "codec" is what is held
besides: means, rotations, code books. "fit" is the time to train and to compress, "search" the time
of all queries, both once, on one thread, with compiled kernels. RaBitQ, EDEN and SQ get a random
rotation first; PQ learns from the rows as they come.

    python benchmarks/recall.py
"""

import faiss
import matplotlib.pyplot as plt
import numpy as np
from datasets import fashion_mnist, gaussian, unit_rows
from report import ROOT, Table, show, timed
from threadpoolctl import threadpool_limits

from skquant import QuantizedKNeighborsClassifier

K = 10
FIGURE = ROOT / "docs" / "images" / "recall.svg"
STYLES = {
    "PQ fast scan": {"marker": "s", "ls": ":", "label": "faiss PQ fast scan"},
    "RaBitQ": {"marker": "^", "ls": ":", "label": "faiss RaBitQ"},
    "EDEN": {"marker": "v", "ls": ":", "label": "faiss EDEN"},
    "SQ": {"marker": "D", "ls": ":", "label": "faiss SQ"},
    "skquant": {"marker": "o", "lw": 2.5, "color": "black", "label": "skquant"},
}


def methods(d):
    """List what is compared, for d dimensions: bits of the code, method, its setting."""
    return [
        ("1", "skquant", 1),
        ("1", "PQ fast scan", f"PQ{d // 4}x4fs"),
        ("1", "RaBitQ", f"RR{d},RaBitQ"),
        ("1", "EDEN", f"RR{d},EDEN1"),
        ("2", "skquant", 2),
        ("2", "PQ fast scan", f"PQ{d // 2}x4fs"),
        ("2", "RaBitQ", f"RR{d},RaBitQ2"),
        ("2", "EDEN", f"RR{d},EDEN2"),
        ("4", "skquant", 4),
        ("4", "PQ fast scan", f"PQ{d}x4fs"),
        ("4", "RaBitQ", f"RR{d},RaBitQ4"),
        ("4", "EDEN", f"RR{d},EDEN4"),
        ("4", "SQ", f"RR{d},SQ4"),
    ]


class Skquant:
    """Search among compressed rows with skquant."""

    def __init__(self, bits, rows):
        self.knn = QuantizedKNeighborsClassifier(
            bits=bits, metric="inner_product", random_state=0
        ).fit(rows, np.zeros(len(rows)))

    def search(self, queries):
        """Find K neighbours of each query."""
        return self.knn.kneighbors(queries, K, return_distance=False)

    def sizes(self):
        """Give the bytes of a row, and of all that is held."""
        codes = self.knn.codes_
        return codes.bits_per_entry * codes.shape[1] / 8, codes.nbytes


class Faiss:
    """The same with an index of faiss."""

    def __init__(self, factory, rows):
        self.index = faiss.index_factory(rows.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
        self.index.train(rows)
        self.index.add(rows)

    def search(self, queries):
        return self.index.search(queries, K)[1]

    def sizes(self):
        return self.index.sa_code_size(), faiss.serialize_index(self.index).nbytes


def compare(rows, queries):
    """Measure each method: names, bits, recall, seconds to fit and to search, kB of codec."""
    nearest = Faiss("Flat", rows).search(queries)
    results = []
    for code_bits, method, setting in methods(rows.shape[1]):
        kind = Skquant if method == "skquant" else Faiss
        if kind is Skquant:
            kind(setting, rows[:1000]).search(queries[:1])  # compiles the kernels
        index, fit = timed(kind, setting, rows)
        found, search = timed(index.search, queries)
        hits = [np.isin(*pair).sum() for pair in zip(found, nearest, strict=True)]
        row_bytes, total = index.sizes()
        codec = (total - row_bytes * len(rows)) / 1000
        bits = 8 * row_bytes / rows.shape[1]
        results.append((code_bits, method, bits, np.mean(hits) / K, fit, search, codec))
    return results


def plot(results, path):
    """Draw recall against bits, a panel for each data set."""
    plt.rcParams["svg.hashsalt"] = "skquant"  # the same bytes for the same numbers
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axes, (title, rows) in zip(panels, results.items(), strict=True):
        for method, style in STYLES.items():
            points = np.array([row[2:4] for row in rows if row[1] == method])
            axes.plot(*points.T, **style)
        axes.set(title=title, xlabel="bits per dimension, all row terms included", ylim=(0, 1))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("recall of the 10 nearest")
    panels[1].legend(loc="lower right")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def run(n_rows=100_000, n_images=60_000, figure=FIGURE):
    """Compare on both data sets, draw the figure, and give a table each and one of both."""
    images, _, test_images, _ = fashion_mnist()
    with threadpool_limits(1):
        noise = compare(gaussian(n_rows, 128), gaussian(1000, 128, seed=1))
        fashion = compare(unit_rows(images[:n_images]), unit_rows(test_images[:1000]))
    plot({f"Gaussian, {n_rows:,} x 128": noise, f"Fashion-MNIST, {n_images:,} x 784": fashion},
         figure)  # fmt: skip
    measured = [
        ("bits", ".2f"), ("recall@10", ".3f"), ("fit, s", ".1f"), ("search, s", ".2f"),
        ("codec, kB", ",.1f"),
    ]  # fmt: skip
    named = [("code bits", ""), ("method", "")]
    short = [
        ("Gaussian: bits", ".2f"), ("recall@10", ".3f"), ("search, s", ".2f"),
        ("Fashion-MNIST: bits", ".2f"), ("recall@10", ".3f"), ("search, s", ".2f"),
    ]  # fmt: skip
    both = [(*a[:4], a[5], *b[2:4], b[5]) for a, b in zip(noise, fashion, strict=True)]
    return [
        Table("recall", named + short, both),
        Table("recall_gaussian", named + measured, noise),
        Table("recall_fashion_mnist", named + measured, fashion),
    ]


if __name__ == "__main__":
    show(run())
