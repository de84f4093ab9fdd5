"""Searches for a few queries, which are multiplied with the codes as they are decoded."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skquant import LatticeQuantizer, QuantizedMatrix, QuantizedNearestNeighbors
from skquant._kernels._dispatch import FEW_VECTORS
from skquant._neighbors._search import CHUNK_ROWS, search

QUANTIZERS = {
    "1 bit": LatticeQuantizer(1, random_state=0),
    "1.4 bits": LatticeQuantizer(1.4, random_state=0),
    "3 bits": LatticeQuantizer(3, random_state=0),
    "7 bits": LatticeQuantizer(7, random_state=0),
    "sparse": LatticeQuantizer(0.5, random_state=0),
    "D4": LatticeQuantizer(3, lattice="D4", random_state=0),
    "entropy": LatticeQuantizer(3, coding="entropy", random_state=0),
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


@pytest.mark.parametrize("metric", ["sqeuclidean", "inner_product"])
@pytest.mark.parametrize("quantizer", QUANTIZERS.values(), ids=QUANTIZERS)
@pytest.mark.parametrize("n_queries", [1, FEW_VECTORS])
def test_distances_are_those_of_the_codes(data, metric, quantizer, n_queries):
    X, queries = data[0], data[1][:n_queries]
    codes = quantizer.fit(X).compress(X)
    expected = estimates(codes, queries, metric)
    distances, indices = search(codes, queries, 9, metric=metric)
    order = np.argsort(expected, axis=1, kind="stable")[:, :9]
    assert np.mean(indices == order) > 0.97
    scale = np.abs(expected).max()
    np.testing.assert_allclose(
        distances, np.take_along_axis(expected, indices, axis=1), atol=3e-4 * scale
    )
    np.testing.assert_allclose(
        distances, np.take_along_axis(expected, order, axis=1), atol=3e-4 * scale
    )


def test_few_find_what_many_find(data):
    X, queries = data
    nearest = QuantizedNearestNeighbors(n_neighbors=8, bits=3, random_state=0).fit(X)
    few = nearest.kneighbors(queries, return_distance=False)
    many = nearest.kneighbors(np.vstack([queries] * 9), return_distance=False)[: len(queries)]
    assert np.mean([np.isin(*pair).mean() for pair in zip(few, many, strict=True)]) > 0.9


def test_rows_of_several_chunks_and_threads():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((CHUNK_ROWS + 100, 8), dtype=np.float32)
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
