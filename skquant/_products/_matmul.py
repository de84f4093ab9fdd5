"""Products of compressed matrices, with dense ones and with each other.

A row is x̂ = v + r̂: what is known of it exactly or nearly so, v = c + m 1 with the centre of the
features or of the row, and the residual r̂ = f T⁻¹ u that its code words u give; where m is the
mean of the row, less its own mean. Products are taken in the coordinates of u, a panel of rows at a
time; T turns the other operand.
"""

from dataclasses import dataclass

import numpy as np

from .._codecs._codec import batches
from .._codecs._rotation import PrincipalRotation
from .._kernels._dispatch import FEW_VECTORS
from ._decoded_rows import FloatRows, lay_out, multiply_rows, rows_for
from ._pair_law import pair_law
from ._standard_errors import Factor, correlations, inverse, predict

PANEL_FLOATS = 2**21  # enough rows for a fast product
LEFT_FLOATS = 2**23  # the right factor is decoded anew for every so many of the left
ESTIMATORS = ("least_squares", "unbiased")


def times(matrix, other):
    """Multiply a `QuantizedMatrix` by a dense matrix of shape (n_features, n_columns)."""
    codec = matrix._codec
    out = np.empty((len(matrix), other.shape[1]), np.result_type(matrix.dtype, other.dtype))
    size = _column_sizes(other)
    is_scaled = (size != 1).any()
    scaled = codec.clear_mean((other / size if is_scaled else other).T)
    offset, sums = codec.mean @ other, other.sum(axis=0, dtype=np.float64)
    multiply = _multiply_few if other.shape[1] <= FEW_VECTORS else _multiply_many
    for rows, products, terms in multiply(matrix, scaled, out.dtype):
        part = out[rows]
        part[:] = products
        if is_scaled:
            part *= size
        if offset.any():
            part += offset
        if terms.row_mean.any():
            part += np.outer(terms.row_mean, sums)
    return out


def _multiply_few(matrix, vectors, dtype):
    """Multiply residuals by a few vectors, (n_rows, n_vectors), some rows at a time."""
    codec = matrix._codec
    coordinates = codec.to_coordinates(vectors)
    for rows in batches(len(matrix), codec.row_code.rows_at_once):
        packed = matrix._rows[rows]
        products, energy = codec.row_code.multiply(packed, coordinates, codec.dither)
        terms = codec.unpack_terms(packed)
        products *= terms.least_squares_factor(np.sqrt(energy))[:, None]
        yield rows, products, terms


def _multiply_many(matrix, vectors, dtype):
    """Do the same with a matrix product for each panel."""
    codec = matrix._codec
    kind = rows_for(codec.row_code)
    columns = lay_out(codec.to_panels(vectors), len(vectors), kind)
    for rows, words, decoded_norm, terms in _decoded(matrix, kind):
        factor = terms.least_squares_factor(decoded_norm)
        yield rows, multiply_rows(words, factor, columns, np.ones(len(vectors)), dtype), terms


def transposed_times(matrix, other):
    """Multiply the transpose by a dense matrix of shape (n_rows, n_columns)."""
    codec = matrix._codec
    size = _column_sizes(other)
    total = np.zeros((codec.row_code.n_coordinates, other.shape[1]))
    offset = np.zeros(other.shape[1])
    for rows, decoded, decoded_norm, terms in _decoded(matrix, FloatRows):
        factor = terms.least_squares_factor(decoded_norm)
        total += decoded.words.T @ (other[rows] / size * factor[:, None]).astype(np.float32)
        offset += terms.row_mean @ other[rows]
    largest = _column_sizes(total)
    product = codec.clear_mean(codec.from_coordinates((total / largest).T)).T * (largest * size)
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


