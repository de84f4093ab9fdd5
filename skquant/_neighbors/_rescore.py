"""Measure a few candidates more finely than the codes that found them.

Either from the original rows, in a file that is mapped into memory, or with a second code, that of
the residuals. With r = x - c the centred row and r̂ its least-squares reconstruction, the residual
e = r - r̂ is compressed once more, and r̃ = r̂ + ê takes the place of r̂ in the estimate of `_search`,

    ⟨q - c, r⟩ ≈ ‖r‖²/⟨r, r̃⟩ ⟨q - c, r̃⟩

where ⟨r, r̃⟩ = ⟨r, r̂⟩ + ⟨r̂, ê⟩ + ⟨e, ê⟩ is known, because a least-squares reconstruction has
⟨r, r̂⟩ = ‖r̂‖². For ê it is that of e less its own centre, and ⟨e, ê⟩ needs the row terms.
"""

import numpy as np
from sklearn.utils import gen_batches

from .._threads import run_in_threads
from ..quantized_matrix import QuantizedMatrix
from ._lists import InvertedLists
from ._metric import SEARCHED_AS, as_searched
from ._rows import as_given, nearest, reconstruct

_BLOCK_FLOATS = 2**20  # 8 MB as float64
_SAMPLE_FLOATS = 2**22  # residuals that a quantizer is fitted to
_COMPARED_ROWS = 32
_TOLERANCE = 0.01  # of a row's length: a file of float16 rows will do


