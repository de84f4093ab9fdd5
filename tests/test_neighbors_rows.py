"""Rows that are removed, rows that are left out of a search, and rows within a radius."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors

from skquant import (
    LatticeQuantizer,
    QuantizedKNeighborsClassifier,
    QuantizedKNeighborsRegressor,
    QuantizedKNeighborsTransformer,
    QuantizedNearestNeighbors,
)
from skquant._neighbors._rows import as_given, row_indices, without_own

METRICS = ["euclidean", "sqeuclidean", "cosine", "inner_product"]
FAMILY = [
    QuantizedKNeighborsClassifier,
    QuantizedKNeighborsRegressor,
    QuantizedKNeighborsTransformer,
    QuantizedNearestNeighbors,
]
every_metric = pytest.mark.parametrize("metric", METRICS)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:700], y[:700], X[700:760], y[700:760]


def all_distances(search, queries):
    """Estimated distances of all rows, (n_queries, n_rows), by row."""
    distances, indices = search.kneighbors(queries, n_neighbors=search.n_samples_fit_)
    by_row = np.empty_like(distances)
    np.put_along_axis(by_row, indices, distances, axis=1)
    return by_row


def estimates(search, queries):
    """Distances that the codes give in double precision, (n_queries, n_rows)."""
    metric, codec = search.effective_metric_, search.codes_._codec
    if metric == "cosine":
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    terms = codec.unpack_terms(search.codes_._rows)
    decoded = codec.decode(search.codes_._rows, np.float64) - codec.mean
    products = (queries - codec.mean) @ (decoded / terms.alignment[:, None] ** 2).T
    if metric in ("cosine", "inner_product"):
        products += terms.centre_product + (queries @ codec.mean)[:, None]
        return np.clip(1 - products, 0, 2) if metric == "cosine" else -products
    energy = np.square(queries - codec.mean).sum(axis=1)
    squares = np.maximum(energy[:, None] + terms.norm**2 - 2 * products, 0)
    return squares if metric == "sqeuclidean" else np.sqrt(squares)


# Removal


@pytest.mark.parametrize("Estimator", FAMILY)
def test_removed_rows_were_never_there(digits, Estimator):
    X, y, queries, _ = digits
    gone = np.random.default_rng(0).choice(700, 200, replace=False)
    quantizer = LatticeQuantizer(bits=3, center=False, random_state=0)  # learns nothing from rows
    estimator = Estimator(quantizer=quantizer, rescore=2)
    estimator.fit(X, y)
    assert estimator.remove(gone) is estimator
    assert estimator.n_samples_fit_ == len(estimator.codes_) == len(estimator.rescore_codes_) == 500
    expected = (
        clone(estimator)
        .set_params(rescore=None)
        .fit(np.delete(X, gone, axis=0), np.delete(y, gone))
    )
    estimator.set_params(rescore=None)
    for ours, theirs in zip(
        estimator.kneighbors(queries), expected.kneighbors(queries), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    if hasattr(estimator, "predict"):
        np.testing.assert_array_equal(estimator.predict(queries), expected.predict(queries))
    if hasattr(estimator, "transform"):
        assert estimator.transform(queries).shape == (60, 500)
        assert len(estimator.get_feature_names_out()) == 500


def test_rows_are_added_after_others_are_removed(digits):
    X, y, queries, _ = digits
    knn = QuantizedKNeighborsClassifier(bits=8, random_state=0).fit(X[:400], y[:400])
    knn.remove(np.arange(0, 400, 2)).partial_fit(X[400:], y[400:]).remove([0, 499])
    left = np.r_[np.arange(3, 400, 2), np.arange(400, 699)]
    direct = knn.quantizer_.compress(X[left])
    np.testing.assert_array_equal(knn.codes_.toarray(), direct.toarray())
    found = knn.kneighbors(queries, return_distance=False)
    votes = np.stack([np.bincount(y[left[row]], minlength=10) for row in found])
    np.testing.assert_array_equal(knn.predict(queries), votes.argmax(axis=1))


def test_a_mask_and_repeated_indices_remove_alike(digits):
    X, _, queries, _ = digits
    one, other = (QuantizedNearestNeighbors(bits=2, random_state=0).fit(X) for _ in range(2))
    one.remove(np.isin(np.arange(700), [3, 5, 690]))
    other.remove([690, 5, 3, 5])
    np.testing.assert_array_equal(one.kneighbors(queries)[1], other.kneighbors(queries)[1])
    before = one.kneighbors(queries)
    one.remove([])
    np.testing.assert_array_equal(one.kneighbors(queries)[1], before[1])


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([700], "indices must be at least 0 and less than the number of rows, 700, .* 700"),
        ([-1], "indices must be at least 0"),
        (np.zeros(699, bool), "indices is a mask of length 699, but there are 700 rows"),
        ([0.5], "indices must be a boolean mask or integer indices"),
        ([[1, 2]], "indices must be a boolean mask or integer indices in one dimension"),
        (3, "indices must be a boolean mask"),
        (["first"], "indices must be a boolean mask"),
        (np.arange(700), "indices must leave at least one training row"),
        (np.ones(700, bool), "indices must leave at least one training row"),
    ],
)
def test_rows_that_cannot_be_removed(digits, indices, message):
    X, y, _, _ = digits
    knn = QuantizedKNeighborsClassifier(random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=message):
        knn.remove(indices)
    assert knn.n_samples_fit_ == len(knn.codes_) == 700


def test_numbers_before_removal():
    rng = np.random.default_rng(0)
    left, removed = np.arange(60), np.empty(0, np.intp)
    for _ in range(6):
        gone = np.sort(rng.choice(len(left), 7, replace=False))
        np.testing.assert_array_equal(as_given(np.arange(len(left)), removed), left)
        removed = np.sort(np.append(removed, as_given(gone, removed)))
        left = np.delete(left, gone)
    np.testing.assert_array_equal(as_given(np.arange(len(left)), removed), left)


# A subset


@every_metric
@pytest.mark.parametrize("as_mask", [True, False])
def test_subset_is_a_search_among_fewer_rows(digits, metric, as_mask):
    X, y, queries, _ = digits
    search = QuantizedNearestNeighbors(bits=2, metric=metric, random_state=0).fit(X)
    chosen = np.flatnonzero(y % 3 == 0)
    everyone = all_distances(search, queries)
    order = np.argsort(everyone[:, chosen], axis=1, kind="stable")[:, :5]
    subset = y % 3 == 0 if as_mask else np.random.default_rng(0).permutation(np.tile(chosen, 2))
    distances, indices = search.kneighbors(queries, subset=subset)
    expected = np.take_along_axis(everyone[:, chosen], order, axis=1)
    np.testing.assert_allclose(distances, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        np.take_along_axis(everyone, indices, axis=1), expected, rtol=1e-5, atol=1e-5
    )
    assert np.isin(indices, chosen).all()


def test_subset_in_several_parts(digits, monkeypatch):
    X, y, queries, _ = digits
    search = QuantizedNearestNeighbors(30, bits=2, random_state=0).fit(X)
    expected = search.kneighbors(queries, subset=y < 5)
    monkeypatch.setattr("skquant._neighbors._rows._SUBSET_ROWS", 23)
    distances, indices = search.kneighbors(queries, subset=y < 5)
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_allclose(distances, expected[0], rtol=1e-6)


def test_training_rows_search_a_subset(digits):
    X, y, _, _ = digits
    search = QuantizedNearestNeighbors(3, bits=8, random_state=0).fit(X)
    chosen = np.flatnonzero(y == 0)
    distances, indices = search.kneighbors(subset=chosen)
    assert distances.shape == (700, 3)
    assert np.isin(indices, chosen).all()
    assert not (indices == np.arange(700)[:, None]).any()
    exact = NearestNeighbors(n_neighbors=3).fit(X[chosen])
    alone = chosen[exact.kneighbors(return_distance=False)]
    assert np.mean(indices[chosen] == alone) > 0.95


def test_equal_distances_in_a_subset_are_ordered_by_index():
    X = np.tile([[1.0, 2.0, 3.0, 4.0]], (9, 1))
    search = QuantizedNearestNeighbors(3, random_state=0).fit(X)
    found = search.kneighbors(X[:2], subset=[8, 2, 5, 4], return_distance=False)
    np.testing.assert_array_equal(found, [[2, 4, 5]] * 2)


@pytest.mark.parametrize(
    ("subset", "message"),
    [
        (np.ones(701, bool), "subset is a mask of length 701, but there are 700 rows"),
        ([0, 1, 2, 3, 700], "subset must be at least 0 and less than the number of rows, 700"),
        ([0, 1, 2, 3, -1], "subset must be at least 0"),
        (np.arange(5.0), "subset must be a boolean mask or integer indices"),
        ([[True]], "subset must be a boolean mask or integer indices in one dimension"),
        (np.arange(4), "n_neighbors = 5, the number of rows in subset = 4"),
        ([], "the number of rows in subset = 0"),
    ],
)
def test_bad_subsets(digits, subset, message):
    X, _, queries, _ = digits
    search = QuantizedNearestNeighbors(5).fit(X)
    with pytest.raises(ValueError, match=message):
        search.kneighbors(queries, subset=subset)


def test_selections_of_rows():
    for selection in ([3, 1, 1], np.array([1, 3], np.uint8), [False, True, False, True]):
        np.testing.assert_array_equal(row_indices(selection, 4, "rows"), [1, 3])
    assert row_indices([], 4, "rows").dtype == np.intp


# A radius


@every_metric
@pytest.mark.parametrize("bits", [2, 8])
def test_radius_takes_the_rows_that_are_estimated_to_be_within(digits, metric, bits):
    X, _, queries, _ = digits
    search = QuantizedNearestNeighbors(bits=bits, metric=metric, random_state=0).fit(X)
    everyone = estimates(search, queries)
    scale = np.abs(everyone).mean()
    for radius in np.quantile(everyone, [0.001, 0.05, 0.6, 1]):
        distances, indices = search.radius_neighbors(queries, radius)
        for query in range(len(queries)):
            inside = everyone[query] <= radius
            found = np.isin(np.arange(700), indices[query])
            unclear = np.abs(everyone[query] - radius) < 1e-5 * scale  # single precision
            np.testing.assert_array_equal(found[~unclear], inside[~unclear])
            np.testing.assert_allclose(
                distances[query], everyone[query, indices[query]], rtol=1e-4, atol=1e-4 * scale
            )
            assert (distances[query] <= radius).all()
            assert (np.diff(indices[query]) > 0).all()


def test_radius_at_eight_bits_is_the_exact_one():
    """On a grid, with a radius between the distances that occur."""
    axis = np.arange(-3.0, 4.0)
    X = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    exact = NearestNeighbors(radius=1.2).fit(X)
    search = QuantizedNearestNeighbors(
        bits=12, radius=1.2, quantizer=LatticeQuantizer(bits=12, rotation=None, random_state=0)
    ).fit(X)
    for queries in (X, None):
        expected = exact.radius_neighbors(queries, return_distance=False)
        found = search.radius_neighbors(queries, return_distance=False)
        assert found.dtype == object
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ours, np.sort(theirs))
        graph, exact_graph = (each.radius_neighbors_graph(queries) for each in (search, exact))
        assert type(graph) is type(exact_graph)
        assert (graph != exact_graph).nnz == 0


def test_sorted_results(digits):
    X, _, queries, _ = digits
    search = QuantizedNearestNeighbors(bits=4, random_state=0, radius=35).fit(X)
    by_index = search.radius_neighbors(queries)
    by_distance = search.radius_neighbors(queries, sort_results=True)
    for query in range(len(queries)):
        order = np.lexsort((by_index[1][query], by_index[0][query]))
        np.testing.assert_array_equal(by_distance[1][query], by_index[1][query][order])
        np.testing.assert_array_equal(by_distance[0][query], by_index[0][query][order])
    graph = search.radius_neighbors_graph(queries, mode="distance", sort_results=True)
    np.testing.assert_array_equal(graph.indices, np.concatenate(by_distance[1]))
    np.testing.assert_array_equal(graph.data, np.concatenate(by_distance[0]))
    assert graph.shape == (60, 700)


def test_radius_within_a_subset(digits):
    X, y, queries, _ = digits
    search = QuantizedNearestNeighbors(bits=4, random_state=0).fit(X)
    everyone = search.radius_neighbors(queries, 40, return_distance=False)
    chosen = search.radius_neighbors(queries, 40, return_distance=False, subset=y < 5)
    for ours, all_found in zip(chosen, everyone, strict=True):
        np.testing.assert_array_equal(ours, all_found[y[all_found] < 5])
    distances, nobody = search.radius_neighbors(queries, 40, subset=[])
    assert [len(found) for found in nobody] == [len(d) for d in distances] == [0] * 60


def test_radius_in_several_blocks_and_threads(digits, monkeypatch):
    X, _, queries, _ = digits
    search = QuantizedNearestNeighbors(bits=2, radius=35, random_state=0).fit(X)
    expected = search.radius_neighbors(queries), search.radius_neighbors()
    monkeypatch.setattr("skquant._neighbors._radius_search._CHUNK_ROWS", 128)
    monkeypatch.setattr("skquant._neighbors._radius_search._PANEL_ROWS", 32)
    monkeypatch.setattr("skquant._neighbors._radius_search._QUERY_BLOCK", 7)
    monkeypatch.setattr("skquant._neighbors._training_rows._BLOCK_FLOATS", 64 * 50)
    for n_jobs in (1, 2):
        search.set_params(n_jobs=n_jobs)
        for found, whole in zip(
            (search.radius_neighbors(queries), search.radius_neighbors()), expected, strict=True
        ):
            for ours, theirs in zip(found[1], whole[1], strict=True):
                np.testing.assert_array_equal(ours, theirs)
            np.testing.assert_allclose(
                np.concatenate(found[0]), np.concatenate(whole[0]), rtol=1e-5
            )


def test_least_and_largest_radius(digits):
    X, _, queries, _ = digits
    search = QuantizedNearestNeighbors(bits=4, random_state=0).fit(X)
    assert [len(found) for found in search.radius_neighbors(queries, 0)[1]] == [0] * 60
    assert [len(found) for found in search.radius_neighbors(queries, np.inf)[1]] == [700] * 60
    products = QuantizedNearestNeighbors(metric="inner_product", random_state=0).fit(X)
    far = products.radius_neighbors(queries, -3000.0, return_distance=False)
    exact = -queries @ X.T <= -3000
    assert abs(sum(map(len, far)) - exact.sum()) < 0.05 * exact.sum()


def test_equal_counts_of_neighbors_give_an_array_of_arrays():
    X = np.repeat(np.eye(4) * 10, 2, axis=0)
    search = QuantizedNearestNeighbors(bits=8, radius=3, random_state=0).fit(X)
    distances, indices = search.radius_neighbors(X)
    assert distances.shape == indices.shape == (8,)
    assert indices.dtype == object
    np.testing.assert_array_equal(
        np.stack(indices), np.arange(8).reshape(4, 2)[[0, 0, 1, 1, 2, 2, 3, 3]]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"radius": -1}, "radius must not be negative"),
        ({"radius": np.nan}, "radius must be a number"),
        ({"radius": "1"}, "radius must be a number"),
        ({"return_distance": False, "sort_results": True}, "return_distance must be True"),
        ({"subset": [700]}, "subset must be at least 0"),
    ],
)
def test_bad_arguments_of_a_radius(digits, arguments, message):
    X, _, queries, _ = digits
    search = QuantizedNearestNeighbors().fit(X)
    with pytest.raises(ValueError, match=message):
        search.radius_neighbors(queries, **arguments)


def test_bad_queries_of_a_radius(digits):
    X, _, queries, _ = digits
    search = QuantizedNearestNeighbors().fit(X)
    with pytest.raises(ValueError, match="NaN"):
        search.radius_neighbors(np.where(queries == queries.max(), np.nan, queries))
    with pytest.raises(ValueError, match="X has 63 features"):
        search.radius_neighbors(queries[:, 1:])
    with pytest.raises(ValueError, match="0 sample"):
        search.radius_neighbors(queries[:0])
    with pytest.raises(ValueError, match="mode must be"):
        search.radius_neighbors_graph(queries, mode="weights")


def test_a_query_is_left_out_or_else_the_farthest():
    found, distances = np.array([[4, 1, 2], [7, 8, 1]]), np.array([[0.0, 1, 2], [0, 3, 4]])
    indices, values = without_own(np.array([1, 3]), found, distances)
    np.testing.assert_array_equal(indices, [[4, 2], [7, 8]])
    np.testing.assert_array_equal(values, [[0, 2], [0, 3]])