def _decoded(matrix, kind, panel_floats=PANEL_FLOATS):
    """Decode a matrix panel by panel: rows, u of shape (n_rows, n_coordinates), ‖u‖, terms."""
    codec = matrix._codec
    panel_rows = max(64, panel_floats // matrix.shape[1] // 64 * 64)
    room = kind.empty(min(panel_rows, len(matrix)), codec.row_code.n_coordinates)
    for rows in batches(len(matrix), panel_rows):
        packed = matrix._rows[rows]
        words = room.first(len(packed))
        yield rows, words, *codec.decode_coordinates(packed, words)


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
    if isinstance(a._codec.rotation, PrincipalRotation) and (
        return_std or estimator != "least_squares"
    ):
        raise ValueError(
            'estimator="unbiased" and return_std need a random rotation: with rotation="pca" what '
            "a product loses depends on the directions of its rows. Compress both matrices with "
            'rotation="hadamard" or "orthogonal".'
        )
    gram = _known_vectors(a._codec) @ _known_vectors(b._codec).T
    clears_mean = "rows" in (a._codec.terms.center, b._codec.terms.center)
    law = pair_law(a._codec, b._codec, estimator) if return_std else None
    kept = a._codec.row_code.n_coordinates / a._codec.n_features
    kind = rows_for(a._codec.row_code, b._codec.row_code)
    lefts, rights = [], {}
    product = np.empty((len(a), len(b)), np.result_type(a.dtype, b.dtype))
    std = np.empty_like(product) if return_std else None
    for rows, left in _sides(a, b._codec, kind, estimator, LEFT_FLOATS):
        for columns, right in _sides(b, a._codec, kind, estimator, PANEL_FLOATS):
            residual = multiply_rows(
                left.words, left.factor, right.words, right.factor, product.dtype
            )
            if clears_mean:
                residual -= np.outer(left.mean, right.mean).astype(residual.dtype)
            product[rows, columns] = residual
            x, y = left.facts, right.facts
            if left.known or right.known:
                known = x.coefficients.T @ (gram @ y.coefficients + y.crossed)
                product[rows, columns] += known + x.crossed.T @ y.coefficients
            if return_std:
                std[rows, columns] = correlations(residual, x, y, kept, estimator, law)
                rights[columns.start] = y
        lefts.append(left.facts)
    if not return_std:
        return product
    if std.size:
        sides = Factor.stack(lefts), Factor.stack(list(rights.values()))
        predict(std, *sides, a.shape[1], kept, estimator, law)
    return product, std


@dataclass(frozen=True)
class _Side:
    """Some rows of a factor, x = c + m 1 + r, and what a product needs of them.

    Parameters
    ----------
    known : bool
        Whether rows have anything besides r.
    words : FloatRows or ShortRows
        u.
    factor : ndarray of shape (n_rows,)
        What scales u to the estimate of r.
    mean : ndarray of shape (n_rows,)
        ⟨r, 1⟩/√n of that estimate.
    facts : Factor
        All else.
    """

    known: bool
    words: object
    factor: np.ndarray
    mean: np.ndarray
    facts: Factor


def _known_vectors(codec):
    """Stack what a row has besides its residual, but for the coefficients 1 and m: c and 1."""
    return np.stack([codec.mean, np.ones(codec.n_features)])


def _sides(matrix, other, kind, estimator, panel_floats):
    """Decode a factor panel by panel: rows and side."""
    codec = matrix._codec
    kept, ones = codec.row_code.n_coordinates / codec.n_features, np.ones((1, codec.n_features))
    has_known = codec.terms.center == "rows" or codec.mean.any()
    known = codec.clear_mean(_known_vectors(other))
    size = _column_sizes(known.T)
    panels = codec.to_panels(np.vstack([known / size[:, None], ones]))
    known_rows, unit = lay_out(panels, len(known) + 1, kind), np.ones(len(known) + 1)
    for rows, words, decoded_norm, terms in _decoded(matrix, kind, panel_floats):
        n_rows, factor = len(words), terms.least_squares_factor(decoded_norm)
        *crossed, mean = multiply_rows(known_rows, unit, words, np.ones(n_rows), np.float64)
        crossed = np.stack(crossed) * size[:, None] * factor
        if estimator == "unbiased":
            unshrunk = inverse(terms.alignment**2)
            factor, crossed = np.sqrt(kept) * unshrunk * factor, unshrunk * crossed
        exact = not known.any()
        same_centre = codec.terms.center == "features" and np.array_equal(codec.mean, other.mean)
        if estimator == "unbiased" and same_centre:
            crossed[0], exact = terms.centre_product, other.terms.center == "features"
        facts = Factor(
            norm=terms.norm,
            alignment=terms.alignment,
            scale_variance=codec.terms.rounding_variance(terms),
            known_norm=np.hypot(codec.centre_norm, np.sqrt(codec.n_features) * terms.row_mean),
            overlap=terms.centre_product,
            coefficients=np.stack([np.ones(n_rows), terms.row_mean]),
            crossed=crossed,
            crossed_is_exact=exact,
        )
        mean = mean * factor / np.sqrt(codec.n_features)
        yield rows, _Side(has_known, words, factor, mean, facts)


def _column_sizes(matrix):
    """Give what to divide columns by, so that single precision is wide enough for them."""
    size = np.abs(matrix).max(axis=0, initial=0.0).astype(np.float64)
    moderate = (size == 0) | (size == np.inf) | ((size > 1e-12) & (size < 1e12))
    return np.where(moderate, 1.0, size)
