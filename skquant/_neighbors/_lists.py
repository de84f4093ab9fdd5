"""Rows in inverted lists: each is coded as what it is from the centroid of its list.

Write C for the centroid of a row's list, r = x - C and q for a query. As in `_search`,

    ‖q - x‖² = ‖q - C‖² + ‖r‖² - 2 ⟨q - C, r⟩
    ⟨q, x⟩ = ⟨q - C, r⟩ + ⟨r, C⟩ + ⟨q, C⟩

where ‖r‖² and ⟨r, C⟩ are row terms, what concerns q and C alone is computed once for a list, and
only ⟨q - C, r⟩ is estimated. A distance takes no ⟨r, C⟩, so it is not stored for one.
"""

from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
from sklearn.utils import gen_batches

from .._codec import Codec
from .._integer_products import count_bytes
from .._row_terms import TermLayout
from .._threads import run_in_threads, single_threaded_blas
from ..quantized_matrix import QuantizedMatrix
from ._partition import PANEL_ROWS, Partition

_SAMPLE_FLOATS = 2**22  # residuals that a quantizer is fitted to


@dataclass(frozen=True, eq=False)
class ListCoder:
    """How rows come into lists.

    Parameters
    ----------
    partition : Partition
        Where the lists are.
    codec : Codec
        How residuals are compressed; its own mean is zero.
    """

    partition: Partition
    codec: Codec

    @classmethod
    def fit(cls, X, partition, quantizer, metric):
        """Fit a quantizer to the residuals of some evenly spaced rows.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_features)
        partition : Partition
        quantizer : estimator
            Fitted here.
        metric : {"sqeuclidean", "inner_product"}
            What a search will minimise.

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
        spread = np.sqrt(np.einsum("ij,ij->", rows, rows, dtype=np.float64) / n_rows)
        ratio = 0.0
        if metric == "inner_product" and spread > 0:
            ratio = np.sqrt(np.mean(np.square(partition.centres).sum(axis=1))) / spread
        kept = codec.row_code.n_coordinates / codec.n_features
        distortion = 1 - kept * (1 - min(codec.row_code.distortion, 1))
        terms = TermLayout.choose("features", codec.n_features, distortion, ratio)
        terms = replace(terms, gaussian_alignment=codec.terms.gaussian_alignment)
        return cls(partition, replace(codec, mean=np.zeros(codec.n_features), terms=terms))

    @cached_property
    def coordinates(self):
        """The centroids in the coordinates of the codes."""
        return self.codec.to_coordinates(self.partition.centroids)

    @cached_property
    def n_bytes(self):
        """The number of coordinates for which bytes are fine enough."""
        return count_bytes(self.codec.row_code)

    @cached_property
    def centre_norms(self):
        """‖C‖ of each list."""
        return np.linalg.norm(self.partition.centres, axis=1)

    def __getstate__(self):
        """Leave what can be computed again out of pickles."""
        return {"partition": self.partition, "codec": self.codec}

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
        return self.codec.terms.unpack(terms, self.centre_norms[lists])

    @property
    def nbytes(self):
        """Bytes of centroids, in features and in coordinates, their norms, and the codec."""
        partition = self.partition.origin.nbytes + self.partition.centroids.nbytes
        return partition + self.coordinates.nbytes + self.centre_norms.nbytes + self.codec.nbytes


@dataclass(frozen=True, eq=False)
class InvertedLists:
    """Compressed rows, stored list by list.

    Parameters
    ----------
    coder : ListCoder
        Lists and codec.
    codes : QuantizedMatrix of shape (n_rows, n_features)
        The residuals of the rows, the rows of a list side by side.
    starts : int64 ndarray of shape (n_lists + 1,)
        Where the rows of each list start, and where the last ends.
    numbers : int32 or int64 ndarray of shape (n_rows,)
        Which training row each is; ascending within a list.
    """

    coder: ListCoder
    codes: QuantizedMatrix
    starts: np.ndarray
    numbers: np.ndarray

    @classmethod
    def encode(cls, coder, X, n_jobs=None):
        """Code rows; they are numbered as they come."""
        lists, packed = coder.encode(X, n_jobs)
        dtype = np.float64 if X.dtype == np.float64 else np.float32
        return cls._sort(coder, lists, packed, np.arange(len(X)), dtype)

    @classmethod
    def _sort(cls, coder, lists, packed, numbers, dtype):
        """Bring rows into the order of lists and, within them, of numbers."""
        order = np.lexsort((numbers, lists))
        n_lists = len(coder.partition)
        starts = np.append(0, np.cumsum(np.bincount(lists, minlength=n_lists)))
        fits = len(numbers) <= np.iinfo(np.int32).max
        numbers = numbers[order].astype(np.int32 if fits else np.int64)
        return cls(coder, QuantizedMatrix(coder.codec, packed[order], dtype), starts, numbers)

    @staticmethod
    def concatenate(parts):
        """Join lists of the same coder; the rows of each are numbered on from those before."""
        first, n_before = parts[0], np.cumsum([0, *map(len, parts)])
        numbers = [part.numbers + n for part, n in zip(parts, n_before[:-1], strict=True)]
        return InvertedLists._sort(
            first.coder,
            np.concatenate([part.list_of for part in parts]),
            np.concatenate([np.asarray(part.codes._rows) for part in parts]),
            np.concatenate(numbers),
            np.result_type(*(part.codes.dtype for part in parts)),
        )

    def __len__(self):
        return len(self.numbers)

    def __getstate__(self):
        """Leave what can be computed again out of pickles."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def sizes(self):
        """The number of rows in each list."""
        return np.diff(self.starts)

    @property
    def list_of(self):
        """The list of each stored row."""
        return np.repeat(np.arange(len(self.starts) - 1), self.sizes)

    @cached_property
    def places(self):
        """Where each training row is stored."""
        places = np.empty_like(self.numbers)
        places[self.numbers] = np.arange(len(self), dtype=self.numbers.dtype)
        return places

    def stored(self, rows):
        """Give the lists of training rows, by number, and their codes."""
        places = self.places[rows]
        lists = np.searchsorted(self.starts, places, side="right") - 1
        return lists, self.codes._rows[places]

    def take(self, rows):
        """Reconstruct training rows by number."""
        return self.coder.decode(*self.stored(rows), self.codes.dtype)

    def among(self, rows):
        """Give the same lists with some training rows, as a mask or by number; numbers stay."""
        kept = np.zeros(len(self), bool)
        kept[rows] = True
        stored = kept[self.numbers]
        starts = np.append(0, np.cumsum(stored))[self.starts]
        return replace(self, codes=self.codes[stored], starts=starts, numbers=self.numbers[stored])

    def __getitem__(self, kept):
        """Give lists of the rows of a mask, which are numbered anew."""
        some = self.among(kept)
        renumbered = np.cumsum(kept) - 1
        return replace(some, numbers=renumbered[some.numbers].astype(some.numbers.dtype))
