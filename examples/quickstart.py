"""
Quickstart: nearest neighbours in compressed form
=================================================

A k-nearest-neighbours classifier keeps all its training rows.
:class:`~skquant.QuantizedKNeighborsClassifier` keeps them as nested-lattice codes instead, at as
many bits per feature as you allow. Here it classifies handwritten digits next to
:class:`~sklearn.neighbors.KNeighborsClassifier`, and a grid search chooses the bits.
"""

# %%
# Digits, half for training. Both classifiers stand at the end of the same pipeline.

from time import perf_counter

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skquant import QuantizedKNeighborsClassifier
from skquant.metrics import bits_scorer, within_bit_budget

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X.astype(np.float32), y, test_size=0.5, stratify=y, random_state=0
)


def neighbors(pipeline):
    """Find the 10 nearest training rows of each test row."""
    return pipeline[-1].kneighbors(pipeline[:-1].transform(X_test), 10, return_distance=False)


def timed(function, *arguments):
    """Call a function: its result, and the milliseconds it took."""
    start = perf_counter()
    result = function(*arguments)
    return result, 1000 * (perf_counter() - start)


# %%
# What the bits cost, and what they save
# --------------------------------------
#
# "true bits" are all that is held for a training row, per feature; "recall" is the share of the ten
# exact neighbours that are found.

exact = make_pipeline(StandardScaler(), KNeighborsClassifier(algorithm="brute"))
candidates = {"floats": exact}
for bits in (1, 2, 3, 4, 6, 8):
    knn = QuantizedKNeighborsClassifier(bits=bits, random_state=0)
    candidates[f"bits={bits}"] = make_pipeline(StandardScaler(), knn).fit(X_train, y_train)
    candidates[f"bits={bits}"].predict(X_test)  # the first call compiles kernels; time the next

print(f"{len(X_train)} training rows of {X.shape[1]} features\n")
print("           accuracy   recall   true bits     bytes   fit, ms   predict, ms")
for name, pipeline in candidates.items():
    _, fit_ms = timed(pipeline.fit, X_train, y_train)
    predicted, predict_ms = timed(pipeline.predict, X_test)
    found, nearest = neighbors(pipeline), neighbors(exact)
    recall = np.mean([np.isin(*rows).mean() for rows in zip(found, nearest, strict=True)])
    true_bits, n_bytes = 32.0, X_train.nbytes
    if pipeline is not exact:
        true_bits, n_bytes = bits_scorer(pipeline, X_test), pipeline[-1].codes_.nbytes
    print(
        f"{name:8}   {np.mean(predicted == y_test):8.4f}   {recall:6.3f}   {true_bits:9.2f}"
        f"   {n_bytes:7,d}   {fit_ms:7.1f}   {predict_ms:11.1f}"
    )

# %%
# Let a grid search choose
# ------------------------
#
# Accuracy alone would choose the most bits; :func:`~skquant.metrics.within_bit_budget` takes the
# best accuracy among the candidates whose true bits stay within a budget.

search = GridSearchCV(
    make_pipeline(StandardScaler(), QuantizedKNeighborsClassifier(random_state=0)),
    {
        "quantizedkneighborsclassifier__bits": [1, 1.5, 2, 2.5, 3, 4],
        "quantizedkneighborsclassifier__n_neighbors": [3, 5],
    },
    scoring={"accuracy": "accuracy", "bits": bits_scorer},
    refit=within_bit_budget(3, score="accuracy"),
    n_jobs=2,
).fit(X_train, y_train)

chosen = search.best_estimator_
print(f"\nBest within 3 bits per feature: {search.best_params_}")
print(
    f"test accuracy {np.mean(chosen.predict(X_test) == y_test):.4f}"
    f" with {bits_scorer(chosen, X_test):.2f} bits per feature,"
    f" {chosen[-1].codes_.nbytes:,} bytes instead of {X_train.nbytes:,}"
)
