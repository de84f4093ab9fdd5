"""Candidates that are measured again: from a file of the rows, or with a second code."""

import pickle
import tracemalloc

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from skquant import (
    LatticeQuantizer,
    QuantizedKNeighborsClassifier,
    QuantizedKNeighborsRegressor,
    QuantizedKNeighborsTransformer,
    QuantizedNearestNeighbors,
)
from skquant.metrics import bits_scorer

METRICS = ["euclidean", "sqeuclidean", "cosine", "inner_product"]
every_metric = pytest.mark.parametrize("metric", METRICS)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:1300], y[:1300], X[1300:], y[1300:]


@pytest.fixture(scope="module")
def source(digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "X.npy"
    np.save(path, digits[0])
    return path


def exact_distances(queries, X, metric):
    if metric == "inner_product":
        return -queries @ X.T
    if metric == "cosine":
        queries, X = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (queries, X))
        return 1 - queries @ X.T
    squares = np.square(queries[:, None] - X).sum(axis=2)
    return squares if metric == "sqeuclidean" else np.sqrt(squares)


def recall(found, distances):
    """Share of the found rows that are no farther than the farthest of as many nearest ones."""
    k = found.shape[1]
    limit = np.sort(distances, axis=1)[:, k - 1 : k]
    limit = limit + 1e-12 * np.abs(limit)
    return np.mean(np.take_along_axis(distances, found, axis=1) <= limit)


# From a file


@every_metric
def test_all_candidates_from_a_file_give_the_exact_answer(digits, source, metric):
    X, _, queries, _ = digits
    search = QuantizedNearestNeighbors(
        7, bits=1, metric=metric, rescore=len(X), rescore_source=source, random_state=0
    ).fit(X)
    distances, indices = search.kneighbors(queries)
    exact = exact_distances(queries, X, metric)
    order = np.argsort(exact, axis=1, kind="stable")[:, :7]
    expected = np.take_along_axis(exact, order, axis=1)
    np.testing.assert_allclose(distances, expected, rtol=1e-9, atol=1e-9)
    if metric in ("euclidean", "sqeuclidean"):  # of integers, exact: ties come by index
        np.testing.assert_array_equal(indices, order)
    assert recall(indices, exact) == 1


