"""Compressed rows in inverted lists, and their files."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .. import _file_format
from .._codecs._file import codec_from_file, codec_to_file
from .._value import Value
from ..quantized_matrix import QuantizedMatrix
from ._list_coder import ListCoder
from ._metric import SEARCHED_AS
from ._partition import Partition
from ._slabs import SlabRows, concatenate, rows_from_file, rows_to_file, take, take_matrix

KIND = "InvertedLists"


@dataclass(frozen=True, eq=False, repr=False)
class InvertedLists(Value):
    """Compressed rows, stored list by list: what a neighbour estimator with `n_lists` searches.

    It is the attribute `lists_` of such an estimator. Immutable and picklable.

    Parameters
    ----------
    coder : ListCoder
        How rows came into lists.
    codes : QuantizedMatrix of shape (n_rows, n_features)
        The residuals of the rows, the rows of a list side by side.
    starts : int64 ndarray of shape (n_lists + 1,)
        Where the rows of each list start, and where the last ends.
    numbers : int32 or int64 ndarray of shape (n_rows,)
        Which training row each is; ascending within a list.

    See Also
    --------
    QuantizedNearestNeighbors.from_lists : Search them, for example after `load`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.datasets import load_digits
    >>> from skquant import InvertedLists, QuantizedNearestNeighbors
    >>> X, _ = load_digits(return_X_y=True)
    >>> search = QuantizedNearestNeighbors(n_lists=40, random_state=0).fit(X)
    >>> search.lists_
    <InvertedLists of 1797 rows in 40 lists, 5 bits an entry, 94 kB>
    >>> with TemporaryDirectory() as folder:
    ...     search.lists_.save(Path(folder) / "digits.skq")
    ...     lists = InvertedLists.load(Path(folder) / "digits.skq")
    >>> other = QuantizedNearestNeighbors.from_lists(lists, n_neighbors=3)
    >>> other.kneighbors(X[:2], return_distance=False)[:, 0]
    array([0, 1])
    """

    coder: ListCoder
    codes: QuantizedMatrix
    starts: np.ndarray
    numbers: np.ndarray

    @classmethod
    def encode(cls, coder, X, n_jobs=None, unit=None):
        """Code rows; they are numbered as they come.

        Parameters
        ----------
        coder : ListCoder
            How rows come into lists.
        X : ndarray of shape (n_rows, n_features)
            The rows.
        n_jobs : int, default=None
            Number of threads; it does not change the result.
        unit : float, default=None
            Where codes have a coarse layer, the `unit` of the lists that these will be joined with.

        Returns
        -------
        InvertedLists
            The coded rows.
        """
        lists, packed = coder.encode(X, n_jobs)
        rows = packed
        if coder.has_coarse_layer:

            def unpack_terms(some):
                return coder.unpack_terms(lists[some], packed[some])

            metric = SEARCHED_AS[coder.metric]
            rows = SlabRows.split(coder.codec, packed, unpack_terms, metric, unit)
        dtype = np.float64 if X.dtype == np.float64 else np.float32
        return cls._sort(coder, lists, rows, np.arange(len(X)), dtype)

    def encode_more(self, X, n_jobs=None):
        """Code rows to be joined with these.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_features)
            The rows.
        n_jobs : int, default=None
            Number of threads; it does not change the result.

        Returns
        -------
        InvertedLists
            The coded rows, numbered from 0 on.
        """
        return InvertedLists.encode(self.coder, X, n_jobs, self.unit)

    @classmethod
    def _sort(cls, coder, lists, rows, numbers, dtype):
        """Bring rows into the order of lists and, within them, of numbers."""
        order = np.lexsort((numbers, lists))
        n_lists = len(coder.partition)
        starts = np.append(0, np.cumsum(np.bincount(lists, minlength=n_lists)))
        fits = len(numbers) <= np.iinfo(np.int32).max
        numbers = numbers[order].astype(np.int32 if fits else np.int64)
        return cls(coder, QuantizedMatrix(coder.codec, take(rows, order), dtype), starts, numbers)

    def without_empty(self):
        """Give the same rows, and no lists that have none.

        Returns
        -------
        InvertedLists
            With as many lists as have rows.
        """
        kept = self.sizes > 0
        if kept.all():
            return self
        partition = self.coder.partition
        partition = replace(partition, centroids=partition.centroids[kept])
        starts = np.append(self.starts[:-1][kept], len(self))
        return replace(self, coder=replace(self.coder, partition=partition), starts=starts)

    @staticmethod
    def concatenate(parts):
        """Join lists of the same coder; the rows of each are numbered on from those before.

        Parameters
        ----------
        parts : list of InvertedLists
            At least one.

        Returns
        -------
        InvertedLists
            All rows.
        """
        first, n_before = parts[0], np.cumsum([0, *map(len, parts)])
        numbers = [part.numbers + n for part, n in zip(parts, n_before[:-1], strict=True)]
        return InvertedLists._sort(
            first.coder,
            np.concatenate([part.list_of for part in parts]),
            concatenate([part.codes._rows for part in parts]),
            np.concatenate(numbers),
            np.result_type(*(part.codes.dtype for part in parts)),
        )

    def __len__(self):
        return len(self.numbers)

    def __repr__(self):
        return (
            f"<InvertedLists of {len(self)} rows in {self.n_lists} lists, "
            f"{self.bits_per_entry:.4g} bits an entry, {self.nbytes / 1000:,.0f} kB>"
        )

    @property
    def n_lists(self):
        """The number of lists."""
        return len(self.coder.partition)

    @property
    def metric(self):
        """The metric that the rows are for."""
        return self.coder.metric

    @property
    def centroids(self):
        """The centroid of each list, (n_lists, n_features), float64."""
        return self.coder.partition.centres

    @property
    def nbytes(self):
        """Bytes held: codes and numbers of rows, starts of lists, centroids and the codec."""
        return self.rows_nbytes + self.starts.nbytes + self.coder.nbytes

    @property
    def rows_nbytes(self):
        """The part of `nbytes` that grows with the rows: their codes, terms and numbers."""
        return self.codes._rows.nbytes + self.numbers.nbytes

    @property
    def bits_per_entry(self):
        """8 times the bytes of a row, its number included, over the number of features."""
        held = getattr(self.codes._rows, "held_bytes", self.codes._codec.row_bytes)
        return 8 * (held + self.numbers.itemsize) / self.codes.shape[1]

    @property
    def unit(self):
        """The norm that scores of a coarse layer are relative to, None where there is none."""
        return getattr(self.codes._rows, "unit", None)

    @property
    def shape(self):
        """(n_rows, n_features)."""
        return self.codes.shape

    @property
    def sizes(self):
        """The number of rows in each list."""
        return np.diff(self.starts)

    @property
    def list_of(self):
        """The list of each stored row."""
        return np.repeat(np.arange(self.n_lists), self.sizes)

    @cached_property
    def places(self):
        """Where each training row is stored."""
        places = np.empty_like(self.numbers)
        places[self.numbers] = np.arange(len(self), dtype=self.numbers.dtype)
        return places

    def stored(self, rows):
        """Give the lists of training rows, and their codes.

        Parameters
        ----------
        rows : slice, int ndarray or mask
            Training rows, by number.

        Returns
        -------
        lists : intp ndarray of shape (n_chosen,)
            The list of each.
        packed : uint8 ndarray of shape (n_chosen, row_bytes)
            Its code.
        """
        places = self.places[rows]
        lists = np.searchsorted(self.starts, places, side="right") - 1
        return lists, self.codes._rows[places]

    def take(self, rows):
        """Reconstruct training rows.

        Parameters
        ----------
        rows : slice, int ndarray or mask
            Training rows, by number.

        Returns
        -------
        ndarray of shape (n_chosen, n_features)
            Centroids and decoded residuals, added.
        """
        return self.coder.decode(*self.stored(rows), self.codes.dtype)

    def among(self, rows):
        """Give the same lists with some of the training rows, whose numbers stay.

        Parameters
        ----------
        rows : slice, int ndarray or mask
            Training rows, by number.

        Returns
        -------
        InvertedLists
            Some of its lists may be empty.
        """
        kept = np.zeros(len(self), bool)
        kept[rows] = True
        stored = kept[self.numbers]
        starts = np.append(0, np.cumsum(stored))[self.starts]
        codes = take_matrix(self.codes, np.flatnonzero(stored))
        return replace(self, codes=codes, starts=starts, numbers=self.numbers[stored])

    def __getitem__(self, kept):
        """Give lists of the rows of a mask, which are numbered anew."""
        some = self.among(kept)
        renumbered = np.cumsum(kept) - 1
        return replace(some, numbers=renumbered[some.numbers].astype(some.numbers.dtype))

    def save(self, path):
        """Write the lists to a file, atomically; the docs specify the format.

        Parameters
        ----------
        path : str or os.PathLike
            The file; one that exists is replaced.
        """
        codec, partition = self.coder.codec, self.coder.partition
        meta = {
            "codec": codec_to_file(codec),
            "dtype": self.codes.dtype.name,
            "metric": self.metric,
        }
        own_meta, own_arrays = rows_to_file(self.codes._rows)
        arrays = {
            **codec.arrays,
            "origin": partition.origin,
            "centroids": partition.centroids,
            "starts": self.starts,
            "numbers": self.numbers,
            **own_arrays,
        }
        _file_format.write(path, KIND, meta | own_meta, arrays)

    @classmethod
    def load(cls, path, mmap=False, *, lattice=None):
        """Read lists from a file that `save` wrote.

        Parameters
        ----------
        path : str or os.PathLike
            The file.
        mmap : bool, default=False
            Whether to map the compressed rows into memory instead of reading them. A search reads
            the lists that it visits, and each part of the file is verified before its first use.
            A coarse layer is read.
        lattice : lattice object, default=None
            The lattice, where the rows were compressed with one of the user's own.

        Returns
        -------
        InvertedLists

        Raises
        ------
        ValueError
            If the file is of another format, damaged or truncated, or needs `lattice`.
        """
        meta, arrays = _file_format.read(path, KIND, mmap=mmap)
        try:
            return cls._from_file(meta, arrays, lattice)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error

    @classmethod
    def _from_file(cls, meta, arrays, lattice):
        """Build lists from the content of a file, every value checked."""
        rows, slabs = arrays.pop("rows"), arrays.pop("slabs", None)
        slab_terms = arrays.pop("slab_terms", None)
        # The others are small, or needed as a whole: read them in.
        arrays = {name: np.asarray(array) for name, array in arrays.items()}
        _require(rows.dtype == np.uint8 and rows.ndim == 2, "rows")
        apart = 0 if slabs is None else slabs.shape[1]
        codec = codec_from_file(meta["codec"], arrays, rows.shape[1] + apart, lattice)
        _require(codec.terms.center == "features" and not codec.mean.any(), "codec")
        _require(meta["metric"] in SEARCHED_AS, "metric")
        origin, centroids = arrays["origin"], arrays["centroids"]
        _require(_is_finite(origin, np.float64, (codec.n_features,)), "origin")
        _require(_is_finite(centroids, np.float32, (len(centroids), codec.n_features)), "centroids")
        starts, numbers, n_rows = arrays["starts"], arrays["numbers"], len(rows)
        _require(starts.dtype == np.int64 and starts.shape == (len(centroids) + 1,), "starts")
        in_order = starts[0] == 0 and starts[-1] == n_rows and (np.diff(starts) >= 0).all()
        _require(bool(in_order), "starts")
        _require(numbers.dtype in (np.int32, np.int64) and numbers.shape == (n_rows,), "numbers")
        _require(np.array_equal(np.sort(numbers), np.arange(n_rows)), "numbers")
        coder = ListCoder(Partition(origin, centroids), codec, meta["metric"])
        for array, name in ((slabs, "slabs"), (slab_terms, "slab_terms")):
            _require(coder.has_coarse_layer == (array is not None), name)
        if slabs is not None:
            front = np.asarray(slabs), np.asarray(slab_terms)
            rows = rows_from_file(meta, rows, *front, codec.row_code)
        return cls(coder, QuantizedMatrix(codec, rows, meta["dtype"]), starts, numbers)


def _is_finite(array, dtype, shape):
    return array.dtype == dtype and array.shape == shape and bool(np.isfinite(array).all())


def _require(condition, name):
    if not condition:
        raise ValueError(f"the {name} of the lists are impossible")
