"""Search for nearest neighbours, side by side with the peers: recall, speed and memory, in one run.

The ten rows of largest inner product, for 1000 queries; rows have unit length but for the Gaussian
ones. Each library is a process of its own, and all of them take turns, round after round, so that
whatever else the machine does hits all alike. The first call of each is dropped. Reported are
medians; ratios are medians of the ratios of each round.

"bits" is all that is held for a row, per dimension, and "codec" what is held besides: means,
rotations, code books. "build" trains and compresses. "queries/s" is of a call with all queries,
"one, ms" the median of queries that come one by one. With one thread, seconds are those that the
process kept a processor busy, which is what passes where nothing else runs; with more, they are
those that passed, and the least of the rounds counts. Slow contestants are timed with fewer
queries, such that a call takes about a second; where all queries would take more than ten, recall
too is that of the first ones.

    python benchmarks/run_all.py search    # all, into the documents
    python benchmarks/search.py --quick    # less than a minute
    python benchmarks/search.py --data words --bits 2 4 --libraries blas skquant --calls batch
"""

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import datasets
import numpy as np
from peers import FLOAT_BITS, LIBRARIES, worker
from report import ROOT, processor, show
from search_tables import tables
from sentences import sentence_embeddings

K = 10
N_QUERIES, FEWEST = 1000, 20
# Seconds that a contestant gets for recall, for a timed call, and for single queries in a round.
RECALL, BATCH, SINGLE = 10, 1, 0.3
RESULTS = Path(__file__).parent / "results" / "search.json"
# What libraries ask for the number of threads when they start.
POOLS = ("OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON")


def gaussian():
    return datasets.gaussian(100_000, 128), datasets.gaussian(N_QUERIES, 128, seed=1)


def clustered():
    return held_out(datasets.clustered(100_000 + N_QUERIES, 128))


def sentences():
    return held_out(sentence_embeddings(35_000 + N_QUERIES))


def words():
    return held_out(datasets.word_vectors(100_000 + N_QUERIES))


def fashion_mnist():
    images, _, others, _ = datasets.fashion_mnist()
    return datasets.unit_rows(images), datasets.unit_rows(others[:N_QUERIES])


def held_out(X):
    """Take queries out of the rows, and scale all to unit length."""
    X = np.random.default_rng(0).permutation(datasets.unit_rows(X))
    return X[N_QUERIES:], X[:N_QUERIES]


DATA = {
    "gaussian": gaussian,
    "sentences": sentences,
    "fashion_mnist": fashion_mnist,
    "words": words,
    "clustered": clustered,
}


@dataclass
class Contest:
    """What is measured together."""

    data: str
    bits: tuple = (1, 2, 4)
    threads: tuple = (1,)
    libraries: tuple = LIBRARIES
    calls: tuple = ("batch", "single")
    rounds: int = 3


DEFAULT = [
    Contest("gaussian"),
    Contest("sentences"),
    Contest("fashion_mnist", (2, 4)),
    Contest("words"),
    Contest("gaussian", (4,), (1, 2), calls=("batch",), rounds=5),
]
QUICK = [Contest("gaussian", (4,), libraries=("blas", "skquant", "turbovec", "rabitqlib"))]


@dataclass
class Contestant:
    """One method at one setting: where it runs, and what is measured of it."""

    process: ProcessPoolExecutor
    index: int
    threads: int
    values: dict
    rounds: list = field(default_factory=list)
    singles: list = field(default_factory=list)

    def ask(self, function, *arguments):
        """Call a function of the worker, in the process of the library."""
        return self.process.submit(function, self.index, *arguments).result()


def nearest(rows, queries):
    """Find the true neighbours in double precision: indices of shape (n_queries, K)."""
    found = []
    for some in np.array_split(queries.astype(float), 5):
        products = some @ rows.T
        found.append(np.argpartition(products, -K, axis=1)[:, -K:])
    return np.vstack(found)


def recall(found, truth):
    """Share of the true neighbours that were found."""
    return np.mean([np.isin(*pair).mean() for pair in zip(truth, found, strict=True)])


