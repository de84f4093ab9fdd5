"""Search for few queries: a scan of the coarse layer, and a closer look at the best rows of it."""

import numpy as np

from .._kernels._dispatch import MOST_LEVELS, SLAB_ROWS, fill_tables, find_rows, update_top_k
from .._kernels._vectors import LANES
from .._layered_code import POINTS
from .._panels import aligned_empty
from .._threads import run_in_threads
from ._search import centre_queries, scale_and_offset

FEW_QUERIES = 32
_LARGEST_SUM = 2**16 - 1


def search_few(codes, rows, queries, k, n_candidates, *, metric, n_jobs=None):
    """Find the k nearest compressed rows of each query among those that look best.

    Parameters
    ----------
    codes : QuantizedMatrix of shape (n_rows, n_features)
        The rows, which lie apart as `SlabRows`.
    rows : intp ndarray of shape (n_chosen,), or None
        The rows to choose from; None means all.
    queries : ndarray of shape (n_queries, n_features)
        Finite float32 or float64.
    k : int
        At most `n_candidates`.
    n_candidates : int
        How many rows to measure; at most as many as there are to choose from.
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
    coordinates, length, offset = centre_queries(codes._codec, queries, metric)
    scan = Scan(codes, n_candidates, chosen_bits(len(codes), rows))
    distances = np.full((len(queries), k), np.inf)
    indices = np.empty((len(queries), k), np.int64)

    def search_one(i):
        found, packed = scan.find(coordinates[i], length[i])
        local = np.empty((1, k), np.int64)
        _measure(
            codes._codec, packed, coordinates[i : i + 1], length[i : i + 1], metric,
            distances[i : i + 1], local,
        )  # fmt: skip
        indices[i] = found[local[0]]

    run_in_threads(search_one, range(len(queries)), n_jobs)
    order = np.lexsort((indices, distances), axis=1)
    distances = np.take_along_axis(distances, order, axis=1)
    return distances + offset[:, None], np.take_along_axis(indices, order, axis=1)


def _measure(codec, packed, query, length, metric, distances, indices):
    products, energy = codec.row_code.multiply(packed, query, codec.dither)
    terms = codec.unpack_terms(packed)
    factor, offset = scale_and_offset(terms, np.sqrt(energy), metric)
    products = (products[:, 0] * factor).astype(np.float32)[None]
    indices[:] = np.iinfo(np.int64).max
    update_top_k(products, length, offset, 0, distances, indices)


def chosen_bits(n_rows, rows=None):
    """Mark rows, all or those of some indices, with a bit each: uint64, one for each slab."""
    n_slabs = -(-n_rows // SLAB_ROWS)
    if rows is None:
        bits = np.full(n_slabs, ~np.uint64(0))
        if n_rows % SLAB_ROWS:
            bits[-1] = (1 << n_rows % SLAB_ROWS) - 1
        return bits
    chosen = np.zeros(n_slabs * SLAB_ROWS, bool)
    chosen[rows] = True
    return np.packbits(chosen, bitorder="little").view("<u8").astype(np.uint64)


class Scan:
    """Find the rows of least scores by their coarse layer.

    Parameters
    ----------
    codes : QuantizedMatrix
        Its rows are `SlabRows`.
    count : int
        How many rows to find.
    chosen : uint64 ndarray of shape (n_slabs,)
        As `chosen_bits` gives it.
    """

    def __init__(self, codes, count, chosen):
        self.rows, self.code, self.count, self.chosen = (
            codes._rows,
            codes._codec.row_code,
            count,
            chosen,
        )
        self.levels = min(MOST_LEVELS, _LARGEST_SUM // self.code.n_words)

    def find(self, query, length):
        """Find rows for a unit query: indices and packed rows."""
        n_words = self.code.n_words
        tables, values = aligned_empty((n_words, 64), np.uint8), np.empty((n_words, 64), np.float32)
        step, start = fill_tables(POINTS, self.code.sizes, query, self.levels, values, tables)
        inverse = np.float32(min(max(self.rows.unit / length, 1e-30), 1e30) if length > 0 else 1e30)
        capacity = 2 * self.count // LANES * LANES + 8 * SLAB_ROWS
        scores, rows = np.empty(capacity, np.float32), np.empty(capacity, np.int64)
        words = np.empty((capacity, self.code.word_bytes), np.uint8)
        n_found = find_rows(
            tables, np.float32(step), np.float32(start), inverse, self.rows.slabs, self.chosen,
            self.count, scores, rows, words,
        )  # fmt: skip
        rows = rows[:n_found]
        return rows, self.rows.join(words[:n_found], self.rows.rest[rows])
