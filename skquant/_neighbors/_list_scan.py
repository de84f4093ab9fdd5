"""Search for few queries in lists: a scan of the coarse layer, and a look at its best rows."""

import numpy as np

from .._codes._layered import points
from .._file_format import MappedRows
from .._kernels._dispatch import find_listed_rows
from .._kernels._vectors import LANES
from .._threads import run_on_shares
from ._list_search import choose_visits
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
    coder, codec = lists.coder, lists.coder.codec
    centred = coder.partition.centred(queries)
    found, base, n_wanted = choose_visits(lists, centred, k, n_probe, metric)
    coordinates, layout = codec.to_coordinates(centred), codec.terms.for_kernels(1.0)
    # Of queries too large for single precision nothing is found, as in `_list_search`.
    distances = np.full((len(queries), k), np.inf)
    indices = np.full((len(queries), k), np.iinfo(np.int64).max)

    def search_one(i):
        visits, own_base = found[i, : n_wanted[i]], base[i, : n_wanted[i]]
        rows, *layers, owners, vectors, length = find_candidates(
            lists, coordinates[i], visits, own_base, n_candidates
        )
        measure(
            codec, layout, layers, owners, (vectors, length, own_base, coder.centre_norms[visits]),
            lists.numbers[rows].astype(np.int64), metric == "inner_product", distances[i],
            indices[i],
        )  # fmt: skip

    run_on_shares(search_one, len(queries), n_jobs)
    return distances, indices


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
