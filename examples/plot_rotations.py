"""
Which rotation
==============

A random rotation makes all coordinates alike, and each gets the same bits. A learned one keeps what
makes them differ: principal axes, of which the strong ones get more bits than the weak ones. What
that is worth depends on the data. Here are handwritten digits, whose pixels go together, and noise,
whose entries do not.
"""

# %%
# Both are searched for the ten nearest of some rows that are not among those compressed. The bits
# are those of the rows with all row terms; the matrix of the learned rotation, which all rows
# share, comes on top and is printed beside them.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors

from skquant import LatticeQuantizer, QuantizedKNeighborsClassifier

N_QUERIES = 300
BITS = (0.5, 1, 1.5, 2, 3, 4)
rng = np.random.default_rng(0)
digits = rng.permutation(load_digits().data)
noise = rng.standard_normal(digits.shape)


def recalls(X, queries, rotation):
    """Give true bits and recall of the 10 nearest, for several bits."""
    exact = NearestNeighbors(n_neighbors=10).fit(X).kneighbors(queries, return_distance=False)
    points = []
    for bits in BITS:
        quantizer = LatticeQuantizer(bits, rotation=rotation, random_state=0)
        knn = QuantizedKNeighborsClassifier(10, quantizer=quantizer).fit(X, np.zeros(len(X)))
        found = knn.kneighbors(queries, return_distance=False)
        recall = np.mean([np.isin(*rows).mean() for rows in zip(found, exact, strict=True)])
        codes = knn.codes_
        codec = codes.nbytes - codes.bits_per_entry * codes.shape[0] * codes.shape[1] / 8
        points.append((codes.bits_per_entry, recall))
        print(f"{rotation:<9} bits={bits:<4} recall {recall:.3f}   codec {codec / 1e3:5.1f} kB")
    return np.array(points).T


figure, panels = plt.subplots(1, 2, figsize=(8, 3.5), sharey=True, layout="constrained")
for axes, (name, X) in zip(panels, {"digits": digits, "noise": noise}.items(), strict=True):
    print(name)
    for rotation, style in {"hadamard": "o:", "pca": "s-"}.items():
        curve = recalls(X[N_QUERIES:], X[:N_QUERIES], rotation)
        axes.plot(*curve, style, label=f'rotation="{rotation}"')
    axes.set(title=name, xlabel="bits per feature, row terms included", ylim=(0, 1))
    axes.grid(alpha=0.3)
panels[0].set_ylabel("recall of the 10 nearest")
panels[0].legend(loc="lower right")

# %%
# ``rotation="auto"`` finds out on rows that it holds back.

for name, X in {"digits": digits, "noise": noise}.items():
    print(name, LatticeQuantizer(2, rotation="auto", random_state=0).fit(X).rotation_)
plt.show()
