"""Search among compressed rows on many machines, as an estimator."""

from numbers import Integral, Real

import dask
import dask.array as da
import numpy as np
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from .._base import Estimator
from .._lattice_quantizer import LatticeQuantizer
from .._neighbors._base import resolve_n_neighbors
from .._neighbors._metric import SEARCHED_AS, as_floats, as_searched, in_units
from .._neighbors._rows import nearest
from .._neighbors._search import search_part
from .._neighbors._unsupervised import QuantizedNearestNeighbors
from .._sklearn_compat import Interval, StrOptions, fit_context, validate_data
from ._rows import as_rows, check_features, checked, chunks_of
from ._shards import QuantizedShards, compress_and_wait, fit

_MERGED = 8  # results that become one in a node of the tree
_CHUNK_FLOATS = 2**22  # of rows that came as an array in memory
_QUERY_FLOATS = 2**20  # of queries that are sent at a time


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
        codes = compress_and_wait(quantizer, rows)
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
        codes = compress_and_wait(self.quantizer_, self._rows_to_search(X, reset=False))
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
        k = resolve_n_neighbors(n_neighbors, self.n_neighbors)
        queries = self._take_rows(X, reset=False)
        if k > self.n_samples_fit_:
            raise ValueError(
                f"Expected n_neighbors <= n_samples_fit, but n_neighbors = {k}, "
                f"n_samples_fit = {self.n_samples_fit_}, n_samples = {len(queries)}"
            )
        search = self._search_chunks if dask.is_dask_collection(X) else self._search_batches
        distances, indices = search(queries, k)
        return (distances, indices) if return_distance else indices

    def _take_rows(self, X, reset):
        """Give rows as a Dask array, or as they are if they are in memory."""
        if not dask.is_dask_collection(X):
            return validate_data(self, X, reset=reset, dtype="numeric")
        rows = as_rows(X)
        check_features(self, X, reset)
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
        for chunk, n_queries in chunks_of(queries):
            found = dask.delayed(self._plan_search(chunk, k), nout=2)
            distances.append(da.from_delayed(found[0], (n_queries, k), np.float64))
            indices.append(da.from_delayed(found[1], (n_queries, k), np.int64))
        return da.concatenate(distances), da.concatenate(indices)

    def _plan_search(self, queries, k):
        """Plan to send queries to all shards, and to merge what they find in a tree."""
        metric, first, found = self.effective_metric_, 0, []
        queries = dask.delayed(_as_queries)(queries, metric)
        for shard, n_rows in zip(self.codes_.to_delayed(), self.codes_.lengths, strict=True):
            how = {"metric": SEARCHED_AS[metric]}
            found.append(dask.delayed(_search_shard)(shard, queries, min(k, n_rows), first, **how))
            first += n_rows
        while len(found) > 1:
            found = [
                dask.delayed(_merge)(found[some], k) for some in gen_batches(len(found), _MERGED)
            ]
        return dask.delayed(_finish)(found[0], metric)


# What runs on the workers


def _as_queries(queries, metric):
    return as_searched(as_floats(checked(queries)), metric)


def _search_shard(codes, queries, k, first, **how):
    distances, indices, offset = search_part(codes, queries, k, **how)
    return distances, indices + first, offset


def _merge(found, k):
    """Keep the nearest of what several parts have found."""
    distances, indices, offsets = zip(*found, strict=True)
    return *nearest(np.hstack(distances), np.hstack(indices), k), offsets[0]


def _finish(found, metric):
    distances, indices, offset = found
    return in_units(distances + offset[:, None], metric), indices
