"""A fitted scheme as one value: centre, rotate, normalise, code.

A row x becomes code words and row terms and comes back:

    r = x - c,    w = √n T(r/‖r‖),    u ≈ w,    x̂ = c + A/‖u‖ T⁻¹(u)

with the centre c, the rotation T and the amplitude A of `_row_terms`. The codes see n coordinates
of unit variance, or a share of them where the bits do not pay for all.
"""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from sklearn.utils import assert_all_finite, gen_batches

from .._codes._row_code import RowCode
from .._kernels._dispatch import centre_rows, gather_rows, scale_rows
from .._kernels._vectors import LANES
from .._panels import empty_panels, lay_apart, put_rows, row_stride, take_rows
from .._value import Value
from ._rotation import PrincipalRotation
from ._row_terms import TermLayout

BLOCK_FLOATS = 2**18  # a block of rows to encode at a time stays in the cache
SAMPLE_FLOATS = 2**15  # Gaussian numbers on which a dithered code is measured
LARGEST_NORM = 2.0**120  # leaves float32 room for the products of such rows


@dataclass(frozen=True, eq=False)
class Codec(Value):
    """How rows of one kind are compressed.

    Parameters
    ----------
    mean : float64 ndarray of shape (n_features,)
        c, zero where features are not centred.
    rotation : HadamardRotation, OrthogonalRotation, PrincipalRotation or None
        T; the last gives fewer coordinates than features where some are not coded.
    kept : intp ndarray of shape (n_coordinates,) or None
        The rotated coordinates that are coded; None means all that T gives.
    row_code : RowCode or EntropyRowCode
        The code of the coordinates.
    terms : TermLayout
        The row terms.
    dither_seed : int or None
        Seed of the subtractive dither, the same for all rows.
    """

    mean: np.ndarray
    rotation: object
    kept: np.ndarray | None
    row_code: RowCode
    terms: TermLayout
    dither_seed: int | None = None

    @property
    def n_features(self):
        """Width of the rows."""
        return len(self.mean)

    @cached_property
    def centre_norm(self):
        """‖c‖."""
        return float(np.linalg.norm(self.mean))

    @cached_property
    def kernel_terms(self):
        """The layout of the row terms as the kernels take it."""
        return self.terms.for_kernels(self.centre_norm)

    @cached_property
    def dither(self):
        """The dither of each block, in units of its lattice."""
        return _draw_dither(self.row_code, self.dither_seed)

    @property
    def row_bytes(self):
        """Bytes of a compressed row, terms and padding included."""
        return self.row_code.n_bytes + self.terms.n_bytes

    @property
    def bits_per_entry(self):
        """Bits of a compressed row over the number of features."""
        return 8 * self.row_bytes / self.n_features

    @property
    def nbytes(self):
        """Bytes of the arrays of the codec."""
        return sum(array.nbytes for array in self.arrays.values())

    @property
    def arrays(self):
        """The arrays that define the codec, by name."""
        arrays = dict(self.row_code.arrays)
        if self.terms.center == "features":
            arrays["mean"] = self.mean
        if self.rotation is not None:
            arrays["rotation"] = self.rotation.state
        if self.kept is not None:
            arrays["kept"] = self.kept
        return arrays

    def with_dither(self, seed):
        """Give the same codec with a subtractive dither."""
        dithered = replace(self, dither_seed=seed)
        learned = isinstance(self.rotation, PrincipalRotation)  # its rows are not Gaussian
        return dithered if learned else dithered.calibrated()

    def calibrated(self):
        """Give the same codec with the alignment that its code has on a few Gaussian rows."""
        aligned = _gaussian_alignment(self.row_code, self.dither_seed)
        return self._with_alignment(
            np.sqrt(self.row_code.n_coordinates / self.n_features * aligned)
        )

    def aligned(self, panels, n_rows, energy):
        """Give the same codec with the alignment that its code has on rows of a given energy.

        The rows may have parts that are not coded; then it is the energy of what is.
        """
        aligned = _measure_alignment(self.row_code, self.dither, panels, n_rows, energy)
        return self._with_alignment(np.sqrt(energy / self.n_features * aligned))

    def _with_alignment(self, alignment):
        return replace(self, terms=replace(self.terms, gaussian_alignment=float(alignment)))

    def clear_mean(self, vectors):
        """Take from vectors of shape (n_vectors, n_features) what r̂ is known not to have.

        A row minus its mean has none; what the code gives it of one is left out of every product.
        """
        if self.terms.center != "rows":
            return vectors
        return vectors - vectors.mean(axis=1, dtype=np.float64, keepdims=True)

    def shares_coordinates(self, other):
        """Tell whether the code words of both stand for the same coordinates of a row."""
        if self.n_features != other.n_features:
            return False
        arrays, others = self.arrays, other.arrays
        return type(self.rotation) is type(other.rotation) and all(
            (name in arrays) == (name in others)
            and np.array_equal(arrays.get(name), others.get(name))
            for name in ("rotation", "kept")
        )

    def block_rows(self):
        """Rows to work on at a time."""
        return max(64, BLOCK_FLOATS // self.n_features // 64 * 64)

    def blocks(self, n_rows):
        """Slices of rows to work on at a time."""
        return batches(n_rows, self.block_rows())

    def encode(self, rows, along=None):
        """Compress a block of rows.

        Parameters
        ----------
        rows : ndarray of shape (n_rows, n_features)
            Rows of any real dtype.
        along : float64 ndarray of shape (n_rows,), default=None
            Of rows that each have had a centre of its own subtracted, the component along it.

        Returns
        -------
        uint8 ndarray of shape (n_rows, row_bytes)

        Raises
        ------
        ValueError
            If a row holds NaN or infinity, or the norm of a centred row exceeds 2^120.
        """
        rows = _as_work_dtype(rows)
        row_mean = np.zeros(len(rows))
        if self.terms.center == "rows":
            row_mean = rows.mean(axis=1, dtype=np.float64)
            _require_moderate(np.abs(row_mean), rows)
            row_mean = row_mean.astype(np.float32).astype(np.float64)  # as it is stored
        energy, product = np.empty(len(rows)), np.empty(len(rows))
        centre_rows(rows, self.mean, row_mean, energy, product)
        norm = np.sqrt(energy)
        _require_moderate(norm, rows)
        norm[norm < np.finfo(np.float32).tiny] = 0.0
        unit = np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0)
        packed = np.zeros((len(rows), row_stride(self.row_bytes)), np.uint8)
        panels = self._spread(rows, self.mean, row_mean, np.sqrt(self.n_features) * unit)
        inner, square = self.row_code.encode(panels, packed, self.dither).T
        size = np.sqrt(square * self.n_features)
        alignment = np.divide(inner, size, out=np.zeros_like(size), where=(size > 0) & (norm > 0))
        if along is not None:
            cosine = along * unit
        else:
            cosine = product * unit / self.centre_norm if self.centre_norm > 0 else product
        terms = self.terms.pack(norm, alignment, cosine, row_mean)
        packed[:, self.row_code.n_bytes : self.row_bytes] = terms
        return packed[:, : self.row_bytes]

    def unpack_terms(self, packed):
        """Read the terms of compressed rows."""
        terms = packed[:, self.row_code.n_bytes : self.row_bytes]
        return self.terms.unpack(terms, self.centre_norm)

    def decode_panels(self, packed, panel_rows):
        """Decode rows to the codes' coordinates, some at a time, and their terms all at once.

        Parameters
        ----------
        packed : uint8 ndarray of shape (n_rows, row_bytes)
            At least one row.
        panel_rows : int
            Rows to decode at a time; the last may be fewer.

        Yields
        ------
        rows : slice
            The rows.
        panels : float32 ndarray of shape (n_panels, n_coordinates, LANES)
            u; what comes next takes its place in memory.
        decoded_norm : ndarray of shape (n_rows,)
            ‖u‖.
        terms : RowTerms
            The terms of the rows.
        """
        terms = self.unpack_terms(packed)
        for rows, panels, decoded_norm in self._decode_words(packed, panel_rows):
            yield rows, panels, decoded_norm, terms[rows]

    def _decode_words(self, packed, panel_rows):
        """Give what `decode_panels` does, but for the terms."""
        room = empty_panels(min(panel_rows, len(packed)), self.row_code.n_coordinates)
        for rows in batches(len(packed), panel_rows):
            apart = lay_apart(packed[rows])
            panels = room[: -(-len(apart) // LANES)]
            yield rows, panels, np.sqrt(self.row_code.decode(apart, panels, self.dither))

    def decode_coordinates(self, packed, rows):
        """Decode rows to the codes' coordinates, laid out as `_decoded_rows` has it.

        Parameters
        ----------
        packed : uint8 ndarray of shape (n_rows, row_bytes)
        rows : FloatRows or ShortRows
            u, (n_rows, n_coordinates); written to.

        Returns
        -------
        decoded_norm : ndarray of shape (n_rows,)
            ‖u‖.
        terms : RowTerms
            The terms of the rows.
        """
        decoded_norm = np.empty(len(packed))
        at_once = max(LANES, BLOCK_FLOATS // self.row_code.n_coordinates // LANES * LANES)
        if rows.takes_codes_of(self.row_code):
            for some in batches(len(packed), at_once):
                apart = lay_apart(packed[some])
                decoded_norm[some] = np.sqrt(rows.decode(some, self.row_code, apart, self.dither))
        else:
            for some, panels, norm in self._decode_words(packed, at_once):
                rows.put(some, panels)
                decoded_norm[some] = norm
        return decoded_norm, self.unpack_terms(packed)

    def decode(self, packed, dtype):
        """Reconstruct rows by least squares, (n_rows, n_features)."""
        packed = lay_apart(packed)
        terms = self.unpack_terms(packed)
        panels = empty_panels(len(packed), self.row_code.n_coordinates)
        decoded_norm = np.sqrt(self.row_code.decode(packed, panels, self.dither))
        rows = self._gather(panels, len(packed)).astype(dtype, copy=False)
        rows *= terms.least_squares_factor(decoded_norm)[:, None].astype(dtype)
        if self.terms.center == "rows":
            rows -= rows.mean(axis=1, keepdims=True)
        rows += self.mean.astype(dtype)
        if self.terms.center == "rows":
            rows += terms.row_mean[:, None].astype(dtype)
        return rows

    def to_coordinates(self, vectors, mean=None, factor=None):
        """Rotate vectors into the coordinates of the codes.

        Parameters
        ----------
        vectors : ndarray of shape (n_vectors, n_features)
        mean : float64 ndarray of shape (n_features,), default=None
            What to subtract before; None means nothing.
        factor : float64 ndarray of shape (n_vectors,), default=None
            What to multiply with before; None means 1.

        Returns
        -------
        float32 ndarray of shape (n_vectors, n_coordinates)
        """
        panels = self.to_panels(vectors, mean, factor)
        return np.ascontiguousarray(take_rows(panels, len(vectors)))

    def to_panels(self, vectors, mean=None, factor=None):
        """Do what `to_coordinates` does, into panels of shape (n_panels, n_coordinates, LANES)."""
        mean = np.zeros(self.n_features) if mean is None else mean
        factor = np.ones(len(vectors)) if factor is None else factor
        return self._spread(np.ascontiguousarray(vectors), mean, np.zeros(len(vectors)), factor)

    def _spread(self, rows, mean, offset, factor):
        """Scale (rows - mean - offset) by a factor, rotate, and keep what is coded, in panels."""
        panels = empty_panels(*rows.shape)
        scale_rows(rows, mean, offset, factor, panels)
        if self.rotation is not None:
            panels = self.rotation.forward(panels)
        return panels if self.kept is None else np.ascontiguousarray(panels[:, self.kept])

    def from_coordinates(self, coordinates):
        """Undo `to_coordinates`, (n_vectors, n_coordinates) to (n_vectors, n_features).

        Coordinates that are not kept count as zero.
        """
        panels = empty_panels(*coordinates.shape)
        put_rows(coordinates, panels)
        return self._gather(panels, len(coordinates))

    def _gather(self, panels, n_rows):
        """Undo `_spread` but for mean, offset and factor."""
        if self.kept is not None:
            kept, panels = panels, empty_panels(n_rows, self.n_features)
            panels[:] = 0
            panels[:, self.kept] = kept
        if self.rotation is not None:
            panels = self.rotation.inverse(panels)
        rows = np.empty((n_rows, self.n_features), np.float32)
        gather_rows(panels, rows)
        return rows


def _draw_dither(row_code, seed):
    """Draw the dither of a row; None where there is no seed."""
    return None if seed is None else row_code.draw_dither(np.random.RandomState(seed))


@lru_cache(maxsize=64)
def _gaussian_alignment(row_code, dither_seed):
    """Measure the mean square of the cosine of Gaussian rows and what they decode to."""
    n_kept = row_code.n_coordinates
    panels = empty_panels(max(LANES, SAMPLE_FLOATS // n_kept), n_kept)
    panels[:] = np.random.RandomState(0).standard_normal(panels.shape)
    energy = np.einsum("pij,pij->pj", panels, panels)
    panels *= np.sqrt(n_kept / energy)[:, None]
    dither = _draw_dither(row_code, dither_seed)
    return _measure_alignment(row_code, dither, panels, energy.size, n_kept)


def _measure_alignment(row_code, dither, panels, n_rows, energy):
    """Measure it on rows of a given energy."""
    codes = np.zeros((n_rows, row_code.n_bytes), np.uint8)
    inner, square = row_code.encode(panels, codes, dither).T
    return np.mean(inner**2 / np.maximum(square * energy, 1e-30))


def _require_moderate(sizes, rows):
    """Refuse rows that are not finite, and those whose norm or mean no row term can hold."""
    if not sizes.max(initial=0.0) < LARGEST_NORM:
        assert_all_finite(rows, input_name="X")
        raise ValueError(
            f"X has a row too large to compress: its norm exceeds {LARGEST_NORM:.3g} once it is "
            "centred, or its mean does. Scale X down."
        )


def batches(n_rows, batch_rows):
    """Slices of at most `batch_rows` of so many rows, none where there are none."""
    return list(gen_batches(n_rows, batch_rows)) if n_rows else []


def _as_work_dtype(rows):
    """Convert a block to float32 where that is exact, else to float64."""
    exact = np.can_cast(rows.dtype, np.float32)
    return np.ascontiguousarray(rows, np.float32 if exact else np.float64)
