"""What a learned rotation is worth: recall of the ten nearest by inner product, at equal bits.

The 60 000 training images of Fashion-MNIST at unit length, 10 000 embeddings of sentences and
100 000 Gaussian rows of 128 entries, in which there is nothing to learn; 1000 queries each. "bits"
is all that is held for a row, per feature; "codec" is what is held besides: mean, rotation, scales.
"fit" is the time to fit and to compress, once; "search" that of all queries, the least of three,
on one thread, with compiled kernels.

    python benchmarks/rotations.py
"""

import matplotlib.pyplot as plt
import numpy as np
from datasets import fashion_mnist, gaussian, unit_rows
from report import ROOT, Table, show, time_in_turn, timed
from sentences import sentence_embeddings
from threadpoolctl import threadpool_limits

from skquant import LatticeQuantizer, QuantizedKNeighborsClassifier

K = 10
N_QUERIES = 1000
BITS = (1, 2, 3, 4)
FIGURE = ROOT / "docs" / "images" / "rotations.svg"
STYLES = {"hadamard": {"marker": "o", "ls": ":"}, "pca": {"marker": "s", "lw": 2}}


def data_sets(n_images=60_000, n_sentences=10_000, n_rows=100_000):
    """Yield names, rows and queries."""
    images, _, test_images, _ = fashion_mnist()
    yield "Fashion-MNIST", unit_rows(images[:n_images]), unit_rows(test_images[:N_QUERIES])
    vectors = sentence_embeddings(n_sentences + N_QUERIES)
    yield "sentences", vectors[N_QUERIES:], vectors[:N_QUERIES]
    yield "Gaussian", gaussian(n_rows, 128), gaussian(N_QUERIES, 128, seed=1)


def fit(rows, bits, rotation):
    """Compress rows for a search by inner product."""
    quantizer = LatticeQuantizer(bits, rotation=rotation, random_state=0)
    knn = QuantizedKNeighborsClassifier(metric="inner_product", quantizer=quantizer)
    return knn.fit(rows, np.zeros(len(rows)))


def compare(name, rows, queries):
    """Measure both rotations at all bits, as rows of the table."""
    nearest = np.argpartition(-queries @ rows.T, K, axis=1)[:, :K]
    results = []
    for bits in BITS:
        found, fitted = [], []
        for rotation in STYLES:
            fit(rows[:1000], bits, rotation).kneighbors(queries[:1], K)  # compiles the kernels
            fitted.append(timed(fit, rows, bits, rotation))
        searches = [lambda knn=knn: knn.kneighbors(queries, K) for knn, _ in fitted]
        seconds = time_in_turn(searches, 3).min(axis=0)
        for rotation, (knn, fit_time), time in zip(STYLES, fitted, seconds, strict=True):
            found = knn.kneighbors(queries, K, return_distance=False)
            hits = [np.isin(*pair).mean() for pair in zip(found, nearest, strict=True)]
            codes = knn.codes_
            codec = codes.nbytes - codes.bits_per_entry * codes.shape[0] * codes.shape[1] / 8
            entry = codes.bits_per_entry, np.mean(hits), fit_time, time, codec / 1000
            results.append((name, bits, rotation, *entry))
    return results


def plot(results, path):
    """Draw recall against bits, a panel for each data set."""
    plt.rcParams["svg.hashsalt"] = "skquant"  # the same bytes for the same numbers
    names = list(dict.fromkeys(row[0] for row in results))
    figure, panels = plt.subplots(1, len(names), figsize=(9, 3.2), sharey=True,
                                  layout="constrained")  # fmt: skip
    for axes, name in zip(panels, names, strict=True):
        for rotation, style in STYLES.items():
            points = np.array([row[3:5] for row in results if row[:3:2] == (name, rotation)])
            axes.plot(*points.T, color="black", label=f'rotation="{rotation}"', **style)
        axes.set(title=name, xlabel="bits per feature, all row terms included", ylim=(0.2, 1))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("recall of the 10 nearest")
    panels[0].legend(loc="lower right")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def run(figure=FIGURE, **sizes):
    """Compare on all data sets, draw the figure, and give the table."""
    with threadpool_limits(1):
        results = [row for data in data_sets(**sizes) for row in compare(*data)]
    plot(results, figure)
    columns = [
        ("data", ""), ("code bits", ""), ("rotation", ""), ("bits", ".2f"), ("recall@10", ".3f"),
        ("fit, s", ".1f"), ("search, s", ".2f"), ("codec, kB", ",.1f"),
    ]  # fmt: skip
    return [Table("rotations", columns, results)]


if __name__ == "__main__":
    show(run())
