"""
How many lists to visit
=======================

With ``n_lists`` a search parts the rows into lists around the centroids of k-means, and compares a
query only with the rows in the ``n_probe`` lists whose centroids are nearest. The more lists a
query visits, the more of its neighbours it finds, and the longer it takes.
"""

# %%
# The rows are patches of two photographs, 8 x 8 pixels in three colours, reduced to 48 principal
# components: 40 000 to search and 500 to ask for.

from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images
from sklearn.decomposition import PCA
from sklearn.feature_extraction.image import extract_patches_2d

from skquant import QuantizedNearestNeighbors
from skquant.metrics import probe_recall

patches = [
    extract_patches_2d(image, (8, 8), max_patches=20_250, random_state=0)
    for image in load_sample_images().images
]
X = np.concatenate(patches).reshape(40_500, -1).astype(np.float32)
X = PCA(48, random_state=0).fit_transform(X)
X = np.random.default_rng(0).permutation(X)
rows, queries = X[500:], X[:500]

# %%
# ``n_lists="auto"`` makes twice as many lists as the root of the number of rows. A list holds codes
# of what its rows are from their centroid, which is less than they are from the mean of all, so
# the same bits lose less.

everything = QuantizedNearestNeighbors(10, bits=4, random_state=0).fit(rows)
search = QuantizedNearestNeighbors(10, bits=4, n_lists="auto", random_state=0).fit(rows)
print(search.lists_)
print(f"without lists {everything.codes_.nbytes / 1e6:.2f} MB")

# %%
# :func:`~skquant.metrics.probe_recall` says how much is found for each ``n_probe``, and with what
# share of the rows a query is compared. With the rows themselves at hand it counts what the codes
# miss as well; without them, only what the lists do.

by_lists = probe_recall(search, queries)
in_all = probe_recall(search, queries, rows=rows)
print("n_probe  recall  lists alone  compared")
for line in zip(*in_all.values(), by_lists["recall"], strict=True):
    print("{0:7d}  {1:.3f}   {3:.3f}       {2:7.2%}".format(*line))

# %%
# What that is in time depends on the machine and on how many queries come at once.


def rate(estimator):
    """Give the queries a second, for all in one call."""
    estimator.kneighbors(queries)  # compiles
    start = perf_counter()
    estimator.kneighbors(queries)
    return len(queries) / (perf_counter() - start)


rates = [rate(search.set_params(n_probe=int(n))) for n in in_all["n_probe"]]

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.semilogx(in_all["n_probe"], by_lists["recall"], "o:", color="gray", label="lists alone")
left.semilogx(in_all["n_probe"], in_all["recall"], "o-", color="black", label="lists and codes")
left.set(xlabel="n_probe", ylabel="recall of the 10 nearest")
left.legend(loc="lower right")
right.semilogy(in_all["recall"], rates, "o-", color="black", label="n_lists='auto'")
right.axhline(rate(everything), color="gray", ls=":", label="without lists")
right.set(xlabel="recall of the 10 nearest", ylabel="queries a second")
right.legend(loc="lower left")
for axes in (left, right):
    axes.grid(alpha=0.3)
plt.show()

# %%
# ``n_probe`` is read when a search is made, so it can be set after fitting: here the fewest lists
# that come within one per cent of the recall of all.

enough = in_all["n_probe"][np.argmax(in_all["recall"] >= 0.99 * in_all["recall"][-1])]
search.set_params(n_probe=int(enough))
distances, indices = search.kneighbors(queries)
print(f"n_probe={enough} of {search.lists_.n_lists} lists")