@every_metric
def test_two_bits_and_a_file(digits, source, metric):
    X, _, queries, _ = digits
    exact = exact_distances(queries, X, metric)
    plain = QuantizedNearestNeighbors(10, bits=2, metric=metric, random_state=0).fit(X)
    search = clone(plain).set_params(rescore=5, rescore_source=str(source)).fit(X)
    assert recall(search.kneighbors(queries, return_distance=False), exact) >= 0.995
    assert recall(plain.kneighbors(queries, return_distance=False), exact) < 0.95
    np.testing.assert_array_equal(search.codes_.toarray(), plain.codes_.toarray())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint8, ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_dtypes_and_layouts_of_a_file(digits, source, tmp_path, dtype, order):
    X, _, queries, _ = digits
    np.save(tmp_path / "X.npy", np.asarray(X, dtype, order=order))
    found = [
        QuantizedNearestNeighbors(rescore=3, rescore_source=path, random_state=0)
        .fit(X)
        .kneighbors(queries)
        for path in (source, tmp_path / "X.npy")
    ]
    for ours, expected in zip(found[1], found[0], strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_training_rows_are_read_from_the_file(digits, source):
    X, y, _, _ = digits
    search = QuantizedNearestNeighbors(
        4, bits=2, rescore=20, rescore_source=source, random_state=0
    ).fit(X)
    exact = exact_distances(X, X, "euclidean")
    np.fill_diagonal(exact, np.inf)
    distances, indices = search.kneighbors()
    assert recall(indices, exact) > 0.999
    np.testing.assert_allclose(distances, np.take_along_axis(exact, indices, axis=1), rtol=1e-12)


def test_a_training_row_is_at_distance_zero(digits, source):
    X, y, _, _ = digits
    parameters = {"bits": 1, "rescore": 2, "rescore_source": source, "random_state": 0}
    knn = QuantizedKNeighborsClassifier(weights="distance", **parameters).fit(X, y)
    assert knn.score(X, y) == 1
    distances, indices = knn.kneighbors(X, 1)
    np.testing.assert_array_equal(distances, 0)
    np.testing.assert_array_equal(indices[:, 0], np.arange(len(X)))
    graph = QuantizedKNeighborsTransformer(**parameters).fit_transform(X)
    np.testing.assert_array_equal(graph.indices[::6], np.arange(len(X)))


def test_predictions_with_a_file(digits, source):
    X, y, queries, labels = digits
    exact = KNeighborsClassifier().fit(X, y)
    parameters = {"bits": 2, "rescore": 6, "rescore_source": source, "random_state": 0}
    knn = QuantizedKNeighborsClassifier(**parameters).fit(X, y)
    assert np.mean(knn.predict(queries) == exact.predict(queries)) > 0.995
    regressor = QuantizedKNeighborsRegressor(**parameters).fit(X, y.astype(float))
    assert regressor.score(queries, labels) > 0.9


def test_rows_are_added_and_removed_while_the_file_stays(digits, source):
    X, _, queries, _ = digits
    search = QuantizedNearestNeighbors(
        5, bits=2, rescore=1300, rescore_source=source, random_state=0
    ).fit(X[:600])
    search.remove(np.arange(0, 600, 3)).partial_fit(X[600:1000]).remove([0, 1, 799])
    search.partial_fit(X[1000:])
    left = np.delete(np.delete(np.arange(1000), np.arange(0, 600, 3)), [0, 1, 799])
    left = np.append(left, np.arange(1000, 1300))
    exact = exact_distances(queries, X[left], "euclidean")
    distances, indices = search.kneighbors(queries)
    order = np.argsort(exact, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(distances, np.take_along_axis(exact, order, axis=1), rtol=1e-12)
    subset = np.arange(0, len(left), 2)
    found = search.kneighbors(queries, subset=subset, return_distance=False)
    np.testing.assert_array_equal(
        found, subset[np.argsort(exact[:, subset], axis=1, kind="stable")[:, :5]]
    )


def test_rescore_can_be_turned_on_and_off(digits, source):
    X, _, queries, _ = digits
    search = QuantizedNearestNeighbors(bits=1, random_state=0).fit(X)
    plain = search.kneighbors(queries)
    search.set_params(rescore=4, rescore_source=source)
    exact = exact_distances(queries, X, "euclidean")
    better = recall(search.kneighbors(queries)[1], exact)
    assert better > recall(plain[1], exact) + 0.1
    search.set_params(rescore=None)
    np.testing.assert_array_equal(search.kneighbors(queries)[1], plain[1])
    search.set_params(rescore=2, rescore_source=None)
    with pytest.raises(ValueError, match="rescore without rescore_source needs codes .* fit again"):
        search.kneighbors(queries)


def test_blocks_and_threads_do_not_change_the_result(digits, source, monkeypatch):
    X, _, queries, _ = digits
    for path in (source, None):
        search = QuantizedNearestNeighbors(
            bits=2, rescore=7, rescore_source=path, random_state=0
        ).fit(X)
        expected = search.kneighbors(queries)
        with monkeypatch.context() as patch:
            patch.setattr("skquant._neighbors._rescore._BLOCK_FLOATS", 64 * 9)
            found = search.set_params(n_jobs=2).kneighbors(queries)
        np.testing.assert_array_equal(found[1], expected[1])
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-9)


def test_pickle_holds_the_path_and_no_rows(digits, source):
    X, _, queries, _ = digits
    search = QuantizedNearestNeighbors(
        bits=1, rescore=4, rescore_source=source, random_state=0
    ).fit(X)
    pickled = pickle.dumps(search)
    assert len(pickled) < search.codes_.nbytes + 20_000 < X.nbytes / 8
    np.testing.assert_array_equal(
        pickle.loads(pickled).kneighbors(queries)[0], search.kneighbors(queries)[0]
    )


def test_candidates_are_read_in_bounded_memory(tmp_path):
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, (30_000, 128))
    X[:] = np.random.default_rng(0).standard_normal(X.shape)
    for path in (tmp_path / "X.npy", None):
        search = QuantizedNearestNeighbors(bits=2, rescore=1, rescore_source=path, random_state=0)
        search.fit(X).kneighbors(X[:2])  # kernels are compiled by now
        search.set_params(rescore=100)
        tracemalloc.start()
        search.kneighbors(X[:300])  # of 300 * 500 candidates, 154 MB as float64
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 64e6


