"""Search for all compressed rows within a radius: some at a time are decoded and multiplied.

Distances are those of `_search` in single precision; the rows within the limit are kept, however
many.
"""

import numpy as np

from .._codecs._codec import batches
from .._products._decoded_rows import FloatRows
from .._threads import run_in_threads, single_threaded_blas
from ._estimates import centre_queries, scale_and_offset

_CHUNK_ROWS = 2**14
_PANEL_ROWS = 2**10
_QUERY_BLOCK = 2**8


def search_within(codes, queries, limit, *, metric, n_jobs=None):
    """Find the compressed rows within a limit of each query.

    Parameters
    ----------
    codes : QuantizedMatrix of shape (n_rows, n_features)
        The rows.
    queries : ndarray of shape (n_queries, n_features)
        Finite float32 or float64.
    limit : float
        The largest distance.
    metric : {"sqeuclidean", "inner_product"}
        "inner_product" counts negated products as distances.
    n_jobs : int, default=None
        Number of threads; it does not change the result.

    Returns
    -------
    distances : float64 ndarray of shape (n_found,)
        Of all queries, one query after the other.
    indices : int64 ndarray of shape (n_found,)
        Rows, ascending for each query.
    counts : int64 ndarray of shape (n_queries,)
        How many were found for each query.
    """
    coordinates, length, query_offset = centre_queries(codes._codec, queries, metric)

    def search_chunk(chunk):
        return _search_chunk(codes, chunk, coordinates, length, query_offset, limit, metric)

    with single_threaded_blas():
        found = run_in_threads(search_chunk, batches(len(codes), _CHUNK_ROWS), n_jobs)
    owners, indices, distances = map(np.concatenate, zip(*found, strict=True))
    order = np.argsort(owners, kind="stable")
    return distances[order], indices[order], np.bincount(owners, minlength=len(queries))


def _search_chunk(codes, chunk, coordinates, length, query_offset, limit, metric):
    """Find what is within the limit in a chunk: queries, rows and distances."""
    codec, found = codes._codec, []
    room = np.empty((_PANEL_ROWS, coordinates.shape[1]), np.float32)
    for first in range(chunk.start, chunk.stop, _PANEL_ROWS):
        packed = codes._rows[first : min(first + _PANEL_ROWS, chunk.stop)]
        decoded = room[: len(packed)]
        decoded_norm, terms = codec.decode_coordinates(packed, FloatRows(decoded))
        factor, offset = scale_and_offset(terms, decoded_norm, metric)
        for block in batches(len(coordinates), _QUERY_BLOCK):
            distances = coordinates[block] @ decoded.T * factor
            distances *= length[block, None]
            distances += offset
            distances += query_offset[block, None]
            owners, places = np.nonzero(distances <= limit)
            found.append((owners + block.start, places + first, distances[owners, places]))
    return tuple(map(np.concatenate, zip(*found, strict=True)))
