"""The quantized neighbour classifier: its contract, votes, classes, and what it refuses."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from searches import METRICS, digits_split, estimated_distances, overlapping_classes
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skquant import LatticeQuantizer, QuantizedKNeighborsClassifier, QuantizedMatrix


@pytest.fixture(scope="module")
def digits():
    return digits_split(1200)


@pytest.fixture(scope="module")
def gaussian():
    return overlapping_classes()


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


def test_same_seed_same_result(digits):
    X, y, queries, _ = digits
    one, other = (
        QuantizedKNeighborsClassifier(bits=1, random_state=3).fit(X, y).predict_proba(queries)
        for _ in range(2)
    )
    np.testing.assert_array_equal(one, other)


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
