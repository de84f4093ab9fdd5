"""
A nested-lattice code in pictures
=================================

How two numbers become a few bits, with the hexagonal lattice A2. Blocks of eight numbers and the
lattice E8, the default of :class:`~skquant.LatticeQuantizer`, work the same way.
"""

# %%
# The codebook
# ------------
#
# A point x goes to the nearest lattice point t, the centre of its **Voronoi cell**. Of t only the
# remainders of its two coordinates modulo q are kept: q² names, which repeat all over the plane.
# Reading a name back, the decoder takes the one point of that name in the big cell, q times a
# Voronoi cell, which is shifted a little so that no point lies on its edge. These points, the
# **coset leaders**, are the codebook.

import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial import Voronoi, voronoi_plot_2d

from skquant.lattices import A2

lattice, q = A2(), 4
basis, shift = lattice.generator, lattice.generic_point


def remainders(t):
    """Name lattice points."""
    return np.rint(t @ np.linalg.inv(basis)) % q


def leader(names):
    """Find the points of these names in the big cell."""
    t = names @ basis
    return t - q * lattice.closest_point((t - shift) / q)


def is_leader(t):
    """Tell which lattice points are in the codebook."""
    return np.isclose(leader(remainders(t)), t).all(axis=1)


plane = (np.indices((15, 15)).reshape(2, -1).T - 7) @ basis
angles = np.pi / 6 + np.pi / 3 * np.arange(7)
cell = shift + q / np.sqrt(3) * np.column_stack([np.cos(angles), np.sin(angles)])

_, axes = plt.subplots(figsize=(5, 5))
voronoi_plot_2d(Voronoi(plane), axes, show_points=False, show_vertices=False, line_colors="0.8")
for t, name, inside in zip(plane, remainders(plane), is_leader(plane), strict=True):
    style = {"color": "C0", "weight": "bold"} if inside else {"color": "0.7"}
    axes.text(*t, "{:.0f}{:.0f}".format(*name), ha="center", va="center", clip_on=True, **style)
axes.plot(*cell.T, "C0", lw=2)
axes.set(title=f"{q * q} names and the codebook", xlim=(-4, 4), ylim=(-4, 4), aspect="equal")

# %%
# A union of scales
# -----------------
#
# One scale has to choose between fine cells and a codebook wide enough for rare large points. So a
# few scales stand ready. Each point takes the one that serves it best, and says so in its code.

leaders = leader(np.indices((q, q)).reshape(2, -1).T)
centre = leaders.mean(axis=0)  # what the leaders have in common is subtracted


def decoded(x, scale):
    """Quantize at a scale and read back."""
    t = lattice.closest_point(x / scale + centre)
    return scale * (leader(remainders(t)) - centre)


x = np.random.default_rng(0).standard_normal((100_000, 2))
scales = (0.6, 1.0, 1.6)
errors = np.array([np.mean((x - decoded(x, scale)) ** 2, axis=1) for scale in scales])
best = errors.argmin(axis=0)
print(f"mean squared error by scale: {errors.mean(axis=1).round(3)}")
print(f"with the best scale for each point: {errors.min(axis=0).mean():.3f}")

_, axes = plt.subplots(figsize=(5, 5))
for k in (2, 1, 0):
    axes.plot(*x[:1500][best[:1500] == k].T, ".", ms=3, alpha=0.4, color=f"C{k}")
    axes.plot(*(scales[k] * (leaders - centre)).T, "o", color=f"C{k}", label=f"scale {scales[k]}")
axes.set(title="The points that choose each scale", xlim=(-5, 5), ylim=(-5, 5), aspect="equal")
axes.legend()

# %%
# Overload: project, do not wrap
# ------------------------------
#
# A point beyond the widest codebook has a name too, but read back it lands on the other side: it
# **wraps**. The encoder of skquant notices, and shrinks the point along its ray until it fits.


def projected(x, scale):
    """Shrink a point until it fits, by bisection."""
    fits, too_far = 0.0, 1.0
    for _ in range(20):
        shrink = (fits + too_far) / 2
        t = lattice.closest_point(shrink * x / scale + centre)
        fits, too_far = (shrink, too_far) if is_leader(t).all() else (fits, shrink)
    return decoded(fits * x, scale)


_, axes = plt.subplots(figsize=(5, 5))
axes.plot(*(leaders - centre).T, "o")
axes.plot(*(cell - centre).T, "C0", lw=2)
for far in np.array([[[3.1, 1.2]], [[-0.6, 3.3]], [[-2.7, -2.2]]]):
    axes.plot(*far.T, "kx")
    axes.plot(*np.vstack([far, decoded(far, 1)]).T, "C3", label="wrapped")
    axes.plot(*np.vstack([far, projected(far, 1)]).T, "C2", label="projected")
axes.set(title="Overload", xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
axes.legend(*[handles[:2] for handles in axes.get_legend_handles_labels()])
plt.show()
