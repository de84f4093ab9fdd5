"""Exact neighbours in blocks, beside scikit-learn's and plain products."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from skquant import _exact_neighbors
from skquant._exact_neighbors import exact_neighbors, nearest_in_blocks

rng = np.random.default_rng(0)
X, queries = rng.standard_normal((100, 5)), rng.standard_normal((7, 5))


@pytest.fixture(params=[35, 2**22])
def block_floats(request, monkeypatch):
    monkeypatch.setattr(_exact_neighbors, "_BLOCK_FLOATS", request.param)


@pytest.mark.parametrize("k", [1, 4, 100])
@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine"])
def test_neighbours_are_those_of_scikit_learn(metric, k, block_floats):
    search = NearestNeighbors(n_neighbors=k, metric=metric, algorithm="brute").fit(X)
    expected = search.kneighbors(queries, return_distance=False)
    np.testing.assert_array_equal(exact_neighbors(X, queries, k, metric), expected)


def test_largest_products(block_floats):
    expected = np.argsort(-(queries @ X.T), axis=1)[:, :6]
    np.testing.assert_array_equal(exact_neighbors(X, queries, 6, "inner_product"), expected)


def test_ties_go_to_the_first_rows(block_floats):
    found = exact_neighbors(np.ones((30, 5)), queries, 3, "euclidean")
    np.testing.assert_array_equal(found, np.tile([0, 1, 2], (7, 1)))


def test_squares_of_small_integers_do_not_overflow():
    small = rng.integers(-128, 128, size=(50, 300)).astype(np.int8)
    expected = exact_neighbors(small.astype(float), small.astype(float), 4, "euclidean")
    np.testing.assert_array_equal(exact_neighbors(small, small, 4, "euclidean"), expected)


def test_blocks_may_come_in_any_order():
    order = rng.permutation(100)
    blocks = [(order[i : i + 9], X[order[i : i + 9]]) for i in range(0, 100, 9)]
    expected = exact_neighbors(X, queries, 5, "euclidean")
    np.testing.assert_array_equal(nearest_in_blocks(blocks, queries, 5, "euclidean"), expected)
