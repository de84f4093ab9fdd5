"""Products of compressed matrices, with dense ones and with each other.

A row is x̂ = v + r̂: what is known of it exactly or nearly so, v = c + m 1 with the centre of the
features or of the row, and the residual r̂ = f T⁻¹ u that its code words u give. Products are taken
in the coordinates of u, a panel of rows at a time; T turns the other operand.
"""

from dataclasses import dataclass

import numpy as np

from ._codec import batches, lay_apart
from ._kernels._dispatch import FEW_VECTORS
from ._row_terms import RowTerms
from .theory import matmul_bias_variance, matmul_mse

PANEL_FLOATS = 2**23  # enough rows for a fast product
LEFT_FLOATS = 2**22  # the right factor is decoded anew for every so many of the left
CHUNK_ROWS = 2**9
LARGEST_FACTOR = 1e15  # whose products single precision can hold
ESTIMATORS = ("least_squares", "unbiased")
_MOST_DISTORTION = 1 - 1e-9


def times(matrix, other):
    """Multiply a `QuantizedMatrix` by a dense matrix of shape (n_features, n_columns)."""
    codec = matrix._codec
    out = np.empty((len(matrix), other.shape[1]), np.result_type(matrix.dtype, other.dtype))
    size = _column_sizes(other)
    is_scaled = (size != 1).any()
    coordinates = codec.to_coordinates((other / size if is_scaled else other).T)
    offset, sums = codec.mean @ other, other.sum(axis=0, dtype=np.float64)
    multiply = _multiply_few if other.shape[1] <= FEW_VECTORS else _multiply_many
    for rows, products, decoded_norm, terms in multiply(matrix, coordinates):
        part, factor = out[rows], terms.least_squares_factor(decoded_norm)
        np.multiply(products, factor[:, None].astype(products.dtype), out=part, casting="same_kind")
        if is_scaled:
            part *= size
        if offset.any():
            part += offset
        if terms.row_mean.any():
            part += np.outer(terms.row_mean, sums)
    return out


def _multiply_few(matrix, vectors):
    """Multiply code words by a few vectors, (n_rows, n_vectors), some rows at a time."""
    codec = matrix._codec
    for rows in batches(len(matrix), CHUNK_ROWS):
        packed = lay_apart(matrix._rows[rows])
        products, energy = codec.row_code.multiply(packed, vectors, codec.dither)
        yield rows, products, np.sqrt(energy), codec.unpack_terms(packed)


def _multiply_many(matrix, vectors):
    """Do the same with a matrix product for each panel."""
    for rows, words, decoded_norm, terms in _decoded(matrix):
        yield rows, words @ vectors.T, decoded_norm, terms


def transposed_times(matrix, other):
    """Multiply the transpose by a dense matrix of shape (n_rows, n_columns)."""
    codec = matrix._codec
    size = _column_sizes(other)
    total = np.zeros((codec.row_code.n_coordinates, other.shape[1]))
    offset = np.zeros(other.shape[1])
    for rows, words, decoded_norm, terms in _decoded(matrix):
        factor = terms.least_squares_factor(decoded_norm)
        total += words.T @ (other[rows] / size * factor[:, None]).astype(np.float32)
        offset += terms.row_mean @ other[rows]
    largest = _column_sizes(total)
    product = codec.from_coordinates((total / largest).T).T * (largest * size)
    product += offset + np.outer(codec.mean, other.sum(axis=0, dtype=np.float64))
    return product.astype(np.result_type(matrix.dtype, other.dtype))


def times_transposed(a, b):
    """Multiply a `QuantizedMatrix` by the transpose of another, in whatever coordinates."""
    if a._codec.shares_coordinates(b._codec):
        return pair_product(a, b, "least_squares", False)
    out = np.empty((len(a), len(b)), np.result_type(a.dtype, b.dtype))
    for rows in b._codec.blocks(len(b)):
        out[:, rows] = times(a, b[rows].toarray().T)
    return out


