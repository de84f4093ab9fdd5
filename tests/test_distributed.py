import os
import pickle
import signal
import sys
import time

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from skquant import (
    LatticeQuantizer,
    QuantizedKNeighborsClassifier,
    QuantizedMatrix,
    QuantizedNearestNeighbors,
)

dask = pytest.importorskip("dask")
import dask.array as da  # noqa: E402

from skquant.distributed import (  # noqa: E402
    DistributedNearestNeighbors,
    QuantizedShards,
    compress,
    fit,
)


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def dense(n_rows, n_features, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return (1 + rng.standard_normal((n_rows, n_features)) * 0.95 ** np.arange(n_features)).astype(
        dtype
    )


X = dense(1500, 24)
QUERIES = dense(40, 24, seed=1)
CHUNKS = [(1500,), (500, 500, 500), (1, 698, 0, 2, 799)]


def in_chunks(rows, lengths):
    return da.from_array(rows, chunks=(lengths, -1))


def bytes_of(codes, path):
    codes.save(path)
    return path.read_bytes()


# Fit and compress


@pytest.mark.parametrize("lengths", CHUNKS)
@pytest.mark.parametrize(
    "quantizer",
    [
        LatticeQuantizer(bits=3),
        LatticeQuantizer(bits=2.3, lattice="D4", center="rows", rotation="orthogonal"),
        LatticeQuantizer(bits=2, rotation="pca"),
        LatticeQuantizer(bits=2, rotation="auto", center=False),
        LatticeQuantizer(bits=2, coding="entropy", lattice="Trellis"),
        LatticeQuantizer(bits=2, coding="hierarchical"),
    ],
    ids=repr,
)
def test_the_bytes_are_those_of_one_machine(tmp_path, lengths, quantizer):
    quantizer = clone(quantizer).set_params(random_state=0)
    expected = clone(quantizer).fit(X).compress(X)
    assert fit(quantizer, in_chunks(X, lengths)) is quantizer
    shards = compress(quantizer, in_chunks(X, lengths))
    assert shards.shape == expected.shape and shards.dtype == expected.dtype
    assert shards.nbytes == expected.nbytes
    assert shards.bits_per_entry == expected.bits_per_entry
    assert shards.lengths == tuple(n for n in lengths if n)
    found = shards.compute()
    assert bytes_of(found, tmp_path / "found") == bytes_of(expected, tmp_path / "expected")


@pytest.mark.parametrize("block", [16, 70])
def test_sums_do_not_depend_on_chunks(block):
    """Wide rows, so that a block of the sums has few."""
    wide = dense(300, 2**18 // block, np.float32) * np.float32(1e3)
    expected = LatticeQuantizer(random_state=0).fit(wide).mean_
    for lengths in ((300,), (100, 200), (1, 2, 197, 100)):
        found = fit(LatticeQuantizer(random_state=0), in_chunks(wide, lengths)).mean_
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["f4", "f2", ">f8", "i2", "u1", "?"])
def test_dtypes_are_those_of_one_machine(dtype):
    rows = (10 * X).astype(dtype)
    quantizer = LatticeQuantizer(random_state=0).fit(rows)
    expected = quantizer.compress(rows)
    shards = compress(
        fit(clone(quantizer), in_chunks(rows, (700, 800))), in_chunks(rows, CHUNKS[1])
    )
    assert shards.dtype == expected.dtype == shards.compute().dtype
    np.testing.assert_array_equal(shards.compute().toarray(), expected.toarray())


def test_data_frames_are_taken():
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    frame = pd.DataFrame(X, columns=[f"f{i}" for i in range(24)])
    expected = LatticeQuantizer(random_state=0).fit(frame)
    rows = dd.from_pandas(frame, npartitions=3)
    quantizer = fit(LatticeQuantizer(random_state=0), rows)
    assert list(quantizer.feature_names_in_) == list(expected.feature_names_in_)
    found = compress(quantizer, rows).compute()
    np.testing.assert_array_equal(found.toarray(), expected.compress(frame).toarray())
    with pytest.raises(ValueError, match="feature names"):
        compress(quantizer, rows.rename(columns={"f0": "other"}))
    search = DistributedNearestNeighbors(random_state=0).fit(rows)
    one = QuantizedNearestNeighbors(random_state=0).fit(frame)
    for a, b in zip(search.kneighbors(frame[:9]), one.kneighbors(frame[:9]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_nothing_is_compressed_before_it_is_asked_for():
    asked = []

    def make(block_info=None):
        asked.append(block_info)
        return X[:500]

    rows = da.map_blocks(make, chunks=((500, 500, 500), (24,)), dtype=float, meta=X[:0])
    quantizer = LatticeQuantizer(random_state=0).fit(X)
    shards = compress(quantizer, rows)
    asked.clear()  # Dask itself may have looked what comes of it
    assert repr(shards).startswith(
        "<QuantizedShards of shape (1500, 24) in 3 shards, 5.667 bits an entry, "
    )
    assert not asked
    held = shards.persist()
    assert len(asked) == 3
    assert len(held.compute()) == 1500 and len(asked) == 3
    first = held.to_delayed()[0].compute()
    assert isinstance(first, QuantizedMatrix) and len(first) == 500


def test_shards_are_put_side_by_side():
    quantizer = LatticeQuantizer(random_state=0).fit(X)
    parts = [
        compress(quantizer, in_chunks(X[:700], (700,))),
        compress(quantizer, in_chunks(X[700:], (800,))),
    ]
    joined = QuantizedShards.concatenate(parts)
    assert joined.lengths == (700, 800)
    np.testing.assert_array_equal(joined.compute().toarray(), quantizer.compress(X).toarray())


# Search


@pytest.mark.parametrize("lengths", CHUNKS)
@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "inner_product"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_neighbours_are_those_of_one_machine(lengths, metric, dtype):
    rows, queries = X.astype(dtype), QUERIES.astype(dtype)
    options = {"n_neighbors": 7, "metric": metric, "bits": 2.5, "random_state": 0}
    one = QuantizedNearestNeighbors(**options).fit(rows)
    many = DistributedNearestNeighbors(**options).fit(in_chunks(rows, lengths))
    assert many.n_samples_fit_ == 1500 and many.n_features_in_ == 24
    assert many.effective_metric_ == metric
    in_dask = many.kneighbors(da.from_array(queries, chunks=(13, -1)))
    for k in (None, 1, 1500):
        expected = one.kneighbors(queries, k)
        found = many.kneighbors(queries, k)
        for a, b in zip(found, expected, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    for a, b in zip(in_dask, one.kneighbors(queries), strict=True):
        assert isinstance(a, da.Array) and a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_array_equal(a.compute(), b)
    np.testing.assert_array_equal(
        many.kneighbors(queries, return_distance=False), one.kneighbors(queries)[1]
    )


def test_equal_distances_are_kept_apart_by_their_place():
    rows = np.repeat(X[:30], 50, axis=0)
    one = QuantizedNearestNeighbors(60, bits=1, random_state=0).fit(rows)
    many = DistributedNearestNeighbors(60, bits=1, random_state=0)
    many.fit(in_chunks(rows, (333, 333, 333, 333, 168)))
    for a, b in zip(many.kneighbors(QUERIES), one.kneighbors(QUERIES), strict=True):
        np.testing.assert_array_equal(a, b)


def test_many_shards_are_merged_in_a_tree():
    one = QuantizedNearestNeighbors(bits=2, random_state=0).fit(X)
    many = DistributedNearestNeighbors(bits=2, random_state=0).fit(in_chunks(X, (10,) * 150))
    for a, b in zip(many.kneighbors(QUERIES, 30), one.kneighbors(QUERIES, 30), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_quantizer_of_ones_own_is_cloned():
    quantizer = LatticeQuantizer(bits=2, rotation="pca", random_state=3)
    one = QuantizedNearestNeighbors(quantizer=quantizer).fit(X)
    many = DistributedNearestNeighbors(quantizer=quantizer).fit(in_chunks(X, CHUNKS[2]))
    assert not hasattr(quantizer, "lattice_")
    for a, b in zip(many.kneighbors(QUERIES), one.kneighbors(QUERIES), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_rows_are_added(metric):
    options = {"metric": metric, "bits": 2.5, "random_state": 0}
    one = QuantizedNearestNeighbors(**options).partial_fit(X[:600]).partial_fit(X[600:])
    many = DistributedNearestNeighbors(**options)
    many.partial_fit(in_chunks(X[:600], (600,))).partial_fit(in_chunks(X[600:], (300, 600)))
    assert many.n_samples_fit_ == 1500
    for a, b in zip(many.kneighbors(QUERIES), one.kneighbors(QUERIES), strict=True):
        np.testing.assert_array_equal(a, b)


def test_many_queries_are_sent_batch_by_batch(monkeypatch):
    monkeypatch.setattr("skquant.distributed._search._QUERY_FLOATS", 7 * 24)
    many = DistributedNearestNeighbors(bits=2, random_state=0).fit(in_chunks(X, CHUNKS[1]))
    one = QuantizedNearestNeighbors(bits=2, random_state=0).fit(X)
    for a, b in zip(many.kneighbors(QUERIES), one.kneighbors(QUERIES), strict=True):
        np.testing.assert_array_equal(a, b)


@parametrize_with_checks(
    [DistributedNearestNeighbors(), DistributedNearestNeighbors(metric="cosine", bits=2)]
)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


# What is refused


ROWS = in_chunks(X, CHUNKS[1])
UNKNOWN = ROWS[ROWS[:, 0] > 0]
FITTED = LatticeQuantizer(random_state=0).fit(X)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (UNKNOWN, ValueError, r"X has chunks of unknown length: call X\.compute_chunk_sizes"),
        (ROWS.rechunk((500, 12)), ValueError, r"X must be chunked by rows alone.*\(12, 12\)"),
        (ROWS[:0], ValueError, "X must have rows and columns"),
        (ROWS[:, :0], ValueError, "X must have rows and columns"),
        (ROWS[:, 0], ValueError, "X must have two dimensions, got 1"),
        (X, TypeError, "X must be a Dask array or data frame, got ndarray"),
    ],
)
def test_rows_that_cannot_be_taken_are_refused(rows, error, message):
    for action in (lambda: fit(LatticeQuantizer(), rows), lambda: compress(FITTED, rows)):
        with pytest.raises(error, match=message):
            action()
    if error is ValueError:
        with pytest.raises(error, match=message):
            DistributedNearestNeighbors().fit(rows)
        with pytest.raises(error, match=message):
            DistributedNearestNeighbors().fit(ROWS).kneighbors(rows)


def test_another_width_is_refused():
    search = DistributedNearestNeighbors().fit(ROWS)
    for action in (
        lambda: compress(FITTED, ROWS[:, :9]),
        lambda: search.partial_fit(ROWS[:, :9]),
        lambda: search.kneighbors(ROWS[:, :9]),
        lambda: search.kneighbors(QUERIES[:, :9]),
    ):
        with pytest.raises(ValueError, match="X has 9 features, but .* is expecting 24"):
            action()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200])
def test_numbers_that_cannot_be_compressed_are_refused(value):
    spoiled = X.copy()
    spoiled[1200, 3] = value
    for center in ("features", False):
        quantizer = LatticeQuantizer(center=center, random_state=0)
        with pytest.raises(ValueError, match="^(Input )?X "):
            DistributedNearestNeighbors(quantizer=quantizer).fit(in_chunks(spoiled, CHUNKS[1]))
    with pytest.raises(ValueError, match="^(Input )?X "):
        compress(FITTED, in_chunks(spoiled, CHUNKS[1])).compute()


def test_queries_that_are_no_numbers_are_refused():
    search = DistributedNearestNeighbors().fit(ROWS)
    queries = QUERIES.copy()
    queries[3, 3] = np.nan
    with pytest.raises(ValueError, match="X contains NaN"):
        search.kneighbors(queries)
    with pytest.raises(ValueError, match="X contains NaN"):
        search.kneighbors(da.from_array(queries))[0].compute()


def test_codes_of_different_quantizers_do_not_mix():
    others = [
        LatticeQuantizer(bits=3, random_state=0).fit(X),
        LatticeQuantizer(random_state=1).fit(X),
        LatticeQuantizer(random_state=0).fit(X + 1),
    ]
    for other in others:
        with pytest.raises(ValueError, match="matrices were compressed by differently fitted"):
            QuantizedShards.concatenate([compress(FITTED, ROWS), compress(other, ROWS)])
    with pytest.raises(ValueError, match="matrices is empty"):
        QuantizedShards.concatenate([])


@pytest.mark.parametrize("quantizer", [None, "E8", LatticeQuantizer, QuantizedNearestNeighbors()])
def test_other_quantizers_are_refused(quantizer):
    for action in (fit, compress):
        with pytest.raises(TypeError, match="quantizer must be a LatticeQuantizer"):
            action(quantizer, ROWS)


def test_parameters_are_checked():
    with pytest.raises(ValueError, match="'bits' parameter"):
        fit(LatticeQuantizer(bits=-1), ROWS)
    with pytest.raises(ValueError, match="center must be"):
        fit(LatticeQuantizer(center=True), ROWS)
    with pytest.raises(NotFittedError):
        compress(LatticeQuantizer(), ROWS)
    with pytest.raises(ValueError, match='quantizer must not have center="rows"'):
        DistributedNearestNeighbors(quantizer=LatticeQuantizer(center="rows")).fit(ROWS)
    search = DistributedNearestNeighbors()
    with pytest.raises(NotFittedError):
        search.kneighbors(QUERIES)
    search.fit(ROWS)
    with pytest.raises(ValueError, match="Expected n_neighbors <= n_samples_fit"):
        search.kneighbors(QUERIES, 1501)
    with pytest.raises(ValueError, match="Expected n_neighbors > 0. Got 0"):
        search.kneighbors(QUERIES, 0)
    with pytest.raises(TypeError, match="n_neighbors does not take"):
        search.kneighbors(QUERIES, 1.5)


def test_without_dask_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask", None)
    monkeypatch.delitem(sys.modules, "skquant.distributed")
    with pytest.raises(ImportError, match=r"needs Dask: .*skquant\[dask\]"):
        import skquant.distributed  # noqa: F401


def test_what_was_computed_here_can_be_pickled():
    search = DistributedNearestNeighbors(random_state=0).fit(in_chunks(X, CHUNKS[1]))
    again = pickle.loads(pickle.dumps(search))
    for a, b in zip(again.kneighbors(QUERIES), search.kneighbors(QUERIES), strict=True):
        np.testing.assert_array_equal(a, b)


# Several processes


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
        dask.config.set(scheduler=None),
    ):
        yield client


def make_rows(number):
    """Make a chunk of rows, whose numbers follow from its place."""
    return dense(400, 24, np.float32, seed=100 + number)


def rows_of_workers(n_chunks):
    chunks = [
        da.from_delayed(dask.delayed(make_rows)(number), (400, 24), np.float32)
        for number in range(n_chunks)
    ]
    return da.concatenate(chunks)


def when_there(path, queries):
    """Give queries when a file is there."""
    deadline = time.monotonic() + 300
    while not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.01)
    return queries


