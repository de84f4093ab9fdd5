"""The quantized neighbour estimators, beside scikit-learn's exact ones and their own parts."""

import pickle
import tracemalloc

import numpy as np
import pytest
import sklearn
from scipy.sparse import csr_array, issparse, isspmatrix
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs, make_classification
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skquant import LatticeQuantizer, QuantizedKNeighborsClassifier, QuantizedMatrix

METRICS = ["euclidean", "sqeuclidean", "cosine", "inner_product"]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:1200], y[:1200], X[1200:], y[1200:]


@pytest.fixture(scope="module")
def gaussian():
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


class ByInverseSquare:
    """A callable whose name holds no address: pytest-xdist compares the names of tests."""

    def __call__(self, distances):
        return 1 / (1e-3 + distances**2)

    def __repr__(self):
        return "by_inverse_square"


by_inverse_square = ByInverseSquare()


# The scikit-learn contract


@parametrize_with_checks(
    [
        QuantizedKNeighborsClassifier(),
        QuantizedKNeighborsClassifier(n_neighbors=1, bits=8, metric="sqeuclidean"),
        QuantizedKNeighborsClassifier(weights="distance", bits=2.5),
        QuantizedKNeighborsClassifier(weights=by_inverse_square, metric="cosine"),
        QuantizedKNeighborsClassifier(metric="inner_product"),
        QuantizedKNeighborsClassifier(quantizer=LatticeQuantizer(bits=6, lattice="Z")),
    ]
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_clone_and_nested_parameters():
    knn = QuantizedKNeighborsClassifier(quantizer=LatticeQuantizer(bits=3))
    knn.set_params(quantizer__bits=5)
    assert clone(knn).quantizer.bits == 5
    assert clone(knn).quantizer is not knn.quantizer


def test_fit_clones_the_quantizer(digits):
    X, y, _, _ = digits
    quantizer = LatticeQuantizer(bits=3)
    knn = QuantizedKNeighborsClassifier(bits=8, quantizer=quantizer).fit(X, y)
    assert not hasattr(quantizer, "n_features_in_")
    assert knn.quantizer_.bits == 3


def test_seed_reaches_a_quantizer_that_has_none(digits):
    X, y, _, _ = digits

    def codes(seed, own_seed):
        quantizer = LatticeQuantizer(bits=2, random_state=own_seed)
        knn = QuantizedKNeighborsClassifier(quantizer=quantizer, random_state=seed).fit(X, y)
        return knn.codes_.toarray()

    np.testing.assert_array_equal(codes(5, None), codes(None, 5))
    np.testing.assert_array_equal(codes(6, 5), codes(None, 5))
    assert (codes(6, None) != codes(5, None)).any()


def test_default_quantizer(digits):
    X, y, _, _ = digits
    knn = QuantizedKNeighborsClassifier(bits=3, random_state=7).fit(X, y)
    expected = LatticeQuantizer(bits=3, random_state=7).fit(X).compress(X)
    np.testing.assert_array_equal(knn.codes_.toarray(), expected.toarray())
    assert knn.codes_.bits_per_entry == knn.quantizer_.bits_per_feature_


def test_grid_search_over_a_pipeline_in_parallel(digits):
    X, y, queries, labels = digits
    pipe = make_pipeline(
        StandardScaler(),
        QuantizedKNeighborsClassifier(quantizer=LatticeQuantizer(random_state=0)),
    )
    grid = {
        "quantizedkneighborsclassifier__quantizer__bits": [0.1, 4],
        "quantizedkneighborsclassifier__n_neighbors": [3, 5],
    }
    search = GridSearchCV(pipe, grid, n_jobs=2, cv=3, error_score="raise").fit(X, y)
    assert search.best_params_["quantizedkneighborsclassifier__quantizer__bits"] == 4
    assert search.score(queries, labels) > 0.9


def test_jobs_do_not_change_the_scores(digits):
    X, y, _, _ = digits
    knn = QuantizedKNeighborsClassifier(bits=2, random_state=0)
    alone, together = (cross_val_score(knn, X, y, cv=4, n_jobs=n_jobs) for n_jobs in (1, 2))
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize("n_jobs", [2, -1])
def test_threads_do_not_change_the_result(digits, n_jobs):
    X, y, queries, _ = digits
    alone = QuantizedKNeighborsClassifier(bits=2, random_state=0).fit(X, y)
    together = QuantizedKNeighborsClassifier(bits=2, random_state=0, n_jobs=n_jobs).fit(X, y)
    for one, many in zip(alone.kneighbors(queries), together.kneighbors(queries), strict=True):
        np.testing.assert_array_equal(one, many)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames(digits, library):
    frames = pytest.importorskip(library)
    X, y, queries, _ = digits
    names = [f"pixel{i}" for i in range(X.shape[1])]
    frame, query_frame = (
        frames.DataFrame(dict(zip(names, rows.T, strict=True))) for rows in (X, queries)
    )
    knn = QuantizedKNeighborsClassifier(random_state=0).fit(X, y)
    named = QuantizedKNeighborsClassifier(random_state=0).fit(frame, frames.Series(y))
    np.testing.assert_array_equal(named.feature_names_in_, names)
    np.testing.assert_array_equal(named.predict(query_frame), knn.predict(queries))
    with pytest.raises(ValueError, match="feature names should match"):
        named.predict(query_frame[names[::-1]])


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


# The votes


def test_predictions_at_eight_bits_are_the_exact_ones(digits):
    X, y, queries, _ = digits
    knn = QuantizedKNeighborsClassifier(bits=8, random_state=0).fit(X, y)
    exact = KNeighborsClassifier().fit(X, y)
    assert np.mean(knn.predict(queries) == exact.predict(queries)) >= 0.995


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine"])
@pytest.mark.parametrize("weights", ["uniform", "distance", by_inverse_square])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_votes_are_those_of_scikit_learn(gaussian, metric, weights, n_outputs):
    """Given the estimated distances, scikit-learn must come to the same votes."""
    X, y, queries, _ = gaussian
    if n_outputs > 1:
        y = np.stack([y, y % 2 + 10, (y * 7 + np.arange(len(y))) % 5], axis=1)
    knn = QuantizedKNeighborsClassifier(
        6, bits=2, weights=weights, metric=metric, random_state=0
    ).fit(X, y)
    given = estimated_distances(knn, queries)
    expected = KNeighborsClassifier(6, weights=weights, metric="precomputed")
    expected.fit(np.zeros((len(X), len(X))), y)
    np.testing.assert_array_equal(knn.predict(queries), expected.predict(given))
    assert knn.outputs_2d_ == expected.outputs_2d_
    for ours, theirs in [
        (knn.classes_, expected.classes_),
        (knn.predict_proba(queries), expected.predict_proba(given)),
    ]:
        for our_part, their_part in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(our_part, their_part, atol=1e-6)


def test_equal_votes_go_to_the_first_class():
    X = np.array([[0.0, 0.0], [1.0, 0.0], [8.0, 8.0], [9.0, 8.0]])
    y = np.array(["pear", "apple", "pear", "apple"])
    knn = QuantizedKNeighborsClassifier(2, bits=8, random_state=0).fit(X, y)
    np.testing.assert_array_equal(knn.predict([[0.0, 0.0], [9.0, 8.0]]), ["apple", "apple"])
    np.testing.assert_array_equal(knn.predict_proba([[0.0, 0.0]]), [[0.5, 0.5]])


def test_neighbors_at_distance_zero_outvote_all_others(monkeypatch, gaussian):
    X, y, _, _ = gaussian
    knn = QuantizedKNeighborsClassifier(3, weights="distance").fit(X, y)
    found = np.array([[0.0, 0.0, 1e-9], [0.5, 1.0, 2.0]]), np.array([[0, 1, 2], [0, 1, 2]])
    monkeypatch.setattr(QuantizedKNeighborsClassifier, "kneighbors", lambda self, X: found)
    expected = np.zeros((2, 4))
    np.add.at(expected, ([0, 0], y[:2]), 0.5)
    np.add.at(expected, ([1, 1, 1], y[:3]), np.array([2, 1, 0.5]) / 3.5)
    np.testing.assert_allclose(knn.predict_proba(X[:2]), expected)


def test_a_training_row_is_recognised_by_distance(gaussian):
    X, y, _, _ = gaussian
    knn = QuantizedKNeighborsClassifier(20, bits=8, weights="distance", random_state=0).fit(X, y)
    assert knn.score(X, y) == 1


def test_no_queries_is_leave_one_out(digits):
    X, y, _, _ = digits
    knn = QuantizedKNeighborsClassifier(bits=8, random_state=0).fit(X, y)
    exact = KNeighborsClassifier().fit(X, y)
    assert abs(knn.score(None, y) - exact.score(None, y)) < 0.005
    assert knn.predict_proba(None).shape == (len(X), 10)


def test_multilabel_score(digits):
    X, y, queries, labels = digits
    knn = QuantizedKNeighborsClassifier(bits=8, random_state=0)
    knn.fit(X, np.stack([y % 2, y > 4], axis=1).astype(int))
    assert knn.score(queries, np.stack([labels % 2, labels > 4], axis=1).astype(int)) > 0.9


def test_column_y_warns_as_in_scikit_learn(digits):
    X, y, queries, _ = digits
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        knn = QuantizedKNeighborsClassifier().fit(X, y[:, None])
    assert not knn.outputs_2d_
    assert knn.predict(queries).ndim == 1


# More rows


def test_partial_fit_continues_fit(digits):
    X, y, queries, _ = digits
    knn = QuantizedKNeighborsClassifier(bits=3, random_state=0).fit(X[:500], y[:500])
    codes = knn.quantizer_.compress(X)
    for start in range(500, 1200, 100):
        assert knn.partial_fit(X[start : start + 100], y[start : start + 100]) is knn
    assert knn.n_samples_fit_ == 1200
    assert knn.codes_.shape == X.shape
    np.testing.assert_array_equal(knn.codes_.toarray(), codes.toarray())
    indices = knn.kneighbors(queries, return_distance=False)
    votes = np.stack([np.bincount(y[row], minlength=10) for row in indices])
    np.testing.assert_array_equal(knn.predict(queries), votes.argmax(axis=1))


@pytest.mark.parametrize("metric", METRICS)
def test_partial_fit_equals_fit(digits, metric):
    """With nothing to learn from the rows, the order and size of the parts do not matter."""
    X, y, queries, _ = digits
    knn = QuantizedKNeighborsClassifier(
        metric=metric, quantizer=LatticeQuantizer(bits=3, center=False, random_state=0)
    )
    whole = clone(knn).fit(X, y)
    for rows in np.array_split(np.arange(len(X)), 7):
        knn.partial_fit(X[rows], y[rows], classes=np.arange(10))
    np.testing.assert_array_equal(knn.codes_.toarray(), whole.codes_.toarray())
    np.testing.assert_array_equal(knn.predict_proba(queries), whole.predict_proba(queries))


def test_partial_fit_with_several_outputs(digits):
    X, y, queries, _ = digits
    two = np.stack([y, y % 3], axis=1)
    knn = QuantizedKNeighborsClassifier(random_state=0)
    knn.partial_fit(X[:50], two[:50], classes=[np.arange(10), np.arange(3)])
    knn.partial_fit(X[50:], two[50:])
    assert knn.predict(queries).shape == (len(queries), 2)
    assert np.mean(knn.predict(queries)[:, 0] % 3 == knn.predict(queries)[:, 1]) > 0.9


def test_partial_fit_copies_only_when_the_codes_are_read(digits, monkeypatch):
    X, y, queries, _ = digits
    joined = []

    def concatenate(matrices):
        joined.append(len(matrices))
        return original(matrices)

    original = QuantizedMatrix.concatenate
    monkeypatch.setattr(QuantizedMatrix, "concatenate", concatenate)
    knn = QuantizedKNeighborsClassifier(random_state=0)
    for start in range(0, 100, 10):
        knn.partial_fit(X[start : start + 10], y[start : start + 10], classes=np.arange(10))
    assert joined == []
    knn.predict(queries)
    knn.predict(queries)
    assert joined == [10]


def test_fit_forgets_earlier_rows(digits):
    X, y, queries, _ = digits
    knn = QuantizedKNeighborsClassifier(random_state=0).fit(X, y).partial_fit(X, y).fit(X, y)
    expected = QuantizedKNeighborsClassifier(random_state=0).fit(X, y)
    assert knn.n_samples_fit_ == len(X)
    np.testing.assert_array_equal(knn.predict_proba(queries), expected.predict_proba(queries))


@pytest.mark.parametrize(
    ("y", "classes", "message"),
    [
        ([0, 1, 2], None, "not in classes: .*2"),
        ([0, 1, 1], [0, 1, 2], "classes must be the same"),
        ([[0, 1], [1, 0], [1, 1]], None, "y has 2 outputs, but there are classes for 1"),
    ],
)
def test_partial_fit_refuses_other_classes(y, classes, message):
    X = np.arange(12.0).reshape(3, 4)
    knn = QuantizedKNeighborsClassifier(1).partial_fit(X, [0, 1, 0], classes=[1, 0])
    with pytest.raises(ValueError, match=message):
        knn.partial_fit(X, y, classes=classes)
    assert knn.n_samples_fit_ == knn.codes_.shape[0] == len(knn.predict(None)) == 3


def test_partial_fit_needs_classes_first(digits):
    X, y, _, _ = digits
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        QuantizedKNeighborsClassifier().partial_fit(X, y)


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


def test_same_seed_same_result(digits):
    X, y, queries, _ = digits
    one, other = (
        QuantizedKNeighborsClassifier(bits=1, random_state=3).fit(X, y).predict_proba(queries)
        for _ in range(2)
    )
    np.testing.assert_array_equal(one, other)


# Bad input


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_neighbors": 0},
        {"n_neighbors": 2.5},
        {"bits": 0},
        {"bits": -1},
        {"bits": "four"},
        {"weights": "sometimes"},
        {"weights": None},
        {"metric": "manhattan"},
        {"quantizer": StandardScaler()},
        {"random_state": "seed"},
        {"n_jobs": 1.5},
    ],
)
def test_bad_parameters_are_named(digits, parameters):
    X, y, _, _ = digits
    (name,) = parameters
    with pytest.raises(ValueError, match=f"The '{name}' parameter"):
        QuantizedKNeighborsClassifier(**parameters).fit(X, y)


