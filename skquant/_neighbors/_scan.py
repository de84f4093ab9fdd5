"""Search for few queries: a scan of the coarse layer, and a closer look at the best rows of it."""

import numpy as np

from .._codes._layered import REST_FACTOR, points
from .._kernels._dispatch import find_rows, measure_rows
from .._kernels._vectors import LANES
from .._panels import empty_panels
from .._threads import run_on_shares
from ._estimates import centre_queries
from ._slabs import chosen_bits

FEW_QUERIES = 64  # for which a scan is faster, as benchmarks/few_queries.py has it
_ONE_CENTRE = np.zeros(1), np.ones(1)  # which all rows have, and distances are less its part


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
    codec = codes._codec
    chosen = codes._rows.all_bits if rows is None else chosen_bits(len(codes), rows)
    coordinates, length, offset = centre_queries(codec, queries, metric)
    layout, is_product = codec.kernel_terms, metric == "inner_product"
    distances, indices = np.empty((len(queries), k)), np.empty((len(queries), k), np.int64)

    def search_one(i):
        query = coordinates[i]
        found, *layers = find_candidates(codes, query, length[i], chosen, n_candidates)
        owners, centres = np.zeros(len(found), np.int64), (query[None], length[i], *_ONE_CENTRE)
        measure(codec, layout, layers, owners, centres, found, is_product, distances[i], indices[i])

    run_on_shares(search_one, len(queries), n_jobs)
    distances += offset[:, None]
    return distances, indices


def find_candidates(codes, query, length, chosen, count):
    """Find the rows that look best by their coarse layer.

    Parameters
    ----------
    codes : QuantizedMatrix
    query : float32 ndarray of shape (n_coordinates,)
        Of unit length, in the coordinates of the codes.
    length : float
        That of the query.
    chosen : uint64 ndarray of shape (n_slabs,)
        The rows to choose from, as `chosen_bits` gives them.
    count : int
        How many to find; there may be more, which fill vectors.

    Returns
    -------
    rows, words, others : ndarray
        As `find_rows` gives them.
    """
    rows = codes._rows
    # Up and down in turns: what was read last is still in the cache.
    rows.downwards = not rows.downwards
    inverse = rows.unit / length if length > rows.unit * 1e-30 else 1e30
    return find_rows(
        points(), codes._codec.row_code.sizes, query, np.float32(max(inverse, 1e-30)), rows.slabs,
        rows.terms, chosen, rows.rest, min(-(-count // LANES) * LANES, len(rows)), rows.downwards,
    )  # fmt: skip


def measure(codec, layout, layers, owners, centres, numbers, is_product, distances, nearest):
    """Measure candidates by both layers of their code, and keep the nearest.

    Parameters
    ----------
    codec : Codec
    layout : KernelLayout
        That of the terms.
    layers : tuple of uint8 ndarray
        The words and the other bytes of the candidates.
    centres : tuple
        `vectors`, `length`, `base` and `centre_norms` of `measure_rows`.
    owners, numbers, is_product, distances, nearest
        As `measure_rows` has them.
    """
    code, (words, others) = codec.row_code, layers
    panels = empty_panels(len(others), code.n_coordinates)
    code.rest.decode(others, panels, codec.dither)
    vectors, length, base, centre_norms = centres
    measure_rows(
        points(), code.sizes, words, REST_FACTOR, panels, vectors, length, owners, base,
        centre_norms, others, code.rest.n_bytes, layout, is_product, numbers, distances, nearest,
    )  # fmt: skip
