"""Quantization of rows with nested lattices, as a transformer."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted

from ._base import Estimator
from ._codecs._fit import choose_codec, fit_codec
from ._codes._trellis import TRELLIS_CODES, trellis_code
from ._normalised_error import reconstruction_error
from ._progress import reported
from ._sklearn_compat import (
    HasMethods,
    Interval,
    StrOptions,
    fit_context,
    validate_data,
    with_callbacks,
)
from ._threads import run_in_threads, single_threaded_blas
from .lattices import LATTICES, get_lattice
from .quantized_matrix import QuantizedMatrix


class LatticeQuantizer(OneToOneFeatureMixin, TransformerMixin, Estimator):
    """Compress rows to a chosen number of bits per feature with nested lattices.

    A row is centred, rotated by a random rotation, scaled, and coded block by block with a
    nested-lattice code [1]_, [2]_: the nearest lattice point, named by its coset. At 4 bits the
    squared error is about .006 of the energy, a third less than the best scalar quantizer's.

    Parameters
    ----------
    bits : float, default=4.0
        Budget of bits per feature for the code words of a row, a ceiling; row terms come on top,
        see `bits_per_feature_`. Up to 16 bits are used. Between the rates of two codes the blocks
        of a row mix them; below one bit only a random share of the rotated coordinates is coded.
    lattice : {"Z", "A2", "D4", "E8", "Leech", "Trellis"} or lattice object, default="E8"
        The lattice. "Leech" and "Trellis", a trellis code of 256 states that is nearer to the bound
        than any of the lattices, need ``coding="entropy"``. An object of your own needs what
        `skquant.lattices.Lattice` has and ``coding="fixed"``, and is served by slower NumPy code.
    rotation : {"hadamard", "orthogonal", "pca", "auto", None}, default="hadamard"
        "hadamard" takes random signs and fast Walsh-Hadamard transforms, "orthogonal" a dense
        matrix drawn from the Haar measure. "pca" learns the principal axes of the rows at unit
        length and spends the bits where their variance is: on most real data it errs far less, for
        the memory of a matrix. "auto" learns where that lowers the squared error of held-out rows
        by a twentieth or more, and else takes "hadamard". None does not rotate: the codes then fit
        only data whose coordinates are alike already.
    coding : {"fixed", "hierarchical", "entropy"}, default="fixed"
        "fixed" gives every block of every row its own fixed bits and is fast to search.
        "hierarchical" [3]_ takes a byte of each eight features for every bit, up to 8 bits, and two
        bytes for a row: products with a few vectors come from tables, several times as fast, for an
        error two fifths larger at 4 bits, a sixth at 3 and 2 % below.
        "entropy" codes all points of the lattice by their probability into rows of a fixed size:
        nearer to the bound, and slower.
    center : {"features", "rows", False}, default="features"
        What is subtracted first: the mean of each feature, which becomes part of the codec; the
        mean of each row, which becomes a row term; or nothing.
    objective : {"reconstruction", "product"}, default="reconstruction"
        What few bits are spent for. "product" codes fewer of the rotated coordinates better where
        that lowers the error of products of two compressed matrices: below about one bit, and with
        ``rotation="pca"`` at any rate. The error of reconstructions is larger then.
    output : {"dequantized", "codes"}, default="dequantized"
        What `transform` gives: the reconstruction, float features one for one, or the packed
        bytes of the rows.
    random_state : int, RandomState instance or None, default=None
        Draws the rotation; an int gives the same bytes each time.
    n_jobs : int, default=None
        Number of threads; None means 1. It does not change the result.

    Attributes
    ----------
    bits_per_feature_ : float
        What a compressed row really takes: 8 times its bytes over the number of features, row
        terms and padding to whole bytes included.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, when `X` had names that are all strings.
    lattice_ : lattice object
        The lattice in use.
    mean_ : ndarray of shape (`n_features_in_`,)
        The centre of the features; zero unless ``center="features"``.
    n_features_in_ : int
        Number of features.
    rotation_ : {"hadamard", "orthogonal", "pca", None}
        The rotation in use, the one chosen if ``rotation="auto"``.
    scales_ : list of ndarray
        The scales of each code that the blocks of a row use.

    See Also
    --------
    QuantizedMatrix : What `compress` gives.
    QuantizedKNeighborsClassifier : Searches among compressed rows.

    References
    ----------
    .. [1] O. Ordentlich and Y. Polyanskiy, "Optimal Quantization for Matrix Multiplication",
       arXiv:2410.13780, 2024.
    .. [2] S. Savkin et al., "NestQuant: Nested Lattice Quantization for Matrix Products and LLMs",
       arXiv:2502.09720, 2025.
    .. [3] I. Kaplan and O. Ordentlich, "High-Rate Nested-Lattice Quantized Matrix Multiplication
       with Small Lookup Tables", arXiv:2505.13164, 2025.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skquant import LatticeQuantizer
    >>> X, _ = load_digits(return_X_y=True)
    >>> quantizer = LatticeQuantizer(bits=3, random_state=0).fit(X)
    >>> quantizer.bits_per_feature_
    3.625
    >>> quantizer.score(X) > -0.03
    True
    >>> codes = quantizer.compress(X)
    >>> X.nbytes // codes.nbytes
    17
    """

    _parameter_constraints: dict = {
        "bits": [Interval(Real, 0, None, closed="neither")],
        "lattice": [StrOptions(set(LATTICES) | set(TRELLIS_CODES)), HasMethods("closest_point")],
        "rotation": [StrOptions({"hadamard", "orthogonal", "pca", "auto"}), None],
        "coding": [StrOptions({"fixed", "hierarchical", "entropy"})],
        "center": [StrOptions({"features", "rows"}), "boolean"],
        "objective": [StrOptions({"reconstruction", "product"})],
        "output": [StrOptions({"dequantized", "codes"})],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        bits=4.0,
        *,
        lattice="E8",
        rotation="hadamard",
        coding="fixed",
        center="features",
        objective="reconstruction",
        output="dequantized",
        random_state=None,
        n_jobs=None,
    ):
        self.bits = bits
        self.lattice = lattice
        self.rotation = rotation
        self.coding = coding
        self.center = center
        self.objective = objective
        self.output = output
        self.random_state = random_state
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the centre, and draw or learn the rotation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of any real dtype, read in blocks.
        y : None
            Ignored.

        Returns
        -------
        self : LatticeQuantizer
            The fitted quantizer.

        Raises
        ------
        TypeError
            If `X` is sparse.
        ValueError
            If a parameter is out of its range, `bits` does not pay for one bit a row, the coding is
            not for the lattice or the rotation, or `X` is empty or holds NaN or infinity.
        """
        X = validate_data(self, X, dtype="numeric")
        with reported(self, "fit", X):
            self._fit_rows(X)
        return self

    def _fit_rows(self, X):
        """Fit to rows that can be sliced, be they in memory or not."""
        if self.center is True:
            raise ValueError('center must be "features", "rows" or False, got True.')
        self.lattice_ = self._choose_lattice()
        with single_threaded_blas():  # so that the bytes do not depend on the number of threads
            self._codec = self._fit_codec(X)

    def _fit_codec(self, X):
        settings = {
            "bits": self.bits,
            "lattice": self.lattice_,
            "center": self.center,
            "objective": self.objective,
            "random_state": check_random_state(self.random_state),
            "coding": self.coding,
        }
        if self.rotation == "auto":
            return choose_codec(X, **settings)
        return fit_codec(X, rotation=self.rotation, **settings)

    def _choose_lattice(self):
        if self.coding != "entropy":
            if self.lattice in ("Leech", "Trellis"):
                raise ValueError(f'lattice={self.lattice!r} needs coding="entropy".')
            lattice = get_lattice(self.lattice)
            if self.coding == "hierarchical" and lattice not in LATTICES.values():
                raise ValueError(
                    f'coding="hierarchical" is for lattices of the package, {sorted(LATTICES)}; '
                    f"got {self.lattice!r}."
                )
            return lattice
        if self.lattice not in TRELLIS_CODES:
            raise ValueError(
                f'coding="entropy" is for lattices of the package, {sorted(TRELLIS_CODES)}; '
                f"got {self.lattice!r}."
            )
        return trellis_code(self.lattice)

    def transform(self, X):
        """Quantize rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of any real dtype.

        Returns
        -------
        ndarray of shape (n_samples, n_features) or (n_samples, row_bytes)
            For ``output="dequantized"`` the reconstruction, float64 for float64 and float32 for all
            else; for ``output="codes"`` the uint8 bytes of the rows.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As `compress` does.
        """
        X = self._validate_rows(X)
        codec = self._codec
        if self.output == "codes":
            return self._encode(codec, X)
        dtype = output_dtype(X)
        out = np.empty(X.shape, dtype)

        def reconstruct(rows):
            out[rows] = codec.decode(codec.encode(X[rows]), dtype)

        self._run(reconstruct, codec.blocks(len(X)))
        return out

    def inverse_transform(self, X):
        """Take back to rows what `transform` gives.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, row_bytes)
            For ``output="dequantized"`` the reconstruction, which is returned as it is; for
            ``output="codes"`` bytes of compressed rows.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            The reconstruction, float32 from bytes.

        Raises
        ------
        NotFittedError
            If the quantizer is not fitted.
        ValueError
            If `X` is of another width or holds no bytes.
        """
        check_is_fitted(self)
        if self.output == "dequantized":
            X = check_array(X, dtype=[np.float64, np.float32])
            width = self.n_features_in_
        else:
            X = check_array(X, dtype="numeric")
            width = self._codec.row_bytes
        if X.shape[1] != width:
            raise ValueError(
                f"X has {X.shape[1]} columns, but LatticeQuantizer is expecting {width}."
            )
        if self.output == "dequantized":
            return X
        packed = np.clip(X, 0, 255).astype(np.uint8, order="C")
        if not np.array_equal(X, packed):
            raise ValueError("X must hold the bytes of compressed rows, integers in [0, 255].")
        return QuantizedMatrix(self._codec, packed, np.float32).toarray()

    @with_callbacks
    def compress(self, X, *, dither_seed=None):
        """Compress rows to a `QuantizedMatrix`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of any real dtype.
        dither_seed : int, default=None
            A seed in [0, 2^32) turns on subtractive dither: a vector uniform over the Voronoi cell,
            the same for all rows, is added before quantizing and subtracted after. The error is
            then independent of the rows, but for overload: none with ``coding="entropy"``, some
            with ``"fixed"`` below three bits. A product of a matrix with itself or with one much
            like it obeys `skquant.theory.matmul_mse` only between two compressions of different
            seeds.

        Returns
        -------
        QuantizedMatrix of shape (n_samples, n_features)
            Its dtype is float64 for float64 and float32 for all else.

        Raises
        ------
        NotFittedError
            If the quantizer is not fitted.
        TypeError
            If `X` is sparse, or `dither_seed` is no integer.
        ValueError
            If `X` is of another width, empty, or holds NaN, infinity or a row whose norm exceeds
            2^120, or `dither_seed` is out of its range.
        """
        X = self._validate_rows(X)
        codec = self._codec
        if dither_seed is not None:
            seed = check_scalar(dither_seed, "dither_seed", Integral, min_val=0, max_val=2**32 - 1)
            codec = codec.with_dither(int(seed))
        with reported(self, "compress", X):
            return self._compress(codec, X)

    def _compress(self, codec, X):
        """Compress rows that are known to be sound."""
        return QuantizedMatrix(codec, self._encode(codec, X), output_dtype(X))

    def score(self, X, y=None):
        """Give minus the normalised mean squared error of the reconstruction.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : None
            Ignored.

        Returns
        -------
        float
            Minus the squared error over the squared deviations from the feature means of `X`; 0
            is exact.
        """
        check_is_fitted(self)
        return -reconstruction_error(self, X)

    @property
    def bits_per_feature_(self):
        """Bits of a compressed row over the number of features, everything included."""
        return self._codec.bits_per_entry

    @property
    def mean_(self):
        """The centre of the features."""
        return _read_only(self._codec.mean)

    @property
    def rotation_(self):
        """The rotation in use."""
        rotation = self._codec.rotation
        return None if rotation is None else rotation.kind

    @property
    def scales_(self):
        """The scales of each code that the blocks of a row use."""
        row_code = self._codec.row_code
        if self.coding == "entropy":
            return [_read_only(row_code.steps[:1])]
        return [_read_only(segment.code.scales) for segment in row_code.segments]

    def get_feature_names_out(self, input_features=None):
        """Get the names of the output features.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the input features; None means those seen in `fit`.

        Returns
        -------
        ndarray of str objects
            The input names where `transform` gives features one for one; names of the bytes for
            ``output="codes"``.
        """
        names = super().get_feature_names_out(input_features)
        if self.output == "dequantized":
            return names
        return np.asarray([f"byte{i}" for i in range(self._codec.row_bytes)], dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = (
            ["float64", "float32"] if self.output == "dequantized" else []
        )
        return tags

    def _validate_rows(self, X):
        check_is_fitted(self)
        # Whether rows are finite shows while they are encoded, without a pass of its own.
        return validate_data(self, X, reset=False, dtype="numeric", ensure_all_finite=False)

    def _encode(self, codec, X):
        packed = np.empty((len(X), codec.row_bytes), np.uint8)

        def encode(rows):
            packed[rows] = codec.encode(X[rows])

        self._run(encode, codec.blocks(len(X)))
        return packed

    def _run(self, function, blocks):
        with single_threaded_blas():
            run_in_threads(function, blocks, self.n_jobs, "quantize")


def output_dtype(X):
    """Dtype of reconstructions: float64 for float64 of any byte order, float32 for all else."""
    return np.float64 if X.dtype.kind == "f" and X.dtype.itemsize == 8 else np.float32


def _read_only(array):
    """View an array so that it cannot be changed."""
    view = array.view()
    view.flags.writeable = False
    return view
