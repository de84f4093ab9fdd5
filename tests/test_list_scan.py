"""Lists with a coarse layer: the scan against NumPy, and estimators that search by it."""

import pickle

import numpy as np
import pytest
from list_searches import N_LISTS, clustered_rows, estimates, make, visited
from searches import METRICS
from sklearn.datasets import load_digits
from sklearn.utils import gen_batches
from test_scan import gaussian, random_rows, score

from skquant import (
    InvertedLists,
    LatticeQuantizer,
    QuantizedKNeighborsClassifier,
    QuantizedNearestNeighbors,
    _file_format,
)
from skquant._codes._layered import points
from skquant._kernels._coarse_scan import fill_tables
from skquant._kernels._dispatch import find_listed_rows
from skquant._neighbors import _list_scan, _rows
from skquant._neighbors._rows import scan_is_faster
from skquant._neighbors._scan import FEW_QUERIES
from skquant._neighbors._slabs import SlabRows


@pytest.fixture(scope="module")
def data():
    return clustered_rows(FEW_QUERIES)


def layered(X, **parameters):
    return make(X, **{"n_candidates": len(X)} | parameters)


def expected_rows(rows, lists, vectors, length, base, unit, count):
    """The rows of least scores, of equal ones the first, and the visits that find them."""
    (words, terms), (sizes, starts, visits) = rows, lists
    found, owners, scores = [], [], []
    for nth, each in enumerate(visits):
        tables, start, step = fill_tables(points(), sizes, vectors[nth])
        own, step = slice(starts[each], starts[each + 1]), np.float32(step)
        own_scores = score(tables, start, np.float32(unit / length) / step, words[own], terms[own])
        scores.append(own_scores * step + np.float32(base[nth] / (unit * length)))
        found.append(np.arange(own.start, own.stop))
        owners.append(np.full(len(own_scores), nth))
    best = np.sort(np.argsort(np.concatenate(scores), kind="stable")[:count])
    return np.concatenate(found)[best], np.concatenate(owners)[best]


@pytest.mark.parametrize("n_words", [1, 7, 32])
@pytest.mark.parametrize("count", [3, 64, 700])
@pytest.mark.parametrize("n_different", [None, 5])
def test_scan_finds_the_rows_of_least_scores(n_words, count, n_different):
    rng = np.random.default_rng(1)
    rows, front, rest, *own = random_rows(3000, n_words, n_different=n_different)
    starts = np.r_[0, 1, 64, 70, np.sort(rng.integers(70, 3000, size=20)), 3000]
    full = np.flatnonzero(np.diff(starts))
    sizes, unit = rng.random(n_words, dtype=np.float32) + 0.5, 1.7
    query, centroids = gaussian(1, 4 * n_words)[0], gaussian(len(starts) - 1, 4 * n_words, 2)
    for n_visits in (1, 5, len(full)):
        visits = rng.permutation(full)[:n_visits]
        base = rng.random(n_visits)
        found, words, others, owners, vectors, length = find_listed_rows(
            points(), sizes, query, centroids, visits, base, unit, starts, rows.slabs, rows.terms,
            rows.rest, count,
        )  # fmt: skip
        far = query - centroids[visits]
        assert length == pytest.approx(np.linalg.norm(far, axis=1).max())
        np.testing.assert_allclose(vectors, far / length, rtol=1e-6)
        lists = sizes, starts, visits
        expected = expected_rows(own, lists, vectors, length, base, unit, count)
        np.testing.assert_array_equal(found, expected[0])
        np.testing.assert_array_equal(owners, expected[1])
        np.testing.assert_array_equal(words[: len(found)], front[found])
        np.testing.assert_array_equal(others, rest[found])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_probe", [1, 4, N_LISTS])
def test_all_candidates_give_the_least_estimates_of_the_rows_that_are_visited(
    data, metric, n_probe
):
    X, queries = data
    search = layered(X, metric=metric, n_probe=n_probe, bits=3)
    expected = estimates(search, queries)
    inside = visited(search, queries, n_probe)
    distances, indices = search.kneighbors(queries)
    margin = 1e-4 * np.median(np.abs(expected))
    for i in range(len(queries)):
        if inside[i].sum() >= 5:
            assert inside[i][indices[i]].all()
            least = np.sort(expected[i][inside[i]])[:5]
            np.testing.assert_allclose(distances[i], least, rtol=1e-3, atol=margin)
            found = expected[i][indices[i]]
            np.testing.assert_allclose(distances[i], found, rtol=1e-3, atol=margin)


