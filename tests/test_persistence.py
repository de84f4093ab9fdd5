"""Fitted estimators and compressed matrices through pickle, joblib and skops."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from scipy.sparse import issparse
from sklearn.pipeline import make_pipeline

from skquant import (
    LatticeQuantizer,
    LowRankLowPrecisionCompressor,
    LowRankLowPrecisionMatrix,
    QuantizedKNeighborsClassifier,
    QuantizedKNeighborsRegressor,
    QuantizedKNeighborsTransformer,
    QuantizedMatrix,
    QuantizedNearestNeighbors,
)
from skquant._value import Value
from skquant.lattices import D4

COMPRESSORS = [
    LatticeQuantizer(),
    LatticeQuantizer(bits=2.3, lattice=D4(), rotation="orthogonal", center="rows"),
    LatticeQuantizer(bits=0.5, lattice="A2", center=False, output="codes"),
    LatticeQuantizer(bits=1.2, rotation=None),
    LatticeQuantizer(bits=2, rotation="pca"),
    LatticeQuantizer(bits=3, coding="entropy", lattice="Leech"),
    LatticeQuantizer(bits=3, coding="hierarchical"),
    LatticeQuantizer(bits=1, coding="entropy", lattice="Trellis"),
    LowRankLowPrecisionCompressor(rank=5),
    LowRankLowPrecisionCompressor(rank=5, method="lplr", bits=4),
    LowRankLowPrecisionCompressor(rank=5, coding="entropy", residual_bits=1),
    LowRankLowPrecisionCompressor(bit_budget=3, residual_bits=1),
]
NEIGHBORS = [
    QuantizedNearestNeighbors(radius=6),
    QuantizedNearestNeighbors(metric="cosine", rescore=2, n_jobs=2, radius=0.5),
    QuantizedNearestNeighbors(quantizer=LatticeQuantizer(rotation="pca"), radius=6),
    QuantizedNearestNeighbors(n_candidates=20, radius=6),
    QuantizedKNeighborsClassifier(metric="inner_product"),
    QuantizedKNeighborsClassifier(weights="distance", rescore=3),
    QuantizedKNeighborsRegressor(),
    QuantizedKNeighborsTransformer(),
]
PREDICTIONS = [
    "transform",
    "inverse_transform",
    "compress",
    "score",
    "kneighbors",
    "kneighbors_graph",
    "radius_neighbors",
    "radius_neighbors_graph",
    "predict",
    "predict_proba",
]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 20)) * 0.9 ** np.arange(20) + 1
    return X, rng.integers(3, size=80)


@pytest.fixture(params=COMPRESSORS + NEIGHBORS, ids=repr)
def fitted(request, data):
    return copy.deepcopy(request.param).set_params(random_state=0).fit(*data)


def through_pickle(value, path):
    path.write_bytes(pickle.dumps(value))
    return pickle.loads(path.read_bytes())


def through_joblib(value, path):
    joblib.dump(value, path)
    return joblib.load(path)


def through_joblib_mapped(value, path):
    joblib.dump(value, path)
    mapped = joblib.load(path, mmap_mode="r")
    assert all(not array.flags.writeable for array in arrays_of(mapped))
    return mapped


def through_skops(value, path):
    io = pytest.importorskip("skops.io")
    io.dump(value, path)
    untrusted = io.get_untrusted_types(file=path)
    assert untrusted and all(name.startswith("skquant.") for name in untrusted)
    return io.load(path, trusted=untrusted)


WAYS = [through_pickle, through_joblib, through_joblib_mapped, through_skops]


def arrays_of(value):
    """Yield the arrays in a fitted value, wherever they are."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from arrays_of(item)
    elif isinstance(value, LowRankLowPrecisionMatrix):  # the rest of it is decoded
        yield from arrays_of(value.__reduce__()[1])
    elif (getattr(type(value), "__module__", None) or "").startswith("skquant"):
        for item in vars(value).values():
            yield from arrays_of(item)


def use(estimator, X, y):
    """Call every method that does not change the estimator; give all results as arrays."""
    results = []
    for name in PREDICTIONS:
        if not hasattr(estimator, name):
            continue
        given = X
        if name == "inverse_transform":
            given = estimator.transform(X)
        with np.errstate(all="raise"):
            found = getattr(estimator, name)(given, y) if name == "score" else None
            found = getattr(estimator, name)(given) if found is None else found
        for result in found if isinstance(found, tuple) else [found]:
            results.append(result.toarray() if issparse(result) else result)
    return results


def change(estimator, X, y):
    """Call the methods that change an estimator, where it has them."""
    if hasattr(estimator, "partial_fit"):
        estimator.partial_fit(X[:9], y[:9]).remove([0, 5])
    else:
        estimator.fit(X[::-1], y[::-1])
    return estimator


