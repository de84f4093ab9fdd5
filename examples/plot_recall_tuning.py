"""
Tuning recall
=============

Few bits find most of the nearest rows, and there are three ways to find the rest: more bits, a
rotation that is learned, and measuring candidates again. Each costs something else: memory, the
time to fit, the time to search. Here they are held against each other, on digits that stand for
embeddings: 64 numbers each, related to one another.
"""

# %%
# Queries must not be among the rows, or each would find itself.

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skquant import (
    LatticeQuantizer,
    QuantizedNearestNeighbors,
    RecallDisplay,
    compression_report,
)

X = np.random.default_rng(0).permutation(load_digits().data.astype(np.float32))
queries, rows = X[:300], X[300:]

# %%
# Bits and rotation
# -----------------
#
# :class:`~skquant.RecallDisplay` fits a search for each value of a parameter. The learned rotation
# is worth about a bit here: the same recall with one bit less.

figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for rotation, style in {"hadamard": "o:", "pca": "s-"}.items():
    quantizer = LatticeQuantizer(rotation=rotation, random_state=0)
    RecallDisplay.from_estimator(
        QuantizedNearestNeighbors(quantizer=quantizer),
        rows,
        queries,
        param_name="quantizer__bits",
        param_range=[0.5, 1, 1.5, 2, 3, 4],
        name=f'rotation="{rotation}"',
        ax=axes,
        color="C0" if rotation == "hadamard" else "C1",
        ls=style[1:],
        marker=style[0],
    )
axes.set(xlabel="bits per feature, row terms included", ylim=(0.4, 1.02))
axes.grid(alpha=0.3)

# %%
# Candidates measured again
# -------------------------
#
# With the rows in a file, a few candidates for each neighbour are read and measured exactly. That
# takes time and no memory. Left: one bit and two, with more and more candidates. A handful of them
# is enough. Right: the same searches over the time of a query.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
with TemporaryDirectory() as folder:
    path = Path(folder) / "rows.npy"
    np.save(path, rows)
    for bits in (1, 2):
        search = QuantizedNearestNeighbors(rescore_source=path, bits=bits, random_state=0)
        candidates = [1, 2, 3, 5, 10]
        display = RecallDisplay.from_estimator(
            search,
            rows,
            queries,
            param_name="rescore",
            param_range=candidates,
            against="time",
            name=f"bits={bits}",
            ax=right,
        )
        left.plot(candidates, display.recall, "o-", label=f"bits={bits}")
left.set(xlabel="rescore: candidates for each neighbour", ylabel="Recall of the 10 nearest")
right.set(ylabel="", xlabel="seconds per query; points say how many candidates")
left.legend()
for axes in (left, right):
    axes.grid(alpha=0.3)

# %%
# What it costs
# -------------
#
# A report of the choice: bits, bytes, error, and recall of rows among the others. The error is that
# of the codes alone.

with TemporaryDirectory() as folder:
    path = Path(folder) / "rows.npy"
    np.save(path, rows)
    quantizer = LatticeQuantizer(2, rotation="pca", random_state=0)
    search = QuantizedNearestNeighbors(quantizer=quantizer, rescore=3, rescore_source=path)
    print(compression_report(search.fit(rows), rows))
plt.show()
