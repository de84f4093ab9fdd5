"""Inverted lists: what a search in them finds."""

import numpy as np
import pytest
from list_searches import N_LISTS, clustered_rows, estimates, make, visited
from searches import METRICS
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import gen_batches

from skquant import (
    LatticeQuantizer,
    QuantizedKNeighborsClassifier,
    QuantizedKNeighborsRegressor,
    QuantizedKNeighborsTransformer,
    QuantizedNearestNeighbors,
)
from skquant._neighbors import _list_search
from skquant.metrics import probe_recall


@pytest.fixture(scope="module")
def data():
    return clustered_rows()


# Estimates


@pytest.mark.parametrize("metric", METRICS)
def test_all_lists_give_the_least_estimates_of_all_rows(data, metric):
    X, queries = data
    search = make(X, metric=metric)
    expected = estimates(search, queries)
    distances, indices = search.kneighbors(queries)
    scale = np.median(np.abs(expected))
    np.testing.assert_allclose(distances, np.sort(expected)[:, :5], atol=0.02 * scale)
    np.testing.assert_allclose(
        distances, np.take_along_axis(expected, indices, axis=1), atol=0.02 * scale
    )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_probe", [1, 3, N_LISTS - 1])
def test_a_search_is_that_of_all_lists_among_the_rows_that_are_visited(data, metric, n_probe):
    X, queries = data
    search = make(X, metric=metric)
    every, rows = search.kneighbors(queries, len(X))
    inside = visited(search, queries, n_probe)
    distances, indices = search.set_params(n_probe=n_probe).kneighbors(queries)
    for i in range(len(queries)):
        if inside[i].sum() >= 5:
            kept = inside[i][rows[i]]
            np.testing.assert_array_equal(indices[i], rows[i][kept][:5])
            np.testing.assert_array_equal(distances[i], every[i][kept][:5])


def test_more_lists_find_more_of_what_all_find(data):
    X, queries = data
    search = make(X)
    reports = probe_recall(search, queries, n_probes=range(1, N_LISTS + 1))
    assert (np.diff(reports["recall"]) >= 0).all() and (np.diff(reports["scanned"]) > 0).all()
    assert reports["recall"][0] < 0.95
    assert reports["recall"][-1] == reports["scanned"][-1] == 1


@pytest.mark.parametrize("metric", METRICS)
def test_recall(data, metric):
    X, queries = data
    report = probe_recall(make(X, metric=metric), queries, rows=X, n_probes=[1, 6, 50])
    assert report["recall"][2] > 0.88 and report["recall"][1] > report["recall"][0]
    if metric == "inner_product":
        truth = np.argsort(-queries @ X.T)[:, :5]
    else:
        truth = NearestNeighbors(n_neighbors=5, metric=metric, algorithm="brute").fit(X)
        truth = truth.kneighbors(queries, return_distance=False)
    found = make(X, metric=metric).kneighbors(queries, return_distance=False)
    recall = np.mean([np.isin(*pair).mean() for pair in zip(truth, found, strict=True)])
    assert report["recall"][2] == pytest.approx(recall)


def test_residuals_are_smaller_than_rows(data):
    X, _ = data
    error = np.square(make(X, bits=3).lists_.take(np.arange(len(X))) - X).mean()
    quantizer = LatticeQuantizer(bits=3, random_state=0).fit(X)
    assert error < 0.85 * np.square(quantizer.transform(X) - X).mean()


@pytest.mark.parametrize("metric", ["euclidean", "inner_product"])
def test_results_depend_on_nothing_else(data, metric, monkeypatch):
    X, queries = data
    search = make(X, metric=metric, n_probe=3)
    expected = search.kneighbors(queries)
    parts = [search.kneighbors(queries[b]) for b in gen_batches(len(queries), 7)]
    threaded = search.set_params(n_jobs=3).kneighbors(queries)
    monkeypatch.setattr(_list_search, "PANEL_FLOATS", 1)  # a tile at a time
    monkeypatch.setattr(_list_search, "QUERY_FLOATS", 1)
    tiny = search.kneighbors(queries)
    for i in (0, 1):
        np.testing.assert_array_equal(np.concatenate([p[i] for p in parts]), expected[i])
        np.testing.assert_array_equal(threaded[i], expected[i])
        np.testing.assert_array_equal(tiny[i], expected[i])


