"""Products of compressed matrices: their error against the bound, and their speed.

"products": rows of 1024 independent N(0, 1) entries, both sides compressed to R bits an entry, row
terms included, with ``center=False, objective="product"``. D is the squared error of the
reconstruction over the squares of the rows. The mean squared error of `A_q @ B_q.T`, of a pair of
rows ‖a‖²‖b‖²/n as unit, stands over Γ(R) (Ordentlich and Polyanskiy, arXiv:2410.13780), and what
`matmul` predicts for it over the error. Speeds are of float32 on one thread. The figure,
docs/images/products.svg, shows the errors beside those of the codes of published_codes.py, whose
rates count no row terms.

"product_speed": products with float32 matrices and with each other, on one thread, against NumPy on
the matrices that were compressed; medians, all in turn.

    python benchmarks/products.py
"""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from datasets import gaussian
from published_codes import published_codes
from report import ROOT, Table, show, time_in_turn, timed
from threadpoolctl import threadpool_limits

from skquant import LatticeQuantizer, matmul
from skquant.theory import gamma

N_FEATURES = 1024
TERM_BITS = 16
RATES = (0.25, 0.5, 0.75, 1, 2, 3, 4)
CODES = [("entropy", name) for name in ("Trellis", "Leech", "E8", "D4", "A2", "Z")]
FIXED_RATES = (1, *(bits + TERM_BITS / N_FEATURES for bits in (2.25, 3.25, 4.25)))
LAYER_RATES = [bits + TERM_BITS / N_FEATURES for bits in (1, 2, 3, 4)]
FIGURE = ROOT / "docs" / "images" / "products.svg"
MARKERS = {"Lloyd-Max": "s", "NestQuant": "D", "hierarchical": "^"}


def measure(coding, lattice, rate, A, B):
    """Measure one code at one rate: a row of the table."""
    quantizer = LatticeQuantizer(
        rate - TERM_BITS / N_FEATURES, lattice=lattice, coding=coding, center=False,
        objective="product", random_state=0,
    ).fit(A)  # fmt: skip
    quantizer.compress(A[:64]).toarray()
    A_q, encode = timed(quantizer.compress, A)
    decoded, decode = timed(A_q.toarray)
    product, std = matmul(A_q, quantizer.compress(B).T, return_std=True)
    unit = np.outer((A**2).sum(axis=1), (B**2).sum(axis=1)) / N_FEATURES
    error = np.mean((product - A @ B.T) ** 2 / unit)
    distortion = np.sum((decoded - A) ** 2) / np.sum(A**2)
    return (
        lattice, coding, A_q.bits_per_entry, distortion, error / gamma(A_q.bits_per_entry),
        np.mean(std**2 / unit) / error, A.nbytes / encode / 1e6, A.nbytes / decode / 1e9,
    )  # fmt: skip


def errors(n_rows):
    """Measure every code at every rate."""
    A, B = np.split(gaussian(2 * n_rows, N_FEATURES), 2)
    runs = [(*code, rate) for code in CODES for rate in RATES]
    runs += [("fixed", "E8", rate) for rate in FIXED_RATES]
    runs += [("hierarchical", "E8", rate) for rate in LAYER_RATES]
    columns = [("lattice", ""), ("coding", ""), ("R", ".4g"), ("D", ".4g")]
    columns += [("error/Γ(R)", ".3f"), ("predicted/error", ".2f")]
    columns += [("compress, MB/s", ".0f"), ("toarray, GB/s", ".2f")]
    return Table("products", columns, [measure(*run, A, B) for run in runs])


def plot(rows, published, path):
    """Draw the errors over the bound, and those of published codes."""
    plt.rcParams["svg.hashsalt"] = "skquant"  # the same bytes for the same numbers
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for lattice, coding in dict.fromkeys(row[:2] for row in rows):
        points = np.array([row[2:5:2] for row in rows if row[:2] == (lattice, coding)])
        axes.plot(*points.T, ".-" if coding == "entropy" else ".:", label=f"{lattice}, {coding}")
    for name, marker in MARKERS.items():
        points = [
            (bits, (2 * d - d**2) / gamma(bits)) for code, bits, d in published if code == name
        ]
        axes.plot(*np.transpose(points), marker, color="0.5", label=f"{name}, published")
    axes.axhline(1, color="k", label="least possible, Γ(R)")
    axes.set(
        xlabel="R, bits per entry, row terms included", ylabel="error of the product over Γ(R)"
    )
    axes.set(xlim=(0, 4.6), ylim=(0.9, 2.7))
    axes.grid(alpha=0.3)
    axes.legend(ncols=2, fontsize="small", loc="upper left")
    figure.savefig(path, metadata={"Date": None})


def speeds(repeats):
    """Time products at 4 bits."""
    A = gaussian(16384, 4096)
    A_q, layers = (
        LatticeQuantizer(4, coding=coding, center=False, random_state=0).fit(A[:64]).compress(A)
        for coding in ("fixed", "hierarchical")
    )
    few, others = slice(2048), slice(2048, 4096)
    v, M = gaussian(1, 4096)[0], gaussian(4096, 256)
    pairs = [
        ("A @ v, 16384 x 4096", partial(np.matmul, A, v), partial(A_q.__matmul__, v)),
        ('A @ v, coding="hierarchical"', partial(np.matmul, A, v), partial(layers.__matmul__, v)),
        ("A @ M, M 4096 x 256", partial(np.matmul, A, M), partial(A_q.__matmul__, M)),
        ("A @ B.T, 2048 x 4096 each", partial(np.matmul, A[few], A[others].T),
         partial(A_q[few].__matmul__, A_q[others].T)),
    ]  # fmt: skip
    with threadpool_limits(1):
        calls = [call for _, *both in pairs for call in both]
        seconds = np.median(time_in_turn(calls, repeats), axis=0)
    results = [
        (name, exact, ours, exact / ours)
        for (name, *_), exact, ours in zip(pairs, seconds[::2], seconds[1::2], strict=True)
    ]
    columns = [("product", ""), ("NumPy, s", ".3f"), ("from codes, s", ".3f")]
    return Table("product_speed", [*columns, ("times NumPy", ".2f")], results)


def run(n_rows=512, repeats=5, figure=FIGURE):
    """Measure errors and speeds, and draw the errors."""
    table = errors(n_rows)
    plot(table.rows, published_codes(), figure)
    return [table, speeds(repeats)]


if __name__ == "__main__":
    show(run())