# From a second code


@every_metric
@pytest.mark.parametrize("center", ["features", False])
def test_a_second_code_refines_distances(digits, metric, center):
    X, _, queries, _ = digits
    X, queries = X + 5, queries + 5
    quantizer = LatticeQuantizer(bits=3, center=center, random_state=0)
    plain = QuantizedNearestNeighbors(10, metric=metric, quantizer=quantizer).fit(X)
    search = clone(plain).set_params(rescore=4).fit(X)
    exact = exact_distances(queries, X, metric)
    errors = []
    for each in (plain, search):
        distances, indices = each.kneighbors(queries)
        errors.append(np.sqrt(np.mean((distances - np.take_along_axis(exact, indices, 1)) ** 2)))
    assert errors[1] < errors[0] / 4
    assert recall(search.kneighbors(queries)[1], exact) > recall(
        plain.kneighbors(queries)[1], exact
    )


def test_two_codes_are_nearly_as_good_as_one_of_twice_the_bits(digits):
    X, _, queries, _ = digits
    exact = exact_distances(queries, X, "euclidean")
    twice, two, once = (
        recall(
            QuantizedNearestNeighbors(10, bits=bits, rescore=rescore, random_state=0)
            .fit(X)
            .kneighbors(queries, return_distance=False),
            exact,
        )
        for bits, rescore in ((4, None), (2, 5), (2, None))
    )
    assert twice - two < 0.25 * (twice - once)


def test_the_second_code_counts(digits):
    X, y, _, _ = digits
    plain, refined = (
        QuantizedKNeighborsClassifier(bits=2, rescore=rescore, random_state=0).fit(X, y)
        for rescore in (None, 3)
    )
    assert refined.rescore_codes_.shape == X.shape
    bits = refined.codes_.bits_per_entry + refined.rescore_codes_.bits_per_entry
    assert bits_scorer(refined, X) == bits > 1.9 * bits_scorer(plain, X)
    assert bits_scorer(plain, X) == plain.codes_.bits_per_entry
    assert not hasattr(plain, "rescore_codes_")
    assert not hasattr(refined.set_params(rescore=None).fit(X, y), "rescore_codes_")


def test_a_second_code_follows_added_and_removed_rows(digits):
    X, _, queries, _ = digits
    search = QuantizedNearestNeighbors(bits=2, rescore=4, random_state=0).fit(X[:900])
    quantizers = search.quantizer_, search._residual_quantizer
    search.partial_fit(X[900:]).remove(np.arange(100))
    codes = quantizers[0].compress(X[100:])
    residuals = quantizers[1].compress(X[100:] - codes.toarray())
    np.testing.assert_array_equal(search.codes_.toarray(), codes.toarray())
    np.testing.assert_array_equal(search.rescore_codes_.toarray(), residuals.toarray())


def test_the_second_code_is_seeded(digits):
    X, _, queries, _ = digits
    one, other, another = (
        QuantizedNearestNeighbors(bits=2, rescore=4, random_state=seed).fit(X) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.rescore_codes_.toarray(), other.rescore_codes_.toarray())
    assert (one.rescore_codes_.toarray() != another.rescore_codes_.toarray()).any()


@every_metric
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (6, 1), (6, 3)])
@pytest.mark.parametrize("value", [0.0, 2.0])
def test_a_second_code_of_constant_and_tiny_data(metric, shape, value):
    X = np.full(shape, value)
    search = QuantizedNearestNeighbors(1, bits=8, metric=metric, rescore=3, random_state=0).fit(X)
    zero_cosine = metric == "cosine" and value == 0
    expected = 1.0 if zero_cosine else exact_distances(X, X, metric)[:, :1]
    np.testing.assert_allclose(search.kneighbors(X)[0], expected, atol=0.05 * max(1, value**2))


# Bad files


