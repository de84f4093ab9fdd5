"""The graph transformer, and what takes its graph."""

import numpy as np
import pytest
import sklearn
from scipy.sparse import issparse
from searches import EXACT_METRICS, digits_split
from sklearn.cluster import DBSCAN
from sklearn.manifold import TSNE, Isomap
from sklearn.neighbors import KNeighborsClassifier, KNeighborsTransformer
from sklearn.pipeline import make_pipeline

from skquant import QuantizedKNeighborsClassifier, QuantizedKNeighborsTransformer


@pytest.fixture(scope="module")
def digits():
    return digits_split(900)


# A training row is its own first neighbour


@pytest.mark.parametrize("bits", [1, 8])
@pytest.mark.parametrize("metric", EXACT_METRICS)
def test_a_training_row_is_its_own_first_neighbor(digits, metric, bits):
    X, _, _, _ = digits
    transformer = QuantizedKNeighborsTransformer(7, bits=bits, metric=metric, random_state=0)
    graph = transformer.fit_transform(X)
    again = transformer.transform(X)
    assert graph.nnz == 8 * len(X)
    indices, distances = graph.indices.reshape(-1, 8), graph.data.reshape(-1, 8)
    np.testing.assert_array_equal(indices[:, 0], np.arange(len(X)))
    np.testing.assert_array_equal(distances[:, 0], 0)
    assert (np.diff(distances, axis=1) >= 0).all()
    assert all(len(set(row)) == 8 for row in indices)
    np.testing.assert_array_equal(again.indices, graph.indices)
    np.testing.assert_array_equal(again.data, graph.data)


def test_a_row_that_its_estimate_puts_far_away_is_its_own_first_neighbor(digits, monkeypatch):
    X, _, _, _ = digits
    transformer = QuantizedKNeighborsTransformer(2, random_state=0).fit(X)
    found = np.array([[1.0, 2.0, 3.0]] * 2), np.array([[5, 6, 7]] * 2)
    monkeypatch.setattr(
        QuantizedKNeighborsTransformer, "_search", lambda *_: tuple(map(np.copy, found))
    )
    graph = transformer.transform(X[[40, 7]])
    np.testing.assert_array_equal(graph.indices.reshape(2, 3), [[40, 5, 6], [7, 5, 6]])
    np.testing.assert_array_equal(graph.data.reshape(2, 3), [[0, 1, 2], [0, 1, 2]])


def test_rows_are_recognised_in_several_blocks_and_dtypes(digits, monkeypatch):
    X, _, _, _ = digits
    for dtype in (np.float32, np.int64, np.uint8):
        transformer = QuantizedKNeighborsTransformer(3, bits=1, random_state=0).fit(X.astype(dtype))
        expected = transformer.transform(X[300:400].astype(dtype))
        np.testing.assert_array_equal(expected.indices[::4], np.arange(300, 400))
        with monkeypatch.context() as patch:
            patch.setattr("skquant._neighbors._transformer._BLOCK_BYTES", 1000)
            graph = transformer.transform(X[300:400].astype(dtype))
        np.testing.assert_array_equal(graph.indices, expected.indices)


def test_duplicates_are_at_distance_zero():
    X = np.repeat(np.random.default_rng(0).standard_normal((20, 16)), 3, axis=0)
    transformer = QuantizedKNeighborsTransformer(4, bits=2, random_state=0)
    graph = transformer.fit_transform(X)
    distances, indices = graph.data.reshape(-1, 5), graph.indices.reshape(-1, 5)
    np.testing.assert_array_equal(distances[:, :3], 0)
    assert (distances[:, 3:] > 0).all()
    np.testing.assert_array_equal(
        indices[:, :3] // 3, np.repeat(np.arange(20), 3)[:, None] + [0] * 3
    )


def test_connectivity_has_no_neighbor_more(digits):
    X, _, _, _ = digits
    graph = QuantizedKNeighborsTransformer(4, mode="connectivity").fit_transform(X)
    assert graph.nnz == 4 * len(X)
    assert (graph.data == 1).all()
    assert (graph.diagonal() == 1).all()


# What takes the graph


def test_precomputed_classifier(digits):
    X, y, queries, labels = digits
    pipe = make_pipeline(
        QuantizedKNeighborsTransformer(10, bits=8, random_state=0),
        KNeighborsClassifier(5, metric="precomputed"),
    ).fit(X, y)
    direct = QuantizedKNeighborsClassifier(5, bits=8, random_state=0).fit(X, y)
    assert np.mean(pipe.predict(queries) == direct.predict(queries)) > 0.995
    assert pipe.score(queries, labels) > 0.93


def test_clusters_from_the_graph(digits):
    X, _, _, _ = digits
    exact = DBSCAN(eps=20, min_samples=5).fit_predict(X)
    graph = QuantizedKNeighborsTransformer(60, bits=8, random_state=0).fit_transform(X)
    found = DBSCAN(eps=20, min_samples=5, metric="precomputed").fit_predict(graph)
    assert len(set(exact)) > 5
    assert sklearn.metrics.adjusted_rand_score(exact, found) > 0.95


def test_embeddings_from_the_graph(digits):
    X, _, _, _ = digits
    X = X[:200]
    ours, exact = (
        make_pipeline(
            transformer,
            Isomap(n_neighbors=15, metric="precomputed"),
        ).fit_transform(X)
        for transformer in (
            QuantizedKNeighborsTransformer(15, bits=8, random_state=0),
            KNeighborsTransformer(n_neighbors=15),
        )
    )
    signs = np.sign(np.sum(ours * exact, axis=0))
    assert np.linalg.norm(ours * signs - exact) < 0.1 * np.linalg.norm(exact)
    tsne = TSNE(perplexity=5, metric="precomputed", init="random", max_iter=250, random_state=0)
    transformer = QuantizedKNeighborsTransformer(16, bits=3, random_state=0)
    assert make_pipeline(transformer, tsne).fit_transform(X).shape == (200, 2)


# What is refused


def test_graph_of_products_has_no_distances(digits):
    X, _, _, _ = digits
    transformer = QuantizedKNeighborsTransformer(metric="inner_product")
    message = 'mode="distance" cannot be used with metric="inner_product"'
    for method in (transformer.fit, transformer.partial_fit, transformer.fit_transform):
        with pytest.raises(ValueError, match=message):
            method(X)
    graph = transformer.set_params(mode="connectivity").fit_transform(X)
    np.testing.assert_array_equal(
        graph.toarray(), transformer.kneighbors_graph(X, mode="connectivity").toarray()
    )
    with pytest.raises(ValueError, match=message):
        transformer.set_params(mode="distance").transform(X)


def test_graph_does_not_fit_into_data_frames(digits):
    pytest.importorskip("pandas")
    X, _, _, _ = digits
    transformer = QuantizedKNeighborsTransformer().set_output(transform="pandas")
    with pytest.raises(ValueError, match="outputs a scipy sparse matrix"):
        transformer.fit_transform(X)
    assert issparse(transformer.set_output(transform="default").transform(X))


def test_a_transformer_needs_one_row_more(digits):
    X, _, _, _ = digits
    transformer = QuantizedKNeighborsTransformer(5).fit(X[:5])
    with pytest.raises(
        ValueError, match="Expected n_neighbors <= n_samples_fit, but n_neighbors = 6"
    ):
        transformer.transform(X)
    assert transformer.set_params(mode="connectivity").transform(X[:2]).nnz == 10
