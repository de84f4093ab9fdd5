"""Search among compressed rows: panels are decoded, multiplied and reduced to the k nearest.

With x the row, c the centre, r = x - c and u what the row's code words decode to,

    ‖q - x‖² = ‖q - c‖² + ‖r‖² - 2 ⟨q - c, r⟩
    ⟨q, x⟩ = ⟨q - c, r⟩ + ⟨r, c⟩ + ⟨q, c⟩

where ‖r‖² and ⟨r, c⟩ are row terms and only ⟨q - c, r⟩ ≈ ‖r‖²/⟨r, u⟩ ⟨q - c, u⟩ is estimated,
without bias. What remains of a panel is an offset and a factor for each row and one matrix product:
of bytes and 16-bit integers, to which rows and queries are rounded so finely that it adds little to
the error of the code, or of floats where the machine is no faster with integers. A few queries are
multiplied with the codes as they are decoded.
"""

import numpy as np
from sklearn.utils import gen_even_slices

from .._codecs._codec import batches
from .._kernels._dispatch import (
    FEW_VECTORS,
    HAS_INTEGERS,
    centre_rows,
    gather_rows,
    has_amx,
    search_tiles,
    search_tiles_by_amx,
    update_top_k,
)
from .._products._integers import IntegerQueries, IntegerRows, count_bytes
from .._threads import run_in_threads, single_threaded_blas, thread_count

PANEL_FLOATS = 2**19  # a panel and its tiles stay in the cache
CHUNK_ROWS = 2**14  # whose terms are unpacked at once
UNIT = 2.0**-11  # keeps products of integers as small as those of floats
_TINY = np.finfo(np.float64).tiny


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
    are_few = len(queries) <= FEW_VECTORS
    distances, indices, offset = search_part(
        codes, queries, k, metric=metric, are_few=are_few, n_jobs=n_jobs
    )
    return distances + offset[:, None], indices


def search_part(codes, queries, k, *, metric, are_few, n_jobs=None):
    """Search some of the rows, so that what was found in several parts can be joined.

    Parameters
    ----------
    codes, queries, k, metric, n_jobs
        As `search` takes them.
    are_few : bool
        Whether to multiply queries with the codes as they are decoded; at most FEW_VECTORS.

    Returns
    -------
    distances : float64 ndarray of shape (n_queries, k)
        Less the query's own part: adding it might make different distances equal.
    indices : int64 ndarray of shape (n_queries, k)
    offset : float64 ndarray of shape (n_queries,)
        The query's own part, the same for all rows.
    """
    coordinates, length, query_offset = centre_queries(codes._codec, queries, metric)
    if are_few:
        search_rows, prepared = _search_rows_for_few, (coordinates, length)
    else:
        use = _FloatQueries if not HAS_INTEGERS else _IntegerQueries
        search_rows, prepared = _search_rows, use(codes._codec.row_code, coordinates, length)

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


def centre_queries(codec, queries, metric):
    """Give unit queries in the codes' coordinates, their lengths, and their part of distances."""
    energy, centre_product = np.empty(len(queries)), np.empty(len(queries))
    centre_rows(queries, codec.mean, np.zeros(len(queries)), energy, centre_product)
    length = np.sqrt(energy)
    coordinates = codec.to_coordinates(queries, codec.mean, 1 / np.maximum(length, _TINY))
    offset = energy if metric == "sqeuclidean" else -centre_product - codec.centre_norm**2
    return coordinates, length, offset


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


def _search_rows_for_few(codes, queries, rows, k, metric):
    """Do what `_search_rows` does for at most FEW_VECTORS queries, without keeping decoded rows."""
    (coordinates, length), codec = queries, codes._codec
    distances, indices = _empty_heaps(len(length), k)
    for first in range(rows.start, rows.stop, CHUNK_ROWS):
        packed = codes._rows[first : min(first + CHUNK_ROWS, rows.stop)]
        products, energy = codec.row_code.multiply(packed, coordinates, codec.dither)
        scale, offset = scale_and_offset(codec.unpack_terms(packed), np.sqrt(energy), metric)
        products = np.ascontiguousarray((products * scale[:, None]).T, np.float32)
        update_top_k(products, length, offset, first, distances, indices)
    return distances, indices


def _empty_heaps(n_queries, k):
    """Make heaps of distances and indices that any row enters."""
    distances = np.full((n_queries, k), np.inf)
    return distances, np.full((n_queries, k), np.iinfo(np.int64).max)


class _FloatQueries:
    """Queries that meet decoded rows in the products of BLAS."""

    panel_rows = 2**10
    block = 2**8

    def __init__(self, row_code, coordinates, length):
        self.coordinates = coordinates
        self.length = length

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
        self.integers = IntegerQueries.round(coordinates, self.n_bytes)
        self.length = length

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


def scale_and_offset(terms, decoded_norm, metric):
    """Give what turns products with code words into distances."""
    factor = terms.unbiased_factor(decoded_norm)
    if metric == "sqeuclidean":
        return -2 * factor, terms.norm**2
    return -factor, -terms.centre_product
