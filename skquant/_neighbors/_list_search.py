"""Search in inverted lists: each query visits a few of them, and all queries of a list meet there.

Lists are decoded some at a time, each to whole tiles, once for all queries that visit it. A query
comes to a list as what it is from the centroid, rounded to integers; the distance that is estimated
for a query and a row depends on nothing else, so neither on the other queries nor on how many lists
are visited.
"""

import numpy as np
from sklearn.utils import gen_even_slices

from .._codecs._row_terms import ALIGNMENTS
from .._file_format import MappedRows
from .._kernels._dispatch import (
    QUERIES,
    cut_pieces,
    gather_lists,
    gather_rows,
    join_words,
    round_visits,
    search_lists,
    sort_visits,
    weigh_rows,
)
from .._kernels._tiles import FIRST_BLOCK, FIRST_TILE, N_BLOCKS, N_ROWS
from .._kernels._vectors import LANES
from .._kernels._visits import FIRST_ROW
from .._panels import empty_panels
from .._products._integers import IntegerRows, count_steps
from .._threads import run_in_threads, single_threaded_blas, thread_count
from ._estimates import scale_and_offset
from ._search import PANEL_FLOATS, UNIT
from ._slabs import SlabRows

QUERY_FLOATS = 2**20  # distances from centroids that are held at once


def choose_visits(lists, queries, k, n_probe, metric):
    """Choose the lists that each of some queries visits.

    The arguments are those of `plan_visits`.

    Returns
    -------
    found : int64 ndarray of shape (n_queries, n_first)
        Lists, in the order in which they are visited; none is empty.
    base : float64 ndarray of shape (n_queries, n_first)
        The part of the distance that concerns query and list alone.
    n_wanted : int64 ndarray of shape (n_queries,)
        How many of them each query visits.
    """
    partition, sizes = lists.coder.partition, lists.sizes
    n_filled = np.count_nonzero(sizes)
    n_first = n_ranked = min(n_probe, n_filled)
    found, base = partition.rank(queries, n_ranked, metric, sizes)
    while (n_rows := sizes[found].cumsum(axis=1))[:, -1].min() < k:
        n_ranked = min(4 * n_ranked, n_filled)
        found, base = partition.rank(queries, n_ranked, metric, sizes)
    return found, base, np.maximum(n_first, 1 + (n_rows < k).sum(axis=1))


