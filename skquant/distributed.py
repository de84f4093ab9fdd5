"""Compression and search on many machines, with Dask: ``python -m pip install "skquant[dask]"``.

The rows are those of a Dask array or data frame, in chunks that no machine has to hold all at once.
Each chunk is compressed where it is, and what the cluster keeps are the codes. A search sends the
queries to all of them and merges what they find in a tree. Chunks, the number of workers and their
loss change no bit of any result: it is that of `LatticeQuantizer` and `QuantizedNearestNeighbors`
on one machine of the same kind.

All is computed by Dask's current scheduler: that of a `dask.distributed.Client`, or threads of this
process where there is none.
"""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_array, gen_batches
from sklearn.utils.validation import check_is_fitted

from ._base import Estimator
from ._lattice_quantizer import LatticeQuantizer, output_dtype
from ._neighbors._metric import SEARCHED_AS, as_searched, in_units
from ._neighbors._rows import nearest
from ._neighbors._search import search_part
from ._neighbors._unsupervised import QuantizedNearestNeighbors
from ._sklearn_compat import Interval, StrOptions, fit_context, validate_data
from .quantized_matrix import QuantizedMatrix, same_codec

try:
    import dask
    import dask.array as da
except ImportError as error:
    raise ImportError(
        'skquant.distributed needs Dask: python -m pip install "skquant[dask]".'
    ) from error

__all__ = ["DistributedNearestNeighbors", "QuantizedShards", "compress", "fit"]

_MERGED = 8  # results that become one in a node of the tree
_CHUNK_FLOATS = 2**22  # of rows that came as an array in memory
_QUERY_FLOATS = 2**20  # of queries that are sent at a time
_PARTS = 2**9  # pieces of rows whose sums are on their way at a time


class QuantizedShards:
    """Compressed rows on many machines: a `QuantizedMatrix` for each chunk of a Dask array.

    `compress` makes one. Like a Dask array it is a plan until `persist` has the workers carry it
    out and hold the codes, or `compute` brings them here.

    Parameters
    ----------
    shards : list of dask.delayed.Delayed
        A `QuantizedMatrix` each.
    lengths : list of int
        Their rows.
    codec : Codec
        What all of them were compressed with.
    dtype : dtype
        float32 or float64.

    Attributes
    ----------
    shape : tuple of int
        (n_rows, n_features).
    dtype : dtype
        The dtype of reconstructions.
    lengths : tuple of int
        The rows of each shard.
    nbytes : int
        Bytes of all rows, and of one copy of the codec.
    bits_per_entry : float
        8 times the bytes of a row over the number of features.

    Examples
    --------
    >>> import dask.array as da
    >>> from skquant import LatticeQuantizer
    >>> from skquant.distributed import compress, fit
    >>> X = da.random.default_rng(0).standard_normal((2000, 64), chunks=(500, 64))
    >>> shards = compress(fit(LatticeQuantizer(bits=4, random_state=0), X), X)
    >>> shards
    <QuantizedShards of shape (2000, 64) in 4 shards, 4.5 bits an entry, 73 kB>
    >>> shards.compute().shape
    (2000, 64)
    """

    def __init__(self, shards, lengths, codec, dtype):
        self._shards = list(shards)
        self.lengths = tuple(int(length) for length in lengths)
        self._codec = codec
        self.dtype = np.dtype(dtype)

    @property
    def shape(self):
        """(n_rows, n_features)."""
        return sum(self.lengths), self._codec.n_features

    @property
    def nbytes(self):
        """Bytes of all rows, and of one copy of the codec."""
        return len(self) * self._codec.row_bytes + self._codec.nbytes

    @property
    def bits_per_entry(self):
        """8 times the bytes of a row over the number of features."""
        return self._codec.bits_per_entry

    def __len__(self):
        return self.shape[0]

    def __repr__(self):
        return (
            f"<QuantizedShards of shape {self.shape} in {len(self.lengths)} shards, "
            f"{self.bits_per_entry:.4g} bits an entry, {self.nbytes / 1000:,.0f} kB>"
        )

    def to_delayed(self):
        """Give the shards one by one, to save or to use where they are.

        Returns
        -------
        list of dask.delayed.Delayed
            A `QuantizedMatrix` each.
        """
        return list(self._shards)

    def persist(self):
        """Compress now, and hold the codes where they are made.

        What a lost worker held is compressed again from its rows.

        Returns
        -------
        QuantizedShards
            The same rows; the workers may still be at it.
        """
        return QuantizedShards(dask.persist(*self._shards), self.lengths, self._codec, self.dtype)

    def compute(self):
        """Bring all codes to this process.

        Returns
        -------
        QuantizedMatrix
            All rows, in order.
        """
        return QuantizedMatrix.concatenate(dask.compute(*self._shards))

    @staticmethod
    def concatenate(matrices):
        """Put shards of several side by side; nothing is moved.

        Parameters
        ----------
        matrices : list of QuantizedShards
            At least one.

        Returns
        -------
        QuantizedShards
            All rows, in order.

        Raises
        ------
        ValueError
            If there are none, or they were made by differently fitted quantizers.
        """
        matrices = list(matrices)
        if not matrices:
            raise ValueError("matrices is empty.")
        first = matrices[0]
        if not all(same_codec(first._codec, matrix._codec) for matrix in matrices):
            raise ValueError(
                "matrices were compressed by differently fitted quantizers, and cannot be "
                "concatenated."
            )
        return QuantizedShards(
            [shard for matrix in matrices for shard in matrix._shards],
            [length for matrix in matrices for length in matrix.lengths],
            first._codec,
            np.result_type(*(matrix.dtype for matrix in matrices)),
        )


