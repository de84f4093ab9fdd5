"""Search among compressed rows: panels are decoded, multiplied and reduced to the k nearest.

What remains of a panel is an offset and a factor for each row, as `_estimates` gives them, and one
matrix product: of bytes and 16-bit integers, to which rows and queries are rounded so finely that
it adds little to the error of the code, or of floats where the machine is no faster with integers.
For a few queries `_few_queries` tells beforehand which rows are worth it.
"""

import numpy as np
from sklearn.utils import gen_even_slices

from .._codecs._codec import batches
from .._kernels._dispatch import (
    FEW_VECTORS,
    HAS_INTEGERS,
    LARGEST_BYTE,
    LARGEST_NORM,
    gather_rows,
    has_amx,
    search_tiles,
    search_tiles_by_amx,
    update_top_k,
)
from .._products._integers import IntegerQueries, IntegerRows, count_bytes
from .._threads import run_in_threads, single_threaded_blas, thread_count
from ._estimates import centre_queries, scale_and_offset
from ._few_queries import find_possible_rows

PANEL_FLOATS = 2**19  # a panel and its tiles stay in the cache
CHUNK_ROWS = 2**14  # that are decoded at once
UNIT = 2.0**-11  # keeps products of integers as small as those of floats
_NO_ROW = np.iinfo(np.int64).max


def search(codes, queries, k, *, metric, n_jobs=None):
    """Find the k nearest compressed rows of each query.

    Parameters
    ----------
    codes : QuantizedMatrix of shape (n_rows, n_features)
        The rows.
    queries : ndarray of shape (n_queries, n_features)
        Finite float32 or float64.
    k : int
        At most `n_rows`.
    metric : {"sqeuclidean", "inner_product"}
        "inner_product" counts negated products as distances.
    n_jobs : int, default=None
        Number of threads; it does not change the result.

    Returns
    -------
    distances : float64 ndarray of shape (n_queries, k)
        Ascending.
    indices : int64 ndarray of shape (n_queries, k)
        Rows; of equal distances the smallest first.
    """
    distances, indices, offset = search_part(codes, queries, k, metric=metric, n_jobs=n_jobs)
    return distances + offset[:, None], indices


def search_part(codes, queries, k, *, metric, n_jobs=None):
    """Search some of the rows, so that what was found in several parts can be joined.

    Parameters
    ----------
    codes, queries, k, metric, n_jobs
        As `search` takes them.

    Returns
    -------
    distances : float64 ndarray of shape (n_queries, k)
        Less the query's own part: adding it might make different distances equal.
    indices : int64 ndarray of shape (n_queries, k)
    offset : float64 ndarray of shape (n_queries,)
        The query's own part, the same for all rows.
    """
    coordinates, length, query_offset = centre_queries(codes._codec, queries, metric)
    use, row_code = _IntegerQueries if HAS_INTEGERS else _FloatQueries, codes._codec.row_code
    prepared = use(row_code, coordinates, length)
    can_choose = len(queries) <= FEW_VECTORS and np.isfinite(row_code.peak())
    search_rows = _search_possible_rows if can_choose else _search_rows

    def search_slice(rows):
        return search_rows(codes, prepared, rows, k, metric)

    parts = gen_even_slices(len(codes), min(thread_count(n_jobs), len(codes)))
    with single_threaded_blas():
        found = run_in_threads(search_slice, list(parts), n_jobs)
    distances = np.concatenate([d for d, _ in found], axis=1)
    indices = np.concatenate([i for _, i in found], axis=1)
    order = np.lexsort((indices, distances), axis=1)[:, :k]
    distances = np.take_along_axis(distances, order, axis=1)
    return distances, np.take_along_axis(indices, order, axis=1), query_offset


def _search_rows(codes, queries, rows, k, metric):
    """Find the k nearest of a slice of rows: heaps of distances, less the query's own part."""
    distances, indices = _empty_heaps(len(queries.length), k)
    take = queries.searcher()
    for first in range(rows.start, rows.stop, CHUNK_ROWS):
        packed = codes._rows[first : min(first + CHUNK_ROWS, rows.stop)]
        for panel, panels, decoded_norm, terms in codes._codec.decode_panels(
            packed, queries.panel_rows
        ):
            scale, offset = scale_and_offset(terms, decoded_norm, metric)
            take(panels, scale, offset, first + panel.start, distances, indices)
    return distances, indices


