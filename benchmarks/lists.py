"""Search in inverted lists, side by side with those of faiss: recall against queries a second.

A million clustered rows of 128 entries and 400 000 word vectors of 50, at unit length; by euclidean
distance, the ten nearest of 1000 queries, on one thread. All methods have as many lists and are in
one process, where they take turns, so that whatever else the machine does hits all alike; times
are those that the process kept a processor busy, the least of the rounds. "bytes" is all that is
held, codec and centroids included, for each row; "lists" what the centroids and the codec come to;
"build" learns, trains and compresses. The table has each method at the fewest visited lists for
recall .9, or with the best recall that it reaches; "one, ms" is the median of queries that come
one by one, and "one, recall" what these find.

    python benchmarks/lists.py
    python benchmarks/lists.py --data words --rows 100000 --lists 600
"""

import argparse
import json
from pathlib import Path
from time import process_time

import datasets
import matplotlib.pyplot as plt
import numpy as np
from peers.list_search import contestants
from report import ROOT, Table, show
from threadpoolctl import threadpool_limits

K, N_QUERIES, WANTED = 10, 1000, 0.9
N_PROBES = (1, 2, 3, 4, 8, 12, 16, 24, 32, 40, 64)
ROUNDS, SINGLES = 2, 200
RESULTS = Path(__file__).parent / "results" / "lists.json"
# Rows, lists, and the bits that are compared.
DATA = {
    "words": (399_000, 1000, (5,)),
    "clustered": (1_000_000, 1000, (5,)),
}


def load(name, n_rows):
    """Give rows and queries, float32."""
    if name == "clustered":
        X = datasets.clustered(n_rows + N_QUERIES, 128)
    else:
        X = datasets.unit_rows(datasets.word_vectors(n_rows + N_QUERIES))
    X = np.random.default_rng(0).permutation(X)
    return X[N_QUERIES:], X[:N_QUERIES]


def nearest(rows, queries):
    """Find the true neighbours: indices of shape (n_queries, K)."""
    squares, found = np.einsum("ij,ij->i", rows, rows), []
    for some in np.array_split(queries, 20):
        distances = squares - 2 * (some @ rows.T)
        found.append(np.argpartition(distances, K, axis=1)[:, :K])
    return np.vstack(found)


def recall(found, truth):
    """Share of the true neighbours that were found."""
    return float(np.mean([np.isin(*pair).mean() for pair in zip(truth, found, strict=True)]))


def seconds(function, *arguments):
    """Time a call."""
    start = process_time()
    function(*arguments)
    return process_time() - start


def build(peer, rows):
    """Fit one, and put down what it took and what it holds."""
    peer.warm_up(rows)
    built = seconds(peer.fit, rows)
    lists = peer.codec_bytes / len(rows)
    held = {"bytes": peer.bytes_per_row + lists, "lists_bytes": lists, "build_s": built}
    return {"name": peer.name, "bits": peer.bits, "parameters": peer.parameters, **held}


def measure(name, n_rows, n_lists, bits):
    """Compare all methods on one data set: everything measured, as JSON takes it."""
    rows, queries = load(name, n_rows)
    truth = nearest(rows, queries)
    peers = contestants(rows.shape[1], n_lists, bits)
    results = [build(peer, rows) for peer in peers]
    for peer, result in zip(peers, results, strict=True):
        result["curve"] = []
        for n_probe in N_PROBES:
            peer.visit(n_probe)
            found = peer.kneighbors(queries, K)
            point = {"n_probe": n_probe, "recall": recall(found, truth), "batch_s": []}
            result["curve"].append(point)
        wanted = [p for p in result["curve"] if p["recall"] >= WANTED]
        best = max(result["curve"], key=lambda p: p["recall"])
        result["n_probe"] = (wanted[0] if wanted else best)["n_probe"]
        result["single_s"], result["single_recall"] = [], []
    for some in np.array_split(queries[:SINGLES], ROUNDS):
        for peer, result in zip(peers, results, strict=True):
            for point in result["curve"]:
                peer.visit(point["n_probe"])
                point["batch_s"].append(seconds(peer.kneighbors, queries, K))
            peer.visit(result["n_probe"])
            result["single_s"] += [seconds(peer.kneighbors, q[None], K) for q in some]
    for peer, result in zip(peers, results, strict=True):
        found = np.vstack([peer.kneighbors(q[None], K) for q in queries])
        result["single_recall"] = recall(found, truth)
    return {"data": name, "shape": rows.shape, "n_lists": n_lists, "peers": results}


def summary(measured):
    """Give the lines of the table for one data set."""
    for result in measured["peers"]:
        point = next(p for p in result["curve"] if p["n_probe"] == result["n_probe"])
        yield (
            measured["data"],
            result["name"],
            result["bytes"],
            result["lists_bytes"],
            result["build_s"],
            point["n_probe"],
            point["recall"],
            N_QUERIES / min(point["batch_s"]),
            1e3 * float(np.median(result["single_s"])),
            result["single_recall"],
        )


def draw(results, path):
    """Draw recall against queries a second."""
    plt.rcParams["svg.hashsalt"] = "skquant"  # the same bytes for the same numbers
    figure, panels = plt.subplots(
        1, len(results), figsize=(5.5 * len(results), 4), squeeze=False, layout="constrained"
    )
    for axes, measured in zip(panels[0], results, strict=True):
        for result, marker in zip(measured["peers"], "osvDP^<>*X", strict=False):
            own = result["name"].startswith("skquant")
            curve = [(p["recall"], N_QUERIES / min(p["batch_s"])) for p in result["curve"]]
            label = f"{result['name']}, {result['bytes']:.0f} bytes a row"
            axes.plot(
                *zip(*curve, strict=True),
                marker=marker,
                ms=4,
                ls="-" if own else ":",
                color="black" if own else None,
                label=label,
            )
        n_rows, n_features = measured["shape"]
        axes.set(
            title=f"{measured['data']}, {n_rows:,} x {n_features}, {measured['n_lists']} lists",
            xlabel="recall of the 10 nearest",
            ylabel="queries a second, one call",
            yscale="log",
        )
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def tables(results):
    """Put everything at recall .9 into a table."""
    columns = [
        ("data", ""), ("method", ""), ("bytes", ".1f"), ("lists", ".1f"), ("build, s", ".1f"),
        ("n_probe", "d"), ("recall@10", ".3f"), ("queries/s", ",.0f"), ("one, ms", ".2f"),
        ("one, recall", ".3f"),
    ]  # fmt: skip
    return [Table("lists", columns, [line for each in results for line in summary(each)])]


def run(contests=None, results_file=RESULTS):
    """Compare on all data sets, draw the figure, and give the table."""
    results = []
    with threadpool_limits(1):
        for name, settings in (contests or DATA).items():
            results.append(measure(name, *settings))
            results_file.parent.mkdir(exist_ok=True)
            results_file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    draw(results, ROOT / "docs" / "images" / "lists.svg")
    return tables(results)


def main():
    """Compare as the command line has it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--rows", type=int, help="fewer rows")
    parser.add_argument("--lists", type=int)
    parser.add_argument("--bits", nargs="+", type=float)
    given = parser.parse_args()
    contests = {}
    for name in given.data:
        n_rows, n_lists, bits = DATA[name]
        contests[name] = (given.rows or n_rows, given.lists or n_lists, given.bits or bits)
    with threadpool_limits(1):
        show(tables([measure(name, *settings) for name, settings in contests.items()]))


if __name__ == "__main__":
    main()
