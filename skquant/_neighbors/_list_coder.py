"""Rows in inverted lists: each is coded as what it is from the centroid of its list.

Write C for the centroid of a row's list, r = x - C and q for a query. As in `_search`,

    ‖q - x‖² = ‖q - C‖² + ‖r‖² - 2 ⟨q - C, r⟩
    ⟨q, x⟩ = ⟨q - C, r⟩ + ⟨r, C⟩ + ⟨q, C⟩

where ‖r‖² and ⟨r, C⟩ are row terms, what concerns q and C alone is computed once for a list, and
only ⟨q - C, r⟩ is estimated. A distance takes no ⟨r, C⟩, so it is not stored for one.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from sklearn.utils import gen_batches

from .._codecs._coarse_layer import add_coarse_layer
from .._codecs._codec import Codec
from .._codecs._row_terms import TermLayout
from .._codes._layered import LayeredRowCode
from .._products._integers import count_bytes
from .._threads import run_in_threads, single_threaded_blas
from .._value import Value
from ._metric import SEARCHED_AS
from ._partition import PANEL_ROWS, Partition

_SAMPLE_FLOATS = 2**22  # residuals that a quantizer is fitted to


@dataclass(frozen=True, eq=False)
class ListCoder(Value):
    """How rows come into lists.

    Parameters
    ----------
    partition : Partition
        Where the lists are.
    codec : Codec
        How residuals are compressed; its own mean is zero.
    metric : str
        The metric of the estimator that the rows are for.
    """

    partition: Partition
    codec: Codec
    metric: str

    @classmethod
    def fit(cls, X, partition, quantizer, metric, has_coarse_layer=False):
        """Fit a quantizer to the residuals of some evenly spaced rows.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_features)
        partition : Partition
        quantizer : estimator
            Fitted here.
        metric : str
            The metric of the estimator.
        has_coarse_layer : bool, default=False
            Whether codes get a coarse layer, by which few queries are searched.

        Raises
        ------
        ValueError
            If the quantizer does not centre features.
        """
        n_rows = min(len(X), max(1, _SAMPLE_FLOATS // X.shape[1]))
        rows = partition.centred(X[np.linspace(0, len(X) - 1, n_rows).astype(np.intp)])
        with single_threaded_blas():
            lists = partition.assign(rows)
        rows -= partition.centroids[lists]
        codec = quantizer.fit(rows).compress(rows[:1])._codec
        if codec.terms.center != "features":
            raise ValueError(
                'quantizer must have center="features" where there are n_lists: the terms of a row '
                "are those of its residual."
            )
        if has_coarse_layer:
            codec = add_coarse_layer(codec, rows)
        spread = np.sqrt(np.einsum("ij,ij->", rows, rows, dtype=np.float64) / n_rows)
        ratio = 0.0
        if SEARCHED_AS[metric] == "inner_product" and spread > 0:
            ratio = np.sqrt(np.mean(np.square(partition.centres).sum(axis=1))) / spread
        kept = codec.row_code.n_coordinates / codec.n_features
        distortion = 1 - kept * (1 - min(codec.row_code.distortion, 1))
        terms = TermLayout.choose("features", codec.n_features, distortion, ratio)
        terms = replace(terms, gaussian_alignment=codec.terms.gaussian_alignment)
        codec = replace(codec, mean=np.zeros(codec.n_features), terms=terms)
        return cls(partition, codec, metric)

    @cached_property
    def coordinates(self):
        """The centroids in the coordinates of the codes."""
        return self.codec.to_coordinates(self.partition.centroids)

    @cached_property
    def n_bytes(self):
        """The number of coordinates for which bytes are fine enough."""
        return count_bytes(self.codec.row_code)

    @property
    def has_coarse_layer(self):
        """Whether codes have a coarse layer."""
        return isinstance(self.codec.row_code, LayeredRowCode)

    @cached_property
    def centre_norms(self):
        """‖C‖ of each list."""
        return np.linalg.norm(self.partition.centres, axis=1)

    def encode(self, X, n_jobs=None):
        """Find the list of each row and compress its residual.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_features)
        n_jobs : int or None
            Number of threads; it does not change the result.

        Returns
        -------
        lists : intp ndarray of shape (n_rows,)
        packed : uint8 ndarray of shape (n_rows, row_bytes)
        """
        lists = np.empty(len(X), np.intp)
        packed = np.empty((len(X), self.codec.row_bytes), np.uint8)

        def encode_block(block):
            rows = self.partition.centred(X[block])
            lists[block] = found = self.partition.assign(rows)
            rows -= self.partition.centroids[found]
            packed[block] = self.codec.encode(rows, self._along(rows, found))

        with single_threaded_blas():
            run_in_threads(encode_block, list(gen_batches(len(X), self._block_rows)), n_jobs)
        return lists, packed

    @property
    def _block_rows(self):
        return max(PANEL_ROWS, self.codec.block_rows())

    def _along(self, rows, lists):
        """Give the component of each residual along the centroid of its list."""
        product = np.einsum("ij,j->i", rows, self.partition.origin)
        product += np.einsum("ij,ij->i", rows, self.partition.centroids[lists], dtype=np.float64)
        norm = self.centre_norms[lists]
        return np.divide(product, norm, out=np.zeros_like(product), where=norm > 0)

    def decode(self, lists, packed, dtype):
        """Reconstruct rows by least squares, (n_rows, n_features)."""
        return self.codec.decode(packed, dtype) + self.partition.centres[lists].astype(dtype)

    def unpack_terms(self, lists, packed):
        """Read the terms of rows, `RowTerms`."""
        terms = packed[:, self.codec.row_code.n_bytes : self.codec.row_bytes]
        terms = self.codec.terms.unpack(terms, 1.0)
        return replace(terms, centre_product=terms.centre_product * self.centre_norms[lists])

    @property
    def nbytes(self):
        """Bytes of centroids, in features and in coordinates, their norms, and the codec."""
        partition = self.partition.origin.nbytes + self.partition.centroids.nbytes
        return partition + self.coordinates.nbytes + self.centre_norms.nbytes + self.codec.nbytes
