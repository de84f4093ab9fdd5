"""Inverted lists: what a search in them finds, and what becomes of the lists."""

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import gen_batches

from skquant import (
    InvertedLists,
    LatticeQuantizer,
    QuantizedKNeighborsClassifier,
    QuantizedKNeighborsRegressor,
    QuantizedKNeighborsTransformer,
    QuantizedMatrix,
    QuantizedNearestNeighbors,
)
from skquant._neighbors import _list_search
from skquant._neighbors._metric import SEARCHED_AS, in_units, unit_rows
from skquant._neighbors._partition import Partition, choose_n_lists, learn_partition
from skquant._panels import empty_panels, take_rows
from skquant.metrics import bits_scorer, probe_recall

METRICS = ["euclidean", "sqeuclidean", "cosine", "inner_product"]
N_LISTS = 12


@pytest.fixture(scope="module")
def data():
    """Rows around centres away from the origin, and queries."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((20, 1, 24)) * 0.7 + 1
    X = (centres + rng.standard_normal((20, 32, 24))).reshape(-1, 24)
    X = rng.permutation(X).astype(np.float32)
    return X[:600], X[600:]


def make(X, *, n_lists=N_LISTS, n_probe=N_LISTS, bits=4, **parameters):
    search = QuantizedNearestNeighbors(
        5, bits=bits, n_lists=n_lists, n_probe=n_probe, random_state=0, **parameters
    )
    return search.fit(X)


def estimates(search, queries):
    """Estimate all distances as the documentation has it, in plain NumPy and double precision."""
    lists, metric = search.lists_, search.effective_metric_
    codec, packed = lists.coder.codec, np.asarray(lists.codes._rows)
    queries = unit_rows(queries, np.float64) if metric == "cosine" else queries.astype(float)
    panels = empty_panels(len(lists), codec.row_code.n_coordinates)
    norm = np.sqrt(codec.row_code.decode(packed, panels, codec.dither))
    decoded = take_rows(panels, len(lists))
    centres = lists.centroids[lists.list_of]
    terms = lists.coder.unpack_terms(lists.list_of, packed)
    factor = terms.unbiased_factor(norm)
    distances = np.empty((len(queries), len(lists)))
    for query, row in zip(queries, distances, strict=True):
        from_centres = codec.to_coordinates(query - centres)
        product = factor * np.einsum("ij,ij->i", from_centres, decoded, dtype=float)
        if SEARCHED_AS[metric] == "sqeuclidean":
            found = np.square(query - centres).sum(axis=1) + terms.norm**2 - 2 * product
        else:
            found = -(product + terms.centre_product + centres @ query)
        row[lists.numbers] = found
    return in_units(distances, metric)


def visited(search, queries, n_probe):
    """Tell which rows are in the first lists that each query visits."""
    lists, metric = search.lists_, search.effective_metric_
    queries = unit_rows(queries, np.float64) if metric == "cosine" else queries.astype(float)
    if SEARCHED_AS[metric] == "sqeuclidean":
        far = np.square(queries[:, None] - lists.centroids).sum(axis=2)
    else:
        far = -queries @ lists.centroids.T
    first = np.argsort(far, axis=1)[:, :n_probe]
    inside = np.empty((len(queries), len(lists)), bool)
    inside[:, lists.numbers] = (first[:, None] == lists.list_of[:, None]).any(axis=2)
    return inside


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
    monkeypatch.setattr(_list_search, "_QUERY_FLOATS", 1)
    tiny = search.kneighbors(queries)
    for i in (0, 1):
        np.testing.assert_array_equal(np.concatenate([p[i] for p in parts]), expected[i])
        np.testing.assert_array_equal(threaded[i], expected[i])
        np.testing.assert_array_equal(tiny[i], expected[i])


@pytest.mark.parametrize("rotation", ["hadamard", "pca"])
def test_bytes_do_not_depend_on_threads_or_calls(data, rotation):
    X, _ = data
    quantizer = LatticeQuantizer(rotation=rotation)
    one, two = (make(X, quantizer=quantizer, n_jobs=n).lists_ for n in (1, 2))
    np.testing.assert_array_equal(one.codes._rows, two.codes._rows)
    np.testing.assert_array_equal(one.numbers, two.numbers)
    lists, packed = one.coder.encode(X)
    for block in gen_batches(len(X), 37):
        some_lists, some_packed = one.coder.encode(X[block])
        np.testing.assert_array_equal(some_lists, lists[block])
        np.testing.assert_array_equal(some_packed, packed[block])


@pytest.mark.parametrize(
    "quantizer",
    [
        LatticeQuantizer(bits=5, rotation="pca"),
        LatticeQuantizer(bits=2, lattice="D4", rotation="orthogonal"),
        LatticeQuantizer(bits=9, rotation=None),
        LatticeQuantizer(bits=3, coding="entropy"),
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


def test_rows_that_are_added_are_coded_as_the_others(data):
    X, queries = data
    search = make(X[:200])
    for block in gen_batches(400, 37):
        search.partial_fit(X[200:][block])
    lists, packed = search.lists_.coder.encode(X)
    np.testing.assert_array_equal(search.lists_.list_of, np.sort(lists))
    for each in range(search.lists_.n_lists):
        stored = slice(*search.lists_.starts[each : each + 2])
        numbers = np.flatnonzero(lists == each)
        np.testing.assert_array_equal(search.lists_.numbers[stored], numbers)
        np.testing.assert_array_equal(search.lists_.codes._rows[stored], packed[numbers])
    assert search.kneighbors(X[200:], 1)[1].ravel().tolist() == list(range(200, 600))
    assert search.n_samples_fit_ == 600 and search.codes_.shape == X.shape


def test_rows_that_are_removed(data):
    X, queries = data
    search = make(X, n_probe=4)
    gone = search.lists_.numbers[: search.lists_.starts[2]]  # two lists become empty
    left = np.delete(np.arange(len(X)), gone)
    expected = search.kneighbors(queries, subset=left)
    distances, indices = search.remove(gone).kneighbors(queries)
    assert search.lists_.sizes.min() == 0
    np.testing.assert_array_equal(left[indices], expected[1])
    np.testing.assert_array_equal(distances, expected[0])
    search.partial_fit(X[gone])
    assert search.lists_.sizes.min() > 0
    assert search.kneighbors(X[gone], 1)[1].ravel().tolist() == list(range(len(left), len(X)))


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


def test_parameters_are_refused_by_name(data):
    X, queries = data
    for parameters in ({"n_lists": 0}, {"n_lists": "many"}, {"n_probe": 0}, {"n_lists": 2.5}):
        name = next(iter(parameters))
        with pytest.raises(ValueError, match=name):
            make(X, **parameters)
    with pytest.raises(ValueError, match=r"n_lists=601 .* n_samples=600"):
        make(X, n_lists=601)
    for center in (False, "rows"):
        with pytest.raises(ValueError, match="quantizer"):
            make(X, quantizer=LatticeQuantizer(center=center))
    search = make(X)
    for n_probe, error in ((0, ValueError), ("all", TypeError)):
        with pytest.raises(error, match="n_probe"):
            search.set_params(n_probe=n_probe).kneighbors(queries)


def test_n_lists_of_auto(data):
    assert choose_n_lists("auto", 4095) == choose_n_lists(None, 10**6) == 0
    assert choose_n_lists("auto", 10**6) == 2000 and choose_n_lists(7, 7) == 7
    search = make(data[0], n_lists="auto")
    assert isinstance(search.codes_, QuantizedMatrix)
    assert not hasattr(search, "lists_")
    X = np.random.default_rng(0).standard_normal((4096, 4))
    assert make(X, n_lists="auto").lists_.n_lists == 128


def test_all_that_is_held_is_counted(data):
    lists = make(data[0]).lists_
    assert lists.rows_nbytes == lists.codes._rows.nbytes + 4 * len(lists)
    assert lists.bits_per_entry == 8 * lists.rows_nbytes / np.prod(lists.shape)
    assert bits_scorer(make(data[0]), data[0]) == lists.bits_per_entry
    held = lists.centroids.size * 4 * 2 + lists.starts.nbytes
    assert lists.nbytes > lists.rows_nbytes + held


def test_pickles(data):
    X, queries = data
    search = make(X, rescore=2)
    fresh = pickle.dumps(search)
    expected = search.kneighbors(queries)
    assert len(pickle.dumps(search)) == len(fresh)
    found = pickle.loads(fresh).kneighbors(queries)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


class TestFiles:
    @pytest.mark.parametrize("metric", ["euclidean", "cosine"])
    @pytest.mark.parametrize("mmap", [False, True])
    def test_saved_lists_find_the_same(self, data, tmp_path, metric, mmap, monkeypatch):
        from skquant import _file_format

        monkeypatch.setattr(_file_format, "PANEL_NBYTES", 4096)
        X, queries = data
        search = make(X, metric=metric, n_probe=3)
        search.lists_.save(tmp_path / "lists.skq")
        lists = InvertedLists.load(tmp_path / "lists.skq", mmap=mmap)
        assert isinstance(lists.codes._rows, _file_format.MappedRows) == mmap
        loaded = QuantizedNearestNeighbors.from_lists(lists, n_probe=3)
        for got, expected in zip(
            loaded.kneighbors(queries), search.kneighbors(queries), strict=True
        ):
            np.testing.assert_array_equal(got, expected)
        for got, expected in zip(
            loaded.radius_neighbors(queries), search.radius_neighbors(queries), strict=True
        ):
            assert all(map(np.array_equal, got, expected))
        subset = np.arange(0, 600, 3)
        np.testing.assert_array_equal(
            loaded.kneighbors(queries, subset=subset)[1],
            search.kneighbors(queries, subset=subset)[1],
        )
        loaded.partial_fit(queries).remove([3])
        assert loaded.kneighbors(queries[:1], 1)[1] == 599
        assert repr(lists) == repr(search.lists_)

    def test_damage_shows_when_it_is_read(self, data, tmp_path, monkeypatch):
        from skquant import _file_format

        monkeypatch.setattr(_file_format, "PANEL_NBYTES", 4096)
        path = tmp_path / "lists.skq"
        make(data[0]).lists_.save(path)
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(ValueError, match="rows"):
            InvertedLists.load(path)
        lists = InvertedLists.load(path, mmap=True)
        search = QuantizedNearestNeighbors.from_lists(lists, n_probe=99)
        with pytest.raises(ValueError, match="rows"):
            search.kneighbors(data[1])

    @pytest.mark.parametrize("name", ["starts", "numbers", "centroids", "origin", "metric"])
    def test_impossible_values_are_refused(self, data, tmp_path, name, monkeypatch):
        from skquant import _file_format

        write = _file_format.write

        def spoil(path, kind, meta, arrays):
            if name == "metric":
                return write(path, kind, {**meta, name: "manhattan"}, arrays)
            array = np.array(arrays[name])
            array.flat[-1] = np.nan if array.dtype.kind == "f" else 10**6
            write(path, kind, meta, {**arrays, name: array})

        monkeypatch.setattr(_file_format, "write", spoil)
        make(data[0]).lists_.save(tmp_path / "lists.skq")
        with pytest.raises(ValueError, match=name):
            InvertedLists.load(tmp_path / "lists.skq")

    def test_from_lists_checks_its_arguments(self, data):
        search = make(data[0])
        with pytest.raises(TypeError, match="lists"):
            QuantizedNearestNeighbors.from_lists(search.codes_)
        for parameters in ({"metric": "cosine"}, {"rescore": 2}, {"n_probe": 0}):
            with pytest.raises(ValueError, match=next(iter(parameters))):
                QuantizedNearestNeighbors.from_lists(search.lists_, **parameters)


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


class TestProbeRecall:
    def test_default_probes(self, data):
        search = make(data[0])
        report = probe_recall(search, data[1], n_neighbors=3)
        assert report["n_probe"].tolist() == [1, 2, 4, 8, 12]
        assert search.n_probe == N_LISTS
        sizes = search.lists_.sizes
        expected = visited(search, data[1], 2).mean()
        assert report["scanned"][1] == pytest.approx(expected)
        assert sizes.sum() == 600

    def test_refusals(self, data):
        X, queries = data
        with pytest.raises(ValueError, match="n_lists"):
            probe_recall(make(X, n_lists=None), queries)
        for n_probes in ([0], [1.5], [[2]]):
            with pytest.raises(ValueError, match="n_probes"):
                probe_recall(make(X), queries, n_probes=n_probes)
        with pytest.raises(ValueError, match="rows"):
            probe_recall(make(X), queries, rows=X[:9])


class TestPartition:
    def test_rows_are_in_the_list_of_the_nearest_centroid(self, data):
        X, _ = data
        partition = learn_partition(X, 9, 0)
        far = np.square(X[:, None] - partition.centres).sum(axis=2)
        np.testing.assert_array_equal(partition.assign(partition.centred(X)), far.argmin(axis=1))

    @pytest.mark.parametrize("metric", ["sqeuclidean", "inner_product"])
    def test_rank(self, data, metric):
        X, queries = data
        partition = learn_partition(X, 20, 0)
        sizes = np.ones(20, int)
        sizes[[3, 7]] = 0
        centred = partition.centred(queries)
        found, base = partition.rank(centred, 5, metric, sizes)
        if metric == "sqeuclidean":
            far = np.square(queries[:, None] - partition.centres).sum(axis=2)
        else:
            far = -queries @ partition.centres.T
        far[:, [3, 7]] = np.inf
        np.testing.assert_array_equal(found, np.argsort(far, axis=1)[:, :5])
        np.testing.assert_allclose(base, np.sort(far)[:, :5], rtol=1e-5)

    def test_centroids_are_about_as_good_as_those_of_k_means(self, data):
        from sklearn.cluster import KMeans

        X, _ = data
        partition = learn_partition(X, 20, 0)
        lists = partition.assign(partition.centred(X))
        error = np.square(X - partition.centres[lists]).sum()
        assert error < 1.3 * KMeans(20, random_state=0, n_init=3).fit(X).inertia_

    def test_value(self):
        partition = Partition(np.zeros(3), np.eye(3, dtype=np.float32))
        partition.rank(np.zeros((1, 3), np.float32), 1, "sqeuclidean", np.ones(3, int))
        assert set(pickle.loads(pickle.dumps(partition)).__dict__) == {"origin", "centroids"}
