"""Products of two compressed Gaussian matrices against the bound, and the speed of entropy coding.

Rows of 1024 independent N(0, 1) entries, both sides compressed to R bits an entry, of which 16 bits
a row are left for row terms. D is the squared error of the least-squares reconstruction over the
squares of the rows, and "product" the mean squared error of `A_q @ B_q.T`, each entry over
‖a‖²‖b‖²/n, divided by Γ(R) (Ordentlich and Polyanskiy, arXiv:2410.13780). Where the bits do not pay
for all coordinates, the same random share of both sides is coded. Speeds are of float32 on one
thread: encoding with the search for the gains, and decoding.

    python benchmarks/products.py
"""

from dataclasses import dataclass

import numpy as np
from datasets import gaussian
from report import Table, show, timed

from skquant._entropy_code import EntropyRowCode, switching_rate
from skquant._panels import empty_panels, put_rows, take_rows
from skquant.theory import gamma

N_FEATURES = 1024
TERM_BYTES = 2
RATES = (0.25, 0.5, 0.75, 1, 2, 3, 4)
LATTICES = ("Trellis", "Leech", "E8", "D4", "A2", "Z")


@dataclass
class Side:
    """What became of one matrix: its reconstruction, and the seconds it took."""

    rows: np.ndarray
    encode: float
    decode: float


def compress(row_code, rows, kept):
    """Encode the kept coordinates of rows and decode them again."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    panels = empty_panels(len(rows), len(kept))
    put_rows((rows / norms * np.sqrt(N_FEATURES))[:, kept].astype(np.float32), panels)
    codes = np.zeros((len(rows), row_code.n_bytes), np.uint8)
    moments, encode = timed(row_code.encode, panels, codes)
    _, decode = timed(row_code.decode, codes, panels)
    decoded = np.zeros(rows.shape)
    decoded[:, kept] = take_rows(panels, len(rows))
    decoded *= (moments[:, :1] / moments[:, 1:]) * norms / np.sqrt(N_FEATURES)
    return Side(decoded, encode, decode)


def measure(lattice, rate, a, b):
    """Measure one code at one rate: a row of the table."""
    n_bytes = int(rate * N_FEATURES) // 8 - TERM_BYTES
    n_kept = min(N_FEATURES, round(8 * n_bytes / switching_rate(lattice)))
    kept = np.sort(np.random.default_rng(0).permutation(N_FEATURES)[:n_kept])
    row_code = EntropyRowCode.choose(lattice, n_kept, n_bytes)
    sides = [compress(row_code, rows, kept) for rows in (a, b)]
    squares = np.outer((a**2).sum(axis=1), (b**2).sum(axis=1)) / N_FEATURES
    error = np.mean((sides[0].rows @ sides[1].rows.T - a @ b.T) ** 2 / squares)
    distortion = np.mean((sides[0].rows - a) ** 2) / np.mean(a**2)
    speeds = [4e-6 * len(a) * n_kept / s for s in (sides[1].encode, sides[1].decode)]
    return lattice, rate, n_kept, distortion, error, error / gamma(rate), *speeds


def run(n_rows=1024):
    """Measure every code at every rate."""
    a, b = (gaussian(n_rows, N_FEATURES, seed=seed).astype(float) for seed in (0, 1))
    rows = [measure(lattice, rate, a, b) for lattice in LATTICES for rate in RATES]
    columns = [("lattice", ""), ("R", "g"), ("coordinates", "d"), ("D", ".4g"), ("error", ".4g")]
    columns += [("error / Γ(R)", ".3f"), ("encode, MB/s", ".0f"), ("decode, MB/s", ".0f")]
    return [Table("products", columns, rows)]


if __name__ == "__main__":
    show(run())
