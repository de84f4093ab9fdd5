"""Draw the pictures that explain the two papers; nothing is measured.

``bound.svg``: the least error of a product over the rate, and the straight line of time sharing.
``code.svg``: a nested lattice code in the plane, and a vector outside of all its cells.
``water.svg``: bits shared out among singular components by reverse water-filling.

    python benchmarks/illustrations.py
"""

import matplotlib.pyplot as plt
import numpy as np
from datasets import digits
from report import ROOT
from scipy.spatial import Voronoi

from skquant._allocation import reverse_water_fill
from skquant.lattices import A2
from skquant.theory import CRITICAL_RATE, distortion_rate, gamma

FOLDER = ROOT / "docs" / "images"
RATIO = 4  # of the coarse lattice to the fine one


def bound():
    """Draw the bound on products, and what coding all coordinates would give."""
    figure, axes = plt.subplots(figsize=(5, 3.4), layout="constrained")
    rates = np.linspace(0, 2.5, 200)
    every = 2 * 4**-rates - 16**-rates
    axes.plot(rates, every, "C0:", label="all coordinates coded")
    axes.plot(rates, gamma(rates), "C0", label=r"$\Gamma(R)$, both sides compressed")
    axes.plot(rates, distortion_rate(rates), "C1--", label=r"$4^{-R}$, one side compressed")
    axes.plot(CRITICAL_RATE, gamma(CRITICAL_RATE), "ko")
    axes.annotate("$R^*$: below it, fewer coordinates\nare coded, at this rate",
                  (CRITICAL_RATE, gamma(CRITICAL_RATE)), xytext=(1.05, 0.62))  # fmt: skip
    axes.set(xlabel="bits per entry", ylabel="squared error / that of knowing nothing")
    axes.set(xlim=(0, 2.5), ylim=(0, 1.02))
    axes.legend(frameon=False)
    return figure


def code():
    """Draw the words of a nested code, the cells, and how vectors are coded."""
    figure, axes = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
    lattice, (i, j) = A2(), np.mgrid[-9:10, -9:10].reshape(2, -1)
    points = np.stack([i, j], axis=1) @ lattice.generator
    words = points - RATIO * lattice.closest_point((points - 0.01) / RATIO)
    words = np.unique(words.round(9), axis=0)
    for corners in _cells(points):
        axes.fill(*corners.T, facecolor="none", edgecolor="0.85", lw=0.6)
    [coarse] = [c for c in _cells(RATIO * points) if np.linalg.norm(c.mean(axis=0)) < 1e-6]
    axes.fill(*coarse.T, facecolor="C0", alpha=0.08)
    axes.plot(*np.vstack([coarse, coarse[:1]]).T, "C0")
    axes.plot(*words.T, "C0o", ms=4)
    inside, outside = np.array([-1.3, 0.7]), np.array([1.9, 2.35])
    shrunk = outside * next(s for s in np.linspace(1, 0, 400) if _holds(s * outside, lattice))
    for x, seen in ((inside, inside), (outside, shrunk)):
        word = words[np.linalg.norm(words - seen, axis=1).argmin()]
        axes.plot(*x, "kx")
        axes.annotate("", seen, x, arrowprops={"arrowstyle": "-", "ls": ":"})
        axes.annotate("", word, seen, arrowprops={"arrowstyle": "->", "color": "C1"})
    axes.annotate("a vector, and its word", inside, xytext=(-3.3, 3.2),
                  arrowprops={"arrowstyle": "-", "lw": 0.5})  # fmt: skip
    axes.annotate("overload: shrunk\nuntil it is inside", outside, xytext=(1.3, 3.0))
    axes.set(xlim=(-3.4, 3.4), ylim=(-3.1, 3.7), aspect="equal")
    axes.axis("off")
    return figure


def water():
    """Draw the variances of the singular components of the digits, and the level."""
    figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    X = digits()[0]
    variances = np.linalg.svd(X - X.mean(axis=0), compute_uv=False)[:45] ** 2 / len(X)
    level, rates = reverse_water_fill(variances, 1.0 * len(variances))
    places = np.arange(1, len(variances) + 1)
    coded = rates > 0
    axes.bar(places, variances, color=np.where(coded, "C0", "0.8"), width=1)
    axes.axhline(level, color="C1")
    axes.annotate("level: the error of each that is coded", (2, level / 1.9), color="white")
    axes.annotate(r"bits: $\frac{1}{2}\log_2$ of height / level", (12, variances[3]))
    axes.annotate("not coded", (places[~coded][0] - 0.4, level * 1.3))
    axes.set(yscale="log", xlabel="singular component", ylabel="variance", ylim=(level / 12, None))
    return figure


def _cells(points):
    """Give the corners of the bounded Voronoi cells of points."""
    diagram = Voronoi(points)
    regions = (diagram.regions[r] for r in diagram.point_region)
    return [diagram.vertices[r] for r in regions if r and -1 not in r]


def _holds(x, lattice):
    """Tell whether a vector is coded without overload."""
    nearest = lattice.closest_point(x[None])
    return not lattice.closest_point(nearest / RATIO * 0.999).any()


def main():
    """Draw all."""
    plt.rcParams["svg.hashsalt"] = "skquant"  # the same bytes each time
    for draw in (bound, code, water):
        path = FOLDER / f"{draw.__name__}.svg"
        draw().savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
