"""Inverted lists: how they are learned, grow and shrink, what they hold, and their files."""

import pickle

import numpy as np
import pytest
from list_searches import N_LISTS, clustered_rows, make, visited
from sklearn.utils import gen_batches

from skquant import InvertedLists, LatticeQuantizer, QuantizedMatrix, QuantizedNearestNeighbors
from skquant._neighbors._partition import Partition, choose_n_lists, learn_partition
from skquant.metrics import bits_scorer, probe_recall


@pytest.fixture(scope="module")
def data():
    return clustered_rows()


# Rows come and go


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


# What they hold, and parameters


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