@pytest.mark.parametrize("metric", METRICS)
def test_many_queries_and_a_radius_read_whole_codes(data, metric):
    X, queries = data
    search = layered(X, metric=metric, bits=3)
    expected = estimates(search, queries)
    scale = np.median(np.abs(expected))
    distances, indices = search.kneighbors(np.vstack([queries, queries]))
    found = np.take_along_axis(expected, indices[: len(queries)], axis=1)
    np.testing.assert_allclose(distances[: len(queries)], found, atol=0.02 * scale)
    radius = np.quantile(expected, 0.02)
    distances, indices = search.radius_neighbors(queries, radius)
    for i in range(len(queries)):
        near = np.flatnonzero(expected[i] < radius - 1e-4 * scale)
        assert set(near) <= set(indices[i])
        np.testing.assert_allclose(
            distances[i], expected[i][indices[i]], rtol=1e-3, atol=1e-4 * scale
        )


def test_few_candidates_hold_most_of_the_nearest(data):
    X, queries = data
    search = layered(X)
    every = search.kneighbors(queries, return_distance=False)
    found = search.set_params(n_candidates=64).kneighbors(queries, return_distance=False)
    assert np.mean([np.isin(*pair).mean() for pair in zip(every, found, strict=True)]) > 0.95


@pytest.mark.parametrize("metric", ["euclidean", "inner_product"])
def test_results_depend_on_nothing_else(data, metric):
    X, queries = data
    search = layered(X, metric=metric, n_probe=3, n_candidates=40)
    expected = search.kneighbors(queries)
    parts = [search.kneighbors(queries[b]) for b in gen_batches(len(queries), 7)]
    threaded = search.set_params(n_jobs=3).kneighbors(queries)
    for i in (0, 1):
        np.testing.assert_array_equal(np.concatenate([p[i] for p in parts]), expected[i])
        np.testing.assert_array_equal(threaded[i], expected[i])


def test_many_queries_scan_while_they_have_few_candidates(data, monkeypatch):
    X, queries = data
    search = layered(X, n_probe=3, n_candidates=10)
    many = np.vstack([queries] * 3)
    assert len(many) > FEW_QUERIES
    by_codes = search.kneighbors(many)
    monkeypatch.setattr(_rows, "COST_OF_SCANNED", 0)
    monkeypatch.setattr(_rows, "COST_OF_CANDIDATE", len(X) / (10 * len(many)))
    monkeypatch.setattr(_list_scan, "QUERY_FLOATS", 30 * search.lists_.n_lists)
    expected = search.kneighbors(queries[:5])
    found = search.kneighbors(many)
    assert not np.array_equal(found[1], by_codes[1])
    for i in (0, 1):
        np.testing.assert_array_equal(found[i][:5], expected[i])
    assert not scan_is_faster(search.lists_, len(many) + 1, 10, 3)


@pytest.mark.parametrize(
    "quantizer",
    [
        LatticeQuantizer(bits=3, rotation="pca"),
        LatticeQuantizer(bits=2, lattice="D4", rotation="orthogonal"),
        LatticeQuantizer(bits=3, coding="entropy"),
        LatticeQuantizer(bits=0.5),
    ],
    ids=["pca", "D4", "entropy", "sparse"],
)
def test_every_code(data, quantizer):
    X, queries = data
    search = layered(X, quantizer=quantizer, metric="sqeuclidean")
    expected = estimates(search, queries)
    distances, indices = search.kneighbors(queries)
    found = np.take_along_axis(expected, indices, axis=1)
    np.testing.assert_allclose(distances, found, atol=1e-3 * np.median(expected))


def test_more_lists_are_visited_where_they_hold_too_few_rows(data):
    X, queries = data
    search = layered(X, n_probe=1, n_candidates=5)
    k = int(search.lists_.sizes.max()) + 1
    distances, indices = search.kneighbors(queries, k)
    assert np.isfinite(distances).all() and (np.diff(distances, axis=1) >= 0).all()
    assert all(len(set(row)) == k for row in indices.tolist())
    every = search.kneighbors(queries[:3], len(X))[1]
    np.testing.assert_array_equal(np.sort(every), np.tile(np.arange(len(X)), (3, 1)))


