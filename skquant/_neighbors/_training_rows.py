"""The training rows of a neighbour estimator: compressed, added, removed, and read back."""

import os
from numbers import Integral, Real

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state, check_scalar, gen_batches
from sklearn.utils.validation import check_is_fitted

from .._lattice_quantizer import LatticeQuantizer
from .._sklearn_compat import HasMethods, Interval, StrOptions
from ._list_coder import ListCoder
from ._lists import InvertedLists
from ._metric import SEARCHED_AS, as_searched
from ._partition import choose_n_lists, learn_partition
from ._rescore import RefinedRows, SourceRows, compress_residuals, fit_residual_quantizer
from ._rows import as_given, join_chunks, keep_rows, reconstruct, row_indices
from ._slabs import compress_apart, lies_apart

_BLOCK_FLOATS = 2**20  # in rows that are decoded at once: 8 MB as float64


class TrainingRowsMixin:
    """Hold the training rows as codes, and what else there is for each row.

    An estimator that uses it has the parameters of `_parameter_constraints`, and calls `_fit_codes`
    and `_add_codes` with validated rows. What it keeps of each row besides, such as labels, is in
    `_target_chunks`.
    """

    _parameter_constraints: dict = {
        "bits": [Interval(Real, 0, None, closed="neither")],
        "metric": [StrOptions(set(SEARCHED_AS))],
        "quantizer": [HasMethods(["fit", "compress"]), None],
        "n_lists": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"}), None],
        "n_probe": [Interval(Integral, 1, None, closed="left")],
        "rescore": [Interval(Real, 1, None, closed="left"), None],
        "rescore_source": [str, os.PathLike, None],
        "n_candidates": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    }

    @property
    def codes_(self):
        """The compressed training rows, a `QuantizedMatrix`; with lists, that of residuals."""
        return self._held.codes if self._has_lists else self._held

    @property
    def lists_(self):
        """The rows in their lists, an `InvertedLists`."""
        if not self._has_lists:
            raise AttributeError("There are no lists_: the estimator was fitted without n_lists.")
        return self._held

    @property
    def _held(self):
        """What holds the rows: a `QuantizedMatrix` or `InvertedLists`."""
        return join_chunks(self._code_chunks)

    @property
    def _n_probe(self):
        """`n_probe`, which may have been set after fitting; None without lists."""
        if not self._has_lists:
            return None
        return check_scalar(self.n_probe, "n_probe", Integral, min_val=1)

    @property
    def _has_lists(self):
        return isinstance(self._code_chunks[0], InvertedLists)

    @property
    def rescore_codes_(self):
        """The compressed residuals of the training rows, a `QuantizedMatrix`."""
        if not self._residual_chunks:
            raise AttributeError(
                "There is no rescore_codes_: the estimator was fitted without rescore, or with a "
                "rescore_source."
            )
        return join_chunks(self._residual_chunks)

    def remove(self, indices):
        """Remove training rows.

        The others keep their order and move up, as in `numpy.delete`: afterwards indices count
        the rows that are left, and all is as if the removed rows had never been given, except that
        the quantizer stays as it was fitted and a classifier keeps its classes. A file that
        `rescore_source` names still holds them. What is left is copied, so remove many at a time.

        Parameters
        ----------
        indices : array-like of int, or of bool of shape (`n_samples_fit_`,)
            The rows to remove: indices in any order, or a mask.

        Returns
        -------
        self : estimator
            The estimator with fewer rows.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If `indices` are no integers, do not exist, or are a mask of another length, or no row
            would be left.
        """
        check_is_fitted(self)
        indices = row_indices(indices, self.n_samples_fit_, "indices")
        if len(indices) == self.n_samples_fit_:
            raise ValueError("indices must leave at least one training row, but removes all.")
        kept = np.ones(self.n_samples_fit_, bool)
        kept[indices] = False
        targets = getattr(self, "_target_chunks", [])
        for chunks in filter(None, (self._code_chunks, self._residual_chunks, targets)):
            chunks[:] = [keep_rows(join_chunks(chunks), kept)]
        self._removed = np.sort(np.append(self._removed, as_given(indices, self._removed)))
        self.n_samples_fit_ -= len(indices)
        return self

    def _fit_codes(self, X):
        """Fit the quantizer to the rows of X and hold their codes.

        For the cosine metric this takes one more float32 matrix of the shape of X while it runs,
        because a quantizer fits on all rows at once; the other metrics take none.
        """
        n_lists = choose_n_lists(self.n_lists, len(X))
        if self._reads_source:
            SourceRows(self.rescore_source, len(X), X.shape[1]).require(X, 0)
        self._check_n_candidates()
        X = as_searched(X, self.metric, np.float32)
        quantizer = self._make_quantizer()
        held = self._fit_lists(X, quantizer, n_lists) if n_lists else self._fit_matrix(X, quantizer)
        residual_quantizer, residual_chunks = None, []
        if self.rescore is not None and not self._reads_source:
            residual_quantizer = self._fit_residual_quantizer(X, held)
            residual_chunks = [compress_residuals(residual_quantizer, X, held)]
        self.effective_metric_ = self.metric
        self.quantizer_, self._residual_quantizer = quantizer, residual_quantizer
        self.n_samples_fit_ = len(X)
        self._code_chunks, self._residual_chunks = [held], residual_chunks
        self._removed = np.empty(0, np.intp)

    def _fit_matrix(self, X, quantizer):
        quantizer.fit(X)
        if self.n_candidates is None:
            codes = quantizer.compress(X)
        else:
            codes = compress_apart(quantizer, X, SEARCHED_AS[self.metric], self.n_jobs)
        if codes._codec.terms.center == "rows":
            raise ValueError(
                'quantizer must not have center="rows": a search takes one centre for all rows.'
            )
        return codes

    def _fit_lists(self, X, quantizer, n_lists):
        partition = learn_partition(X, n_lists, self.random_state)
        has_coarse_layer = self.n_candidates is not None
        coder = ListCoder.fit(X, partition, quantizer, self.metric, has_coarse_layer)
        return InvertedLists.encode(coder, X, self.n_jobs).without_empty()

    def _hold_lists(self, lists):
        """Hold rows that are in lists already."""
        if self.metric != lists.metric:
            raise ValueError(f"metric={self.metric!r} is not that of the lists, {lists.metric!r}.")
        if self.rescore is not None and not self._reads_source:
            raise ValueError("rescore needs a rescore_source: lists hold no second codes.")
        self.effective_metric_, self.n_features_in_ = self.metric, lists.codes.shape[1]
        self.n_samples_fit_ = len(lists)
        self._residual_quantizer, self._residual_chunks = None, []
        self._code_chunks, self._removed = [lists], np.empty(0, np.intp)

    def _add_codes(self, X):
        """Hold the codes of more rows, made as those that are there."""
        if self._reads_source:
            n_given = self.n_samples_fit_ + len(self._removed)
            SourceRows(self.rescore_source, n_given + len(X), X.shape[1]).require(X, n_given)
        X = as_searched(X, self.effective_metric_, np.float32)
        held = self._compress_more(X)
        if self._residual_chunks:
            residual_codes = compress_residuals(self._residual_quantizer, X, held)
            self._residual_chunks.append(residual_codes)
        self._code_chunks.append(held)
        self.n_samples_fit_ += len(X)

    def _compress_more(self, X):
        """Give the codes of more rows, in the form in which the metric searches them."""
        codes = self._code_chunks[0]
        if self._has_lists:
            return codes.encode_more(X, self.n_jobs)
        if not lies_apart(codes):
            return self.quantizer_.compress(X)
        metric = SEARCHED_AS[self.effective_metric_]
        return compress_apart(self.quantizer_, X, metric, self.n_jobs, codes)

    def _check_n_candidates(self):
        if self.n_candidates is not None:
            n_found = int(np.ceil((self.rescore or 1) * self.n_neighbors))
            if self.n_candidates < n_found:
                factor = "" if self.rescore is None else "rescore times "
                raise ValueError(
                    f"n_candidates must be at least {factor}n_neighbors, {n_found}, "
                    f"got {self.n_candidates}."
                )

    def _has_coarse_layer(self):
        """Tell whether few queries are to be searched by a coarse layer."""
        if self.n_candidates is not None and not lies_apart(self.codes_):
            raise ValueError(
                "n_candidates needs codes that were fitted for it: fit again, or set it to None."
            )
        return self.n_candidates is not None

    def _make_quantizer(self):
        if self.quantizer is None:
            return LatticeQuantizer(
                bits=self.bits, random_state=self.random_state, n_jobs=self.n_jobs
            )
        quantizer = clone(self.quantizer)
        # Who seeds the neighbour estimator expects the same result from every fit.
        if getattr(quantizer, "random_state", "no such parameter") is None:
            quantizer.set_params(random_state=self.random_state)
        return quantizer

    def _fit_residual_quantizer(self, X, held):
        quantizer = self._make_quantizer()
        if hasattr(quantizer, "random_state"):
            # In the coordinates of the first code, its errors are least like Gaussian noise.
            seed = check_random_state(quantizer.random_state).randint(np.iinfo(np.int32).max)
            quantizer.set_params(random_state=seed)
        return fit_residual_quantizer(quantizer, X, held)

    @property
    def _reads_source(self):
        return self.rescore is not None and self.rescore_source is not None

    def _finer_rows(self):
        """Give what candidates are measured by again, or None."""
        if self.rescore is None:
            return None
        if self._reads_source:
            n_given = self.n_samples_fit_ + len(self._removed)
            return SourceRows(self.rescore_source, n_given, self.n_features_in_, self._removed)
        if not self._residual_chunks:
            raise ValueError(
                "rescore without rescore_source needs codes that are made while fitting: "
                "fit again, or set rescore_source."
            )
        return RefinedRows(self._held, self.rescore_codes_)

    def _training_blocks(self):
        """Yield the training rows as well as they are known: a slice, and its rows."""
        finer = self._finer_rows()
        block_rows = max(1, _BLOCK_FLOATS // self.codes_.shape[1])
        for block in gen_batches(self.n_samples_fit_, block_rows):
            if finer is None:
                yield block, reconstruct(self._held, block)
            else:
                yield block, finer.take(np.arange(block.start, block.stop))