class Run:
    """A contest as it goes: those who still take part, and why others do not."""

    def __init__(self, contest):
        self.contest = contest
        self.contestants = []
        self.versions = {}
        self.left_out = {}
        self.processes = []

    def enter(self, n_features):
        """Start the process of each library, and list its contestants."""
        all_bits = (FLOAT_BITS, *self.contest.bits)
        for n_threads in self.contest.threads:
            for library in self.contest.libraries:
                process = ProcessPoolExecutor(1, get_context("spawn"))
                self.processes.append(process)
                pools = {f"{pool}_NUM_THREADS": str(n_threads) for pool in POOLS}
                with patch.dict(os.environ, pools):
                    opened = process.submit(
                        worker.open_library, library, n_features, all_bits, n_threads
                    )
                    try:
                        self.versions[library], listed = opened.result()
                    except Exception as error:
                        self.leave_out(library, error)
                        continue
                for i, (name, bits, parameters) in enumerate(listed):
                    values = {"name": name, "bits": bits, "parameters": parameters}
                    self.contestants.append(Contestant(process, i, n_threads, values))

    def leave_out(self, name, error):
        self.left_out[name] = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        print(f"  left out: {name}: {self.left_out[name]}", file=sys.stderr, flush=True)

    def each(self, step, at_once=1):
        """Take a step with each contestant; whoever fails is left out from then on."""

        def attempt(contestant):
            try:
                step(contestant)
            except Exception as error:
                self.leave_out("{name}, {bits} bits".format(**contestant.values), error)
                return None
            return contestant

        with ThreadPoolExecutor(at_once) as threads:
            done = list(threads.map(attempt, self.contestants))
        self.contestants = [contestant for contestant in done if contestant]

    def close(self):
        for process in self.processes:
            process.shutdown()


def measure(contest):
    """Hold a contest: everything measured, as JSON takes it."""
    rows, queries = (np.ascontiguousarray(X, np.float32) for X in DATA[contest.data]())
    truth = nearest(rows, queries)
    run = Run(contest)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        np.save(path, rows)

        def fit(contestant):
            seconds, row_bytes, codec_bytes = contestant.ask(worker.fit, path)
            contestant.values |= {
                "fit_s": seconds, "bytes_per_row": row_bytes, "codec_bytes": codec_bytes,
            }  # fmt: skip

        run.enter(rows.shape[1])
        run.each(fit)

    def warm_up(contestant):
        contestant.ask(worker.search, queries[:1], K)
        _, (_, seconds) = contestant.ask(worker.search, queries[:FEWEST], K)
        within = max(FEWEST, int(RECALL * FEWEST / max(seconds, 1e-6)))
        found, (_, seconds) = contestant.ask(worker.search, queries[:within], K)
        n_queries = min(within, len(queries))
        contestant.values |= {
            "recall": None if found is None else recall(found, truth[:n_queries]),
            "n_recall": n_queries,
            "n_queries": min(n_queries, max(FEWEST, int(BATCH * n_queries / max(seconds, 1e-6)))),
        }

    def batch(contestant):
        some = queries[: contestant.values["n_queries"]]
        contestant.rounds.append(contestant.ask(worker.batch, some, K))

    run.each(warm_up, at_once=max(1, (os.cpu_count() or 1) // max(contest.threads)))
    if "batch" in contest.calls:
        for _ in range(contest.rounds):
            run.each(batch)
    if "single" in contest.calls:
        for some in np.array_split(queries, contest.rounds):
            run.each(lambda c, some=some: c.singles.extend(c.ask(worker.single, some, K, SINGLE)))
    run.close()
    return {
        "data": contest.data,
        "shape": rows.shape,
        "threads": contest.threads,
        "machine": processor(),
        "versions": run.versions,
        "left_out": run.left_out,
        "contestants": [summary(contestant) for contestant in run.contestants],
    }


def summary(contestant):
    """Put down a contestant's values; times are pairs, that passed and of the processor."""
    values = contestant.values | {"threads": contestant.threads, "batch_s": contestant.rounds}
    if contestant.singles:
        values["single_s"] = np.median(contestant.singles, axis=0).tolist()
        values["n_singles"] = len(contestant.singles)
    return values


def hold(contests, results_file=None):
    """Hold contests one after the other, and keep what is measured in a file as they go."""
    results = []
    for contest in contests:
        print(f"  {contest}", file=sys.stderr, flush=True)
        results.append(measure(contest))
        if results_file:
            results_file.parent.mkdir(exist_ok=True)
            results_file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def run(contests=DEFAULT, results_file=RESULTS):
    """Hold contests, draw the figures, and give the tables."""
    from search_figures import figures  # slow to import, and so not in every process

    results = hold(contests, results_file)
    figures(results, ROOT / "docs" / "images")
    return tables(results)


def main():
    """Hold the contest of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one small contest")
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=LIBRARIES)
    parser.add_argument("--bits", nargs="+", type=int, default=(1, 2, 4))
    parser.add_argument("--threads", nargs="+", type=int, default=(1,))
    parser.add_argument(
        "--calls", nargs="+", choices=("batch", "single"), default=("batch", "single")
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="file for what was measured")
    given = vars(parser.parse_args())
    quick, data, results_file = (given.pop(name) for name in ("quick", "data", "json"))
    contests = QUICK if quick else [Contest(name, **given) for name in data]
    show(tables(hold(contests, results_file)))


if __name__ == "__main__":
    main()
