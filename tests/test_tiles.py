"""Products of small integers, and the search that takes them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit
from reference import to_panels

import skquant._neighbors._search as search_module
from skquant import LatticeQuantizer
from skquant._kernels._dispatch import (
    BYTE_OFFSET,
    HAS_BYTES,
    LARGEST_BYTE,
    LARGEST_NORM,
    QUERIES,
    has_amx,
    search_tiles,
    search_tiles_by_amx,
)
from skquant._kernels._dot import dot_bytes, dot_shorts
from skquant._kernels._memory import load, store
from skquant._kernels._vectors import LANES
from skquant._products._integers import IntegerQueries, IntegerRows

with_bytes = pytest.mark.skipif(not HAS_BYTES, reason="no such product")
amx_only = pytest.mark.skipif(not has_amx(), reason="no matrix unit")
sizes = pytest.mark.parametrize(
    "in_bytes", [pytest.param(True, marks=with_bytes), False], ids=["bytes", "shorts"]
)
shares = pytest.mark.parametrize(
    "share",
    [pytest.param(1.0, marks=with_bytes), pytest.param(0.6, marks=with_bytes), 0.0],
    ids=["bytes", "both", "shorts"],
)


def integers_of(words, n_coordinates, n_bytes, byte_type):
    """Give the integers in the steps of rows or queries, (n, n_coordinates)."""
    byte_steps = -(-n_bytes // 4)
    in_bytes = np.ascontiguousarray(words[:, :byte_steps]).view(byte_type)[:, :n_bytes]
    in_shorts = np.ascontiguousarray(words[:, byte_steps:]).view(np.int16)
    return np.hstack([in_bytes, in_shorts[:, : n_coordinates - n_bytes]], dtype=int)


def integers_of_rows(tiles, n_coordinates, n_bytes):
    """Give the integers of the rows of tiles, (n_rows, n_coordinates)."""
    words = tiles.transpose(0, 2, 1).reshape(-1, tiles.shape[1])
    byte_type = np.uint8 if BYTE_OFFSET else np.int8
    integers = integers_of(words, n_coordinates, n_bytes, byte_type)
    integers[:, :n_bytes] -= BYTE_OFFSET
    return integers


def integers_of_queries(queries, n_coordinates, n_bytes):
    """Give the integers of queries, (n_queries, n_coordinates), those of no query at the end."""
    words = queries.blocks.transpose(0, 2, 1).reshape(-1, queries.blocks.shape[1])
    return integers_of(words, n_coordinates, n_bytes, np.int8)


@sizes
def test_dots_are_exact_at_the_ends_of_the_range(in_bytes):
    rng = np.random.default_rng(0)
    if in_bytes:
        ends, kind = [-LARGEST_BYTE, 0, LARGEST_BYTE], np.int8
        rows = rng.choice(ends, (LANES, 4))
        stored = (rows + BYTE_OFFSET).astype(np.uint8)
    else:
        ends, kind = [-32767, 0, 32767], np.int16
        rows = rng.choice(ends, (LANES, 2))
        rows[:, 1] = rng.integers(-9, 9, LANES)  # products of both stay below 2^31
        stored = rows.astype(np.int16)
    queries = rng.choice(ends, (20, rows.shape[1]))
    sums = rng.integers(-1000, 1000, LANES).astype(np.int32)
    out = np.empty((20, LANES), np.int32)
    words = (x.view(np.int32).ravel() for x in (stored, queries.astype(kind)))
    dot = dot_bytes if in_bytes else dot_shorts

    @njit
    def run(sums, rows, queries, out):
        for i in range(len(queries)):
            store(out, (i, 0), dot(load(sums, 0), load(rows, 0), queries[i]))

    run(sums, *words, out)
    expected = sums + queries @ rows.T + BYTE_OFFSET * queries.sum(axis=1)[:, None] * in_bytes
    np.testing.assert_array_equal(out, expected)


@shares
@given(st.integers(1, 3 * LANES), st.integers(1, 19), st.integers(0, 2**32 - 1))
def test_rounded_rows_are_as_near_as_their_units(share, n_rows, n_coordinates, seed):
    rng, n_bytes = np.random.default_rng(seed), int(share * n_coordinates)
    rows = rng.standard_normal((n_rows, n_coordinates)) * 10.0 ** rng.uniform(-3, 3, (n_rows, 1))
    rows[0] = 0
    panels = to_panels(rows.astype(np.float32))
    tiles, units = IntegerRows(n_rows, n_coordinates, n_bytes).round(panels)
    integers = integers_of_rows(tiles, n_coordinates, n_bytes)[:n_rows]
    assert (np.abs(integers * units[:n_rows, None] - rows) <= 0.51 * units[:n_rows, None]).all()
    in_bytes, in_shorts = np.split(integers, [n_bytes], axis=1)
    peak = np.abs(in_bytes).max(axis=1, initial=0)
    norm = np.linalg.norm(in_shorts.astype(float), axis=1)
    assert (peak <= LARGEST_BYTE).all() and (norm < LARGEST_NORM + n_coordinates).all()
    assert ((peak == LARGEST_BYTE) | (norm > LARGEST_NORM - n_coordinates))[1:].all()


@shares
def test_rounded_queries_are_as_near_as_their_units(share):
    queries = np.random.default_rng(0).standard_normal((2 * QUERIES + 1, 7)).astype(np.float32)
    queries[3] = 0
    n_bytes = int(share * 7)
    rounded = IntegerQueries.round(queries, n_bytes)
    integers = integers_of_queries(rounded, 7, n_bytes)
    found = integers[: len(queries)] * rounded.units[:, None]
    assert (np.abs(found - queries) <= 0.51 * rounded.units[:, None]).all()
    assert not integers[len(queries) :].any()
    expected = -BYTE_OFFSET * integers[:, :n_bytes].sum(axis=1)
    np.testing.assert_array_equal(rounded.start, expected)


@shares
@pytest.mark.parametrize("n_rows", [1, LANES - 1, 5 * LANES + 3])
@pytest.mark.parametrize("largest_offset", [0.0, 3.0, 1e35])
@pytest.mark.parametrize("by_amx", [False, pytest.param(True, marks=amx_only)])
def test_the_nearest_by_integers_are_found(share, n_rows, largest_offset, by_amx):
    """Against a sort of all distances; rows come twice, so that ties occur."""
    rng, k, n_bytes = np.random.default_rng(0), min(4, n_rows), int(share * 10)
    rows = rng.standard_normal((n_rows, 10)).astype(np.float32)
    rows[n_rows // 2 :] = rows[: n_rows - n_rows // 2]
    offset = largest_offset * rng.random(n_rows)
    offset[n_rows // 2 :] = offset[: n_rows - n_rows // 2]
    queries = IntegerQueries.round(
        rng.standard_normal((QUERIES + 2, 10)).astype(np.float32), n_bytes
    )
    tiles, units = IntegerRows(n_rows, 10, n_bytes, in_halves=by_amx).round(to_panels(rows))
    weight = rng.random(len(queries.units)) * (np.arange(len(queries.units)) != 1)
    distances = np.full((len(weight), k), np.inf)
    indices = np.full((len(weight), k), np.iinfo(np.int64).max)
    words = (queries.amx_bytes, queries.amx_halves) if by_amx else (queries.blocks,)
    (search_tiles_by_amx if by_amx else search_tiles)(
        tiles, units, *words, queries.start, queries.byte_steps, weight, offset, 100,
        distances, indices,
    )  # fmt: skip
    integers = integers_of_queries(queries, 10, n_bytes)[: len(weight)]
    tiles, _ = IntegerRows(n_rows, 10, n_bytes).round(to_panels(rows))
    sums = integers @ integers_of_rows(tiles, 10, n_bytes)[:n_rows].T
    expected = offset + weight[:, None] * (sums.astype(np.float32) * units[:n_rows])
    order = np.argsort(expected, axis=1, kind="stable")[:, :k]
    by_distance = np.lexsort((indices, distances), axis=1)
    found = np.take_along_axis(indices, by_distance, axis=1) - 100
    np.testing.assert_array_equal(found, order)
    np.testing.assert_array_equal(
        np.take_along_axis(distances, by_distance, axis=1),
        np.take_along_axis(expected, order, axis=1),
    )


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("metric", ["sqeuclidean", "inner_product"])
def test_integers_find_what_floats_find(monkeypatch, bits, metric):
    """The share of the ten nearest that is found differs by noise alone."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((4000, 64)).astype(np.float32) + 1
    queries = rng.standard_normal((500, 64)).astype(np.float32) + 1
    products = queries @ rows.T
    exact = -products if metric == "inner_product" else (rows**2).sum(axis=1) - 2 * products
    nearest = np.argsort(exact, axis=1)[:, :10]
    codes = LatticeQuantizer(bits=bits, random_state=0).fit(rows).compress(rows)
    recall = []
    for has_integers in (False, True):
        monkeypatch.setattr(search_module, "HAS_INTEGERS", has_integers)
        found = search_module.search(codes, queries, 10, metric=metric)[1]
        shared = [len(set(a) & set(b)) for a, b in zip(found, nearest, strict=True)]
        recall.append(np.mean(shared) / 10)
    assert abs(recall[0] - recall[1]) < 0.006


@amx_only
@pytest.mark.parametrize("n_features, rotation", [(3, None), (64, "hadamard"), (200, "pca")])
@pytest.mark.parametrize("n_queries", [1, 32, 77])
def test_the_matrix_unit_finds_the_same(monkeypatch, n_features, rotation, n_queries):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((1500, n_features)) * np.exp(-np.arange(n_features) / 20)
    codes = LatticeQuantizer(rotation=rotation, random_state=0).fit(rows).compress(rows)
    queries = rows[:n_queries] + 0.01
    found = search_module.search(codes, queries, 10, metric="sqeuclidean", n_jobs=2)
    monkeypatch.setattr(search_module, "has_amx", lambda: False)
    expected = search_module.search(codes, queries, 10, metric="sqeuclidean")
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
