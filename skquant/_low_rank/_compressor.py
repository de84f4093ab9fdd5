"""Compression of a matrix by two quantized factors, as a transformer."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from .._base import Estimator
from .._progress import reported
from .._sklearn_compat import Interval, StrOptions, fit_context, validate_data, with_callbacks
from .._threads import single_threaded_blas
from ._basis import CodedBasis
from ._budget import spend, spend_at_rank
from ._metric import damped_root, gram_of_inputs, relative_error
from ._published import METHODS, parity_rank
from ._quantizers import MAX_BITS
from ._residual import fit_residual
from ._spectrum import sample_rows

_FLOAT_DTYPES = [np.float64, np.float32]


class LowRankLowPrecisionCompressor(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Estimator):
    """Compress a matrix to the product of two factors of few columns and few bits.

    The matrix X of shape (n_samples, n_features) becomes L R, where L has `rank` columns and R as
    many rows. The methods of the LPLR paper [1]_ are offered as published. The default chooses
    rank and bits of every component by reverse water-filling under a budget of true bits, on an
    orthonormal basis that is entropy-coded itself.

    Parameters
    ----------
    rank : int, default=32
        Columns of L; at most min(n_samples, n_features) are used, see `rank_`.
    bits : int, default=8
        Bits of a number of L. For ``method="waterfill"`` their mean: rank and bits fix the budget,
        which the components share unequally.
    basis_bits : int, default=None
        Bits of a number of R; None takes `bits`.
    bit_budget : float, default=None
        Bits for an entry of X, everything counted. When given, `rank` is not used, and `bits` and
        `basis_bits` only by the published methods, which take the rank that it affords.
    method : {"auto", "waterfill", "lplr", "lsvd", "dsvd"}, default="auto"
        How the factors are found. "lplr" sketches the range with a Gaussian matrix, quantizes it
        and fits R to it; "lsvd" does so with singular vectors; "dsvd" quantizes the factors of the
        singular value decomposition. "waterfill" is described above. "auto" takes it too, and with
        a `bit_budget` adds a quantized residual where that promises less error: where the
        singular values hardly fall.
    coding : {"fixed", "entropy"}, default="fixed"
        How "waterfill" codes L: "fixed" gives every row the same bits, for random access;
        "entropy" codes blocks of 4096 rows as a whole, with less error. The published methods are
        fixed always.
    residual_bits : float, default=0
        Bits for an entry of what L R leaves, coded by a `LatticeQuantizer` (the form of [2]_); its
        row terms are added. They come on top of `rank` and `bits`, but are part of `bit_budget`.
    n_iter : int, default=4
        Power iterations of the randomised range finder that serves matrices of more than 4096 rows
        and features; smaller ones are decomposed exactly.
    random_state : int, RandomState instance or None, default=None
        Draws sketches and the rotation of the residual; an int gives the same bytes each time.
    n_jobs : int, default=None
        Number of threads; None means 1. It does not change the result.

    Attributes
    ----------
    bits_per_entry_ : float
        8 times the bytes of the compressed training matrix over its number of entries.
    components_ : ndarray of shape (`rank_`, `n_features_in_`)
        The decoded R, orthonormalised.
    compression_ratio_ : float
        Bytes of the training matrix over bytes of the compressed one.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, when `X` had names that are all strings.
    method_ : str
        The method in use.
    n_features_in_ : int
        Number of features.
    product_err_ : float
        Relative Frobenius error of the products of the compressed training matrix with the inputs
        of `calibration`; None without any.
    rank_ : int
        Columns of L.
    reconstruction_err_ : float
        Relative Frobenius error of the compressed training matrix.

    See Also
    --------
    LowRankLowPrecisionMatrix : What `compress` gives.
    LatticeQuantizer : Compresses rows of full rank.

    References
    ----------
    .. [1] R. Saha, V. Srivastava and M. Pilanci, "Matrix Compression via Randomized Low Rank and
       Low Precision Factorization", NeurIPS 2023, arXiv:2310.11028.
    .. [2] R. Saha et al., "Compressing Large Language Models using Low Rank and Low Precision
       Decomposition", NeurIPS 2024, arXiv:2405.18886.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skquant import LowRankLowPrecisionCompressor
    >>> X, _ = load_digits(return_X_y=True)
    >>> compressor = LowRankLowPrecisionCompressor(bit_budget=1, coding="entropy").fit(X)
    >>> compressor.reconstruction_err_ < 0.21
    True
    >>> compressor.compress(X).nbytes <= X.size / 8
    True
    >>> compressor.transform(X).shape == (1797, compressor.rank_)
    True
    """

    _parameter_constraints: dict = {
        "rank": [Interval(Integral, 1, None, closed="left")],
        "bits": [Interval(Integral, 1, MAX_BITS, closed="both")],
        "basis_bits": [Interval(Integral, 1, MAX_BITS, closed="both"), None],
        "bit_budget": [Interval(Real, 0, None, closed="neither"), None],
        "method": [StrOptions({"auto", "waterfill", *METHODS})],
        "coding": [StrOptions({"fixed", "entropy"})],
        "residual_bits": [Interval(Real, 0, None, closed="left")],
        "n_iter": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        rank=32,
        bits=8,
        *,
        basis_bits=None,
        bit_budget=None,
        method="auto",
        coding="fixed",
        residual_bits=0,
        n_iter=4,
        random_state=None,
        n_jobs=None,
    ):
        self.rank = rank
        self.bits = bits
        self.basis_bits = basis_bits
        self.bit_budget = bit_budget
        self.method = method
        self.coding = coding
        self.residual_bits = residual_bits
        self.n_iter = n_iter
        self.random_state = random_state
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, calibration=None):
        """Find the basis and the codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The matrix. float64 and float32 are read in blocks and never copied as a whole, so it
            may be memory-mapped.
        y : None
            Ignored.
        calibration : array-like of shape (n_inputs, n_features), default=None
            Inputs that the compressed matrix will be multiplied with, such as those of a layer of
            weights. The error to make small is then that of ``X @ calibration.T`` and not that of
            `X`, as in CALDERA, and `product_err_` tells it. For the methods that are not of
            the LPLR paper. ``coding="entropy"`` gains most: there the residual is weighted too.

        Returns
        -------
        self : LowRankLowPrecisionCompressor
            The fitted compressor.

        Raises
        ------
        TypeError
            If `X` is sparse.
        ValueError
            If a parameter is out of its range, the budget does not pay for one component, `X`
            or `calibration` is empty or holds NaN, infinity or numbers whose squares overflow, or
            `calibration` has another width, or a method that cannot use it.
        """
        X = validate_data(self, X, dtype=_FLOAT_DTYPES)
        gram = self._gram(X, calibration)
        with reported(self, "fit", X):
            matrix = self._fit_scheme(X, check_random_state(self.random_state), gram)
            self._measure(X, self._compress(X) if matrix is None else matrix, gram)
        return self

    def _fit_scheme(self, X, rng, gram):
        """Find the codes; give the compressed training matrix where that was needed."""
        with single_threaded_blas():
            if self.method in METHODS:
                self._scheme, matrix = self._published(X, rng), None
            else:
                self._scheme, matrix = self._weighted(X, rng, gram)
            components = self._scheme.rows
            if not isinstance(self._scheme.right, CodedBasis):
                components = np.linalg.qr(components.T)[0].T
            self.components_ = np.ascontiguousarray(components, X.dtype)
            self.rank_ = len(components)
        return matrix

    def _gram(self, X, calibration):
        """Compute the Gram matrix of the inputs, or None without any."""
        if calibration is None:
            return None
        if self.method in METHODS:
            raise ValueError(f"calibration is not for method={self.method!r}.")
        calibration = check_array(calibration, dtype=_FLOAT_DTYPES, input_name="calibration")
        if calibration.shape[1] != X.shape[1]:
            raise ValueError(
                f"calibration has {calibration.shape[1]} features, but X has {X.shape[1]}."
            )
        with single_threaded_blas():
            return gram_of_inputs(calibration)

    def _published(self, X, rng):
        basis_bits = self.basis_bits or self.bits
        rank = self.rank
        if self.bit_budget is not None:
            budget = self.bit_budget - self.residual_bits
            rank = parity_rank(*X.shape, budget, self.bits, basis_bits)
            if rank < 1:
                raise ValueError(
                    f"bit_budget={self.bit_budget} does not pay for one component of "
                    f"bits={self.bits} and basis_bits={basis_bits}."
                )
        rank = min(rank, *X.shape)
        scheme, _ = METHODS[self.method](X, rank, self.bits, basis_bits, random_state=rng)
        if not self.residual_bits:
            return scheme
        return fit_residual(scheme, X, self.residual_bits, rng)

    def _weighted(self, X, rng, gram):
        """Choose, where errors are weighted, between schemes that know of it and that do not."""
        seed = rng.randint(2**31)
        plain = self._waterfill(X, np.random.RandomState(seed), None)
        if gram is None:
            return plain
        root = damped_root(gram)
        # The basis of the one is not orthonormal, which costs more where inputs are nearly alike.
        try:
            aware = self._waterfill(X, np.random.RandomState(seed), root)
        except ValueError:  # the budget pays for a component of the other kind alone
            return plain
        sample = sample_rows(X)
        return min(aware, plain, key=lambda found: found[0].squared_error(sample, root))

    def _waterfill(self, X, rng, root):
        if self.bit_budget is None:
            basis_bits = self.basis_bits or self.bits
            scheme, matrix = spend_at_rank(
                X,
                min(self.rank, *X.shape),
                self.bits,
                basis_bits,
                self.coding,
                self.n_iter,
                rng,
                root,
            )
            if not self.residual_bits:
                return scheme, matrix
            return fit_residual(scheme, X, self.residual_bits, rng), None
        try:
            return spend(
                X,
                self.bit_budget * X.size,
                self.coding,
                self.residual_bits,
                self.method == "auto",
                self.n_iter,
                rng,
                root,
            )
        except ValueError as error:
            raise ValueError(f"bit_budget={self.bit_budget} is too small: {error}") from error

    def _compress(self, X):
        with single_threaded_blas():
            return self._scheme.compress(X, X.dtype, self.n_jobs)

    def _measure(self, X, matrix, gram):
        """Take bits and errors of the compressed training matrix."""
        self.bits_per_entry_ = float(matrix.bits_per_entry)
        self.compression_ratio_ = float(X.nbytes / matrix.nbytes)
        self.reconstruction_err_ = relative_error(X, matrix)
        self.product_err_ = None if gram is None else relative_error(X, matrix, gram)

    def transform(self, X):
        """Project rows on the components.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            Scores. The components are orthonormal, so distances between scores are those between
            the projected rows. float32 for float32, float64 for all else.

        Raises
        ------
        NotFittedError
            If the compressor is not fitted.
        TypeError
            If `X` is sparse.
        ValueError
            If `X` is of another width, empty, or holds NaN or infinity.
        """
        X = self._validate_rows(X)
        return X @ self.components_.T.astype(X.dtype, copy=False)

    def inverse_transform(self, X):
        """Take scores back to rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Scores, `rank_` columns.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            The rows in the span of the components.

        Raises
        ------
        NotFittedError
            If the compressor is not fitted.
        ValueError
            If `X` is of another width.
        """
        check_is_fitted(self)
        X = check_array(X, dtype=_FLOAT_DTYPES)
        if X.shape[1] != self.rank_:
            raise ValueError(
                f"X has {X.shape[1]} columns, but LowRankLowPrecisionCompressor is expecting "
                f"{self.rank_}."
            )
        return X @ self.components_.astype(X.dtype, copy=False)

    @with_callbacks
    def compress(self, X):
        """Compress rows to a `LowRankLowPrecisionMatrix`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, those that the compressor was fitted to or others.

        Returns
        -------
        LowRankLowPrecisionMatrix of shape (n_samples, n_features)
            Its dtype is float32 for float32 and float64 for all else.

        Raises
        ------
        NotFittedError
            If the compressor is not fitted.
        TypeError
            If `X` is sparse.
        ValueError
            If `X` is of another width, empty, or holds NaN, infinity or numbers too large for the
            codes.
        """
        X = self._validate_rows(X)
        with reported(self, "compress", X):
            return self._compress(X)

    def score(self, X, y=None):
        """Give minus the relative squared Frobenius error of the compressed rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : None
            Ignored.

        Returns
        -------
        float
            0 is exact, and -1 is what zeros would reach.
        """
        X = self._validate_rows(X)
        return -(relative_error(X, self._compress(X)) ** 2)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self):
        return self.rank_

    def _validate_rows(self, X):
        check_is_fitted(self)
        return validate_data(self, X, reset=False, dtype=_FLOAT_DTYPES)
