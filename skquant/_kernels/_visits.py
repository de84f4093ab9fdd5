"""Visits of queries to lists of rows: what `_tiles.search_lists` needs of both.

A *piece* is a list or a part of one; kernels take a table of them, int64, with the columns below. A
piece fills whole tiles, of which the last may have room for more rows, and the queries that visit
it whole blocks.
"""

import numpy as np
from numba import njit

from ._dot import BYTE_OFFSET, LARGEST_BYTE, LARGEST_NORM, QUERIES
from ._memory import copy_bytes
from ._tiles import FIRST_BLOCK, FIRST_TILE, N_BLOCKS, N_ROWS
from ._vectors import LANES

MORE_LISTS = 8  # that are measured in double precision than are visited
LIST, FIRST_ROW, FIRST_VISIT, N_VISITS = 4, 5, 6, 7  # behind those that `_tiles` reads


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "nsz", "contract"})
def _compare(query, centroid):
    """Give the squared distance of two vectors, and their product."""
    squares, products = 0.0, 0.0
    for i in range(len(query)):
        value, centre = float(query[i]), float(centroid[i])
        squares += (value - centre) * (value - centre)
        products += value * centre
    return squares, products


@njit(cache=True, nogil=True, error_model="numpy")
def _replace_root(keys, values, key, value, count):
    """Replace the root of a heap, where the largest (key, value) is."""
    parent = 0
    while 2 * parent + 1 < count:
        child = 2 * parent + 1
        right = child + 1
        if right < count and (keys[right], values[right]) > (keys[child], values[child]):
            child = right
        if (keys[child], values[child]) <= (key, value):
            break
        keys[parent], values[parent] = keys[child], values[child]
        parent = child
    keys[parent], values[parent] = key, value


@njit(cache=True, nogil=True, error_model="numpy")
def _take_least(keys, values, key, value):
    """Keep the least in a heap that starts with infinite keys."""
    if (key, value) < (keys[0], values[0]):
        _replace_root(keys, values, key, value, len(keys))


@njit(cache=True, nogil=True, error_model="numpy")
def rank_lists(queries, centroids, scores, shift, sizes, is_distance, found, base):
    """Find the lists to visit first, in order.

    They come by what ``shift - score`` is in double precision, half a squared distance or a negated
    product, so that the order does not depend on how scores were rounded.

    Parameters
    ----------
    queries : float32 ndarray of shape (n_queries, n_features)
    centroids : float32 ndarray of shape (n_lists, n_features)
    scores : float32 ndarray of shape (n_queries, n_lists)
        Their products, as BLAS gives them.
    shift : float64 ndarray of shape (n_lists,)
    sizes : int64 ndarray of shape (n_lists,)
        Lists without rows are left out.
    is_distance : bool
    found : int64 ndarray of shape (n_queries, n_first)
        Written to: lists. There are as many that hold rows.
    base : float64 ndarray of shape (n_queries, n_first)
        Written to: the squared distance of query and centroid, or ``shift`` less their product.
    """
    n_first = found.shape[1]
    n_near = min(n_first + MORE_LISTS, np.count_nonzero(sizes))
    keys, near = np.empty(n_near), np.empty(n_near, np.int64)
    exact, values = np.empty(n_first), np.empty(n_first, np.int64)
    for query in range(len(queries)):
        keys[:], near[:] = np.inf, len(centroids)
        for each in range(len(centroids)):
            if sizes[each] > 0:
                _take_least(keys, near, shift[each] - float(scores[query, each]), each)
        exact[:], values[:] = np.inf, len(centroids)
        for each in near:
            squares, product = _compare(queries[query], centroids[each])
            _take_least(exact, values, squares if is_distance else shift[each] - product, each)
        for last in range(n_first - 1, -1, -1):
            found[query, last], base[query, last] = values[0], exact[0]
            _replace_root(exact, values, exact[last], values[last], last)