def _decoded(matrix, panel_floats=PANEL_FLOATS):
    """Decode a matrix panel by panel: rows, u of shape (n_rows, n_coordinates), ‖u‖, terms."""
    codec = matrix._codec
    panel_rows = max(64, panel_floats // matrix.shape[1] // 64 * 64)
    room = np.empty((min(panel_rows, len(matrix)), codec.row_code.n_coordinates), np.float32)
    for rows in batches(len(matrix), panel_rows):
        packed = matrix._rows[rows]
        words = room[: len(packed)]
        yield rows, words, codec.decode_coordinates(packed, words), codec.unpack_terms(packed)


def pair_product(a, b, estimator, return_std):
    """Multiply a `QuantizedMatrix` by the transpose of another: `skquant.matmul`."""
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator must be one of {ESTIMATORS}, got {estimator!r}.")
    if not a._codec.shares_coordinates(b._codec):
        if return_std or estimator != "least_squares":
            raise ValueError(
                "The matrices were compressed in different coordinates: only their least-squares "
                "product without standard errors can be had. Compress both with one fitted "
                "quantizer, or with quantizers of the same random_state."
            )
        return times_transposed(a, b)
    gram = _known_vectors(a._codec) @ _known_vectors(b._codec).T
    product = np.empty((len(a), len(b)), np.result_type(a.dtype, b.dtype))
    std = np.empty_like(product) if return_std else None
    for rows, left in _sides(a, b._codec, estimator, LEFT_FLOATS):
        for columns, right in _sides(b, a._codec, estimator, PANEL_FLOATS):
            residual = _multiply_residuals(left, right, product.dtype)
            product[rows, columns] = residual
            if left.known or right.known:
                known = left.coefficients.T @ (gram @ right.coefficients + right.crossed)
                product[rows, columns] += known + left.crossed.T @ right.coefficients
            if return_std:
                std[rows, columns] = _standard_errors(left, right, residual, estimator)
    return (product, std) if return_std else product


def _multiply_residuals(left, right, dtype):
    """Multiply the residuals of both sides."""
    product = left.words @ right.words.T
    if max(left.factor.max(initial=0.0), right.factor.max(initial=0.0)) > LARGEST_FACTOR:
        dtype = np.float64
    product = product.astype(dtype, copy=False)
    product *= left.factor[:, None].astype(dtype)
    product *= right.factor.astype(dtype)
    return product


@dataclass(frozen=True)
class _Side:
    """Some rows of a factor, x = c + m 1 + r, and what a product needs of them.

    Parameters
    ----------
    n_features : int
        Width of the rows.
    kept : float
        Share of the coordinates that is coded.
    known : bool
        Whether rows have anything besides r.
    terms : RowTerms
        The terms of the rows.
    words : float32 ndarray of shape (n_rows, n_coordinates)
        u.
    factor : ndarray of shape (n_rows,)
        What scales u to the estimate of r.
    coefficients : ndarray of shape (2, n_rows)
        1 and m.
    crossed : ndarray of shape (2, n_rows)
        ⟨r, c⟩ and ⟨r, 1⟩ with the other factor's c, estimated or exact.
    crossed_is_exact : bool
        Which of the two.
    known_norm : ndarray of shape (n_rows,)
        ‖c + m 1‖.
    """

    n_features: int
    kept: float
    known: bool
    terms: RowTerms
    words: np.ndarray
    factor: np.ndarray
    coefficients: np.ndarray
    crossed: np.ndarray
    crossed_is_exact: bool
    known_norm: np.ndarray

    @property
    def stretch(self):
        """What an error beside v + r̂ counts more than beside v and r̂ apart, as a share of v's.

        r̂ is shorter than r by γ².
        """
        overlap = self.terms.alignment**2 * self.terms.centre_product
        return 1 + 2 * overlap * _inverse(self.known_norm**2)


def _known_vectors(codec):
    """Stack what a row has besides its residual, but for the coefficients 1 and m: c and 1."""
    return np.stack([codec.mean, np.ones(codec.n_features)])


def _sides(matrix, other, estimator, panel_floats):
    """Decode a factor panel by panel: rows and side."""
    codec = matrix._codec
    vectors, kept = _known_vectors(other), codec.row_code.n_coordinates / codec.n_features
    known = codec.terms.center == "rows" or codec.mean.any()
    size = _column_sizes(vectors.T)
    coordinates = codec.to_coordinates(vectors / size[:, None])
    for rows, words, decoded_norm, terms in _decoded(matrix, panel_floats):
        n_rows, factor = len(words), terms.least_squares_factor(decoded_norm)
        crossed = (coordinates @ words.T) * size[:, None] * factor
        exact = False
        if estimator == "unbiased":
            inverse = _inverse(terms.alignment**2)
            factor, crossed = np.sqrt(kept) * inverse * factor, inverse * crossed
            if codec.terms.center == "features" and np.array_equal(codec.mean, other.mean):
                crossed[0], exact = terms.centre_product, other.terms.center == "features"
            elif codec.terms.center == "rows":
                crossed[1], exact = 0, not other.mean.any()
        coefficients = np.stack([np.ones(n_rows), terms.row_mean])
        known_norm = np.hypot(codec.centre_norm, np.sqrt(codec.n_features) * terms.row_mean)
        yield (
            rows,
            _Side(
                codec.n_features, kept, known, terms, words, factor, coefficients, crossed, exact,
                known_norm,
            ),
        )  # fmt: skip


def _standard_errors(left, right, residual, estimator):
    """Predict the standard errors of a block of entries, from its residuals' products."""
    n = left.n_features
    d_left, d_right = 1 - left.terms.alignment**2, 1 - right.terms.alignment**2
    no_error = np.zeros(1)
    parts = [
        (left.terms.norm, right.terms.norm, residual,
         1 - (1 - d_left) / left.kept, 1 - (1 - d_right) / left.kept, left.kept, 1.0),
        (left.terms.norm, right.known_norm, left.crossed.T @ right.coefficients,
         no_error if left.crossed_is_exact else d_left, no_error, 1.0, right.stretch),
        (left.known_norm, right.terms.norm, left.coefficients.T @ right.crossed,
         no_error, no_error if right.crossed_is_exact else d_right, 1.0, left.stretch[:, None]),
    ]  # fmt: skip
    bias, variance = 0.0, 0.0
    for norm_left, norm_right, estimate, error_left, error_right, kept, stretch in parts:
        # Where nothing was coded the estimate says nothing either, whatever it is divided by.
        error_left = np.clip(error_left, 0, _MOST_DISTORTION)[:, None]
        error_right = np.clip(error_right, 0, _MOST_DISTORTION)
        if estimator == "least_squares":
            estimate = estimate / (kept * (1 - error_left) * (1 - error_right))
        known = (norm_left[:, None], norm_right), (n, error_left, error_right)
        # The square of an unbiased estimate exceeds that of the entry by the variance: shrink it.
        excess = matmul_mse(*known[0], estimate, *known[1], kept=kept, estimator="unbiased")
        entry = estimate * np.maximum(1 - excess * _inverse(estimate**2), 0)
        squared_bias, part = matmul_bias_variance(
            *known[0], entry, *known[1], kept=kept, estimator=estimator
        )
        bias = bias + np.sign(estimate) * np.sqrt(squared_bias)
        variance = variance + stretch * part
    return np.sqrt(bias**2 + np.maximum(variance, 0))


def _inverse(values):
    """Invert, but for zeros."""
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)


def _column_sizes(matrix):
    """Give what to divide columns by, so that single precision is wide enough for them."""
    size = np.abs(matrix).max(axis=0, initial=0.0).astype(np.float64)
    moderate = (size == 0) | (size == np.inf) | ((size > 1e-12) & (size < 1e12))
    return np.where(moderate, 1.0, size)