def fit(X, path, **parameters):
    return QuantizedNearestNeighbors(rescore=2, rescore_source=path, **parameters).fit(X)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X[:-1], "must cover all training rows, .* it holds 1299 of 1300"),
        (lambda X: X[:, 1:], r"a matrix with 64 columns, .* its shape is \(1300, 63\)"),
        (lambda X: X[0], r"a matrix with 64 columns, .* its shape is \(64,\)"),
        (lambda X: X[None], r"a matrix with 64 columns"),
        (lambda X: X.astype(complex), "must hold real numbers, but its dtype is complex128"),
        (lambda X: X.astype(str), "must hold real numbers, but its dtype is <U"),
        (lambda X: X.astype(object), "cannot be mapped as an .npy file"),
        (lambda X: X[::-1], "row 0 of the file is not row 0 of X"),
        (lambda X: 2 * X, "row 0 of the file is not row 0 of X"),
        (lambda X: np.full_like(X, np.nan), "row 0 of the file is not row 0 of X"),
    ],
)
def test_files_of_other_rows(digits, tmp_path, change, message):
    X, _, _, _ = digits
    np.save(tmp_path / "X.npy", change(X))
    with pytest.raises(ValueError, match=f"rescore_source.*{message}"):
        fit(X, tmp_path / "X.npy")


@pytest.mark.parametrize("content", [None, b"", b"no array at all", b"\x93NUMPY\x01\x00\xff\xff"])
def test_files_that_are_no_arrays(digits, tmp_path, content):
    X, _, _, _ = digits
    path = tmp_path / "X.npy"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"rescore_source='.*X\.npy' cannot be mapped"):
        fit(X, path)


def test_a_truncated_file(digits, tmp_path):
    X, _, queries, _ = digits
    path = tmp_path / "X.npy"
    np.save(path, X)
    search = fit(X, path)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ValueError, match="rescore_source='.*' cannot be mapped"):
        search.kneighbors(queries)
    path.unlink()
    with pytest.raises(ValueError, match="rescore_source='.*' cannot be mapped"):
        search.kneighbors(queries)
    assert search.set_params(rescore=None).kneighbors(queries)[0].shape == (len(queries), 5)


def test_added_rows_must_be_in_the_file(digits, tmp_path):
    X, _, queries, _ = digits
    path = tmp_path / "X.npy"
    np.save(path, X[:1000])
    search = fit(X[:900], path)
    search.partial_fit(X[900:1000])
    with pytest.raises(ValueError, match="must cover all training rows, .* it holds 1000 of 1300"):
        search.partial_fit(X[1000:])
    np.save(path, np.concatenate([X[:1000], X[:300]]))
    with pytest.raises(ValueError, match="row 1000 of the file is not row 0 of X"):
        search.partial_fit(X[1000:])
    assert search.n_samples_fit_ == len(search.codes_) == 1000
    np.save(path, X)
    search.partial_fit(X[1000:])
    assert search.n_samples_fit_ == 1300


def test_folds_are_not_the_rows_of_the_file(digits, source):
    X, y, _, _ = digits
    knn = QuantizedKNeighborsClassifier(rescore=2, rescore_source=source)
    with pytest.raises(ValueError, match="rescore_source must hold the training rows in order"):
        cross_val_score(knn, X, y, cv=3, error_score="raise")


def test_a_file_is_not_read_without_rescore(digits):
    X, _, queries, _ = digits
    search = QuantizedNearestNeighbors(rescore_source="missing.npy", random_state=0).fit(X)
    plain = QuantizedNearestNeighbors(random_state=0).fit(X)
    np.testing.assert_array_equal(search.kneighbors(queries)[1], plain.kneighbors(queries)[1])


def test_more_candidates_than_rows(digits, source):
    X, _, queries, _ = digits
    search = fit(X, source, n_neighbors=1000)
    exact = NearestNeighbors(n_neighbors=1000).fit(X).kneighbors(queries)[0]
    np.testing.assert_allclose(search.kneighbors(queries)[0], exact, rtol=1e-3)
    assert search.kneighbors(queries, n_neighbors=1300)[1].shape == (len(queries), 1300)
