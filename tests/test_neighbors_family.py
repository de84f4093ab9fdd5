"""The unsupervised search, the regressor and what all estimators have in common."""

import pickle

import numpy as np
import pytest
import sklearn
from scipy.sparse import issparse
from searches import EXACT_METRICS, digits_split
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.neighbors import KNeighborsRegressor, KNeighborsTransformer, NearestNeighbors

from skquant import (
    LatticeQuantizer,
    QuantizedKNeighborsClassifier,
    QuantizedKNeighborsRegressor,
    QuantizedKNeighborsTransformer,
    QuantizedNearestNeighbors,
)

FAMILY = [
    QuantizedKNeighborsClassifier,
    QuantizedKNeighborsRegressor,
    QuantizedKNeighborsTransformer,
    QuantizedNearestNeighbors,
]


def softened_inverse(distances):
    return 1 / (1e-3 + distances)


@pytest.fixture(scope="module")
def digits():
    return digits_split(900)


@pytest.fixture(scope="module")
def diabetes():
    return load_diabetes(return_X_y=True)


@pytest.fixture(scope="module", params=EXACT_METRICS)
def clear_cut(request):
    """Rows, and queries whose distances to the rows differ by more than 8 bits can blur."""
    rng = np.random.default_rng(0)
    X, queries = rng.standard_normal((12, 256)) + 0.3, rng.standard_normal((400, 256)) + 0.3
    exact = NearestNeighbors(n_neighbors=12, metric=request.param, algorithm="brute").fit(X)
    distances, _ = exact.kneighbors(queries)
    if request.param == "euclidean":
        distances = distances**2
    gaps = np.diff(distances, axis=1).min(axis=1)
    error = 2 * 0.005 * 16  # of a squared distance: twice two lengths of 16, over the root of 256
    clear = gaps > 6 * (error / 512 if request.param == "cosine" else error)
    assert clear.sum() > 20
    return request.param, X, queries[clear], exact


# Against exact search


def test_all_neighbors_in_order(clear_cut):
    metric, X, queries, exact = clear_cut
    search = QuantizedNearestNeighbors(bits=8, metric=metric, random_state=0).fit(X)
    distances, indices = search.kneighbors(queries, n_neighbors=12)
    expected, order = exact.kneighbors(queries)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(distances, expected, rtol=5e-3)


@pytest.mark.parametrize("mode", ["connectivity", "distance"])
def test_graphs_of_neighbors(clear_cut, mode):
    metric, X, queries, exact = clear_cut
    search = QuantizedNearestNeighbors(3, bits=8, metric=metric, random_state=0).fit(X)
    graph = search.kneighbors_graph(queries, mode=mode)
    expected = exact.kneighbors_graph(queries, 3, mode=mode)
    np.testing.assert_array_equal(graph.indices, expected.indices)
    np.testing.assert_array_equal(graph.indptr, expected.indptr)
    np.testing.assert_allclose(graph.data, expected.data, rtol=5e-3)
    assert type(graph) is type(expected)


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("shape", [(12,), (12, 1), (12, 3)])
def test_means_of_clear_neighbors(clear_cut, weights, shape):
    metric, X, queries, _ = clear_cut
    y = np.random.default_rng(1).standard_normal(shape)
    knn = QuantizedKNeighborsRegressor(4, bits=8, metric=metric, weights=weights, random_state=0)
    exact = KNeighborsRegressor(4, metric=metric, weights=weights, algorithm="brute").fit(X, y)
    expected = exact.predict(queries)
    predicted = knn.fit(X, y).predict(queries)
    assert predicted.shape == expected.shape
    np.testing.assert_allclose(predicted, expected, atol=1e-2 if weights == "distance" else 1e-12)