def fit(quantizer, X):
    """Fit a quantizer to the rows of a Dask array or data frame.

    With ``rotation`` "hadamard", "orthogonal" or None all that is learned is the mean, and the
    workers sum it. A learned rotation reads the rows chunk by chunk in this process.

    Parameters
    ----------
    quantizer : LatticeQuantizer
        It is fitted itself.
    X : dask.array.Array or dask.dataframe.DataFrame of shape (n_samples, n_features)
        Chunked by rows alone.

    Returns
    -------
    quantizer : LatticeQuantizer
        What ``quantizer.fit(X.compute())`` would have made of it.

    Raises
    ------
    TypeError
        If `quantizer` is no `LatticeQuantizer`, or `X` is not of Dask.
    ValueError
        If the chunks of `X` are of unknown length or split its columns, it has no rows, or a sum
        meets NaN or infinity, or as `LatticeQuantizer.fit` does.

    Examples
    --------
    >>> import dask.array as da
    >>> from skquant import LatticeQuantizer
    >>> from skquant.distributed import fit
    >>> X = da.random.default_rng(0).standard_normal((2000, 64), chunks=(500, 64))
    >>> fit(LatticeQuantizer(bits=3, random_state=0), X).bits_per_feature_
    3.5
    """
    _require_quantizer(quantizer)
    rows = _as_rows(X)
    quantizer._validate_params()
    _check_features(quantizer, X, reset=True)
    quantizer._fit_rows(_RowsElsewhere(rows))
    return quantizer


def compress(quantizer, X):
    """Compress the rows of a Dask array or data frame where they are.

    Parameters
    ----------
    quantizer : LatticeQuantizer
        Fitted, here or by `fit`.
    X : dask.array.Array or dask.dataframe.DataFrame of shape (n_samples, n_features)
        Chunked by rows alone.

    Returns
    -------
    QuantizedShards of shape (n_samples, n_features)
        A plan: nothing is compressed yet. NaN, infinity and rows that are too large to compress
        are noticed when it is carried out.

    Raises
    ------
    NotFittedError
        If the quantizer is not fitted.
    TypeError
        If `quantizer` is no `LatticeQuantizer`, or `X` is not of Dask.
    ValueError
        If the chunks of `X` are of unknown length or split its columns, or it has no rows or
        another width or other names than what the quantizer was fitted to.

    Examples
    --------
    >>> import dask.array as da
    >>> from skquant import LatticeQuantizer
    >>> from skquant.distributed import compress, fit
    >>> X = da.random.default_rng(0).standard_normal((2000, 64), chunks=(500, 64))
    >>> compress(fit(LatticeQuantizer(bits=4, random_state=0), X), X).lengths
    (500, 500, 500, 500)
    """
    _require_quantizer(quantizer)
    check_is_fitted(quantizer)
    rows = _as_rows(X)
    _check_features(quantizer, X, reset=False)
    return _compress_rows(quantizer, rows)


