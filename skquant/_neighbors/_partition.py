"""The partition of rows into lists: learned by k-means, and found again for rows and queries.

Rows are taken less a common origin, their mean, so that centroids are exact enough in single
precision wherever the rows lie.
"""

import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, gen_batches

from .._kernels._dispatch import rank_lists
from .._value import Value

FEWEST_ROWS = 4096  # for which "auto" makes lists
ROWS_A_LIST = 64  # that centroids are learned from
_MINI_BATCH = 4096
_EPOCHS = 3
MOST_SPREAD = 256  # lists whose first centroids are chosen far apart, which takes its time
PANEL_ROWS = 256  # always as many at once, since what BLAS rounds to depends on it
_SAME = 2.0**-16  # of the largest coordinate of a row
LARGEST_NORM = 1.8e19
_BLOCK_FLOATS = 2**20
_SAMPLE_FLOATS = 2**24  # 64 MB


@dataclass(frozen=True, eq=False)
class Partition(Value):
    """Lists by their centroids: a row is in the list of the nearest one.

    Parameters
    ----------
    origin : float64 ndarray of shape (n_features,)
        What is subtracted from rows and queries.
    centroids : float32 ndarray of shape (n_lists, n_features)
        Centroids less the origin.
    """

    origin: np.ndarray
    centroids: np.ndarray

    def __len__(self):
        return len(self.centroids)

    @property
    def centres(self):
        """The centroids as they are, (n_lists, n_features), float64."""
        return self.centroids + self.origin

    def centred(self, rows):
        """Give rows less the origin, float32.

        Raises
        ------
        ValueError
            If products of them would overflow.
        """
        centred = rows - self.origin
        squares = np.einsum("ij,ij->i", centred, centred)
        if squares.max(initial=0.0) > LARGEST_NORM**2:
            raise ValueError(
                f"X has rows farther than {LARGEST_NORM:g} from the centre of the lists, which is "
                "too far for products in single precision. Scale X down."
            )
        return centred.astype(np.float32)

    def assign(self, rows):
        """Find the list of each row.

        Parameters
        ----------
        rows : float32 ndarray of shape (n_rows, n_features)
            As `centred` gives them.

        Returns
        -------
        intp ndarray of shape (n_rows,)
            The same for a row whatever others there are.
        """
        lists, half = np.empty(len(rows), np.intp), self._half_squares
        panel = np.zeros((PANEL_ROWS, rows.shape[1]), np.float32)
        for block in gen_batches(len(rows), PANEL_ROWS):
            n = block.stop - block.start
            panel[:n] = rows[block]
            products = panel @ self.centroids.T
            lists[block] = np.subtract(half, products, out=products)[:n].argmin(axis=1)
        return lists

    def rank(self, queries, n_first, metric, sizes):
        """Find the lists to visit first, in order.

        Parameters
        ----------
        queries : float32 ndarray of shape (n_queries, n_features)
            As `centred` gives them.
        n_first : int
            How many lists, at most as many as hold rows.
        metric : {"sqeuclidean", "inner_product"}
            Whether the nearest centroids come first, or those of the largest product.
        sizes : int64 ndarray of shape (n_lists,)
            Rows of each list; those without are left out.

        Returns
        -------
        lists : int64 ndarray of shape (n_queries, n_first)
        base : float64 ndarray of shape (n_queries, n_first)
            The part of the distance that concerns query and list alone.
        """
        is_distance = metric == "sqeuclidean"
        shift = self._half_squares if is_distance else -self._origin_products
        lists = np.empty((len(queries), n_first), np.int64)
        base = np.empty(lists.shape)
        scores = queries @ self.centroids.T
        rank_lists(queries, self.centroids, scores, shift, sizes, is_distance, lists, base)
        if not is_distance:
            # Not by BLAS, whose sums depend on how many queries there are.
            products = np.einsum("ij,j->i", queries, self.origin)
            base -= (products + self.origin @ self.origin)[:, None]
        return lists, base

    @cached_property
    def _half_squares(self):
        return np.einsum("ij,ij->i", self.centroids, self.centroids, dtype=np.float64) / 2

    @cached_property
    def _origin_products(self):
        return self.centroids @ self.origin


def choose_n_lists(n_lists, n_rows):
    """Resolve the number of lists.

    Parameters
    ----------
    n_lists : int, "auto" or None
        "auto" makes twice the root of the number of rows, and none for few rows.
    n_rows : int

    Returns
    -------
    int
        0 for none.

    Raises
    ------
    ValueError
        If there are to be more lists than rows.
    """
    if n_lists == "auto":
        return round(2 * n_rows**0.5) if n_rows >= FEWEST_ROWS else 0
    if n_lists is not None and n_lists > n_rows:
        raise ValueError(
            f"n_lists={n_lists} must be at most the number of training rows, "
            f"but n_samples={n_rows}."
        )
    return n_lists or 0


def learn_partition(X, n_lists, random_state):
    """Learn centroids from some of the rows, by mini-batch k-means.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Finite rows of any real dtype.
    n_lists : int
        At most `n_rows`.
    random_state : int, RandomState instance or None

    Returns
    -------
    Partition
        Of `n_lists` lists, or fewer where rows are too much alike.
    """
    random_state = check_random_state(random_state)
    origin = _mean(X)
    n_wanted = max(n_lists, min(ROWS_A_LIST * n_lists, _SAMPLE_FLOATS // X.shape[1]))
    chosen = np.sort(random_state.choice(len(X), min(len(X), n_wanted), replace=False))
    rows = np.empty((len(chosen), X.shape[1]), np.float32)
    for block in gen_batches(len(rows), max(1, _BLOCK_FLOATS // X.shape[1])):
        rows[block] = X[chosen[block]] - origin
    scale = np.abs(rows).max(initial=0.0)
    if scale == 0 or n_lists == 1:
        return Partition(origin, np.zeros((1, X.shape[1]), np.float32))
    rows /= scale  # squares must not overflow
    means = MiniBatchKMeans(
        n_lists,
        init="random" if n_lists > MOST_SPREAD else "k-means++",
        n_init=1,
        batch_size=_MINI_BATCH,
        max_iter=_EPOCHS,
        max_no_improvement=None,
        compute_labels=False,
        random_state=random_state,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        centroids = means.fit(rows).cluster_centers_
    # Which of centroids that are equal up to rounding a row is in would be a matter of chance.
    _, first = np.unique(np.round(centroids / _SAME), axis=0, return_index=True)
    return Partition(origin, (centroids[first] * scale).astype(np.float32))


def _mean(X):
    total = np.zeros(X.shape[1])
    for block in gen_batches(len(X), max(1, _BLOCK_FLOATS // X.shape[1])):
        total += X[block].sum(axis=0, dtype=np.float64)
    return total / len(X)
