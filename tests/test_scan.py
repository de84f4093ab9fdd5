"""The scan of a coarse layer against NumPy, and estimators that search by it."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import other_machines, run_as

from skquant import (
    LatticeQuantizer,
    QuantizedKNeighborsClassifier,
    QuantizedKNeighborsTransformer,
    QuantizedMatrix,
    QuantizedNearestNeighbors,
)
from skquant._codes._layered import points
from skquant._kernels._coarse_scan import collect_rows, fill_tables
from skquant._kernels._dispatch import find_rows
from skquant._kernels._least_scores import keep_best
from skquant._neighbors._scan import FEW_QUERIES
from skquant._neighbors._slabs import SlabRows, _join_terms, chosen_bits, take

METRICS = ["euclidean", "sqeuclidean", "cosine", "inner_product"]


def gaussian(n_rows, n_features, seed=0):
    return np.random.default_rng(seed).standard_normal((n_rows, n_features), dtype=np.float32)


def random_rows(n_rows, n_words, seed=0, n_different=None):
    """Slab rows of random words and terms: them, the bytes of both, the words and the terms."""
    rng = np.random.default_rng(seed)
    words = rng.integers(64, size=(n_rows, n_words))
    terms = _join_terms(*rng.standard_normal((2, n_rows)))
    if n_different is not None:
        copied = rng.integers(n_different, size=n_rows)
        words, terms = words[copied], terms[copied]
    bits = np.zeros((n_rows, -(-n_words // 4) * 4), int)
    bits[:, :n_words] = words
    groups = bits.reshape(n_rows, -1, 4)
    front = groups[:, :, :3].copy()
    if n_words % 4:
        groups[:, -1, 3] = 0
    for i, shift in enumerate((4, 2, 0)):
        front[:, :, i] |= (groups[:, :, 3] >> shift & 3) << 6
    front = front.reshape(n_rows, -1)[:, : n_words - n_words // 4]
    front = front.astype(np.uint8)
    rest = rng.integers(256, size=(n_rows, 9), dtype=np.uint8)
    return SlabRows.lay_out(front, terms, rest, 5, 1.0), front, rest, words, terms


def score(tables, start, inverse, words, terms):
    """The scores of rows, in steps."""
    sums = tables[np.arange(words.shape[1]), words].sum(axis=1, dtype=int) + start
    assert np.abs(sums).max(initial=0) < 2**15
    offset = (terms.view(np.uint32) << np.uint32(16)).view(np.float32)
    scores = terms * sums.astype(np.float32) + offset * inverse
    assert scores.dtype == np.float32
    return scores


def expected_rows(tables, start, inverse, words, terms, allowed, count):
    """The rows of least scores, of equal ones the first, ascending."""
    scores = score(tables, start, inverse, words, terms)
    allowed = np.flatnonzero(allowed)
    order = np.lexsort((allowed, scores[allowed]))
    return np.sort(allowed[order[:count]])


@pytest.mark.parametrize("n_words", [1, 2, 3, 4, 7, 32, 33])
@pytest.mark.parametrize(("n_rows", "count"), [(5, 3), (200, 10), (200, 500), (9000, 64)])
@pytest.mark.parametrize("downwards", [False, True])
def test_scan_finds_the_rows_of_least_scores(n_words, n_rows, count, downwards):
    rows, front, rest, words, terms = random_rows(n_rows, n_words)
    sizes = np.random.default_rng(1).random(n_words, dtype=np.float32) + 0.5
    query, inverse = gaussian(1, 4 * n_words, seed=2)[0], np.float32(0.7)
    tables, start, step = fill_tables(points(), sizes, query)
    in_steps = inverse / np.float32(step)
    allowed = np.random.default_rng(3).random(n_rows) < 0.8
    for mask in (np.ones(n_rows, bool), allowed):
        chosen = chosen_bits(n_rows, mask)
        found, found_words, others = find_rows(
            points(), sizes, query, inverse, rows.slabs, rows.terms, chosen, rows.rest, count,
            downwards,
        )  # fmt: skip
        expected = expected_rows(tables, start, in_steps, words, terms, mask, count)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(found_words[: len(found)], front[found])
        np.testing.assert_array_equal(others, rest[found])


@pytest.mark.parametrize("downwards", [False, True])
@pytest.mark.parametrize("n_different", [1, 3, 40])
def test_of_equal_scores_the_first_rows_count(downwards, n_different):
    rows, _, _, words, terms = random_rows(7000, 8, n_different=n_different)
    query, sizes = gaussian(1, 32)[0], np.ones(8, np.float32)
    tables, start, step = fill_tables(points(), sizes, query)
    everywhere = np.ones(7000, bool)
    found, _, _ = find_rows(
        points(), sizes, query, np.float32(1), rows.slabs, rows.terms,
        chosen_bits(7000, everywhere), rows.rest, 100, downwards,
    )  # fmt: skip
    in_steps = np.float32(1) / np.float32(step)
    expected = expected_rows(tables, start, in_steps, words, terms, everywhere, 100)
    np.testing.assert_array_equal(found, expected)


def test_ranges_of_slabs_add_up():
    rows, front, _, words, terms = random_rows(1000, 12)
    query, sizes, count = gaussian(1, 48)[0], np.ones(12, np.float32), 50
    tables, start, _ = fill_tables(points(), sizes, query)
    one = np.float32(1)
    chosen = chosen_bits(1000, np.r_[100:300, 650:1000])
    scores, found = np.empty(448, np.float32), np.empty(448, np.int64)
    kept_words, n, limit = np.empty((448, 9), np.uint8), 0, np.float32(np.inf)
    for order in (np.arange(1, 5), np.arange(10, 16)):
        n, limit = collect_rows(
            tables, start, one, one, np.float32(0), rows.slabs, rows.terms, order, chosen,
            rows.rest, count, limit, n, scores, found, kept_words,
        )  # fmt: skip
        limit = np.float32(limit)
    n, _ = keep_best(count, n, scores, found, kept_words)
    mask = np.zeros(1000, bool)
    mask[np.r_[100:300, 650:1000]] = True
    expected = expected_rows(tables, start, one, words, terms, mask, count)
    np.testing.assert_array_equal(found[:n], expected)
    np.testing.assert_array_equal(kept_words[:n], front[expected])


@pytest.mark.parametrize("n_coordinates", [1, 5, 16, 5000])
def test_tables_hold_products_to_within_half_a_step(n_coordinates):
    n_words = -(-n_coordinates // 4)
    query = gaussian(1, n_coordinates)[0]
    sizes = np.random.default_rng(1).random(n_words, dtype=np.float32)
    tables, start, step = fill_tables(points(), sizes, query)
    assert (tables[1:] <= 63).all() and (tables[0] <= 64).all()
    assert start >= -(2**15) and start + tables.max(axis=1).sum(dtype=int) < 2**15
    padded = np.pad(query, (0, -n_coordinates % 4)).reshape(-1, 4).astype(float)
    products = sizes[:, None] * (padded @ (points().astype(float) - 4))
    lowest = products.min(axis=1, keepdims=True)
    lowest[0] += start * step - lowest.sum()
    assert np.abs(products - lowest - step * tables).max() <= 0.51 * step


def test_rows_in_slabs_are_an_array():
    rows, front, rest, _, terms = random_rows(150, 9)
    whole = np.hstack([rest[:, :5], front, rest[:, 5:]])
    assert rows.shape == whole.shape and len(rows) == 150
    assert rows.nbytes == 3 * 64 * (front.shape[1] + 4) + rest.nbytes
    assert rows.held_bytes == whole.shape[1] + 4
    keys = [slice(None), slice(3, 99, 7), 5, -1, np.array([70, 2, 149]), np.array([[1], [64]])]
    for key in [*keys, (slice(None), slice(-8, None)), (slice(4, 9), 0)]:
        np.testing.assert_array_equal(rows[key], whole[key])
    np.testing.assert_array_equal(np.asarray(rows), whole)
    taken = take(rows, np.array([5, 64, 149]))
    np.testing.assert_array_equal(taken[:], whole[[5, 64, 149]])
    joined = SlabRows.concatenate([taken, rows])
    np.testing.assert_array_equal(joined[:], np.vstack([taken[:], whole]))
    np.testing.assert_array_equal(joined.terms.ravel()[:3], terms[[5, 64, 149]])


@given(st.floats(-1e37, 1e37), st.floats(-1e37, 1e37))
def test_terms_keep_scale_and_offset(scale, offset):
    joined = _join_terms(np.array([scale]), np.array([offset]))
    kept = (joined.view(np.uint32) << np.uint32(16)).view(np.float32)
    assert joined[0] == pytest.approx(scale, rel=2**-7, abs=1e-38)
    assert kept[0] == pytest.approx(offset, rel=2**-8, abs=1e-38)


def recall(found, truth):
    return np.mean([np.isin(*pair).mean() for pair in zip(truth, found, strict=True)])


@pytest.fixture(scope="module")
def data():
    return gaussian(5000, 48) + 0.3, gaussian(FEW_QUERIES // 2, 48, seed=1) + 0.3


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    "quantizer",
    [
        None,
        LatticeQuantizer(bits=2, rotation="pca"),
        LatticeQuantizer(bits=0.4),
        LatticeQuantizer(bits=3, coding="entropy"),
        LatticeQuantizer(bits=3, coding="hierarchical"),
        LatticeQuantizer(bits=3, lattice="D4", center=False, rotation=None),
    ],
    ids=["default", "pca", "sparse", "entropy", "hierarchical", "no centre"],
)
def test_few_queries_find_what_many_find(data, metric, quantizer):
    X, queries = data
    search = QuantizedNearestNeighbors(
        n_neighbors=10, quantizer=quantizer, metric=metric, n_candidates=400, random_state=0
    ).fit(X)
    distances, indices = search.kneighbors(queries)
    assert (np.diff(distances, axis=1) >= 0).all()
    many, found_by_many = search.kneighbors(np.vstack([queries] * 3))
    assert recall(indices, found_by_many[: len(queries)]) > 0.93
    same = indices == found_by_many[: len(queries)]
    np.testing.assert_allclose(
        distances[same], many[: len(queries)][same], atol=0.04 * np.abs(many).max()
    )
    one_by_one = np.vstack([search.kneighbors(q[None], return_distance=False) for q in queries])
    np.testing.assert_array_equal(one_by_one, indices)


def test_all_candidates_give_the_distances_of_the_codes(data):
    X, queries = data
    search = QuantizedNearestNeighbors(n_neighbors=30, bits=2, n_candidates=5000, random_state=0)
    distances, indices = search.fit(X).kneighbors(queries)
    codec = search.codes_._codec
    terms = codec.unpack_terms(search.codes_._rows[:])
    centred = queries.astype(float) - codec.mean
    products = centred @ (search.codes_.toarray() - codec.mean).T / terms.alignment**2
    exact = (centred**2).sum(axis=1)[:, None] + terms.norm**2 - 2 * products
    expected = np.argsort(exact, axis=1, kind="stable")[:, :30]
    assert np.mean(indices == expected) > 0.99
    np.testing.assert_allclose(
        distances**2, np.take_along_axis(exact, indices, axis=1), rtol=1e-4, atol=1e-3
    )


def test_bits_count_both_layers(data):
    X, _ = data
    plain = QuantizedNearestNeighbors(bits=3, random_state=0).fit(X).codes_
    codes = QuantizedNearestNeighbors(bits=3, n_candidates=50, random_state=0).fit(X).codes_
    added = 48 / 4 * 6 / 8 + 4  # words of six bits, and what turns sums into scores
    assert codes.bits_per_entry == pytest.approx(plain.bits_per_entry + 8 * added / 48)
    assert codes.nbytes >= len(X) * codes.bits_per_entry * 48 / 8


@pytest.mark.parametrize("n_jobs", [2, -1])
def test_threads_do_not_change_the_result(data, n_jobs):
    X, queries = data
    results = [
        QuantizedNearestNeighbors(n_candidates=100, random_state=0, n_jobs=n)
        .fit(X)
        .kneighbors(queries)
        for n in (None, n_jobs)
    ]
    np.testing.assert_array_equal(results[0], results[1])


def test_rows_come_and_go(data):
    X, queries = data
    settings = {"n_candidates": 300, "n_neighbors": 8, "random_state": 0}
    whole = QuantizedNearestNeighbors(**settings).fit(X)
    first = QuantizedNearestNeighbors(**settings, quantizer=Fitted(whole.quantizer_)).fit(X[:900])
    for part in (X[900:901], X[901:2000], X[2000:]):
        first.partial_fit(part)
    np.testing.assert_array_equal(first.codes_._rows[:], whole.codes_._rows[:])
    expected = whole.kneighbors(queries)
    np.testing.assert_allclose(first.kneighbors(queries)[0], expected[0], rtol=1e-6)
    removed = np.unique(expected[1][:, 0])
    kept = np.setdiff1d(np.arange(len(X)), removed)
    by_subset = whole.kneighbors(queries, subset=kept)
    found = whole.remove(removed).kneighbors(queries)
    np.testing.assert_array_equal(kept[found[1]], by_subset[1])
    np.testing.assert_array_equal(found[0], by_subset[0])
    again = pickle.loads(pickle.dumps(whole)).kneighbors(queries)
    np.testing.assert_array_equal(again, found)


class Fitted:
    """A quantizer that keeps the code that it has."""

    def __init__(self, quantizer):
        self.quantizer = quantizer

    def get_params(self, deep=True):
        return {"quantizer": self.quantizer}

    def fit(self, X):
        return self

    def compress(self, X):
        return self.quantizer.compress(X)

    def __sklearn_clone__(self):
        return self


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int32])
def test_queries_of_any_kind(data, dtype):
    X, queries = data
    search = QuantizedNearestNeighbors(n_candidates=100, random_state=0).fit(X)
    queries = (4 * queries[:3]).astype(dtype)
    queries.flags.writeable = False
    expected = search.kneighbors(queries.astype(np.float64))
    for form in (queries, queries.tolist(), np.asfortranarray(queries)):
        distances, indices = search.kneighbors(form)
        np.testing.assert_array_equal(indices, expected[1])
        np.testing.assert_allclose(distances, expected[0], rtol=1e-5)
    bad = queries.astype(np.float64)
    bad[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        search.kneighbors(bad)
    with pytest.raises(ValueError, match="features"):
        search.kneighbors(queries[:, :-1])


@pytest.mark.parametrize("size", [1e-25, 1e25])
def test_rows_of_any_size(size):
    X, queries = gaussian(600, 16) * np.float32(size), gaussian(5, 16, seed=1) * np.float32(size)
    search = QuantizedNearestNeighbors(n_candidates=100, random_state=0).fit(X)
    unit = QuantizedNearestNeighbors(n_candidates=100, random_state=0).fit(X / np.float32(size))
    found = search.kneighbors(queries, return_distance=False)
    expected = unit.kneighbors(queries / np.float32(size), return_distance=False)
    assert recall(found, expected) > 0.9


def test_rows_that_say_nothing():
    X = np.zeros((100, 8), np.float32)
    search = QuantizedNearestNeighbors(n_neighbors=3, n_candidates=20).fit(X)
    distances, indices = search.kneighbors(np.ones((1, 8)))
    np.testing.assert_array_equal(indices, [[0, 1, 2]])
    np.testing.assert_allclose(distances, np.sqrt(8))
    np.testing.assert_array_equal(search.kneighbors(np.zeros((1, 8)))[1], [[0, 1, 2]])


def test_classifier_transformer_and_rescoring(data):
    X, queries = data
    y = (X[:, 0] > 0.3).astype(int)
    classifier = QuantizedKNeighborsClassifier(n_candidates=200, random_state=0).fit(X, y)
    many = classifier.predict(np.vstack([queries] * 3))[: len(queries)]
    assert np.mean(classifier.predict(queries) == many) > 0.9
    graph = QuantizedKNeighborsTransformer(n_candidates=50, random_state=0).fit(X).transform(X[:9])
    np.testing.assert_array_equal(graph.indices.reshape(9, 6)[:, 0], np.arange(9))
    np.testing.assert_array_equal(graph.data.reshape(9, 6)[:, 0], 0)
    rescored = QuantizedNearestNeighbors(bits=2, n_candidates=400, rescore=5, random_state=0)
    found = rescored.fit(X).kneighbors(queries, return_distance=False)
    truth = np.argsort(((queries[:, None] - X) ** 2).sum(axis=2), axis=1)[:, :5]
    assert recall(found, truth) > 0.9


def test_bad_numbers_of_candidates_are_refused(data):
    X, queries = data
    with pytest.raises(ValueError, match="n_candidates"):
        QuantizedNearestNeighbors(n_neighbors=5, n_candidates=4).fit(X)
    with pytest.raises(ValueError, match="n_candidates"):
        QuantizedNearestNeighbors(n_neighbors=5, n_candidates=9, rescore=2).fit(X)
    for value in (0, 2.5, "all"):
        with pytest.raises(ValueError, match="n_candidates"):
            QuantizedNearestNeighbors(n_candidates=value).fit(X)
    search = QuantizedNearestNeighbors(random_state=0).fit(X).set_params(n_candidates=50)
    with pytest.raises(ValueError, match="n_candidates"):
        search.kneighbors(queries)
    search = QuantizedNearestNeighbors(n_candidates=50, random_state=0).fit(X)
    assert search.kneighbors(queries, n_neighbors=80)[1].shape == (len(queries), 80)
    assert search.set_params(n_candidates=None).kneighbors(queries)[1].shape == (len(queries), 5)


SCRIPT = """
import sys
import numpy as np
from skquant import QuantizedNearestNeighbors
X, queries = np.load(sys.argv[1]), np.load(sys.argv[2])
search = QuantizedNearestNeighbors(n_neighbors=10, n_candidates=64, random_state=0).fit(X)
np.save(sys.argv[3], np.stack(search.kneighbors(queries)))
"""


@other_machines
def test_every_machine_finds_the_same(data, cpu, tmp_path):
    X, queries = data
    np.save(tmp_path / "X.npy", X[:1500])
    np.save(tmp_path / "queries.npy", queries)
    search = QuantizedNearestNeighbors(n_neighbors=10, n_candidates=64, random_state=0)
    expected = np.stack(search.fit(X[:1500]).kneighbors(queries))
    paths = [str(tmp_path / name) for name in ("X.npy", "queries.npy", "found.npy")]
    run_as(cpu, "-c", SCRIPT, *paths)
    found = np.load(paths[-1])
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)


def test_codes_are_a_matrix(data, tmp_path):
    X, queries = data
    codes = QuantizedNearestNeighbors(n_candidates=50, random_state=0).fit(X).codes_
    assert isinstance(codes, QuantizedMatrix)
    np.testing.assert_allclose(codes @ queries[0], codes.toarray() @ queries[0], atol=1e-3)
    codes.save(tmp_path / "codes")
    loaded = QuantizedMatrix.load(tmp_path / "codes", mmap=True)
    np.testing.assert_array_equal(loaded[7:9].toarray(), codes[7:9].toarray())