def rerank(finer, queries, candidates, n_neighbors, metric, n_jobs):
    """Order the candidates of each query by finer distances.

    Parameters
    ----------
    finer : SourceRows or RefinedRows
        What measures the candidates.
    queries : ndarray of shape (n_queries, n_features)
        In the form in which the metric searches them.
    candidates : int64 ndarray of shape (n_queries, n_candidates)
        Rows.
    n_neighbors : int
        How many to keep.
    metric : str
        The metric.
    n_jobs : int or None
        Number of threads; it does not change the result.

    Returns
    -------
    distances : float64 ndarray of shape (n_queries, n_neighbors)
        Ascending.
    indices : int64 ndarray of shape (n_queries, n_neighbors)
        Rows; of equal distances the smallest first.
    """
    distances = np.empty(candidates.shape)
    n_queries, n_candidates = candidates.shape
    width = min(n_candidates, max(1, _BLOCK_FLOATS // queries.shape[1]))
    height = max(1, _BLOCK_FLOATS // (queries.shape[1] * width))

    def measure_block(block):
        some = _as_float64(queries[block[0]])
        distances[block] = finer.measure(some, candidates[block], metric)

    columns = list(gen_batches(n_candidates, width))
    blocks = [(rows, column) for rows in gen_batches(n_queries, height) for column in columns]
    run_in_threads(measure_block, blocks, n_jobs)
    return nearest(distances, candidates, n_neighbors)


class SourceRows:
    """The original rows, in an ``.npy`` file that is mapped into memory.

    Parameters
    ----------
    path : str or os.PathLike
        The file: a matrix of real numbers.
    n_rows : int
        How many rows it must hold at least.
    n_features : int
        How wide they must be.
    removed : intp ndarray of shape (n_removed,), default=()
        Rows of the file that do not count, ascending.

    Raises
    ------
    ValueError
        If the file cannot be read, or is not what it must be.
    """

    def __init__(self, path, n_rows, n_features, removed=()):
        self._removed = np.asarray(removed, np.intp)
        try:
            self._rows = np.lib.format.open_memmap(path, mode="r")
        except (OSError, ValueError) as error:
            raise ValueError(
                f"rescore_source={str(path)!r} cannot be mapped as an .npy file: {error}"
            ) from error
        shape, dtype = self._rows.shape, self._rows.dtype
        if dtype.kind not in "biuf":
            raise ValueError(
                f"rescore_source={str(path)!r} must hold real numbers, but its dtype is {dtype}."
            )
        if len(shape) != 2 or shape[1] != n_features:
            raise ValueError(
                f"rescore_source={str(path)!r} must hold a matrix with {n_features} columns, as "
                f"the training rows have, but its shape is {shape}."
            )
        if shape[0] < n_rows:
            raise ValueError(
                f"rescore_source={str(path)!r} must cover all training rows, those of partial_fit "
                f"and removed ones included: it holds {shape[0]} of {n_rows}."
            )

    def take(self, rows):
        """Read training rows by ascending index, float64."""
        return _as_float64(self._rows[as_given(rows, self._removed)])

    def require(self, X, first):
        """Compare a few rows, from a given one on, with training rows.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_features)
            Training rows.
        first : int
            Where in the file the first of them should be.

        Raises
        ------
        ValueError
            If the file holds something else there.
        """
        compared = np.unique(np.linspace(0, len(X) - 1, _COMPARED_ROWS).astype(np.intp))
        expected = _as_float64(X[compared])
        error = np.linalg.norm(_as_float64(self._rows[first + compared]) - expected, axis=1)
        other = compared[~(error <= _TOLERANCE * np.linalg.norm(expected, axis=1))]
        if other.size:
            raise ValueError(
                f"rescore_source must hold the training rows in order, but row "
                f"{first + other[0]} of the file is not row {other[0]} of X."
            )

    def measure(self, queries, rows, metric):
        """Give exact distances.

        Parameters
        ----------
        queries : float64 ndarray of shape (n_queries, n_features)
            In the form in which the metric searches them.
        rows : int ndarray of shape (n_queries, n_rows)
            Training rows, to measure from each query.
        metric : str
            The metric.

        Returns
        -------
        float64 ndarray of shape (n_queries, n_rows)
            What a search minimises.
        """
        unique, places = _unique(rows)
        found = as_searched(self.take(unique), metric)[places]
        if SEARCHED_AS[metric] == "inner_product":
            return -np.einsum("qd,qrd->qr", queries, found)
        found -= queries[:, None]
        return np.einsum("qrd,qrd->qr", found, found)


class RefinedRows:
    """Rows that are compressed twice: themselves, and what that leaves over.

    Parameters
    ----------
    held : QuantizedMatrix or InvertedLists
        The rows.
    residual_codes : QuantizedMatrix of shape (n_rows, n_features)
        What these leave over.
    """

    def __init__(self, held, residual_codes):
        self._held = held
        self._residual_codes = residual_codes
        self._origin = held.coder.partition.origin if _has_lists(held) else held._codec.mean

    def take(self, rows):
        """Reconstruct some rows."""
        return reconstruct(self._held, rows) + self._residual_codes[rows].toarray()

    def measure(self, queries, rows, metric):
        """Give refined estimates of distances, as `SourceRows.measure` gives exact ones."""
        unique, places = _unique(rows)
        refined, square, shift = self._decode(unique)
        centred = queries - self._origin
        product = np.einsum("qd,qrd->qr", centred, refined[places])
        if SEARCHED_AS[metric] == "inner_product":
            return -(product + shift[places] + (queries @ self._origin)[:, None])
        return _inner(centred, centred)[:, None] + square[places] - 2 * product

    def _decode(self, rows):
        """Give r̃ + c, scaled so that products with it are estimates, and what comes with them.

        Here c is less the origin o, and so is q. The squared distance is ‖q‖² less twice the
        product, plus ‖r‖² + ‖c‖² + 2⟨r̃, c⟩; and ⟨q, x⟩ is the product plus ⟨r, c + o⟩ - ⟨r̃, c⟩ +
        ⟨c, o⟩, up to ⟨q + o, o⟩.
        """
        terms, decoded, centre = self._first_codes(rows)
        residual_codes = self._residual_codes[rows]
        residual_terms, residuals = _terms_and_rows(residual_codes)
        energy, residual_mean = _inner(decoded, decoded), residual_codes._codec.mean
        product = energy + _inner(decoded, residuals) + _inner(residuals, residuals)
        product += residual_terms.centre_product - (residuals - residual_mean) @ residual_mean
        norm_square = np.square(terms.norm)
        if not _has_lists(self._held) and not self._held._codec.terms.center:
            # Then a row's term is ‖r̂‖, and ‖r‖ a guess.
            norm_square = energy + np.square(residual_terms.norm)
        decoded += residuals
        factor = np.divide(norm_square, product, out=np.ones(len(rows)), where=product > 0)
        decoded *= factor[:, None]
        along = _inner(decoded, centre)
        square = norm_square + _inner(centre, centre) + 2 * along
        return decoded + centre, square, terms.centre_product - along + centre @ self._origin

    def _first_codes(self, rows):
        """Give the terms of rows, r̂, and c less the origin."""
        if _has_lists(self._held):
            coder, (lists, packed) = self._held.coder, self._held.stored(rows)
            centre = coder.partition.centroids[lists].astype(np.float64)
            decoded = coder.codec.decode(packed, np.float64)
            return coder.unpack_terms(lists, packed), decoded, centre
        terms, decoded = _terms_and_rows(self._held[rows])
        return terms, decoded - self._origin, np.zeros((1, len(self._origin)))


def fit_residual_quantizer(quantizer, X, held):
    """Fit a quantizer to the residuals of some evenly spaced rows.

    Parameters
    ----------
    quantizer : estimator
        What to fit.
    X : ndarray of shape (n_rows, n_features)
        The rows.
    held : QuantizedMatrix or InvertedLists
        Their codes.

    Returns
    -------
    estimator
        The fitted quantizer.
    """
    n_rows = min(len(X), max(1, _SAMPLE_FLOATS // X.shape[1]))
    rows = np.linspace(0, len(X) - 1, n_rows).astype(np.intp)
    return quantizer.fit(X[rows] - reconstruct(held, rows))


def compress_residuals(quantizer, X, held):
    """Compress, block by block, what the codes leave over.

    Parameters
    ----------
    quantizer : estimator
        As `fit_residual_quantizer` gives it.
    X : ndarray of shape (n_rows, n_features)
        The rows.
    held : QuantizedMatrix or InvertedLists
        Their codes.

    Returns
    -------
    QuantizedMatrix of shape (n_rows, n_features)
        The codes of the residuals.
    """
    blocks = gen_batches(len(X), max(1, _BLOCK_FLOATS // X.shape[1]))
    return QuantizedMatrix.concatenate(
        [quantizer.compress(X[rows] - reconstruct(held, rows)) for rows in blocks]
    )


def _has_lists(held):
    return isinstance(held, InvertedLists)


def _as_float64(rows):
    return np.array(rows, np.float64, order="C")


def _terms_and_rows(codes):
    return codes._codec.unpack_terms(codes._rows), codes._codec.decode(codes._rows, np.float64)


def _inner(rows, others):
    """Give the product of each row with its counterpart."""
    return np.einsum("ij,ij->i", rows, others)


def _unique(rows):
    """Give the different rows, ascending, and where among them each row is."""
    unique, places = np.unique(rows.ravel(), return_inverse=True)
    return unique, places.reshape(rows.shape)
