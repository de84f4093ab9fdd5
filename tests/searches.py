"""Rows and queries for the neighbour estimators, and all distances, exact and estimated."""

import numpy as np
from sklearn.datasets import load_digits, make_classification
from sklearn.neighbors import NearestNeighbors

METRICS = ["euclidean", "sqeuclidean", "cosine", "inner_product"]
EXACT_METRICS = ["euclidean", "sqeuclidean", "cosine"]


def digits_split(n_rows):
    """Images of digits and their labels, and those of the queries."""
    X, y = load_digits(return_X_y=True)
    return X[:n_rows], y[:n_rows], X[n_rows:], y[n_rows:]


def overlapping_classes():
    """Rows around a centre that is not zero, queries, and overlapping classes."""
    X, y = make_classification(
        n_samples=500, n_features=37, n_informative=20, n_classes=4, random_state=0
    )
    X += 1.5
    return X[:400], y[:400], X[400:], y[400:]


def exact_distances(queries, X, metric):
    if metric == "inner_product":
        return -queries @ X.T
    exact = NearestNeighbors(n_neighbors=len(X), metric=metric, algorithm="brute").fit(X)
    distances, indices = exact.kneighbors(queries)
    by_row = np.empty_like(distances)
    np.put_along_axis(by_row, indices, distances, axis=1)
    return by_row


def estimated_distances(knn, queries):
    distances, indices = knn.kneighbors(queries, n_neighbors=knn.n_samples_fit_)
    by_row = np.empty_like(distances)
    np.put_along_axis(by_row, indices, distances, axis=1)
    return by_row
