"""Quantized neighbours and their graph, beside scikit-learn's exact ones and their own parts."""

import pickle
import tracemalloc

import numpy as np
import pytest
import sklearn
from scipy.sparse import csr_array, issparse, isspmatrix
from searches import (
    METRICS,
    digits_split,
    estimated_distances,
    exact_distances,
    overlapping_classes,
)
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KNeighborsClassifier

from skquant import LatticeQuantizer, QuantizedKNeighborsClassifier, QuantizedNearestNeighbors


@pytest.fixture(scope="module")
def digits():
    return digits_split(1200)


@pytest.fixture(scope="module")
def gaussian():
    return overlapping_classes()


# The neighbours


@pytest.mark.parametrize("metric", METRICS)
def test_neighbors_at_eight_bits_are_the_exact_ones(digits, metric):
    X, y, queries, _ = digits
    knn = QuantizedKNeighborsClassifier(10, bits=8, metric=metric, random_state=0).fit(X, y)
    distances, indices = knn.kneighbors(queries)
    exact = exact_distances(queries, X, metric)
    nearest = np.argsort(exact, axis=1)[:, :10]
    recall = np.mean([np.isin(a, b).mean() for a, b in zip(indices, nearest, strict=True)])
    assert recall > 0.97
    scale = np.abs(exact).mean()
    np.testing.assert_allclose(
        distances, np.take_along_axis(exact, indices, axis=1), atol=0.02 * scale
    )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_estimated_distances_are_close_and_not_biased(gaussian, metric, bits):
    X, y, queries, _ = gaussian
    knn = QuantizedKNeighborsClassifier(bits=bits, metric=metric, random_state=0).fit(X, y)
    exact = exact_distances(queries, X, metric)
    estimated = estimated_distances(knn, queries)
    correlation = np.corrcoef(estimated.ravel(), exact.ravel())[0, 1]
    assert correlation > {1: 0.7, 2: 0.9, 4: 0.99}[bits]
    assert abs(np.mean(estimated - exact)) < 0.05 * exact.std()


@pytest.mark.parametrize("metric", METRICS)
def test_neighbors_are_the_least_estimated_distances(gaussian, metric):
    X, y, queries, _ = gaussian
    knn = QuantizedKNeighborsClassifier(7, bits=1, metric=metric, random_state=0).fit(X, y)
    distances, indices = knn.kneighbors(queries)
    all_distances = estimated_distances(knn, queries)
    assert distances.shape == indices.shape == (len(queries), 7)
    assert (np.diff(distances, axis=1) >= 0).all()
    np.testing.assert_allclose(np.sort(all_distances, axis=1)[:, :7], distances, rtol=1e-5)
    np.testing.assert_array_equal(np.take_along_axis(all_distances, indices, axis=1), distances)


def test_metrics_agree_with_each_other(gaussian):
    X, y, queries, _ = gaussian
    quantizer = LatticeQuantizer(bits=3, random_state=0)
    unit, unit_queries = (
        rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (X, queries)
    )

    def distances(metric, X, queries):
        knn = QuantizedKNeighborsClassifier(metric=metric, quantizer=quantizer).fit(X, y)
        return knn.kneighbors(queries)[0]

    np.testing.assert_allclose(
        distances("euclidean", X, queries) ** 2, distances("sqeuclidean", X, queries), rtol=1e-6
    )
    np.testing.assert_allclose(
        distances("cosine", X, queries),
        1 + distances("inner_product", unit.astype(np.float32), unit_queries),
        atol=1e-6,
    )