class DistributedNearestNeighbors(Estimator):
    """Find the nearest rows among codes that are spread over the workers of a cluster.

    It finds what `QuantizedNearestNeighbors` with the same parameters finds on one machine.

    Parameters
    ----------
    n_neighbors : int, default=5
        Number of neighbours that `kneighbors` finds.
    bits : float, default=4.0
        Bits per feature for the code words of a row. Not used when `quantizer` is given.
    metric : {"euclidean", "sqeuclidean", "cosine", "inner_product"}, default="euclidean"
        What nearest means, as for `QuantizedNearestNeighbors`.
    quantizer : LatticeQuantizer, default=None
        The quantizer of the rows. It is cloned. None means
        ``LatticeQuantizer(bits=bits, random_state=random_state)``.
    random_state : int, RandomState instance or None, default=None
        The randomness of the quantizer, unless a given one has a `random_state` of its own.

    Attributes
    ----------
    codes_ : QuantizedShards of shape (`n_samples_fit_`, `n_features_in_`)
        The compressed rows; the workers hold them.
    effective_metric_ : str
        The metric that the codes were made for.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, when `X` had names that are all strings.
    n_features_in_ : int
        Number of features.
    n_samples_fit_ : int
        Number of rows.
    quantizer_ : LatticeQuantizer
        The fitted quantizer.

    See Also
    --------
    QuantizedNearestNeighbors : The same on one machine.

    Notes
    -----
    An estimator that was fitted on a cluster lives as long as the client that it was fitted with:
    what its workers hold is not pickled with it. ``codes_.compute()`` brings the codes here, to be
    saved.

    Examples
    --------
    >>> import dask.array as da
    >>> from skquant.distributed import DistributedNearestNeighbors
    >>> X = da.random.default_rng(0).standard_normal((2000, 64), chunks=(500, 64))
    >>> search = DistributedNearestNeighbors(n_neighbors=3, bits=4, random_state=0).fit(X)
    >>> distances, indices = search.kneighbors(X[:2].compute())
    >>> indices[:, 0]
    array([0, 1])
    """

    _parameter_constraints: dict = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "bits": [Interval(Real, 0, None, closed="neither")],
        "metric": [StrOptions(set(SEARCHED_AS))],
        "quantizer": [LatticeQuantizer, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self, n_neighbors=5, *, bits=4.0, metric="euclidean", quantizer=None, random_state=None
    ):
        self.n_neighbors = n_neighbors
        self.bits = bits
        self.metric = metric
        self.quantizer = quantizer
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None):
        """Compress the rows where they are, and wait until that is done.

        Parameters
        ----------
        X : Dask array, Dask data frame or array-like of shape (n_samples, n_features)
            The rows, chunked by rows alone. They are read and not kept; but they have to stay
            where Dask can read them again, for it to make up for workers that are lost.
        y : None
            Ignored.

        Returns
        -------
        self : DistributedNearestNeighbors
            The fitted search.

        Raises
        ------
        TypeError
            If `X` is sparse.
        ValueError
            If a parameter is out of its range, the chunks of `X` are of unknown length or split
            its columns, or `X` is empty or holds NaN or infinity.
        """
        rows = self._rows_to_search(X, reset=True)
        alike = QuantizedNearestNeighbors(
            bits=self.bits, quantizer=self.quantizer, random_state=self.random_state
        )
        quantizer = fit(alike._make_quantizer(), rows)
        if quantizer.center == "rows":
            raise ValueError(
                'quantizer must not have center="rows": a search takes one centre for all rows.'
            )
        codes = _compress_and_wait(quantizer, rows)
        self.effective_metric_ = self.metric
        self.quantizer_, self.codes_, self.n_samples_fit_ = quantizer, codes, len(codes)
        return self

    @fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X, y=None):
        """Add rows; the first call also fits the quantizer, to its rows alone.

        Parameters
        ----------
        X : Dask array, Dask data frame or array-like of shape (n_samples, n_features)
            The rows, as `fit` takes them.
        y : None
            Ignored.

        Returns
        -------
        self : DistributedNearestNeighbors
            The search with more rows.

        Raises
        ------
        TypeError, ValueError
            As `fit` does, and ValueError if `X` has another width than the rows before.
        """
        if not hasattr(self, "codes_"):
            return self.fit(X)
        codes = _compress_and_wait(self.quantizer_, self._rows_to_search(X, reset=False))
        self.codes_ = QuantizedShards.concatenate([self.codes_, codes])
        self.n_samples_fit_ = len(self.codes_)
        return self

    def kneighbors(self, X, n_neighbors=None, return_distance=True):
        """Find the nearest compressed rows of each query.

        Parameters
        ----------
        X : array-like, Dask array or Dask data frame of shape (n_queries, n_features)
            The queries, which are not compressed.
        n_neighbors : int, default=None
            Number of neighbours; None means the one given to the constructor.
        return_distance : bool, default=True
            Whether to return the distances as well.

        Returns
        -------
        neigh_dist : ndarray or dask.array.Array of shape (n_queries, n_neighbors), float64
            Estimated distances in the units of `metric`, ascending. Only present when
            ``return_distance=True``. Queries of Dask are searched when the result is computed.
        neigh_ind : ndarray or dask.array.Array of shape (n_queries, n_neighbors), int64
            Indices of the neighbours; of equal distances, the smaller index comes first.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If `n_neighbors` is not an integer, or `X` is sparse.
        ValueError
            If `n_neighbors` is not positive or exceeds the number of rows, or `X` has another width
            than the rows, chunks that are of unknown length or split its columns, or NaN or
            infinity.
        """
        check_is_fitted(self)
        k = self._resolve_n_neighbors(n_neighbors)
        queries = self._take_rows(X, reset=False)
        if k > self.n_samples_fit_:
            raise ValueError(
                f"Expected n_neighbors <= n_samples_fit, but n_neighbors = {k}, "
                f"n_samples_fit = {self.n_samples_fit_}, n_samples = {len(queries)}"
            )
        search = self._search_chunks if dask.is_dask_collection(X) else self._search_batches
        distances, indices = search(queries, k)
        return (distances, indices) if return_distance else indices

    def _resolve_n_neighbors(self, n_neighbors):
        if n_neighbors is None:
            return self.n_neighbors
        if not isinstance(n_neighbors, Integral):
            raise TypeError(
                f"n_neighbors does not take {type(n_neighbors)} value, enter integer value"
            )
        if n_neighbors <= 0:
            raise ValueError(f"Expected n_neighbors > 0. Got {n_neighbors}")
        return int(n_neighbors)

    def _take_rows(self, X, reset):
        """Give rows as a Dask array, or as they are if they are in memory."""
        if not dask.is_dask_collection(X):
            return validate_data(self, X, reset=reset, dtype="numeric")
        rows = _as_rows(X)
        _check_features(self, X, reset)
        return rows

    def _rows_to_search(self, X, reset):
        """Give the rows of the database as a Dask array, in the form that is compressed."""
        rows = self._take_rows(X, reset)
        if not isinstance(rows, da.Array):
            rows = da.from_array(rows, chunks=(max(1, _CHUNK_FLOATS // rows.shape[1]), -1))
        metric = self.metric if reset else self.effective_metric_
        if metric == "cosine":
            rows = rows.map_blocks(as_searched, metric, np.float32, dtype=np.float32)
        return rows

    def _search_batches(self, queries, k):
        """Search for queries that are in memory, so many at a time that they are soon sent."""
        batches = gen_batches(len(queries), max(1, _QUERY_FLOATS // queries.shape[1]))
        found = [self._plan_search(queries[batch], k).compute() for batch in batches]
        return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))

    def _search_chunks(self, queries, k):
        """Plan the search for queries that are in Dask, a chunk a chunk."""
        distances, indices = [], []
        for chunk, n_queries in _chunks(queries):
            found = dask.delayed(self._plan_search(chunk, k), nout=2)
            distances.append(da.from_delayed(found[0], (n_queries, k), np.float64))
            indices.append(da.from_delayed(found[1], (n_queries, k), np.int64))
        return da.concatenate(distances), da.concatenate(indices)

    def _plan_search(self, queries, k):
        """Plan to send queries to all shards, and to merge what they find in a tree."""
        metric, first, found = self.effective_metric_, 0, []
        queries = dask.delayed(_as_queries)(queries, metric)
        for shard, n_rows in zip(self.codes_.to_delayed(), self.codes_.lengths, strict=True):
            found.append(dask.delayed(_search_shard)(shard, queries, min(k, n_rows), first, metric))
            first += n_rows
        while len(found) > 1:
            found = [
                dask.delayed(_merge)(found[some], k) for some in gen_batches(len(found), _MERGED)
            ]
        return dask.delayed(_finish)(found[0], metric)


class _RowsElsewhere:
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
            return _checked(found)
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
            self._here = rows, _checked(self._rows[rows].compute())
        return self._here[1]

    def map_blocks(self, function, n_rows):
        """Apply a function to blocks of so many rows, on the workers; yield results in order."""
        at_once = max(1, max(self._rows.chunks[0]) // n_rows)
        pieces = self._rows.rechunk((at_once * n_rows, -1))
        plans = [dask.delayed(_map_piece)(function, chunk, n_rows) for chunk, _ in _chunks(pieces)]
        for some in gen_batches(len(plans), _PARTS):
            for results in dask.compute(*plans[some]):
                yield from results


def _require_quantizer(quantizer):
    if not isinstance(quantizer, LatticeQuantizer):
        raise TypeError(f"quantizer must be a LatticeQuantizer, got {quantizer!r}.")


def _as_rows(X):
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


def _check_features(estimator, X, reset):
    """Take number and names of the features, or compare them with those of the fit."""
    features = X._meta if hasattr(X, "to_dask_array") else np.empty((0, X.shape[1]), X.dtype)
    validate_data(estimator, features, reset=reset, skip_check_array=True, ensure_all_finite=False)


def _chunks(rows):
    """Pair the chunks of an array with how many rows they have."""
    return zip(rows.to_delayed().ravel(), rows.chunks[0], strict=True)


def _compress_rows(quantizer, rows):
    held = dask.delayed(quantizer, traverse=False)
    chunks, lengths = zip(*_chunks(rows), strict=True)
    shards = [dask.delayed(_compress_chunk)(held, chunk) for chunk in chunks]
    return QuantizedShards(shards, lengths, quantizer._codec, output_dtype(rows))


def _compress_and_wait(quantizer, rows):
    """Compress rows for a search, and raise here what goes wrong there."""
    codes = _compress_rows(quantizer, rows).persist()
    dask.compute(*(dask.delayed(len)(shard) for shard in codes.to_delayed()))
    return codes


# What runs on the workers


def _checked(rows):
    """Refuse what `LatticeQuantizer` would refuse."""
    return check_array(rows, dtype="numeric", input_name="X", order="C")


def _map_piece(function, rows, n_rows):
    rows = _checked(rows)
    return [function(rows[start : start + n_rows]) for start in range(0, len(rows), n_rows)]


def _compress_chunk(quantizer, rows):
    return quantizer._compress(quantizer._codec, _checked(rows))


def _as_queries(queries, metric):
    queries = _checked(queries)
    if queries.dtype not in (np.float32, np.float64):
        exact = np.can_cast(queries.dtype, np.float32)
        queries = queries.astype(np.float32 if exact else np.float64)
    return as_searched(queries, metric)


def _search_shard(codes, queries, k, first, metric):
    distances, indices, offset = search_part(codes, queries, k, metric=SEARCHED_AS[metric])
    return distances, indices + first, offset


def _merge(found, k):
    """Keep the nearest of what several parts have found."""
    distances, indices, offsets = zip(*found, strict=True)
    return *nearest(np.hstack(distances), np.hstack(indices), k), offsets[0]


def _finish(found, metric):
    distances, indices, offset = found
    return in_units(distances + offset[:, None], metric), indices
