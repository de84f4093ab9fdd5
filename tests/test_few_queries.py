"""Searches for a few queries, which first leave out the rows that cannot be found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skquant import LatticeQuantizer, QuantizedMatrix, QuantizedNearestNeighbors
from skquant._kernels._dispatch import FEW_VECTORS, HAS_INTEGERS
from skquant._neighbors._estimates import centre_queries
from skquant._neighbors._few_queries import estimate_distances, find_possible_rows
from skquant._neighbors._search import CHUNK_ROWS, _IntegerQueries, search

QUANTIZERS = {
    "1 bit": LatticeQuantizer(1, random_state=0),
    "1.4 bits": LatticeQuantizer(1.4, random_state=0),
    "3 bits": LatticeQuantizer(3, random_state=0),
    "7 bits": LatticeQuantizer(7, random_state=0),
    "sparse": LatticeQuantizer(0.5, random_state=0),
    "D4": LatticeQuantizer(3, lattice="D4", random_state=0),
    "entropy": LatticeQuantizer(3, coding="entropy", random_state=0),
    "hierarchical": LatticeQuantizer(3, coding="hierarchical", random_state=0),
    "pca": LatticeQuantizer(3, rotation="pca", random_state=0),
    "no centre": LatticeQuantizer(2, center=False, random_state=0),
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((700, 45), dtype=np.float32) * np.linspace(2, 0.5, 45) + 0.3
    return X.astype(np.float32), rng.standard_normal((FEW_VECTORS, 45)) + 0.3


def estimates(codes, queries, metric):
    """The distances that codes stand for, in double precision."""
    codec = codes._codec
    terms = codec.unpack_terms(codes._rows)
    rows = codec.decode(codes._rows, np.float64) - codec.mean
    products = (queries - codec.mean) @ rows.T / terms.alignment**2
    if metric == "sqeuclidean":
        return ((queries - codec.mean) ** 2).sum(axis=1)[:, None] + terms.norm**2 - 2 * products
    return -(products + terms.centre_product + (queries @ codec.mean)[:, None])


@pytest.mark.skipif(not HAS_INTEGERS, reason="nothing is rounded")
@pytest.mark.parametrize("metric", ["sqeuclidean", "inner_product"])
@pytest.mark.parametrize("quantizer", QUANTIZERS.values(), ids=QUANTIZERS)
def test_rounding_changes_distances_by_no_more_than_the_bound(data, metric, quantizer):
    X, queries = data
    codes = quantizer.fit(X).compress(X)
    coordinates, length, offset = centre_queries(codes._codec, queries, metric)
    prepared = _IntegerQueries(codes._codec.row_code, coordinates, length)
    estimated, margin = estimate_distances(codes._codec, codes._rows, prepared, metric)
    estimated = estimated.T + offset[:, None]
    expected = estimates(codes, queries, metric)
    np.testing.assert_allclose(estimated, expected, atol=3e-4 * np.abs(expected).max())
    found, rows = search(codes, np.vstack([queries] * 2), len(X), metric=metric)
    error = np.abs(
        found[: len(queries)] - np.take_along_axis(estimated, rows[: len(queries)], axis=1)
    )
    assert np.all(error <= np.take_along_axis(margin.T, rows[: len(queries)], axis=1))


def assert_few_find_what_many_find(codes, queries, k, metric):
    few = search(codes, queries, k, metric=metric)
    many = search(codes, np.vstack([queries] * 9), k, metric=metric)
    many = [found[: len(queries)] for found in many]
    if HAS_INTEGERS:
        np.testing.assert_array_equal(few, many)
    else:  # BLAS rounds products of few and many queries differently
        np.testing.assert_allclose(few[0], many[0], rtol=1e-5, atol=1e-6 * np.abs(many[0]).max())


@pytest.mark.parametrize("metric", ["sqeuclidean", "inner_product"])
@pytest.mark.parametrize("quantizer", QUANTIZERS.values(), ids=QUANTIZERS)
@pytest.mark.parametrize("k", [1, 9, 700])
def test_few_find_what_many_find(data, metric, quantizer, k):
    X, queries = data
    assert_few_find_what_many_find(quantizer.fit(X).compress(X), queries, k, metric)


@given(
    seed=st.integers(0, 1000),
    bits=st.sampled_from([1, 1.4, 2.5, 4, 6]),
    kind=st.sampled_from(["alike", "equal", "spikes", "enormous", "far"]),
    dither_seed=st.sampled_from([None, 1]),
)
def test_few_find_what_many_find_in_rows_of_every_kind(seed, bits, kind, dither_seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((150, 40))
    if kind == "alike":
        X = X[:5].repeat(30, axis=0)
    elif kind == "equal":
        X[:] = X[0]
    elif kind == "spikes":
        X[np.arange(150), rng.integers(0, 40, 150)] = 100
    elif kind == "enormous":
        X[::2] *= 1e30
    else:
        X += 1e6
    queries = X[:2] + 0.1 * rng.standard_normal((2, 40))
    codes = LatticeQuantizer(bits, random_state=0).fit(X).compress(X, dither_seed=dither_seed)
    assert_few_find_what_many_find(codes, queries, 7, "sqeuclidean")


def test_few_rows_are_left():
    X = np.random.default_rng(0).standard_normal((20_000, 64), dtype=np.float32)
    codes = LatticeQuantizer(4, random_state=0).fit(X).compress(X)
    coordinates, length, _ = centre_queries(codes._codec, X[:1], "sqeuclidean")
    queries = _IntegerQueries(codes._codec.row_code, coordinates, length)
    rows = find_possible_rows(codes, queries, slice(100, 20_000), 10, "sqeuclidean")
    assert 10 <= len(rows) < 300
    assert rows[0] >= 100


def test_rows_of_several_chunks_and_threads():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((2 * CHUNK_ROWS, 8), dtype=np.float32)
    nearest = QuantizedNearestNeighbors(n_neighbors=5, bits=6, random_state=0).fit(X)
    found = nearest.kneighbors(X[-3:], return_distance=False)
    np.testing.assert_array_equal(found[:, 0], np.arange(len(X) - 3, len(X)))
    apart = nearest.set_params(n_jobs=2).kneighbors(X[-3:], return_distance=False)
    np.testing.assert_array_equal(apart, found)


@pytest.mark.parametrize("dither_seed", [None, 3])
@given(seed=st.integers(0, 100), n_vectors=st.integers(1, FEW_VECTORS))
def test_products_of_words_are_those_of_decoded_rows(dither_seed, seed, n_vectors):
    rng = np.random.default_rng(seed)
    X, vectors = rng.standard_normal((50, 40)), rng.standard_normal((40, n_vectors))
    codes = LatticeQuantizer(1, random_state=0).fit(X).compress(X, dither_seed=dither_seed)
    np.testing.assert_allclose(codes @ vectors, codes.toarray() @ vectors, atol=1e-4)


def test_bytes_that_name_no_word_multiply_as_they_decode():
    X = np.random.default_rng(0).standard_normal((6, 16))
    codes = LatticeQuantizer(1, center=False, random_state=0).fit(X).compress(X)
    packed = np.array(codes._rows)
    packed[:, 0] = 255
    codes, vector = QuantizedMatrix(codes._codec, packed, np.float64), np.ones(16)
    np.testing.assert_allclose(codes @ vector, codes.toarray() @ vector, atol=1e-5)