def test_cosine_ignores_lengths_and_accepts_zero_rows(gaussian):
    X, y, queries, _ = gaussian
    X = np.vstack([np.zeros(X.shape[1]), X])
    y = np.append(0, y)
    knn = QuantizedKNeighborsClassifier(3, bits=8, metric="cosine", random_state=0).fit(X, y)
    expected = knn.kneighbors(queries)
    scaled = knn.kneighbors(queries * np.geomspace(1e-3, 1e3, len(queries))[:, None])
    np.testing.assert_array_equal(scaled[1], expected[1])
    np.testing.assert_allclose(scaled[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(estimated_distances(knn, queries)[:, 0], 1, atol=0.02)
    np.testing.assert_allclose(knn.kneighbors(np.zeros((1, X.shape[1])))[0], 1, atol=0.02)


def test_cosine_does_not_overflow_narrow_dtypes():
    rng = np.random.default_rng(0)
    X = rng.integers(-120, 120, size=(60, 16), dtype=np.int8)
    y = np.arange(60) % 2
    knn = QuantizedKNeighborsClassifier(bits=8, metric="cosine", random_state=0).fit(X, y)
    expected = exact_distances(X.astype(float), X.astype(float), "cosine")
    np.testing.assert_allclose(estimated_distances(knn, X), expected, atol=0.03)
    halves = (X.astype(np.float16) * 500).astype(np.float16)
    knn.fit(halves, y)
    np.testing.assert_allclose(estimated_distances(knn, halves), expected, atol=0.03)


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1e160, 1e300])
def test_cosine_does_not_depend_on_size(size):
    X = np.random.default_rng(0).standard_normal((200, 8))
    search = QuantizedNearestNeighbors(metric="cosine", random_state=0)
    expected = search.fit(X).kneighbors(X[:9])
    found = search.fit(size * X).kneighbors(size * X[:9])
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[0], expected[0], atol=1e-6)


@pytest.mark.parametrize("parameters", [{}, {"n_candidates": 50}, {"n_lists": 5}])
@pytest.mark.parametrize("metric", ["euclidean", "inner_product"])
@pytest.mark.parametrize("n_queries", [1, 70])
@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
def test_queries_that_are_too_large(parameters, metric, n_queries):
    X = np.random.default_rng(0).standard_normal((200, 8))
    search = QuantizedNearestNeighbors(metric=metric, random_state=0, **parameters).fit(X)
    for size in (1e160, 1e300):
        with pytest.raises(ValueError, match="X has (queries too large|rows farther than)"):
            search.kneighbors(np.repeat(size * X[:1], n_queries, axis=0))


def test_rows_that_are_too_large_for_lists():
    X = np.random.default_rng(0).standard_normal((200, 8)) * 1e25
    with pytest.raises(ValueError, match="X has rows farther than"):
        QuantizedNearestNeighbors(n_lists=5).fit(X)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("bits", [2, 8])
def test_no_queries_means_the_training_rows_without_themselves(gaussian, metric, bits):
    X, y, _, _ = gaussian
    knn = QuantizedKNeighborsClassifier(6, bits=bits, metric=metric, random_state=0).fit(X, y)
    distances, indices = knn.kneighbors()
    assert not (indices == np.arange(len(X))[:, None]).any()
    everyone = estimated_distances(knn, knn.codes_.toarray())
    np.fill_diagonal(everyone, np.inf)
    np.testing.assert_allclose(
        distances, np.sort(everyone, axis=1)[:, :6], rtol=1e-4, atol=1e-4 * np.abs(X).max()
    )


def test_no_queries_in_several_blocks(gaussian, monkeypatch):
    X, y, _, _ = gaussian
    knn = QuantizedKNeighborsClassifier(bits=4, random_state=0).fit(X, y)
    expected = knn.kneighbors()
    monkeypatch.setattr("skquant._neighbors._training_rows._BLOCK_FLOATS", 50 * X.shape[1])
    distances, indices = knn.kneighbors()
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_allclose(distances, expected[0], rtol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_duplicates_are_neighbors_but_not_oneself(metric):
    X = np.repeat(np.eye(8) + 0.5, 5, axis=0)
    knn = QuantizedKNeighborsClassifier(4, bits=8, metric=metric, random_state=0)
    indices = knn.fit(X, np.arange(40) % 2).kneighbors(return_distance=False)
    assert not (indices == np.arange(40)[:, None]).any()
    assert all(len(set(row)) == 4 for row in indices)


def test_equal_distances_are_ordered_by_index():
    X = np.tile([[1.0, 2.0, 3.0, 4.0]], (9, 1))
    knn = QuantizedKNeighborsClassifier(4, random_state=0).fit(X, np.arange(9) % 2)
    np.testing.assert_array_equal(knn.kneighbors(X[:2], return_distance=False), [[0, 1, 2, 3]] * 2)


def test_query_dtypes(gaussian):
    X, y, queries, _ = gaussian
    knn = QuantizedKNeighborsClassifier(bits=4, random_state=0).fit(X, y)
    expected = knn.kneighbors(queries)[0]
    for dtype, tolerance in [(np.float32, 1e-4), (np.float16, 1e-2)]:
        np.testing.assert_allclose(
            knn.kneighbors(queries.astype(dtype))[0], expected, rtol=tolerance
        )
    whole = np.round(queries).astype(int)
    np.testing.assert_allclose(
        knn.kneighbors(whole)[0], knn.kneighbors(whole.astype(float).tolist())[0], rtol=1e-4
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.uint8])
def test_training_dtypes(digits, dtype):
    X, y, queries, labels = digits
    knn = QuantizedKNeighborsClassifier(bits=4, random_state=0).fit(X.astype(dtype), y)
    assert knn.score(queries.astype(dtype), labels) > 0.94