def plan_visits(lists, queries, k, n_probe, metric):
    """Choose the lists that each query visits.

    Parameters
    ----------
    lists : InvertedLists
    queries : float32 ndarray of shape (n_queries, n_features)
        Less the origin.
    k, n_probe, metric
        As `search` takes them.

    Returns
    -------
    query_of, base_of, first_visit
        As `sort_visits` gives them.
    """
    n_lists = lists.n_lists
    at_once = max(1, QUERY_FLOATS // n_lists)
    parts = [
        choose_visits(lists, queries[start : start + at_once], k, n_probe, metric)
        for start in range(0, len(queries), at_once)
    ]
    width = max(found.shape[1] for found, _, _ in parts)
    found, base = (_join([part[i] for part in parts], width) for i in (0, 1))
    return sort_visits(found, base, np.concatenate([part[2] for part in parts]), n_lists)


def _join(arrays, width):
    """Stack arrays of different widths; what is missing is zero."""
    if len(arrays) == 1:
        return arrays[0]
    padding = [((0, 0), (0, width - array.shape[1])) for array in arrays]
    return np.concatenate([np.pad(*pair) for pair in zip(arrays, padding, strict=True)])


def search(lists, queries, k, n_probe, *, metric, n_jobs=None):
    """Find the k nearest rows of each query in the lists that it visits.

    Parameters
    ----------
    lists : InvertedLists
    queries : ndarray of shape (n_queries, n_features)
        Finite float32 or float64.
    k : int
        At most the number of rows.
    n_probe : int
        Lists to visit, of those that hold rows; more where they hold fewer than k.
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
    with single_threaded_blas():
        centred = lists.coder.partition.centred(queries)
        scan = _Scan(lists, centred, plan_visits(lists, centred, k, n_probe, metric), metric)
        n_parts = min(thread_count(n_jobs), len(scan.groups))

        def search_part(groups):
            distances = np.full((len(queries), k), np.inf)
            indices = np.full((len(queries), k), np.iinfo(np.int64).max)
            scan.take(groups, distances, indices)
            return distances, indices

        parts = [scan.groups[part] for part in gen_even_slices(len(scan.groups), n_parts)]
        found = run_in_threads(search_part, parts, n_jobs)
    distances = np.concatenate([d for d, _ in found], axis=1)
    indices = np.concatenate([i for _, i in found], axis=1)
    order = np.lexsort((indices, distances), axis=1)[:, :k]
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(indices, order, axis=1)


def search_within(lists, queries, limit, n_probe, *, metric, n_jobs=None):
    """Find the rows within a limit of each query in the lists that it visits.

    Parameters
    ----------
    lists, queries, n_probe, metric, n_jobs
        As `search` takes them.
    limit : float
        The largest distance.

    Returns
    -------
    distances, indices, counts : ndarray
        As `_radius_search.search_within` gives them.
    """
    with single_threaded_blas():
        centred = lists.coder.partition.centred(queries)
        scan = _Scan(lists, centred, plan_visits(lists, centred, 0, n_probe, metric), metric)
        found = run_in_threads(lambda group: scan.within(group, limit), scan.groups, n_jobs)
    owners, indices, distances = map(np.concatenate, zip(*found, strict=True))
    order = np.lexsort((indices, owners))
    return distances[order], indices[order], np.bincount(owners, minlength=len(queries))


def count_scanned(lists, queries, k, n_probe, *, metric):
    """Count the pairs of a query and a row that `search` compares."""
    centred = lists.coder.partition.centred(queries)
    _, _, first_visit = plan_visits(lists, centred, k, n_probe, metric)
    return int(np.diff(first_visit) @ lists.sizes)


class _Scan:
    """All that a search in lists reads.

    Parameters
    ----------
    lists : InvertedLists
    queries : float32 ndarray of shape (n_queries, n_features)
        Less the origin.
    visits : tuple
        As `plan_visits` gives it.
    metric : str
    """

    def __init__(self, lists, queries, visits, metric):
        self._lists, self._metric = lists, metric
        self._query_of, self._base_of, first_visit = visits
        coder = lists.coder
        self._queries, self._centroids = coder.codec.to_coordinates(queries), coder.coordinates
        self._n_bytes = coder.n_bytes
        self._steps = count_steps(self._queries.shape[1], coder.n_bytes)
        n_tiles = max(1, PANEL_FLOATS // self._queries.shape[1] // LANES)
        self._pieces, starts = cut_pieces(first_visit, lists.starts, n_tiles)
        bounds = starts.tolist()
        self.groups = [slice(*pair) for pair in zip(bounds[:-1], bounds[1:], strict=True)]

    def take(self, groups, distances, indices):
        """Take the rows of some groups of pieces into heaps."""
        coder, codes = self._lists.coder, self._lists.codes
        layout = coder.codec.terms
        most_rows = LANES * max(self._count(group)[0] for group in groups)
        packed_room = np.zeros((most_rows, codes._rows.shape[1]), np.uint8)
        panel_room = empty_panels(most_rows, self._queries.shape[1])
        integers = IntegerRows(most_rows, self._queries.shape[1], self._n_bytes)
        numbers, offset = np.zeros(most_rows, np.int64), np.empty(most_rows)
        scale = np.zeros(most_rows, np.float32)
        for group in groups:
            pieces, (n_tiles, n_blocks) = self._pieces[group], self._count(group)
            n_rows = n_tiles * LANES
            packed, panels = packed_room[:n_rows], panel_room[:n_tiles]
            energy = self._decode(pieces, packed, panels, numbers)
            tiles, units = integers.round(panels)
            weigh_rows(
                packed, coder.codec.row_code.n_bytes, layout.mantissa, ALIGNMENTS,
                layout.cosine_bits, coder.centre_norms, pieces, energy, units,
                self._metric == "sqeuclidean", scale[:n_rows], offset[:n_rows],
            )  # fmt: skip
            queries, start, owner, base, unit = self._round(pieces, n_blocks)
            scale[:n_rows] *= UNIT
            search_lists(
                tiles, scale[:n_rows], offset[:n_rows], numbers[:n_rows], pieces,
                queries, start, self._steps[0], owner, base, unit / UNIT, distances, indices,
            )  # fmt: skip

    def within(self, group, limit):
        """Find what is within the limit in a group of pieces: queries, numbers and distances."""
        pieces, n_tiles = self._pieces[group], self._count(group)[0]
        codes, coder = self._lists.codes, self._lists.coder
        packed = np.zeros((n_tiles * LANES, codes._rows.shape[1]), np.uint8)
        panels = empty_panels(n_tiles * LANES, self._queries.shape[1])
        numbers = np.zeros(n_tiles * LANES, np.int64)
        norm = np.sqrt(self._decode(pieces, packed, panels, numbers))
        decoded = np.empty((n_tiles * LANES, self._queries.shape[1]), np.float32)
        gather_rows(panels, decoded)
        found = []
        for first_tile, n_rows, _, _, each, _, first_visit, n_visits in pieces:
            rows = slice(first_tile * LANES, first_tile * LANES + n_rows)
            visits = slice(first_visit, first_visit + n_visits)
            terms = coder.unpack_terms(np.full(n_rows, each), packed[rows])
            factor, offset = scale_and_offset(terms, norm[rows], self._metric)
            query_of, base = self._query_of[visits], self._base_of[visits]
            distances = (self._queries[query_of] - self._centroids[each]) @ decoded[rows].T * factor
            distances += offset
            distances += base[:, None]
            owners, places = np.nonzero(distances <= limit)
            found.append((query_of[owners], numbers[rows][places], distances[owners, places]))
        return tuple(map(np.concatenate, zip(*found, strict=True)))

    def _decode(self, pieces, packed, panels, numbers):
        """Copy and decode the rows of pieces, each to whole tiles; give their squares."""
        codec, rows = self._lists.coder.codec, self._lists.codes._rows
        if isinstance(rows, SlabRows):
            rest = np.zeros((len(packed), rows.rest.shape[1]), np.uint8)
            gather_lists(_ready(rows.rest, pieces), self._lists.numbers, pieces, rest, numbers)
            join_words(rows.slabs, rest, rows.place, pieces, packed)
        else:
            gather_lists(_ready(rows, pieces), self._lists.numbers, pieces, packed, numbers)
        return codec.row_code.decode(packed, panels, codec.dither)

    def _count(self, group):
        """Count the tiles and the blocks of a group."""
        last = self._pieces[group.stop - 1]
        n_tiles = last[FIRST_TILE] - (-last[N_ROWS] // LANES)
        return int(n_tiles), int(last[FIRST_BLOCK] + last[N_BLOCKS])

    def _round(self, pieces, n_blocks):
        """Round what queries are from centroids: blocks, starts, owners, bases and units."""
        blocks = np.zeros((n_blocks, self._steps[1], QUERIES), np.int32)
        start, owner = np.zeros(n_blocks * QUERIES, np.int32), np.empty(n_blocks * QUERIES, int)
        base, unit = np.zeros((2, n_blocks * QUERIES))
        round_visits(
            self._queries, self._centroids, self._query_of, self._base_of, pieces,
            self._n_bytes, blocks, start, owner, base, unit,
        )  # fmt: skip
        return blocks, start, owner, base, unit


def _ready(rows, pieces):
    """Give all compressed rows, those of pieces ready for use."""
    if isinstance(rows, MappedRows):
        return rows.verified(pieces[:, FIRST_ROW], pieces[:, FIRST_ROW] + pieces[:, N_ROWS])
    return rows