@njit(cache=True, nogil=True, error_model="numpy")
def sort_visits(found, base, n_wanted, n_lists):
    """Bring visits of queries to lists into the order of lists.

    Parameters
    ----------
    found : int64 ndarray of shape (n_queries, n_first)
        Lists, in the order in which they are visited.
    base : float64 ndarray of shape (n_queries, n_first)
    n_wanted : int64 ndarray of shape (n_queries,)
        How many of them each query visits.
    n_lists : int

    Returns
    -------
    query_of : int64 ndarray of shape (n_visits,)
    base_of : float64 ndarray of shape (n_visits,)
    first_visit : int64 ndarray of shape (n_lists + 1,)
        Where the visits of each list start.
    """
    first_visit = np.zeros(n_lists + 1, np.int64)
    for query in range(len(found)):
        for nth in range(n_wanted[query]):
            first_visit[found[query, nth] + 1] += 1
    for each in range(n_lists):
        first_visit[each + 1] += first_visit[each]
    query_of, base_of = np.empty(first_visit[-1], np.int64), np.empty(first_visit[-1])
    place = first_visit[:-1].copy()
    for query in range(len(found)):
        for nth in range(n_wanted[query]):
            each = found[query, nth]
            query_of[place[each]], base_of[place[each]] = query, base[query, nth]
            place[each] += 1
    return query_of, base_of, first_visit


