"""Search among compressed rows: panels are decoded, multiplied and reduced to the k nearest.

With x the row, c the centre, r = x - c and u what the row's code words decode to,

    ‖q - x‖² = ‖q - c‖² + ‖r‖² - 2 ⟨q - c, r⟩
    ⟨q, x⟩ = ⟨q - c, r⟩ + ⟨r, c⟩ + ⟨q, c⟩

where ‖r‖² and ⟨r, c⟩ are row terms and only ⟨q - c, r⟩ ≈ ‖r‖²/⟨r, u⟩ ⟨q - c, u⟩ is estimated,
without bias. What remains of a panel is an offset and a factor for each row and one matrix product.
"""

import numpy as np

from .._kernels._dispatch import centre_rows, update_top_k
from .._threads import run_in_threads, single_threaded_blas, thread_count

CHUNK_ROWS = 2**14
PANEL_ROWS = 2**10
QUERY_BLOCK = 2**8


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
    codec = codes._codec
    energy, centre_product = np.empty(len(queries)), np.empty(len(queries))
    centre_rows(queries, codec.mean, np.zeros(len(queries)), energy, centre_product)
    length = np.sqrt(energy)
    inverse = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
    coordinates = codec.to_coordinates(queries, codec.mean, inverse)

    def search_part(chunks):
        return _search_chunks(codes, coordinates, length, chunks, k, metric)

    n_chunks = -(-len(codes) // CHUNK_ROWS)
    parts = [part for part in np.array_split(range(n_chunks), thread_count(n_jobs)) if len(part)]
    with single_threaded_blas():
        found = run_in_threads(search_part, parts, n_jobs)
    distances = np.concatenate([d for d, _ in found], axis=1)
    indices = np.concatenate([i for _, i in found], axis=1)
    order = np.lexsort((indices, distances), axis=1)[:, :k]
    distances = np.take_along_axis(distances, order, axis=1)
    indices = np.take_along_axis(indices, order, axis=1)
    centre_energy = codec.mean @ codec.mean
    query_offset = energy if metric == "sqeuclidean" else -centre_product - centre_energy
    return distances + query_offset[:, None], indices


def _search_chunks(codes, coordinates, length, chunks, k, metric):
    """Find the k nearest rows in some chunks: heaps of distances, less the query's own part."""
    distances = np.full((len(coordinates), k), np.inf)
    indices = np.full((len(coordinates), k), np.iinfo(np.int64).max)
    tile = np.empty(min(QUERY_BLOCK, len(coordinates)) * PANEL_ROWS, np.float32)
    for first in chunks * CHUNK_ROWS:
        packed = codes._rows[first : first + CHUNK_ROWS]
        decoded = codes._codec.decode_panels(packed, PANEL_ROWS)
        for rows, panels, decoded_norm, terms in decoded:
            n_rows = rows.stop - rows.start
            scale, offset = _scale_and_offset(terms, decoded_norm, metric)
            scales = np.zeros(panels.shape[2], np.float32)
            scales[:n_rows] = scale
            panels[0] *= scales  # the whole panel is faster than a part
            panel = panels[0, :, :n_rows]
            for start in range(0, len(coordinates), QUERY_BLOCK):
                block = slice(start, start + QUERY_BLOCK)
                shape = len(coordinates[block]), n_rows
                products = tile[: shape[0] * shape[1]].reshape(shape)
                np.matmul(coordinates[block], panel, out=products)
                update_top_k(
                    products,
                    length[block],
                    offset,
                    first + rows.start,
                    distances[block],
                    indices[block],
                )
    return distances, indices


def _scale_and_offset(terms, decoded_norm, metric):
    """Give what turns products with code words into distances."""
    factor = terms.unbiased_factor(decoded_norm)
    if metric == "sqeuclidean":
        return -2 * factor, terms.norm**2
    return -factor, -terms.centre_product