def test_products_cannot_be_inverted(digits):
    X, y, queries, _ = digits
    knn = QuantizedKNeighborsClassifier(weights="distance", metric="inner_product")
    message = 'weights="distance" cannot be used with metric="inner_product"'
    with pytest.raises(ValueError, match=message):
        knn.fit(X, y)
    with pytest.raises(ValueError, match=message):
        knn.partial_fit(X, y, classes=np.arange(10))
    knn.set_params(weights="uniform").fit(X, y)
    with pytest.raises(ValueError, match=message):
        knn.set_params(weights="distance").predict(queries)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros_like, "zero weights"),
        (lambda distances: distances[0], "weights must return an array of the shape"),
    ],
)
def test_bad_weights(digits, weights, message):
    X, y, queries, _ = digits
    knn = QuantizedKNeighborsClassifier(weights=weights).fit(X, y)
    with pytest.raises(ValueError, match=message):
        knn.predict(queries)


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


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (None, ValueError, "requires y"),
        ([0, 1], ValueError, "inconsistent numbers of samples"),
        ([0.5, 0.1, 0.2], ValueError, "Unknown label type"),
        ([0, np.nan, 1], ValueError, "NaN"),
        (csr_array(np.eye(3)), TypeError, "Sparse data was passed for y"),
    ],
)
def test_bad_labels(y, error, message):
    with pytest.raises(error, match=message):
        QuantizedKNeighborsClassifier().fit(np.eye(3), y)


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
