"""
Maps and clusters from a compressed graph
=========================================

TSNE, Isomap and DBSCAN do not need the rows, only who is near to whom and how near. They take a
sparse graph of neighbours with ``metric="precomputed"``, and
:class:`~skquant.QuantizedKNeighborsTransformer` makes one from rows of a few bits. How much of the
map is left at one bit, or two, or four?
"""

# %%
# A thousand digits, 64 pixels each. The graph of the floats comes from scikit-learn's transformer,
# the others from codes; "kept" is the share of the true 30 neighbours that a graph has.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import DBSCAN
from sklearn.datasets import load_digits
from sklearn.manifold import TSNE, Isomap
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsTransformer

from skquant import QuantizedKNeighborsTransformer

X, y = (rows[:1000] for rows in load_digits(return_X_y=True))
N_NEIGHBORS = 30
graphs = {"floats": KNeighborsTransformer(n_neighbors=N_NEIGHBORS).fit_transform(X)}
for bits in (1, 2, 4):
    transformer = QuantizedKNeighborsTransformer(N_NEIGHBORS, bits=bits, random_state=0)
    graphs[f"{bits} bit{'s'[: bits > 1]}"] = transformer.fit_transform(X)

exact = graphs["floats"].indices.reshape(len(X), -1)
for name, graph in graphs.items():
    found = graph.indices.reshape(len(X), -1)
    kept = np.mean([np.isin(*rows).mean() for rows in zip(found, exact, strict=True)])
    print(f"{name:7} kept {kept:.3f}")

# %%
# A map by TSNE of each graph. The number in a title is the accuracy of the nearest neighbour in
# the plane, each digit judged by the others.

figure, panels = plt.subplots(1, 4, figsize=(12, 3.3), layout="constrained")
for axes, (name, graph) in zip(panels, graphs.items(), strict=True):
    tsne = TSNE(perplexity=9, metric="precomputed", init="random", random_state=0)
    plane = tsne.fit_transform(graph)
    accuracy = KNeighborsClassifier(1).fit(plane, y).score(None, y)
    axes.scatter(*plane.T, c=y, s=2, cmap="tab10")
    axes.set(title=f"{name}, {accuracy:.3f}", xticks=[], yticks=[])

# %%
# Distances matter as well as order. Isomap adds them up along paths, where errors average out;
# DBSCAN compares each with its ``eps``, so it needs more bits for the same clusters.

maps = {name: Isomap(n_neighbors=10, metric="precomputed").fit_transform(graph)
        for name, graph in graphs.items()}  # fmt: skip
clusters = {name: DBSCAN(eps=21, min_samples=10, metric="precomputed").fit_predict(graph)
            for name, graph in graphs.items()}  # fmt: skip
for name in graphs:
    correlation = abs(np.corrcoef(maps[name][:, 0], maps["floats"][:, 0])[0, 1])
    print(
        f"{name:7} first axis of Isomap: correlation with that of the floats {correlation:.3f}, "
        f"DBSCAN: {clusters[name].max() + 1:2} clusters, "
        f"adjusted Rand index with those of the floats "
        f"{adjusted_rand_score(clusters['floats'], clusters[name]):.3f}"
    )
plt.show()
