"""Matrices in files, mapped into memory: read in blocks, whatever their dtype."""

import tracemalloc

import numpy as np
import pytest

from skquant import LatticeQuantizer, QuantizedNearestNeighbors

SHAPE = (200_000, 64)
BLOCKS = 8e6  # what is decoded, checked or coded at once; a byte for each entry would be 13 MB


@pytest.fixture(scope="module", params=[np.float16, np.float32])
def mapped(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.npy"
    rows = np.lib.format.open_memmap(path, "w+", request.param, SHAPE)
    rng = np.random.default_rng(0)
    for start in range(0, len(rows), 10_000):
        block = rng.standard_normal((10_000, SHAPE[1]), dtype=np.float32) + 1
        rows[start : start + 10_000] = block / np.linalg.norm(block, axis=1, keepdims=True)
    rows.flush()
    return np.load(path, mmap_mode="r")


def peak_of(function, *arguments):
    """Give what a call returns, and the most bytes that it held."""
    tracemalloc.start()
    try:
        return function(*arguments), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_quantizer_reads_a_file_in_blocks(mapped):
    LatticeQuantizer(bits=2).fit(mapped[:100]).compress(mapped[:100])  # compiles
    quantizer, peak = peak_of(LatticeQuantizer(bits=2, random_state=0).fit, mapped)
    assert peak < BLOCKS
    codes, peak = peak_of(quantizer.compress, mapped)
    assert peak < codes.nbytes + BLOCKS
    np.testing.assert_array_equal(
        codes[-10:].toarray(), quantizer.compress(np.array(mapped[-10:])).toarray()
    )


@pytest.mark.parametrize("metric", ["euclidean", "inner_product"])
def test_a_search_reads_a_file_in_blocks(mapped, metric):
    settings = {"bits": 2, "metric": metric, "random_state": 0}
    QuantizedNearestNeighbors(**settings).fit(mapped[:100])
    search, peak = peak_of(QuantizedNearestNeighbors(**settings).fit, mapped)
    assert peak < search.codes_.nbytes + BLOCKS
    _, peak = peak_of(search.partial_fit, mapped[:100_000])
    assert peak < search.codes_.nbytes + BLOCKS


def test_what_is_not_finite_is_found_in_every_block(tmp_path):
    rows = np.ones((70_000, 64), np.float16)
    for bad, place in ((np.nan, 0), (np.inf, 65_535), (-np.inf, 69_999)):
        rows[place, 3] = bad
        with pytest.raises(ValueError, match="Input X contains (NaN|infinity)"):
            LatticeQuantizer().fit(rows)
        rows[place, 3] = 1