def _search_possible_rows(codes, queries, rows, k, metric):
    """Do what `_search_rows` does, but first leave out rows that none of a few queries can find."""
    possible = find_possible_rows(codes, queries, rows, k, metric)
    every = slice(0, len(possible))
    distances, indices = _search_rows(codes[possible], queries, every, k, metric)
    return distances, np.append(possible, _NO_ROW)[np.minimum(indices, len(possible))]


def _empty_heaps(n_queries, k):
    """Make heaps of distances and indices that any row enters."""
    distances = np.full((n_queries, k), np.inf)
    return distances, np.full((n_queries, k), _NO_ROW)


class _FloatQueries:
    """Queries that meet decoded rows in the products of BLAS."""

    panel_rows = 2**10
    block = 2**8

    def __init__(self, row_code, coordinates, length):
        self.coordinates = coordinates
        self.length = length

    def bound_errors(self, norm):
        """Bound what rounding changes products by: not at all."""
        return 0 * norm

    def searcher(self):
        """Make a function that takes a panel of rows into heaps."""
        tile = np.empty(min(self.block, len(self.length)) * self.panel_rows, np.float32)
        room = np.empty((self.panel_rows, self.coordinates.shape[1]), np.float32)

        def take(panels, scale, offset, first_row, distances, indices):
            rows = room[: len(scale)]
            gather_rows(panels, rows)
            rows *= scale[:, None].astype(np.float32)
            for block in batches(len(self.length), self.block):
                shape = len(self.length[block]), len(scale)
                products = tile[: shape[0] * shape[1]].reshape(shape)
                np.matmul(self.coordinates[block], rows.T, out=products)
                update_top_k(
                    products,
                    self.length[block],
                    offset,
                    first_row,
                    distances[block],
                    indices[block],
                )

        return take


class _IntegerQueries:
    """Queries that meet decoded rows in products of small integers."""

    def __init__(self, row_code, coordinates, length):
        self.n_coordinates = coordinates.shape[1]
        self.panel_rows = max(64, PANEL_FLOATS // self.n_coordinates // 64 * 64)
        self.n_bytes = count_bytes(row_code)
        self.peak = row_code.peak(self.n_bytes)
        self.integers = IntegerQueries.round(coordinates, self.n_bytes)
        self.coordinates = coordinates
        self.length = length

    def bound_errors(self, norm):
        """Bound what rounding changes products by, with rows of norms of shape (n_rows, 1).

        Queries are rounded to q + e and rows to u + f, which changes a product by
        ⟨e, u⟩ + ⟨q + e, f⟩, at most ‖e‖ ‖u‖ + ‖q + e‖₁ max |f|.
        """
        units = self.integers.units[:, None]
        rounded = np.rint(self.coordinates / units) * units
        row_units = np.maximum(self.peak / LARGEST_BYTE, norm / LARGEST_NORM)
        error = np.linalg.norm(rounded - self.coordinates, axis=1)
        return error * norm + np.abs(rounded).sum(axis=1) * row_units / 2

    def searcher(self):
        """Make a function that takes a panel of rows into heaps."""
        queries, by_amx = self.integers, has_amx() and self.n_bytes > 0
        room = IntegerRows(self.panel_rows, self.n_coordinates, self.n_bytes, in_halves=by_amx)
        weight = self.length * (queries.units / UNIT)
        if by_amx:
            find, words = search_tiles_by_amx, (queries.amx_bytes, queries.amx_halves)
        else:
            find, words = search_tiles, (queries.blocks,)

        def take(panels, scale, offset, first_row, distances, indices):
            tiles, units = room.round(panels)
            scales = np.zeros(len(units), np.float32)
            scales[: len(scale)] = units[: len(scale)] * scale * UNIT
            find(
                tiles,
                scales,
                *words,
                queries.start,
                queries.byte_steps,
                weight,
                offset,
                first_row,
                distances,
                indices,
            )

        return take