@njit(cache=True, nogil=True, error_model="numpy")
def cut_pieces(first_visit, starts, n_tiles):
    """Cut the visited lists into pieces, and put these into groups.

    Parameters
    ----------
    first_visit : int64 ndarray of shape (n_lists + 1,)
        As `sort_visits` gives it.
    starts : int64 ndarray of shape (n_lists + 1,)
        Where the rows of each list start.
    n_tiles : int
        Most tiles of a piece, and of a group.

    Returns
    -------
    pieces : int64 ndarray of shape (n_pieces, 8)
        Tiles and blocks are counted in each group.
    group_starts : int64 ndarray of shape (n_groups + 1,)
        Where the pieces of each group start.
    """
    most_rows, n_pieces = n_tiles * LANES, 0
    for each in range(len(starts) - 1):
        if first_visit[each + 1] > first_visit[each]:
            n_pieces += -(-(starts[each + 1] - starts[each]) // most_rows)
    pieces, group_starts = np.empty((n_pieces, 8), np.int64), np.zeros(n_pieces + 1, np.int64)
    piece, n_groups, tile, block = 0, 1, 0, 0
    for each in range(len(starts) - 1):
        n_visits = first_visit[each + 1] - first_visit[each]
        if n_visits > 0:
            for row in range(starts[each], starts[each + 1], most_rows):
                n_rows = min(starts[each + 1] - row, most_rows)
                if tile + -(-n_rows // LANES) > n_tiles:
                    group_starts[n_groups] = piece
                    n_groups, tile, block = n_groups + 1, 0, 0
                pieces[piece, FIRST_TILE], pieces[piece, N_ROWS] = tile, n_rows
                pieces[piece, FIRST_BLOCK], pieces[piece, N_BLOCKS] = block, -(-n_visits // QUERIES)
                pieces[piece, LIST], pieces[piece, FIRST_ROW] = each, row
                pieces[piece, FIRST_VISIT], pieces[piece, N_VISITS] = first_visit[each], n_visits
                tile += -(-n_rows // LANES)
                block += pieces[piece, N_BLOCKS]
                piece += 1
    group_starts[n_groups] = n_pieces
    return pieces, group_starts[: n_groups + 1]


@njit(cache=True, nogil=True, error_model="numpy")
def gather_lists(rows, numbers, pieces, packed, gathered_numbers):
    """Copy the compressed rows of pieces to their tiles.

    Parameters
    ----------
    rows : uint8 ndarray of shape (n_rows, row_bytes)
    numbers : int ndarray of shape (n_rows,)
    pieces : int64 ndarray of shape (n_pieces, 8)
    packed : uint8 ndarray of shape (n_tiles * LANES, row_bytes)
        Written to where there are rows.
    gathered_numbers : int64 ndarray of shape (n_tiles * LANES,)
        Likewise.
    """
    for piece in range(len(pieces)):
        target, source = pieces[piece, FIRST_TILE] * LANES, pieces[piece, FIRST_ROW]
        n_rows = pieces[piece, N_ROWS]
        copy_bytes(rows, (source, 0), packed, (target, 0), n_rows * rows.shape[1])
        for i in range(n_rows):
            gathered_numbers[target + i] = numbers[source + i]


@njit(cache=True, nogil=True, error_model="numpy")
def join_words(slabs, rest, place, pieces, packed):
    """Put the words of rows of pieces, which lie apart in slabs, between their other bytes.

    Parameters
    ----------
    slabs : uint16 ndarray of shape (n_slabs, n_bytes, LANES)
        As `_coarse_scan` has them.
    rest : uint8 ndarray of shape (n_tiles * LANES, n_rest_bytes)
        The other bytes.
    place : int
        How many of these come before the words.
    pieces : int64 ndarray of shape (n_pieces, 8)
    packed : uint8 ndarray of shape (n_tiles * LANES, row_bytes)
        Written to where there are rows.
    """
    last = place + packed.shape[1] - rest.shape[1]
    for piece in range(len(pieces)):
        target, source = pieces[piece, FIRST_TILE] * LANES, pieces[piece, FIRST_ROW]
        for i in range(pieces[piece, N_ROWS]):
            slab, lane = (source + i) // (2 * LANES), (source + i) % (2 * LANES)
            shift = np.uint16(8 * (lane // LANES))
            copy_bytes(rest, (target + i, 0), packed, (target + i, 0), place)
            for byte in range(last - place):
                packed[target + i, place + byte] = slabs[slab, byte, lane % LANES] >> shift
            n_last = packed.shape[1] - last
            copy_bytes(rest, (target + i, place), packed, (target + i, last), n_last)


@njit(cache=True, nogil=True, error_model="numpy")
def weigh_rows(packed, first_byte, mantissa, alignments, cosine_bits, centre_norms, pieces,
               energy, unit, is_distance, scale, offset):  # fmt: skip
    """Give what turns products with the rows of pieces into distances.

    It unpacks the terms as `TermLayout.unpack` does.

    Parameters
    ----------
    packed : uint8 ndarray of shape (n_tiles * LANES, row_bytes)
    first_byte : int
        Where the terms start.
    mantissa, cosine_bits : int
        Widths of magnitudes behind their exponents, and of cosines.
    alignments : float64 ndarray of shape (a power of two,)
        The alignment that each level stands for.
    centre_norms : float64 ndarray of shape (n_lists,)
    pieces : int64 ndarray of shape (n_pieces, 8)
    energy : float64 ndarray of shape (n_tiles * LANES,)
        ‖u‖² of each row.
    unit : float32 ndarray of shape (n_tiles * LANES,)
        What an integer of each row stands for.
    is_distance : bool
        Whether squared distances are wanted, or negated products.
    scale : float32 ndarray of shape (n_tiles * LANES,)
        Written to where there are rows: `unit` times the factor of a product.
    offset : float64 ndarray of shape (n_tiles * LANES,)
        Likewise: the part of the distance that concerns the row alone. Zero elsewhere.
    """
    n_bytes = packed.shape[1] - first_byte
    magnitude_bits, alignment_bits = 8 + mantissa, int(np.log2(len(alignments)))
    half = 2**cosine_bits // 2 - 1 if cosine_bits else 0
    bits = np.zeros(1, np.uint32)
    magnitude = bits.view(np.float32)
    offset[:] = 0.0
    for piece in range(len(pieces)):
        first, centre_norm = pieces[piece, FIRST_TILE] * LANES, centre_norms[pieces[piece, LIST]]
        for row in range(first, first + pieces[piece, N_ROWS]):
            word = np.uint64(0)
            for i in range(n_bytes):
                word |= np.uint64(packed[row, first_byte + i]) << np.uint64(8 * i)
            level = word & np.uint64((1 << magnitude_bits) - 1)
            is_finite = level >> np.uint64(mantissa) != 0xFF
            bits[0] = level << np.uint64(23 - mantissa) if is_finite else 0
            norm = float(magnitude[0])
            word >>= np.uint64(magnitude_bits)
            alignment = alignments[word & np.uint64(len(alignments) - 1)]
            size = alignment * np.sqrt(energy[row])
            factor = norm / size if size > 0 else 0.0
            if is_distance:
                scale[row] = -2 * factor * unit[row]
                offset[row] = norm * norm
            else:
                scale[row] = -factor * unit[row]
                if cosine_bits:
                    cosine = float(np.int64(word >> np.uint64(alignment_bits)) - half) / half
                    offset[row] = -norm * min(max(cosine, -1.0), 1.0) * centre_norm


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "nsz", "contract"})
def _measure(vector, n_bytes):
    """Give the largest magnitude and the sum of what becomes bytes, and the norm of the rest."""
    largest, total, squares = np.float32(0), np.float32(0), np.float32(0)
    for value in vector[:n_bytes]:
        largest = max(largest, abs(value))
        total += value
    for value in vector[n_bytes:]:
        squares += value * value
    return largest, total, np.sqrt(squares)


@njit(cache=True, nogil=True, error_model="numpy")
def _put_integers(difference, n_bytes, words):
    """Lay integers side by side in 32 bits: bytes and, behind them, 16-bit integers."""
    n_coordinates, byte_steps = len(difference), -(-n_bytes // 4)
    words[:] = 0
    for i in range(n_bytes):
        words[i >> 2] |= (np.int32(difference[i]) & 0xFF) << 8 * (i & 3)
    for i in range(n_bytes, n_coordinates):
        step = byte_steps + (i - n_bytes >> 1)
        words[step] |= (np.int32(difference[i]) & 0xFFFF) << 16 * (i - n_bytes & 1)


@njit(cache=True, nogil=True, error_model="numpy")
def round_visits(queries, centroids, query_of, base_of, pieces, n_bytes,
                 blocks, start, owner, base, unit):  # fmt: skip
    """Round what queries are from the centroids of pieces to integers, in blocks of queries.

    Parameters
    ----------
    queries : float32 ndarray of shape (n_queries, n_coordinates)
    centroids : float32 ndarray of shape (n_lists, n_coordinates)
    query_of : int64 ndarray of shape (n_visits,)
        Which query a visit is of.
    base_of : float64 ndarray of shape (n_visits,)
        The part of distances that concerns query and list alone.
    pieces : int64 ndarray of shape (n_pieces, 8)
    n_bytes : int
        How many of the coordinates, the first, become bytes; the others become 16-bit integers.
    blocks : int32 ndarray of shape (n_blocks, n_steps, QUERIES)
        Written to where there are queries.
    start : int32 ndarray of shape (n_blocks * QUERIES,)
        Likewise: what the sums of products start from.
    owner : int64 ndarray of shape (n_blocks * QUERIES,)
        Written to: the query in each slot, -1 for none.
    base, unit : float64 ndarray of shape (n_blocks * QUERIES,)
        Written to where there are queries: base_of, and what an integer stands for.
    """
    n_coordinates = queries.shape[1]
    difference, words = np.empty(n_coordinates, np.float32), np.empty(blocks.shape[1], np.int32)
    owner[:] = -1
    for piece in range(len(pieces)):
        first, each = pieces[piece, FIRST_VISIT], pieces[piece, LIST]
        for nth in range(pieces[piece, N_VISITS]):
            slot = pieces[piece, FIRST_BLOCK] * QUERIES + nth
            query = query_of[first + nth]
            for i in range(n_coordinates):
                difference[i] = queries[query, i] - centroids[each, i]
            largest, _, norm = _measure(difference, n_bytes)
            size = max(
                largest / np.float32(LARGEST_BYTE),
                norm / np.float32(LARGEST_NORM),
                np.float32(1e-30),
            )
            scale = np.float32(1) / size
            for i in range(n_coordinates):
                difference[i] = np.rint(difference[i] * scale)
            _, total, _ = _measure(difference, n_bytes)
            _put_integers(difference, n_bytes, words)
            block, place = slot // QUERIES, slot % QUERIES
            for step in range(len(words)):
                blocks[block, step, place] = words[step]
            start[slot] = -BYTE_OFFSET * np.int32(total)
            owner[slot], base[slot], unit[slot] = query, base_of[first + nth], size