@pytest.mark.parametrize("mode", ["connectivity", "distance"])
def test_transformer_gives_the_graph_of_scikit_learn(clear_cut, mode):
    metric, X, queries, _ = clear_cut
    ours = QuantizedKNeighborsTransformer(4, mode=mode, bits=8, metric=metric, random_state=0)
    exact = KNeighborsTransformer(mode=mode, n_neighbors=4, metric=metric, algorithm="brute").fit(X)
    graph, expected = ours.fit(X).transform(queries), exact.transform(queries)
    np.testing.assert_array_equal(graph.indices, expected.indices)
    np.testing.assert_allclose(graph.data, expected.data, rtol=5e-3)
    assert type(graph) is type(expected)
    assert graph.shape == expected.shape
    np.testing.assert_array_equal(ours.get_feature_names_out()[:2], [
        "quantizedkneighborstransformer0", "quantizedkneighborstransformer1"
    ])  # fmt: skip
    assert len(ours.get_feature_names_out()) == len(exact.get_feature_names_out())


# The regressor


@pytest.mark.parametrize("weights", ["uniform", "distance", softened_inverse])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_means_are_those_of_scikit_learn(diabetes, weights, n_outputs):
    """Given the estimated distances, scikit-learn must come to the same means."""
    X, y = diabetes
    if n_outputs > 1:
        y = np.stack([y, np.sqrt(y), -y], axis=1)
    knn = QuantizedKNeighborsRegressor(6, bits=2, weights=weights, random_state=0)
    knn.fit(X[:300], y[:300])
    distances, indices = knn.kneighbors(X[300:], n_neighbors=300)
    by_row = np.empty_like(distances)
    np.put_along_axis(by_row, indices, distances, axis=1)
    expected = KNeighborsRegressor(6, weights=weights, metric="precomputed")
    expected.fit(np.zeros((300, 300)), y[:300])
    np.testing.assert_allclose(knn.predict(X[300:]), expected.predict(by_row), rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
def test_dtype_of_predictions(diabetes, dtype):
    X, y = diabetes
    y = (y % 250).astype(dtype)
    ours = QuantizedKNeighborsRegressor(random_state=0).fit(X, y).predict(X)
    assert ours.dtype == KNeighborsRegressor().fit(X, y).predict(X).dtype


def test_regression_in_a_grid_search(diabetes):
    X, y = diabetes
    grid = {"bits": [0.3, 6], "weights": ["uniform", "distance"]}
    knn = QuantizedKNeighborsRegressor(15, random_state=0)
    search = GridSearchCV(knn, grid, cv=3, error_score="raise").fit(X, y)
    assert search.best_params_["bits"] == 6
    assert search.best_score_ > 0.35


def test_leave_one_out_regression(diabetes):
    X, y = diabetes
    ours = QuantizedKNeighborsRegressor(bits=8, random_state=0).fit(X, y)
    exact = KNeighborsRegressor().fit(X, y)
    assert abs(ours.score(None, y) - exact.score(None, y)) < 0.02


def test_sample_weight_of_a_score_is_routed(diabetes):
    X, y = diabetes
    weight = np.linspace(0, 1, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        knn = QuantizedKNeighborsRegressor(random_state=0).set_score_request(sample_weight=True)
        scores = cross_validate(knn, X, y, cv=3, params={"sample_weight": weight})["test_score"]
    plain = cross_validate(knn, X, y, cv=3)["test_score"]
    assert (scores != plain).all()


def test_classes_of_partial_fit_are_routed(digits):
    X, y, _, _ = digits
    with sklearn.config_context(enable_metadata_routing=True):
        knn = QuantizedKNeighborsClassifier().set_partial_fit_request(classes=True)
        request = knn.get_metadata_routing().partial_fit.requests
    assert request == {"classes": True}


# What all have in common


def fit(Estimator, X, y, **parameters):
    return Estimator(**parameters).fit(X, y)


def test_all_find_the_same_neighbors(digits):
    X, y, queries, _ = digits
    found = [fit(E, X, y, bits=2, random_state=0).kneighbors(queries) for E in FAMILY]
    for distances, indices in found[1:]:
        np.testing.assert_array_equal(distances, found[0][0])
        np.testing.assert_array_equal(indices, found[0][1])


@pytest.mark.parametrize("Estimator", FAMILY)
def test_partial_fit_equals_fit(digits, Estimator):
    """With nothing to learn from the rows, the order and size of the parts do not matter."""
    X, y, queries, _ = digits
    quantizer = LatticeQuantizer(bits=3, center=False, random_state=0)
    whole, parts = Estimator(quantizer=quantizer), Estimator(quantizer=quantizer)
    whole.fit(X, y)
    first = {"classes": np.arange(10)} if Estimator is QuantizedKNeighborsClassifier else {}
    parts.partial_fit(X[:10], y[:10], **first)
    for rows in np.array_split(np.arange(10, len(X)), 5):
        assert parts.partial_fit(X[rows], y[rows]) is parts
    assert parts.n_samples_fit_ == len(X)
    for ours, expected in zip(parts.kneighbors(queries), whole.kneighbors(queries), strict=True):
        np.testing.assert_array_equal(ours, expected)
    method = "transform" if hasattr(whole, "transform") else "predict"
    if hasattr(whole, method):
        ours, expected = (getattr(each, method)(queries) for each in (parts, whole))
        difference = ours - expected
        assert np.abs(difference.data if issparse(difference) else difference).max(initial=0) == 0


@pytest.mark.parametrize("Estimator", FAMILY)
def test_partial_fit_refuses_what_does_not_fit(digits, Estimator):
    X, y, _, _ = digits
    fitted = fit(Estimator, X, y)
    with pytest.raises(ValueError, match="X has 63 features"):
        fitted.partial_fit(X[:, 1:], y)
    with pytest.raises(ValueError, match="NaN"):
        fitted.partial_fit(np.where(X == X.max(), np.nan, X), y)
    assert fitted.n_samples_fit_ == len(fitted.codes_) == len(X)


def test_partial_fit_refuses_another_number_of_targets(diabetes):
    X, y = diabetes
    knn = QuantizedKNeighborsRegressor().partial_fit(X, y)
    with pytest.raises(ValueError, match=r"y must have the shape .* got \(442, 2\)"):
        knn.partial_fit(X, np.stack([y, y], axis=1))
    assert knn.n_samples_fit_ == len(X)


@pytest.mark.parametrize("Estimator", FAMILY)
def test_pickle_and_clone(digits, Estimator):
    X, y, queries, _ = digits
    fitted = fit(Estimator, X, y, bits=2, rescore=2, random_state=0)
    again = pickle.loads(pickle.dumps(fitted))
    anew = clone(fitted).fit(X, y)
    for other in (again, anew):
        np.testing.assert_array_equal(other.kneighbors(queries)[0], fitted.kneighbors(queries)[0])


@pytest.mark.parametrize("Estimator", FAMILY)
@pytest.mark.parametrize("order", ["C", "F", "strided"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layouts_of_memory(digits, tmp_path, Estimator, order, dtype):
    X, y, queries, _ = digits
    X, queries = X.astype(dtype), queries.astype(dtype)
    expected = fit(Estimator, X, y, rescore=2, random_state=0).kneighbors(queries)

    def laid_out(rows):
        if order == "strided":
            return np.repeat(np.repeat(rows, 2, axis=0), 3, axis=1)[::2, ::3]
        return np.asarray(rows, order=order)

    np.save(tmp_path / "X.npy", laid_out(X))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    for rows in (laid_out(X), mapped):
        fitted = fit(Estimator, rows, y, rescore=2, random_state=0)
        read_only = laid_out(queries)
        read_only.flags.writeable = False
        found = fitted.kneighbors(read_only)
        np.testing.assert_array_equal(found[1], expected[1])
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint8, np.int64, bool])
def test_other_dtypes(digits, dtype):
    X, _, queries, _ = digits
    X, queries = X > 7 if dtype is bool else X, queries > 7 if dtype is bool else queries
    search = QuantizedNearestNeighbors(random_state=0).fit(X.astype(dtype))
    expected = QuantizedNearestNeighbors(random_state=0).fit(X.astype(np.float64))
    np.testing.assert_allclose(
        search.kneighbors(queries.astype(dtype))[0],
        expected.kneighbors(queries.astype(np.float64))[0],
        rtol=1e-3,
    )


def test_queries_of_data_frames_keep_their_precision():
    polars = pytest.importorskip("polars")
    X = np.random.default_rng(0).standard_normal((50, 4))
    frame = polars.DataFrame(dict(zip("abcd", X.T, strict=True)))
    search = QuantizedNearestNeighbors(random_state=0).fit(frame)
    plain = QuantizedNearestNeighbors(random_state=0).fit(X)
    np.testing.assert_allclose(search.kneighbors(frame)[0], plain.kneighbors(X)[0], rtol=1e-9)


@pytest.mark.parametrize("Estimator", FAMILY)
@pytest.mark.parametrize("rescore", [None, 2])
@pytest.mark.parametrize("value", [0.0, 2.0])
def test_one_row(Estimator, rescore, value):
    X = np.full((1, 5), value)
    fitted = fit(Estimator, X, [1], n_neighbors=1, rescore=rescore)
    distances, indices = fitted.kneighbors(X)
    np.testing.assert_allclose(distances, [[0]], atol=0.05)
    np.testing.assert_array_equal(indices, [[0]])
    with pytest.raises(ValueError, match="Expected n_neighbors < n_samples_fit"):
        fitted.kneighbors()


@pytest.mark.parametrize("Estimator", FAMILY)
def test_a_centre_for_each_row_is_refused(digits, Estimator):
    X, y, _, _ = digits
    with pytest.raises(ValueError, match='quantizer must not have center="rows"'):
        fit(Estimator, X, y, quantizer=LatticeQuantizer(center="rows"))


@pytest.mark.parametrize(
    ("Estimator", "parameters"),
    [
        (QuantizedKNeighborsTransformer, {"mode": "weights"}),
        (QuantizedKNeighborsRegressor, {"weights": "sometimes"}),
        (QuantizedNearestNeighbors, {"radius": "far"}),
        (QuantizedNearestNeighbors, {"rescore": 0.5}),
        (QuantizedNearestNeighbors, {"rescore": "twice"}),
        (QuantizedNearestNeighbors, {"rescore_source": 3}),
        (QuantizedNearestNeighbors, {"metric": "manhattan"}),
    ],
)
def test_bad_parameters_are_named(digits, Estimator, parameters):
    X, y, _, _ = digits
    (name,) = parameters
    with pytest.raises(ValueError, match=f"The '{name}' parameter"):
        fit(Estimator, X, y, **parameters)


def test_products_cannot_be_inverted(diabetes):
    X, y = diabetes
    knn = QuantizedKNeighborsRegressor(weights="distance", metric="inner_product")
    for method in (knn.fit, knn.partial_fit):
        with pytest.raises(ValueError, match='weights="distance" cannot be used'):
            method(X, y)


@pytest.mark.parametrize(
    ("Estimator", "method"),
    [
        (QuantizedKNeighborsRegressor, "predict"),
        (QuantizedKNeighborsTransformer, "transform"),
        (QuantizedNearestNeighbors, "radius_neighbors"),
        (QuantizedNearestNeighbors, "radius_neighbors_graph"),
        (QuantizedNearestNeighbors, "remove"),
    ],
)
def test_not_fitted(Estimator, method):
    with pytest.raises(NotFittedError):
        getattr(Estimator(), method)(np.eye(3))
    assert not hasattr(Estimator(), "codes_")
    assert not hasattr(Estimator(), "rescore_codes_")