def test_subset_searches_the_lists_of_its_rows(data):
    X, queries = data
    search = layered(X)
    chosen = np.arange(0, len(X), 7)
    every, rows = search.kneighbors(queries, len(X))
    distances, indices = search.kneighbors(queries, subset=chosen)
    for i in range(len(queries)):
        kept = np.isin(rows[i], chosen)
        np.testing.assert_array_equal(indices[i], rows[i][kept][:5])
        np.testing.assert_array_equal(distances[i], every[i][kept][:5])
    found = search.set_params(n_probe=1).kneighbors(queries, subset=chosen[:6])[1]
    assert np.isin(found, chosen[:6]).all()


def test_rows_come_and_go(data):
    X, queries = data
    search = layered(X[:200], n_probe=4, n_candidates=60)
    for block in gen_batches(len(X) - 200, 97):
        search.partial_fit(X[200:][block])
    lists, packed = search.lists_.coder.encode(X)
    for each in range(search.lists_.n_lists):
        stored = slice(*search.lists_.starts[each : each + 2])
        numbers = np.flatnonzero(lists == each)
        np.testing.assert_array_equal(search.lists_.numbers[stored], numbers)
        np.testing.assert_array_equal(search.lists_.codes._rows[stored], packed[numbers])
    assert isinstance(search.lists_.codes._rows, SlabRows)
    for block in gen_batches(len(X), FEW_QUERIES):
        found = search.kneighbors(X[block], 1, return_distance=False)
        assert found.ravel().tolist() == list(range(block.start, block.stop))
    gone = search.lists_.numbers[: search.lists_.starts[2]]  # two lists become empty
    left = np.delete(np.arange(len(X)), gone)
    expected = search.kneighbors(queries, subset=left)
    distances, indices = search.remove(gone).kneighbors(queries)
    np.testing.assert_array_equal(left[indices], expected[1])
    np.testing.assert_array_equal(distances, expected[0])
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(search)).kneighbors(queries)[0], distances
    )