def assert_same(actual, expected):
    assert len(actual) == len(expected) > 0
    for a, b in zip(actual, expected, strict=True):
        if isinstance(a, QuantizedMatrix):
            assert repr(a) == repr(b) and a.dtype == b.dtype
            np.testing.assert_array_equal(a @ b.T, b @ b.T)
        a, b = np.asarray(a), np.asarray(b)
        assert a.dtype == b.dtype
        if a.dtype == object:
            a, b = np.concatenate(a), np.concatenate(b)
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("way", WAYS)
def test_an_estimator_comes_back(fitted, data, tmp_path, way):
    again = way(fitted, tmp_path / "estimator")
    assert repr(again) == repr(fitted)
    assert_same(use(again, *data), use(fitted, *data))
    changed = change(copy.deepcopy(fitted), *data)
    assert_same(use(change(again, *data), *data), use(changed, *data))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("compressor", COMPRESSORS, ids=repr)
def test_a_matrix_comes_back(compressor, data, tmp_path, way):
    X = data[0].astype(np.float32)
    matrix = compressor.set_params(random_state=0).fit(X).compress(X)
    again = way(matrix, tmp_path / "matrix")
    assert repr(again) == repr(matrix) and again.dtype == matrix.dtype
    for first, second in ((again, matrix), (again[3:9], matrix[3:9]), (again.T, matrix.T)):
        np.testing.assert_array_equal(first.toarray(), second.toarray())
    np.testing.assert_array_equal(again @ X[0], matrix @ X[0])
    if isinstance(matrix, QuantizedMatrix):
        joined = QuantizedMatrix.concatenate([again, matrix])
        np.testing.assert_array_equal(joined[80:].toarray(), matrix.toarray())
    again.save(tmp_path / "again.skq")
    loaded = type(matrix).load(tmp_path / "again.skq")
    np.testing.assert_array_equal(loaded.toarray(), matrix.toarray())


@pytest.mark.parametrize("way", [through_pickle, through_joblib, through_skops])
@pytest.mark.parametrize("Matrix", [QuantizedMatrix, LowRankLowPrecisionMatrix])
def test_a_matrix_that_is_mapped_from_its_file_comes_back(tmp_path, way, Matrix):
    X = np.random.default_rng(0).standard_normal((2500, 512)).astype(np.float32)
    compressor = LatticeQuantizer(8) if Matrix is QuantizedMatrix else None
    compressor = compressor or LowRankLowPrecisionCompressor(500, 8, method="lsvd", basis_bits=4)
    matrix = compressor.set_params(random_state=0).fit(X[:600]).compress(X)
    matrix.save(tmp_path / "x.skq")
    mapped = Matrix.load(tmp_path / "x.skq", mmap=True)
    again = way(mapped, tmp_path / "matrix")
    np.testing.assert_array_equal(again[::100].toarray(), matrix[::100].toarray())


@pytest.mark.parametrize("way", WAYS[:3])
def test_an_own_lattice_comes_back(data, tmp_path, way):
    """Skops asks whether a lattice of the user's own is to be trusted, rightly."""
    from stored_files import Checkerboard

    fitted = LatticeQuantizer(lattice=Checkerboard(), random_state=0).fit(data[0])
    again = way(fitted, tmp_path / "estimator")
    assert_same(use(again, *data), use(fitted, *data))


@pytest.mark.parametrize("way", WAYS)
def test_estimators_in_others_come_back(data, tmp_path, way):
    compressor = LowRankLowPrecisionCompressor(4, random_state=0)
    fitted = make_pipeline(compressor, QuantizedKNeighborsClassifier(bits=2)).fit(*data)
    again = way(fitted, tmp_path / "pipeline")
    np.testing.assert_array_equal(again.predict(data[0]), fitted.predict(data[0]))


def test_a_pickle_does_not_depend_on_what_was_done(fitted, data):
    before = joblib.hash(fitted)
    use(fitted, *data)
    assert joblib.hash(fitted) == before


def test_what_is_computed_again_is_not_pickled(data):
    matrix = LatticeQuantizer(random_state=0).fit(data[0]).compress(data[0], dither_seed=1)
    size = len(pickle.dumps(matrix))
    matrix @ data[0][0]
    assert isinstance(matrix._codec, Value) and "dither" in vars(matrix._codec)
    assert len(pickle.dumps(matrix)) == size


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_threads_that_search_at_once_get_the_same_answers(data, n_jobs):
    """`benchmarks/threads.py` does so at length."""
    X, y = data
    search = QuantizedKNeighborsClassifier(rescore=2, random_state=0, n_jobs=n_jobs).fit(X, y)
    expected = [search.kneighbors(X[i : i + 3]) for i in range(20)]
    search = pickle.loads(pickle.dumps(search))  # what is computed once is not there yet

    def look(number):
        order = np.random.default_rng(number).permutation(20)
        found = {i: search.kneighbors(X[i : i + 3]) for i in order}
        return [found[i] for i in range(20)]

    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(look, range(8)):
            for actual, wanted in zip(found, expected, strict=True):
                assert_same(actual, wanted)
