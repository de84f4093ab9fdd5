"""A fitted scheme as one value: centre, rotate, normalise, code.

A row x becomes code words and row terms and comes back:

    r = x - c,    w = √n T(r/‖r‖),    u ≈ w,    x̂ = c + A/‖u‖ T⁻¹(u)

with the centre c, the rotation T and the amplitude A of `_row_terms`. The codes see n coordinates
of unit variance, or a share of them where the bits do not pay for all.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sklearn.utils import gen_batches

from ._kernels._dispatch import centre_rows, column_energy, scale_rows
from ._rotation import KINDS
from ._row_code import RowCode, spend_bits
from ._row_terms import TermLayout
from ._scales import MAX_BITS_PER_ENTRY

BLOCK_FLOATS = 2**18  # a block of rows to encode at a time stays in the cache
LARGEST_NORM = 2.0**120  # leaves float32 room for the products of such rows


@dataclass(frozen=True, eq=False)
class Codec:
    """How rows of one kind are compressed.

    Parameters
    ----------
    mean : float64 ndarray of shape (n_features,)
        c, zero where features are not centred.
    rotation : HadamardRotation, OrthogonalRotation or None
        T.
    kept : intp ndarray of shape (n_coordinates,) or None
        The rotated coordinates that are coded; None means all.
    row_code : RowCode
        The code of the coordinates.
    terms : TermLayout
        The row terms.
    """

    mean: np.ndarray
    rotation: object
    kept: np.ndarray | None
    row_code: RowCode
    terms: TermLayout

    @property
    def n_features(self):
        """Width of the rows."""
        return len(self.mean)

    @cached_property
    def centre_norm(self):
        """‖c‖."""
        return float(np.linalg.norm(self.mean))

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
        arrays = {"scales": np.concatenate([s.code.scales for s in self.row_code.segments])}
        if self.terms.center == "features":
            arrays["mean"] = self.mean
        if self.rotation is not None:
            arrays["rotation"] = self.rotation.state
        if self.kept is not None:
            arrays["kept"] = self.kept
        return arrays

    def block_rows(self):
        """Rows to work on at a time."""
        return max(64, BLOCK_FLOATS // self.n_features // 64 * 64)

    def blocks(self, n_rows):
        """Slices of rows to work on at a time."""
        return list(gen_batches(n_rows, self.block_rows())) if n_rows else []

    def encode(self, rows):
        """Compress a block of rows.

        Parameters
        ----------
        rows : ndarray of shape (n_rows, n_features)
            Finite rows of any real dtype.

        Returns
        -------
        uint8 ndarray of shape (n_rows, row_bytes)

        Raises
        ------
        ValueError
            If the norm of a centred row exceeds 2^120.
        """
        rows = _as_work_dtype(rows)
        row_mean = np.zeros(len(rows))
        if self.terms.center == "rows":
            row_mean = rows.mean(axis=1, dtype=np.float64)
            _require_moderate(np.abs(row_mean))
            row_mean = self.terms.round_mean(row_mean)
        energy, product = np.empty(len(rows)), np.empty(len(rows))
        centre_rows(rows, self.mean, row_mean, energy, product)
        norm = np.sqrt(energy)
        _require_moderate(norm)
        norm[norm < np.finfo(np.float32).tiny] = 0.0
        unit = np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0)
        spread = np.empty(rows.shape, np.float32)
        scale_rows(rows, self.mean, row_mean, np.sqrt(self.n_features) * unit, spread)
        packed = np.zeros((len(rows), self.row_bytes), np.uint8)
        coordinates = self._to_coordinates(spread)
        inner, square = self.row_code.encode(coordinates, packed).T
        size = np.sqrt(square * self.n_features)
        alignment = np.divide(inner, size, out=np.zeros_like(size), where=(size > 0) & (norm > 0))
        cosine = product * unit / self.centre_norm if self.centre_norm > 0 else product
        packed[:, self.row_code.n_bytes :] = self.terms.pack(norm, alignment, cosine, row_mean)
        return packed

    def decode_panel(self, packed):
        """Decode rows to the codes' coordinates.

        Parameters
        ----------
        packed : uint8 ndarray of shape (n_rows, row_bytes)

        Returns
        -------
        panel : float32 ndarray of shape (n_coordinates, n_rows)
            u, a row a column.
        decoded_norm : ndarray of shape (n_rows,)
            ‖u‖.
        terms : RowTerms
        """
        ((_, panel, decoded_norm, terms),) = self.decode_panels(packed, len(packed))
        return panel, decoded_norm, terms

    def decode_panels(self, packed, panel_rows):
        """Decode rows panel by panel, and their terms all at once.

        Parameters
        ----------
        packed : uint8 ndarray of shape (n_rows, row_bytes)
            At least one row.
        panel_rows : int
            Rows of a panel; the last may have fewer.

        Yields
        ------
        rows : slice
            The rows of the panel.
        panel, decoded_norm, terms
            As `decode_panel` gives them.
        """
        packed = np.ascontiguousarray(packed)
        terms = self.terms.unpack(packed[:, self.row_code.n_bytes :], self.centre_norm)
        for rows in gen_batches(len(packed), panel_rows):
            panel = self.row_code.decode(packed[rows])
            yield rows, panel, np.sqrt(column_energy(panel)), terms[rows]

    def decode(self, packed, dtype):
        """Reconstruct rows by least squares, (n_rows, n_features)."""
        panel, decoded_norm, terms = self.decode_panel(packed)
        rows = self.from_coordinates(panel.T).astype(dtype, copy=False)
        rows *= terms.least_squares_factor(decoded_norm)[:, None].astype(dtype)
        rows += self.mean.astype(dtype)
        if self.terms.center == "rows":
            rows += terms.row_mean[:, None].astype(dtype)
        return rows

    def to_coordinates(self, vectors):
        """Rotate vectors, uncentred, into the coordinates of the codes.

        Parameters
        ----------
        vectors : ndarray of shape (n_vectors, n_features)

        Returns
        -------
        float32 ndarray of shape (n_vectors, n_coordinates)
        """
        return self._to_coordinates(np.array(vectors, np.float32, order="C"))

    def _to_coordinates(self, vectors):
        if self.rotation is not None:
            vectors = self.rotation.forward(vectors)
        return vectors if self.kept is None else np.ascontiguousarray(vectors[:, self.kept])

    def from_coordinates(self, coordinates):
        """Undo `to_coordinates`, (n_vectors, n_coordinates) to (n_vectors, n_features).

        Coordinates that are not kept count as zero.
        """
        if self.kept is None:
            vectors = np.array(coordinates, np.float32, order="C")
        else:
            vectors = np.zeros((len(coordinates), self.n_features), np.float32)
            vectors[:, self.kept] = coordinates
        return vectors if self.rotation is None else self.rotation.inverse(vectors)


def make_codec(mean, spread, *, bits, lattice, rotation, center, random_state):
    """Draw a codec.

    Parameters
    ----------
    mean : float64 ndarray of shape (n_features,)
        Centre of the features.
    spread : float
        Typical norm of a centred row.
    bits : float
        Budget per feature for the code words.
    lattice : lattice object
    rotation : {"hadamard", "orthogonal", None}
    center : {"features", "rows", False}
    random_state : RandomState

    Returns
    -------
    Codec

    Raises
    ------
    ValueError
        If the bits of a row do not pay for a single coordinate.
    """
    n_features = len(mean)
    n_bits = int(min(bits, MAX_BITS_PER_ENTRY) * n_features + 1e-9)
    if n_bits < 1:
        raise ValueError(
            f"bits={bits} for {n_features} features comes to less than one bit a row; "
            f"bits must be at least {1 / n_features:.3g}."
        )
    drawn = None if rotation is None else KINDS[rotation].draw(n_features, random_state)
    n_kept = min(n_features, n_bits)  # the least that a coordinate takes is one bit
    kept = None
    if n_kept < n_features:
        kept = np.sort(random_state.permutation(n_features)[:n_kept])
    row_code = spend_bits(lattice, n_kept, n_bits)
    distortion = 1 - n_kept / n_features * (1 - row_code.distortion)
    centre_ratio = np.linalg.norm(mean) / spread if spread > 0 else np.inf
    terms = TermLayout.choose(center, n_features, distortion, centre_ratio)
    return Codec(mean, drawn, kept, row_code, terms)


def _require_moderate(sizes):
    """Refuse rows whose norm or mean no row term can hold."""
    if not sizes.max(initial=0.0) < LARGEST_NORM:
        raise ValueError(
            f"X has a row too large to compress: its norm exceeds {LARGEST_NORM:.3g} once it is "
            "centred, or its mean does. Scale X down."
        )


def _as_work_dtype(rows):
    """Convert a block to float32 where that is exact, else to float64."""
    exact = np.can_cast(rows.dtype, np.float32)
    return np.ascontiguousarray(rows, np.float32 if exact else np.float64)
