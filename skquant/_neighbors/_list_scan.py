"""Search in lists query by query: a scan of the coarse layer, and a look at its best rows."""

import numpy as np
from sklearn.utils import gen_batches

from .._codes._layered import points
from .._file_format import MappedRows
from .._kernels._dispatch import find_listed_rows
from .._kernels._vectors import LANES
from .._threads import run_on_shares
from ._list_search import QUERY_FLOATS, choose_visits
from ._scan import measure


def search_few(lists, queries, k, n_candidates, n_probe, *, metric, n_jobs=None):
    """Find the k nearest rows of each query among those that look best in the lists it visits.

    Parameters
    ----------
    lists : InvertedLists
        With a coarse layer.
    queries : ndarray of shape (n_queries, n_features)
        Finite float32 or float64.
    k : int
        At most `n_candidates`, and as many rows as there are.
    n_candidates : int
        How many rows to measure.
    n_probe : int
        Lists to visit; more where these hold fewer than k rows.
    metric : {"sqeuclidean", "inner_product"}
        "inner_product" counts negated products as distances.
    n_jobs : int, default=None
        Number of threads; it does not change the result.

    Returns
    -------
    distances : float64 ndarray of shape (n_queries, k)
        Ascending.
    indices : int64 ndarray of shape (n_queries, k)
        Numbers of rows; of equal distances the smallest first.
    """
    distances, indices = np.empty((len(queries), k)), np.empty((len(queries), k), np.int64)
    for some in gen_batches(len(queries), max(1, QUERY_FLOATS // lists.n_lists)):
        centred = lists.coder.partition.centred(queries[some])
        plan = choose_visits(lists, centred, k, n_probe, metric)
        is_product = metric == "inner_product"
        _search_batch(
            lists, centred, plan, n_candidates, is_product, n_jobs, distances[some], indices[some]
        )
    return distances, indices


def _search_batch(lists, queries, plan, n_candidates, is_product, n_jobs, distances, indices):
    """Search for some queries at a time, to which `choose_visits` has given their lists."""
    (found, base, n_wanted), coder = plan, lists.coder
    coordinates, layout = coder.codec.to_coordinates(queries), coder.codec.terms.for_kernels(1.0)

    def search_one(i):
        visits, own_base = found[i, : n_wanted[i]], base[i, : n_wanted[i]]
        rows, *layers, owners, vectors, length = find_candidates(
            lists, coordinates[i], visits, own_base, n_candidates
        )
        centres = vectors, length, own_base, coder.centre_norms[visits]
        numbers = lists.numbers[rows].astype(np.int64)
        measure(
            coder.codec, layout, layers, owners, centres, numbers, is_product, distances[i],
            indices[i],
        )  # fmt: skip

    run_on_shares(search_one, len(queries), n_jobs)


def find_candidates(lists, query, visits, base, count):
    """Find the rows of some lists that look best by their coarse layer.

    Parameters
    ----------
    lists : InvertedLists
    query : float32 ndarray of shape (n_coordinates,)
        In the coordinates of the codes.
    visits : int64 ndarray of shape (n_visits,)
        The lists.
    base : float64 ndarray of shape (n_visits,)
        As `choose_visits` gives it.
    count : int
        How many to find; there may be more, which fill vectors.

    Returns
    -------
    tuple
        As `find_listed_rows` gives it.
    """
    rows, coder = lists.codes._rows, lists.coder
    rest = rows.rest
    if isinstance(rest, MappedRows):
        rest = rest.verified(lists.starts[visits], lists.starts[visits + 1])
    return find_listed_rows(
        points(), coder.codec.row_code.sizes, query, coder.coordinates, visits, base, rows.unit,
        lists.starts, rows.slabs, rows.terms, rest, min(-(-count // LANES) * LANES, len(lists)),
    )  # fmt: skip