@pytest.mark.parametrize("n_jobs", [2, -1])
def test_threads_do_not_change_the_result(digits, n_jobs):
    X, y, queries, _ = digits
    alone = QuantizedKNeighborsClassifier(bits=2, random_state=0).fit(X, y)
    together = QuantizedKNeighborsClassifier(bits=2, random_state=0, n_jobs=n_jobs).fit(X, y)
    for one, many in zip(alone.kneighbors(queries), together.kneighbors(queries), strict=True):
        np.testing.assert_array_equal(one, many)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (6, 1), (6, 3)])
@pytest.mark.parametrize("value", [0.0, 2.0])
def test_constant_and_tiny_data(metric, shape, value):
    X = np.full(shape, value)
    y = np.arange(len(X)) % 2
    knn = QuantizedKNeighborsClassifier(1, bits=8, metric=metric, random_state=0).fit(X, y)
    distances, indices = knn.kneighbors(X)
    expected = exact_distances(X.copy(), X, metric)
    np.testing.assert_allclose(
        distances[:, 0], expected[:, 0], atol=0.05 * max(1, np.abs(expected).max())
    )
    np.testing.assert_array_equal(knn.predict(X), y[indices[:, 0]])


# The graph


@pytest.mark.parametrize("mode", ["connectivity", "distance"])
@pytest.mark.parametrize("with_queries", [True, False])
def test_graph(gaussian, mode, with_queries):
    X, y, queries, _ = gaussian
    queries = queries if with_queries else None
    knn = QuantizedKNeighborsClassifier(bits=4, random_state=0).fit(X, y)
    distances, indices = knn.kneighbors(queries, n_neighbors=3)
    graph = knn.kneighbors_graph(queries, n_neighbors=3, mode=mode)
    expected = np.zeros((len(indices), len(X)))
    edges = distances if mode == "distance" else 1
    np.put_along_axis(expected, indices, edges, axis=1)
    assert issparse(graph)
    assert graph.format == "csr"
    np.testing.assert_array_equal(graph.toarray(), expected)


def test_graph_follows_the_sparse_interface_setting(digits):
    X, y, queries, _ = digits
    knn = QuantizedKNeighborsClassifier(random_state=0).fit(X, y)
    exact = KNeighborsClassifier().fit(X, y)
    assert type(knn.kneighbors_graph(queries)) is type(exact.kneighbors_graph(queries))
    if "sparse_interface" not in sklearn.get_config():
        pytest.skip("this scikit-learn has no sparse_interface setting")
    with sklearn.config_context(sparse_interface="sparray"):
        assert not isspmatrix(knn.kneighbors_graph(queries))


# What it holds


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_pickle_holds_codes_and_no_floats(metric):
    X, y = make_blobs(4000, n_features=256, random_state=0)
    knn = QuantizedKNeighborsClassifier(bits=2, metric=metric, random_state=0).fit(X, y)
    pickled = pickle.dumps(knn)
    assert len(pickled) < knn.codes_.nbytes + y.nbytes + 100_000
    assert len(pickled) < X.astype(np.float32).nbytes / 4
    again = pickle.loads(pickled)
    np.testing.assert_array_equal(again.predict_proba(X[:50]), knn.predict_proba(X[:50]))