def kill_a_worker(client):
    """Kill the process of a worker that holds codes, without warning."""
    held = {address: len(keys) for address, keys in client.has_what().items()}
    address = max(held, key=held.get)
    assert held[address] > 0
    pid = client.run(os.getpid, workers=[address])[address]
    os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))


def test_a_worker_that_is_killed_in_mid_search_changes_nothing(client, tmp_path):
    with dask.config.set(scheduler=None):
        rows = rows_of_workers(8)
        options = {"n_neighbors": 10, "bits": 3, "random_state": 0}
        one = QuantizedNearestNeighbors(**options).fit(
            np.vstack([make_rows(number) for number in range(8)])
        )
        many = DistributedNearestNeighbors(**options).fit(rows)
        flag, queries = tmp_path / "flag", QUERIES.astype(np.float32)
        late = da.from_delayed(
            dask.delayed(when_there)(str(flag), queries), queries.shape, queries.dtype
        )
        plan = many.kneighbors(
            da.concatenate([da.from_array(queries[::-1], chunks=(40, 24)), late])
        )
        search = client.compute(plan)
        kill_a_worker(client)  # the search cannot end before the flag is there
        assert not any(future.done() for future in search)
        flag.touch()
        expected = one.kneighbors(np.vstack([queries[::-1], queries]))
        for future, wanted in zip(search, expected, strict=True):
            np.testing.assert_array_equal(future.result(timeout=300), wanted)
        # What was lost is there again, for whoever searches next.
        for a, b in zip(many.kneighbors(queries), one.kneighbors(queries), strict=True):
            np.testing.assert_array_equal(a, b)


def test_errors_of_the_workers_come_here(client):
    with dask.config.set(scheduler=None):
        rows = rows_of_workers(2).map_blocks(np.log, dtype=np.float32)  # of negative numbers too
        with pytest.raises(ValueError, match="Input X contains NaN"):
            DistributedNearestNeighbors(random_state=0).fit(rows)


def test_grids_are_searched_on_the_workers(client):
    with dask.config.set(scheduler=None):
        y = np.arange(300) % 3
        rows = X[:300] + y[:, None]
        grid = GridSearchCV(
            QuantizedKNeighborsClassifier(random_state=0), {"bits": [1, 2, 4]}, cv=3
        )
        expected = clone(grid).fit(rows, y)
        with joblib.parallel_config(backend="dask"):
            found = clone(grid).fit(rows, y)
        np.testing.assert_array_equal(
            found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
        )