def test_bits_count_both_layers(data):
    X, _ = data
    lists = layered(X, bits=3).lists_
    rows, n_slabs = lists.codes._rows, -(-len(X) // 64)
    words = np.ceil(24 / 4 * 6 / 8) + 4  # of six bits, and what turns sums into scores
    assert lists.bits_per_entry == 8 * (rows.rest.shape[1] + words + 4) / 24
    assert rows.rest.shape[1] >= 3 * 24 / 8 + 3
    assert lists.rows_nbytes == rows.rest.size + 64 * n_slabs * words + 4 * len(lists)


@pytest.mark.parametrize("scale", [1e-18, 1e18])
def test_rows_of_any_size(data, scale):
    X, queries = data
    found = layered(X * np.float32(scale)).kneighbors(queries * scale)[1]
    assert np.mean(found == layered(X).kneighbors(queries)[1]) > 0.98


@pytest.mark.parametrize(
    "X",
    [np.ones((40, 5)), np.zeros((40, 5)), np.outer(np.arange(40.0), np.arange(1, 6))],
    ids=["equal", "zero", "rank one"],
)
def test_degenerate_rows(X):
    search = QuantizedNearestNeighbors(
        4, n_lists=10, n_probe=3, n_candidates=8, random_state=0
    ).fit(X)
    distances, indices = search.kneighbors(X)
    error = np.abs(distances - np.linalg.norm(X[:, None] - X[indices], axis=2))
    assert error.max() <= 0.15 * max(np.abs(X).max(), 1)
    assert all(len(set(row)) == 4 for row in indices.tolist())
    if len(np.unique(X, axis=0)) == 1:
        assert indices.tolist() == [[0, 1, 2, 3]] * len(X)


def test_rescoring_and_classifier(data, tmp_path):
    X, queries = data
    np.save(tmp_path / "rows.npy", X)
    settings = {"bits": 2, "rescore": 8, "n_candidates": 200}
    exact = layered(X, rescore_source=tmp_path / "rows.npy", **settings)
    found = exact.kneighbors(queries, return_distance=False)
    truth = np.argsort(np.square(queries[:, None] - X).sum(axis=2), axis=1)[:, :5]
    assert np.mean([np.isin(*pair).mean() for pair in zip(truth, found, strict=True)]) > 0.95
    np.testing.assert_array_equal(layered(X, **settings).kneighbors(X[:5], 1)[1].ravel(), range(5))
    X, y = load_digits(return_X_y=True)
    classifier = QuantizedKNeighborsClassifier(
        n_lists=30, n_probe=6, n_candidates=64, random_state=0
    ).fit(X[:1500], y[:1500])
    predicted = [classifier.predict(row[None])[0] for row in X[1500:]]
    assert np.mean(predicted == y[1500:]) > 0.92


def test_codes_without_the_layer_are_refused(data):
    X, queries = data
    with pytest.raises(ValueError, match="n_candidates"):
        make(X).set_params(n_candidates=50).kneighbors(queries)
    search = layered(X)
    expected = search.kneighbors(np.vstack([queries, queries]))
    found = search.set_params(n_candidates=None).kneighbors(queries)
    np.testing.assert_array_equal(found[1], expected[1][:FEW_QUERIES])


class TestFiles:
    @pytest.mark.parametrize("metric", ["euclidean", "cosine"])
    @pytest.mark.parametrize("mmap", [False, True])
    def test_saved_lists_find_the_same(self, data, tmp_path, metric, mmap, monkeypatch):
        monkeypatch.setattr(_file_format, "PANEL_NBYTES", 4096)
        X, queries = data
        search = layered(X, metric=metric, n_probe=3, n_candidates=50)
        search.lists_.save(tmp_path / "lists.skq")
        lists = InvertedLists.load(tmp_path / "lists.skq", mmap=mmap)
        assert isinstance(lists.codes._rows.rest, _file_format.MappedRows) == mmap
        loaded = QuantizedNearestNeighbors.from_lists(lists, n_probe=3, n_candidates=50)
        many = np.vstack([queries, queries])
        for some in (queries[:1], queries, many):
            for got, expected in zip(loaded.kneighbors(some), search.kneighbors(some), strict=True):
                np.testing.assert_array_equal(got, expected)
        subset = np.arange(0, len(X), 3)
        np.testing.assert_array_equal(
            loaded.kneighbors(queries, subset=subset)[1],
            search.kneighbors(queries, subset=subset)[1],
        )
        loaded.lists_.save(tmp_path / "again.skq")
        assert (tmp_path / "again.skq").read_bytes() == (tmp_path / "lists.skq").read_bytes()
        loaded.partial_fit(queries).remove([3])
        assert loaded.kneighbors(queries[:1], 1)[1] == len(X) - 1

    @pytest.mark.parametrize("name", ["slabs", "slab_terms", "unit"])
    def test_impossible_values_are_refused(self, data, tmp_path, name, monkeypatch):
        write = _file_format.write

        def spoil(spoiled):
            def write_spoiled(path, kind, meta, arrays):
                if name == "unit":
                    return write(path, kind, {**meta, name: spoiled}, arrays)
                return write(path, kind, meta, {**arrays, name: spoiled(np.array(arrays[name]))})

            return write_spoiled

        def infinite_scale(terms):
            terms[1, 0, 3] = np.inf
            return terms

        def infinite_offset(terms):
            terms.view(np.uint32)[1, 0, 3] = 0x00017F80
            return terms

        of_name = {
            "unit": [0.0, -1.0, None, "1"],
            "slabs": [lambda s: s[1:], lambda s: s.astype(np.int16)],
            "slab_terms": [infinite_scale, infinite_offset, lambda t: t[1:], np.float64],
        }
        for spoiled in of_name[name]:
            monkeypatch.setattr(_file_format, "write", spoil(spoiled))
            layered(data[0]).lists_.save(tmp_path / "lists.skq")
            with pytest.raises(ValueError, match=name):
                InvertedLists.load(tmp_path / "lists.skq")

    def test_lists_without_slabs_of_a_layered_code_are_refused(self, data, tmp_path, monkeypatch):
        search, write = layered(data[0]), _file_format.write

        def spoil(path, kind, meta, arrays):
            whole = {"rows": np.asarray(search.lists_.codes._rows)}
            write(path, kind, meta, {n: a for n, a in arrays.items() if n != "slabs"} | whole)

        monkeypatch.setattr(_file_format, "write", spoil)
        search.lists_.save(tmp_path / "lists.skq")
        with pytest.raises(ValueError, match="slabs"):
            InvertedLists.load(tmp_path / "lists.skq")
