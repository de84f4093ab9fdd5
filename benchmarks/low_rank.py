"""Low rank, low precision: error, accuracy and time of all methods, in the same run.

Every method gets the same budget, in bits per entry of the matrix, everything counted; "bits" is
what skquant's own methods take of it. Errors are relative Frobenius errors. NQ rounds the entries
themselves over one range, in whole bits. LPLR, LSVD and DSVD, the methods of the LPLR paper, take
numbers of 8 bits; CALDERA is described in caldera.py. "rows" is a `LatticeQuantizer`, which has no
rank. "fixed" and "entropy" are the default method with each `coding`.

    python benchmarks/low_rank.py                   # all
    python benchmarks/low_rank.py camera phantom    # the errors of these matrices only
"""

import sys
from functools import partial
from time import process_time

import matplotlib.pyplot as plt
import numpy as np
from caldera import caldera
from datasets import camera, fashion_mnist, feed_forward, phantom
from report import ROOT, Table, show
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.extmath import randomized_svd

from skquant import LatticeQuantizer, LowRankLowPrecisionCompressor
from skquant.published import affine_correction, lplr, naive_quantization

N_TRAIN, N_TEST = 20_000, 5_000
FIGURE = ROOT / "docs" / "images" / "low_rank.svg"


def fashion():
    """Load training images of Fashion-MNIST, 20 000 x 784."""
    return fashion_mnist()[0][:N_TRAIN]


MATRICES = {
    "camera": (camera, (0.5, 1, 2, 4)),
    "phantom": (phantom, (0.5, 1, 2, 4)),
    "FFN": (feed_forward, (0.5, 1, 2, 4)),
    "Fashion-MNIST": (fashion, (0.25, 0.5, 1, 2)),
}


def low_rank(**parameters):
    """Make a method: a matrix and a budget give a reconstruction and its true bits."""

    def compress(X, budget):
        compressor = LowRankLowPrecisionCompressor(
            bit_budget=budget, random_state=0, **parameters
        ).fit(X)
        matrix = compressor.compress(X)
        return matrix.toarray(), matrix.bits_per_entry

    return compress


def rows_alone(X, budget):
    """Compress rows, with or without their means, at the bits that row terms leave to the codes."""
    found = []
    for center in (False, "rows"):
        quantizer = LatticeQuantizer(budget, center=center, random_state=0).fit(X)
        bits = 2 * budget - quantizer.bits_per_feature_
        codes = quantizer.set_params(bits=bits).fit(X).compress(X)
        found.append((codes.toarray(), codes.bits_per_entry))
    return min(found, key=lambda result: np.linalg.norm(X - result[0]))


METHODS = {
    "NQ": lambda X, budget: (naive_quantization(X, budget), budget),
    "rows": rows_alone,
    "LPLR": low_rank(method="lplr"),
    "LSVD": low_rank(method="lsvd"),
    "DSVD": low_rank(method="dsvd"),
    "CALDERA": lambda X, budget: (caldera(X, budget), budget),
    "fixed": low_rank(),
    "entropy": low_rank(coding="entropy"),
}
OURS = ("fixed", "entropy")
SWEPT = {"LPLR": {"method": "lplr"}, "fixed": {}, "entropy": {"coding": "entropy"}}
SWEEPS = {
    "rank, of 6 bits": [{"rank": rank, "bits": 6} for rank in (4, 8, 16, 32, 64)],
    "bits, of rank 32": [{"rank": 32, "bits": bits} for bits in (1, 2, 3, 4, 6, 8, 12)],
}
STYLES = {
    "rows": {"ls": ":", "label": "LatticeQuantizer"},
    "LPLR": {"ls": ":"},
    "DSVD": {"ls": ":"},
    "CALDERA": {"ls": ":", "label": "CALDERA-like"},
    "fixed": {"color": "black", "lw": 2, "label": 'skquant, "fixed"'},
    "entropy": {"color": "black", "lw": 2, "ls": "--", "label": 'skquant, "entropy"'},
}


def measure(name, judge=None):
    """Compress a matrix by every method at every budget.

    Parameters
    ----------
    name : str
        Of `MATRICES`.
    judge : callable, default=None
        Takes a reconstruction and gives another measure of it.

    Returns
    -------
    dict
        For a budget and a method: error, bits, and what `judge` gives.
    """
    load, budgets = MATRICES[name]
    X, measured = load(), {}
    for budget in budgets:
        for method, compress in METHODS.items():
            if method == "NQ" and budget < 1:
                continue
            reconstruction, bits = compress(X, budget)
            error = np.linalg.norm(X - reconstruction) / np.linalg.norm(X)
            other = judge(reconstruction) if judge else None
            measured[budget, method] = error, bits, other
            print(name, budget, method, f"{error:.4f} {bits:.3f}", other, flush=True)
    return measured


def error_table(results):
    """Lay out the errors of all matrices, a line for each budget."""
    columns = [("matrix", ""), ("budget", "g")] + [(method, ">6") for method in METHODS]
    columns[-1:-1] = [("bits", ".3f")]
    columns += [("bits", ".3f")]
    lines = []
    for name, measured in results.items():
        for budget in MATRICES[name][1]:
            line = [name, budget]
            for method in METHODS:
                error, bits, _ = measured.get((budget, method), (None,) * 3)
                line.append("–" if error is None else f"{error:.4f}")
                line += [bits] if method in OURS else []
            lines.append(tuple(line))
    return Table("low_rank", columns, lines)