@pytest.mark.parametrize(
    "quantizer",
    [
        LatticeQuantizer(bits=5, rotation="pca"),
        LatticeQuantizer(bits=2, lattice="D4", rotation="orthogonal"),
        LatticeQuantizer(bits=9, rotation=None),
        LatticeQuantizer(bits=3, coding="entropy"),
        LatticeQuantizer(bits=3, coding="hierarchical"),
        LatticeQuantizer(bits=0.5),
    ],
)
def test_every_code(data, quantizer):
    X, queries = data
    search = make(X, quantizer=quantizer, metric="sqeuclidean")
    expected = estimates(search, queries)
    distances, indices = search.kneighbors(queries)
    found = np.take_along_axis(expected, indices, axis=1)
    np.testing.assert_allclose(distances, found, atol=0.02 * np.median(expected))


# Kinds of searches


@pytest.mark.parametrize("metric", METRICS)
def test_radius(data, metric):
    X, queries = data
    search = make(X, metric=metric)
    expected = estimates(search, queries)
    radius = np.quantile(expected, 0.02)
    distances, indices = search.radius_neighbors(queries, radius)
    margin = 1e-4 * np.median(np.abs(expected))
    for i in range(len(queries)):
        assert set(np.flatnonzero(expected[i] < radius - margin)) <= set(indices[i])
        assert set(indices[i]) <= set(np.flatnonzero(expected[i] <= radius + margin))
        assert (np.diff(indices[i]) > 0).all()
        np.testing.assert_allclose(distances[i], expected[i][indices[i]], rtol=1e-3, atol=margin)
    fewer = search.set_params(n_probe=2).radius_neighbors(queries, radius, return_distance=False)
    inside = visited(search, queries, 2)
    for i in range(len(queries)):
        np.testing.assert_array_equal(fewer[i], indices[i][inside[i][indices[i]]])


def test_more_lists_are_visited_where_they_hold_too_few_rows(data):
    X, queries = data
    search = make(X, n_probe=1)
    smallest = search.lists_.sizes.min()
    distances, indices = search.kneighbors(queries, int(search.lists_.sizes.max()) + 1)
    assert smallest < distances.shape[1] and np.isfinite(distances).all()
    assert all(len(set(row)) == len(row) for row in indices.tolist())
    np.testing.assert_array_equal(
        search.kneighbors(queries, len(X))[1],
        search.set_params(n_probe=99).kneighbors(queries, len(X))[1],
    )


def test_subset_searches_the_lists_of_its_rows(data):
    X, queries = data
    search = make(X)
    chosen = np.arange(0, len(X), 7)
    every, rows = search.kneighbors(queries, len(X))
    distances, indices = search.kneighbors(queries, subset=chosen)
    for i in range(len(queries)):
        kept = np.isin(rows[i], chosen)
        np.testing.assert_array_equal(indices[i], rows[i][kept][:5])
        np.testing.assert_array_equal(distances[i], every[i][kept][:5])
    found = search.set_params(n_probe=1).kneighbors(queries, subset=chosen[:6])[1]
    assert np.isin(found, chosen[:6]).all()
    within = search.radius_neighbors(queries, 1e9, subset=chosen[:6], return_distance=False)
    assert all(np.isin(found, chosen[:6]).all() for found in within)


@pytest.mark.parametrize("metric", METRICS)
def test_rescore(data, metric, tmp_path):
    X, queries = data
    np.save(tmp_path / "rows.npy", X)
    coarse = make(X, metric=metric, bits=2)
    fine = make(X, metric=metric, bits=2, rescore=4)
    exact = make(X, metric=metric, bits=2, rescore=8, rescore_source=tmp_path / "rows.npy")
    recalls = [
        probe_recall(search, queries, rows=X, n_probes=[N_LISTS])["recall"][0]
        for search in (coarse, fine, exact)
    ]
    assert recalls[0] < recalls[1] - 0.05 and recalls[1] < recalls[2] and recalls[2] > 0.97
    truth = estimates(make(X, metric=metric, bits=12), queries)
    distances, indices = fine.kneighbors(queries)
    errors = np.abs(distances - np.take_along_axis(truth, indices, axis=1))
    coarse_errors = np.abs(estimates(coarse, queries) - truth)
    assert errors.mean() < 0.4 * coarse_errors.mean()
    if metric != "inner_product":  # by which others may be nearer
        fine.partial_fit(X[:50] * 1.001).remove([0, 5])
        found = fine.kneighbors(X[1:2], 2, return_distance=False)
        assert set(found[0]) == {0, 598 + 1}