@pytest.mark.parametrize(("metric", "copies"), [("euclidean", 0), ("cosine", 1)])
def test_fit_and_search_in_bounded_memory(tmp_path, metric, copies):
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, (400_000, 64))
    rng = np.random.default_rng(0)
    for start in range(0, len(X), 50_000):
        X[start : start + 50_000] = rng.standard_normal((50_000, 64))
    y = np.zeros(len(X), dtype=int)
    y[1:] = 1
    knn = QuantizedKNeighborsClassifier(bits=2, metric=metric, random_state=0).fit(X[:99], y[:99])
    knn.predict(X[:1000])  # kernels are compiled by now
    tracemalloc.start()
    knn.fit(X, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    knn.predict(X[:1000])
    _, search_peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < copies * X.nbytes + knn.codes_.nbytes + 4 * y.nbytes + 64e6
    assert search_peak - before < 64e6


# Bad input


def test_too_many_neighbors():
    X = np.arange(12.0).reshape(4, 3)
    knn = QuantizedKNeighborsClassifier().fit(X, [0, 1, 0, 1])
    message = "Expected n_neighbors <= n_samples_fit, but n_neighbors = 5, n_samples_fit = 4"
    with pytest.raises(ValueError, match=message):
        knn.predict(X)
    with pytest.raises(ValueError, match="Expected n_neighbors < n_samples_fit"):
        knn.kneighbors(n_neighbors=4)
    assert knn.kneighbors(X, n_neighbors=4)[1].shape == (4, 4)
    assert knn.kneighbors(n_neighbors=3)[1].shape == (4, 3)


@pytest.mark.parametrize(
    ("n_neighbors", "error"),
    [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("1", TypeError)],
)
def test_bad_n_neighbors_of_a_search(digits, n_neighbors, error):
    X, y, queries, _ = digits
    knn = QuantizedKNeighborsClassifier().fit(X, y)
    with pytest.raises(error, match="n_neighbors"):
        knn.kneighbors(queries, n_neighbors=n_neighbors)


def test_bad_mode_of_a_graph(digits):
    X, y, _, _ = digits
    with pytest.raises(ValueError, match="mode must be"):
        QuantizedKNeighborsClassifier().fit(X, y).kneighbors_graph(mode="weights")


@pytest.mark.parametrize("method", ["fit", "predict", "kneighbors", "kneighbors_graph"])
@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda X: np.where(X == X.max(), np.nan, X), ValueError, "X contains NaN"),
        (lambda X: np.where(X == X.max(), np.inf, X), ValueError, "X contains infinity"),
        (csr_array, TypeError, "Sparse data was passed for X"),
        (lambda X: X[:0], ValueError, "0 sample"),
        (lambda X: X[0], ValueError, "Expected 2D array"),
        (lambda X: X.astype(complex), ValueError, "Complex data not supported"),
        (lambda X: np.full(X.shape, "a"), ValueError, "could not convert|dtype='numeric'"),
    ],
)
def test_bad_matrices(digits, method, damage, error, message):
    X, y, _, _ = digits
    knn = QuantizedKNeighborsClassifier().fit(X, y)
    arguments = (damage(X), y) if method == "fit" else (damage(X),)
    with pytest.raises(error, match=message):
        getattr(knn, method)(*arguments)


def test_wrong_width(digits):
    X, y, queries, _ = digits
    knn = QuantizedKNeighborsClassifier().fit(X, y)
    with pytest.raises(ValueError, match="X has 63 features"):
        knn.predict(queries[:, 1:])


@pytest.mark.parametrize("method", ["predict", "predict_proba", "kneighbors", "kneighbors_graph"])
def test_not_fitted(method):
    with pytest.raises(NotFittedError):
        getattr(QuantizedKNeighborsClassifier(), method)(np.eye(3))
    assert not hasattr(QuantizedKNeighborsClassifier(), "codes_")