def plot(results, path):
    """Draw error against bits, a panel for each matrix."""
    plt.rcParams["svg.hashsalt"] = "skquant"  # the same bytes for the same numbers
    size = (3 * len(results), 3.4)
    figure, panels = plt.subplots(
        1, len(results), figsize=size, layout="constrained", squeeze=False
    )
    for axes, (name, measured) in zip(panels[0], results.items(), strict=True):
        for method, style in STYLES.items():
            points = [(b, values[0]) for (b, m), values in measured.items() if m == method]
            axes.loglog(*np.transpose(points), marker="o", ms=4, **{"label": method, **style})
        budgets = MATRICES[name][1]
        axes.set(title=name, xlabel="bits per entry", xticks=budgets, xticklabels=budgets)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[0, 0].set_ylabel("relative error")
    panels[0, 0].legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None})


class Accuracy:
    """Classify test images by 3 nearest neighbours among compressed training images."""

    def __init__(self):
        _, y_train, X_test, y_test = fashion_mnist()
        self.y_train, self.test = y_train[:N_TRAIN], (X_test[:N_TEST], y_test[:N_TEST])

    def __call__(self, rows):
        knn = KNeighborsClassifier(3, algorithm="brute").fit(rows, self.y_train)
        return 100 * knn.score(*self.test)


def accuracy_table(measured, exact):
    """Lay out the accuracies among compressed images, a line for each budget."""
    methods = [method for method in METHODS if method != "NQ"]
    budgets = MATRICES["Fashion-MNIST"][1]
    lines = [(f"{b:g}", *(measured[b, m][-1] for m in methods)) for b in budgets]
    lines.append(("floats", *[exact] * len(methods)))
    return Table("low_rank_neighbours", [("budget", ""), *((m, ".1f") for m in methods)], lines)


def monotone(results):
    """Sweep budget, rank and bits, and find the largest ratio of an error to the one before.

    Budgets are those of the results at hand. The published method is there to compare.
    """
    lines = []
    for name, measured in results.items():
        load, budgets = MATRICES[name]
        X = load()
        for method in SWEPT:
            sweeps = {"bit budget": [measured[budget, method][0] for budget in budgets]}
            for sweep, steps in SWEEPS.items():
                sweeps[sweep] = [fit_error(X, **SWEPT[method], **step) for step in steps]
            for sweep, errors in sweeps.items():
                growth = np.max(np.divide(errors[1:], errors[:-1]))
                lines.append((name, method, sweep, len(errors), errors[0], errors[-1], growth))
                print(*lines[-1], flush=True)
    columns = [("matrix", ""), ("method", ""), ("sweep", ""), ("steps", "d")]
    columns += [("first error", ".4f"), ("last", ".4f"), ("largest ratio of successive", ".4f")]
    return Table("low_rank_monotone", columns, lines)


def fit_error(X, **parameters):
    """Fit, and tell the error."""
    return LowRankLowPrecisionCompressor(random_state=0, **parameters).fit(X).reconstruction_err_


def published(seeds=range(6)):
    """Repeat the phantom experiment of the LPLR paper, its affine correction included."""
    X, lines = phantom(), []
    for bits, basis_bits, rank, least, most in (
        (8, 4, 83, 0.295, 0.343),
        (8, 4, 166, 0.28, 0.32),
        (4, 8, 83, 0.2397, 0.2397),
    ):
        errors = []
        for seed in seeds:
            product = lplr(X, rank, bits, basis_bits, random_state=seed).toarray()
            scale, shift = affine_correction(X, product)
            errors.append(np.linalg.norm(X - scale * product - shift) / np.linalg.norm(X))
        lines.append((bits, basis_bits, rank, least, most, min(errors), max(errors)))
    columns = [("B", "d"), ("B'", "d"), ("rank", "d"), ("paper: least", ".3f"), ("most", ".3f")]
    columns += [("here: least", ".3f"), ("most", ".3f")]
    return Table("low_rank_published", columns, lines)


def times(repeats=3):
    """Time fits beside scikit-learn's randomised decomposition of the same rank."""
    X, lines = fashion(), []
    settings = {method: {"method": method} for method in ("lplr", "lsvd", "dsvd")}
    settings |= {coding: {"coding": coding} for coding in OURS}
    for rank in (32, 128):
        functions = [partial(randomized_svd, X, rank, random_state=0)]
        functions += [partial(fit_error, X, rank=rank, **settings[name]) for name in settings]
        rounds = [[processor_seconds(f) for f in functions] for _ in range(repeats + 1)]
        seconds = np.min(rounds[1:], axis=0)  # the first compiles
        names = ["randomized_svd", *settings]
        lines += zip([rank] * len(names), names, seconds, seconds / seconds[0], strict=True)
    columns = [("rank", "d"), ("20 000 x 784", ""), ("s", ".2f"), ("ratio", ".2f")]
    return Table("low_rank_time", columns, lines)


def processor_seconds(function):
    """Call a function, and tell the time of the processor that it took."""
    start = process_time()
    function()
    return process_time() - start


def run(names=None, figure=FIGURE):
    """Measure everything, or the errors of some matrices only."""
    if names:
        return [error_table({name: measure(name) for name in names})]
    accuracy = Accuracy()
    judges = {"Fashion-MNIST": accuracy}
    tables = [published(), times()]
    results = {name: measure(name, judges.get(name)) for name in MATRICES}
    plot(results, figure)
    accuracies = accuracy_table(results["Fashion-MNIST"], accuracy(fashion()))
    return [error_table(results), *tables, accuracies, monotone(results)]


if __name__ == "__main__":
    show(run(sys.argv[1:]))