@pytest.mark.parametrize("metric", METRICS)
def test_training_rows_are_not_their_own_neighbours(data, metric):
    X, _ = data
    search = make(X, metric=metric)
    indices = search.kneighbors(return_distance=False)
    assert (indices != np.arange(len(X))[:, None]).all()
    assert search.kneighbors_graph().shape == (len(X), len(X))


def test_the_other_estimators():
    X, y = load_digits(return_X_y=True)
    lists = {"n_lists": 30, "n_probe": 6, "random_state": 0}
    classifier = QuantizedKNeighborsClassifier(**lists).fit(X[:1200], y[:1200])
    assert classifier.score(X[1200:], y[1200:]) > 0.94
    classifier.partial_fit(X[1200:1500], y[1200:1500]).remove(np.arange(300))
    assert classifier.score(X[1500:], y[1500:]) > 0.92
    regressor = QuantizedKNeighborsRegressor(**lists).fit(X[:1200], y[:1200])
    assert regressor.score(X[1200:], y[1200:]) > 0.8
    graph = QuantizedKNeighborsTransformer(**lists).fit_transform(X)
    assert graph.shape == (1797, 1797) and (graph.getnnz(axis=1) == 6).all()
    first = graph.indices.reshape(-1, 6)[:, 0]
    assert np.mean(first == np.arange(1797)) == 1 and graph.diagonal().max() == 0


def test_duplicates_in_a_graph():
    X = np.repeat(np.random.default_rng(0).standard_normal((30, 6)), 2, axis=0)
    graph = QuantizedKNeighborsTransformer(3, n_lists=5, n_probe=5).fit_transform(X)
    nearest = graph.indices.reshape(60, -1)[:, :2]
    assert (np.sort(nearest) == np.arange(60).reshape(30, 2).repeat(2, axis=0)).all()


# Rows of every kind


def test_rows_far_from_the_origin(data):
    X, queries = data
    near = make(X.astype(float))
    far = make(X.astype(float) + 1e6)
    distances, indices = far.kneighbors(queries.astype(float) + 1e6)
    expected, rows = near.kneighbors(queries)
    assert np.mean(indices == rows) > 0.9
    np.testing.assert_allclose(distances, expected, rtol=0.05)


@pytest.mark.parametrize("scale", [1e-18, 1e18])
def test_rows_of_any_size(data, scale):
    X, queries = data
    search = make(X * np.float32(scale))
    np.testing.assert_array_equal(
        np.mean(search.kneighbors(queries * scale)[1] == make(X).kneighbors(queries)[1]) > 0.98,
        True,
    )


def test_rows_of_zeros_under_cosine(data):
    X, queries = data
    X = X.copy()
    X[:3] = 0
    search = make(X, metric="cosine", bits=6)
    distances, indices = search.kneighbors(queries, len(X))
    found = np.take_along_axis(distances, np.argsort(indices, axis=1), axis=1)[:, :3]
    np.testing.assert_allclose(found, 1, atol=0.05)
    np.testing.assert_allclose(search.kneighbors(np.zeros((1, 24)))[0], 1, atol=0.05)


@pytest.mark.parametrize(
    ("X", "n_lists"),
    [
        (np.ones((40, 5)), 1),
        (np.zeros((40, 5)), 1),
        (np.repeat(np.eye(4, 6), 10, axis=0) * 3, 4),
        (np.outer(np.arange(40.0), np.arange(1, 6)), 10),
    ],
    ids=["equal", "zero", "duplicates", "rank one"],
)
def test_degenerate_rows(X, n_lists):
    search = QuantizedNearestNeighbors(4, n_lists=10, n_probe=3, random_state=0).fit(X)
    assert search.lists_.n_lists <= n_lists
    distances, indices = search.kneighbors(X)
    error = np.abs(distances - np.linalg.norm(X[:, None] - X[indices], axis=2))
    assert error.max() <= 0.15 * max(np.abs(X).max(), 1)
    assert all(len(set(row)) == 4 for row in indices.tolist())


def test_equal_rows_come_in_order():
    X = np.ones((40, 5))
    search = QuantizedNearestNeighbors(4, n_lists=5).fit(X)
    assert search.kneighbors(X[:2])[1].tolist() == [[0, 1, 2, 3]] * 2
    assert search.kneighbors(X[:1], subset=[9, 3, 7, 5])[1].tolist() == [[3, 5, 7, 9]]


def test_a_list_for_each_row(data):
    X = data[0][:30]
    search = make(X, n_lists=30, n_probe=1)
    assert search.kneighbors(X, 1)[1].ravel().tolist() == list(range(30))
