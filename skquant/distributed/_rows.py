"""Rows of Dask arrays and data frames, as the fit of a codec reads them."""

import dask
import dask.array as da
import numpy as np
from sklearn.utils import check_array, gen_batches

from .._sklearn_compat import validate_data

_PARTS = 2**9  # pieces of rows whose sums are on their way at a time


class RowsElsewhere:
    """Rows of a Dask array: as much of an ndarray as the fit of a codec asks for.

    The workers work on the same blocks of rows as one machine would, wherever chunks begin, so
    that nothing depends on these.
    """

    ndim = 2

    def __init__(self, rows):
        self._rows = rows
        self.shape, self.dtype = rows.shape, rows.dtype
        self._here = slice(0, 0), None  # the chunk that was read last

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        if not isinstance(key, slice):
            order = np.argsort(key)
            found = np.empty((len(key), self.shape[1]), self.dtype)
            found[order] = self._rows[key[order]].compute()
            return checked(found)
        start, stop, _ = key.indices(len(self))
        pieces, ends = [], np.cumsum(self._rows.chunks[0])
        for number in range(np.searchsorted(ends, start, side="right"), len(ends)):
            first = int(ends[number - 1]) if number else 0
            if first >= stop:
                break
            chunk = self._chunk(slice(first, int(ends[number])))
            pieces.append(chunk[max(start - first, 0) : stop - first])
        return np.concatenate(pieces) if pieces else np.empty((0, self.shape[1]), self.dtype)

    def _chunk(self, rows):
        if rows != self._here[0]:
            self._here = rows, checked(self._rows[rows].compute())
        return self._here[1]

    def map_blocks(self, function, n_rows):
        """Apply a function to blocks of so many rows, on the workers; yield results in order."""
        at_once = max(1, max(self._rows.chunks[0]) // n_rows)
        pieces = self._rows.rechunk((at_once * n_rows, -1))
        plans = [
            dask.delayed(_map_piece)(function, chunk, n_rows) for chunk, _ in chunks_of(pieces)
        ]
        for some in gen_batches(len(plans), _PARTS):
            for results in dask.compute(*plans[some]):
                yield from results


def as_rows(X):
    """Take a Dask array or data frame as an array of which only the rows are in chunks."""
    if hasattr(X, "to_dask_array"):
        X = X.to_dask_array(lengths=True)
    if not isinstance(X, da.Array):
        raise TypeError(f"X must be a Dask array or data frame, got {type(X).__name__}.")
    if X.ndim != 2:
        raise ValueError(f"X must have two dimensions, got {X.ndim}.")
    if np.isnan(X.shape[1]) or np.isnan(X.chunks[0]).any():
        raise ValueError("X has chunks of unknown length: call X.compute_chunk_sizes() before.")
    if len(X.chunks[1]) > 1:
        raise ValueError(
            f"X must be chunked by rows alone, but its columns are in chunks of {X.chunks[1]}: "
            "use X.rechunk({1: -1})."
        )
    if 0 in X.shape:
        raise ValueError(f"X must have rows and columns, got the shape {X.shape}.")
    return X.rechunk((tuple(n for n in X.chunks[0] if n), -1))


def check_features(estimator, X, reset):
    """Take number and names of the features, or compare them with those of the fit."""
    features = X._meta if hasattr(X, "to_dask_array") else np.empty((0, X.shape[1]), X.dtype)
    validate_data(estimator, features, reset=reset, skip_check_array=True, ensure_all_finite=False)


def chunks_of(rows):
    """Pair the chunks of an array with how many rows they have."""
    return zip(rows.to_delayed().ravel(), rows.chunks[0], strict=True)


def checked(rows):
    """Refuse what `LatticeQuantizer` would refuse."""
    return check_array(rows, dtype="numeric", input_name="X", order="C")


def _map_piece(function, rows, n_rows):
    rows = checked(rows)
    return [function(rows[start : start + n_rows]) for start in range(0, len(rows), n_rows)]
