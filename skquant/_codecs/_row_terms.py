"""Row terms: the few numbers that stand beside the code words of each row.

Write r for a centred row and u for what its code words decode to, in arbitrary units. The least
squares reconstruction of r is (A/‖u‖) u with the amplitude A = ⟨r, u⟩/‖u‖. The unbiased
estimate of a product ⟨q, r⟩ is ‖r‖²/⟨r, u⟩ ⟨q, u⟩. With the alignment γ = ⟨r, u⟩/(‖r‖ ‖u‖) the one
factor is ‖r‖ γ/‖u‖ and the other ‖r‖/(γ ‖u‖), and ‖u‖ can be had from the code words.

* ``center="features"`` stores ‖r‖, γ as log2 of the signal-to-noise ratio γ²/(1 - γ²) in steps
  of 1/24, and the cosine of r and the centre c, so that ‖x‖ and ⟨x, c⟩ are exact in any distance
  as far as it matters: in steps that are small against the error of the code.
* ``center="rows"`` stores A and the row's mean; ``center=False`` stores A. There γ is the one that
  the code has on Gaussian rows, or on those that a learned rotation was fitted to.

Magnitudes keep the exponent of a float32 and the leading `mantissa` bits. A row's mean is a
float32, to which it is rounded before it is subtracted, so that no error comes of it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._kernels._dispatch import pack_terms, unpack_terms

ALIGNMENT_BITS = 9
ALIGNMENT_STEPS = 24.0  # a bit of signal-to-noise ratio
MOST_COSINE_BITS = 20
ALIGNMENT_LOWEST = -5.0  # log2 of the ratio at level 1; level 0 says that nothing was coded


@dataclass(frozen=True)
class RowTerms:
    """The terms of a run of rows, arrays of shape (n_rows,), float64.

    Parameters
    ----------
    norm : ndarray
        ‖r‖.
    alignment : ndarray
        γ in [0, 1].
    centre_product : ndarray
        ⟨r, c⟩.
    row_mean : ndarray
        The mean that was subtracted from the row's entries.
    """

    norm: np.ndarray
    alignment: np.ndarray
    centre_product: np.ndarray
    row_mean: np.ndarray

    def __getitem__(self, rows):
        fields = (self.norm, self.alignment, self.centre_product, self.row_mean)
        return RowTerms(*(field[rows] for field in fields))

    def least_squares_factor(self, decoded_norm):
        """Give the factor of u that reconstructs r, from ‖u‖."""
        return _divide(self.norm * self.alignment, decoded_norm)

    def unbiased_factor(self, decoded_norm):
        """Give the factor of ⟨q, u⟩ that estimates ⟨q, r⟩, from ‖u‖."""
        return _divide(self.norm, self.alignment * decoded_norm)


class KernelLayout(NamedTuple):
    """A layout as the kernels of `_kernels._terms` take it."""

    mantissa: int
    alignment_bits: int
    cosine_bits: int
    has_alignment: bool
    has_mean: bool
    alignments: np.ndarray
    centre_norm: float


def _divide(numerator, denominator):
    """Divide, where nothing over nothing is nothing."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


@dataclass(frozen=True)
class TermLayout:
    """Which terms a row has, and in how many bits.

    Parameters
    ----------
    center : {"features", "rows", False}
        What is subtracted from the rows.
    mantissa : int
        Leading bits of a magnitude behind its exponent, at most 23.
    cosine_bits : int
        Bits of the cosine of row and centre; 0 takes it for zero.
    gaussian_alignment : float
        γ of Gaussian rows, or of those fitted to, used where rows do not store their own.
    """

    center: str | bool
    mantissa: int
    cosine_bits: int
    gaussian_alignment: float

    @classmethod
    def choose(cls, center, n_features, distortion, centre_ratio):
        """Choose the bits so that rounding the terms adds little to the error of the code.

        Where the terms are to be exact in distances, a step is at most a third of the standard
        error of the product of unit vectors, and the cosine is dropped where the centre is
        smaller than that. Where they only scale the reconstruction, rounding adds at most a
        hundredth to the squared error. What is left of the last byte goes to the magnitude.

        Parameters
        ----------
        center : {"features", "rows", False}
        n_features : int
        distortion : float
            Expected squared error of a coordinate of unit variance.
        centre_ratio : float
            ‖c‖ over the typical ‖r‖.

        Returns
        -------
        TermLayout
        """
        alignment = float(np.sqrt(max(1 - distortion, 0.0)))
        if center != "features":
            return cls(center, 8 if 2.0**-8 <= np.sqrt(0.12 * distortion) else 16, 0, alignment)
        step = max(np.sqrt(distortion / n_features) / 3, 2.0**-16)
        mantissa, cosine_bits = int(np.ceil(-np.log2(step))), 0
        if centre_ratio > step:
            cosine_bits = int(
                np.clip(np.ceil(1 + np.log2(centre_ratio / step)), 2, MOST_COSINE_BITS)
            )
        spare = -(8 + mantissa + ALIGNMENT_BITS + cosine_bits) % 8
        if cosine_bits:
            extra = min(spare // 2, MOST_COSINE_BITS - cosine_bits)
            cosine_bits += extra
            spare -= extra
        return cls(center, min(mantissa + spare, 23), cosine_bits, alignment)

    @property
    def widths(self):
        """Bits of each term, in the order in which they are stored."""
        magnitude = 8 + self.mantissa
        if self.center == "features":
            return magnitude, ALIGNMENT_BITS, self.cosine_bits
        return (magnitude, 32) if self.center == "rows" else (magnitude,)

    @property
    def n_bytes(self):
        """Bytes of a row's terms."""
        return -(-sum(self.widths) // 8)

    def rounding_variance(self, terms):
        """Give the relative variance of the magnitude of each row that comes of its rounding."""
        shrunk = 1.0 if self.center == "features" else terms.alignment
        fraction = np.frexp(terms.norm * shrunk)[0]  # in [1/2, 1), 0 for nothing
        return _divide(np.full_like(fraction, 0.25**self.mantissa / 48), fraction**2)

    def pack(self, norm, alignment, centre_cosine, row_mean):
        """Pack the terms of rows into bytes, (n_rows, n_bytes)."""
        packed = np.empty((len(norm), self.n_bytes), np.uint8)
        features = self.center == "features"
        amplitude = norm if features else np.maximum(norm * alignment, 0.0)
        square = np.clip(alignment, 0, 1) ** 2
        with np.errstate(divide="ignore"):
            ratio = square / (1 - square)
        magnitude, *others = self.widths
        pack_terms(
            np.asarray(amplitude, np.float32).view(np.uint32),
            self.mantissa,
            ratio,
            (ALIGNMENT_LOWEST, ALIGNMENT_STEPS, 2.0**ALIGNMENT_BITS - 1),
            centre_cosine,
            2**self.cosine_bits // 2 - 1 if self.cosine_bits else 0,
            np.asarray(row_mean, np.float32).view(np.uint32),
            np.array([magnitude, *others, 0] if features else [magnitude, 0, 0, sum(others)]),
            packed,
        )
        return packed

    def unpack(self, packed, centre_norm):
        """Unpack bytes of shape (n_rows, n_bytes) into `RowTerms`."""
        terms = np.empty((4, len(packed)))
        unpack_terms(packed, self.for_kernels(centre_norm), terms)
        return RowTerms(*terms)

    def for_kernels(self, centre_norm):
        """Give the layout as the kernels take it, with ‖c‖."""
        has_alignment = self.center == "features"
        alignments = ALIGNMENTS if has_alignment else np.array([self.gaussian_alignment])
        return KernelLayout(
            mantissa=self.mantissa,
            alignment_bits=ALIGNMENT_BITS,
            cosine_bits=self.cosine_bits,
            has_alignment=has_alignment,
            has_mean=self.center == "rows",
            alignments=alignments,
            centre_norm=float(centre_norm),
        )


def _alignments():
    """List the alignments of all levels."""
    levels = np.arange(2**ALIGNMENT_BITS)
    ratio = np.exp2((levels - 1) / ALIGNMENT_STEPS + ALIGNMENT_LOWEST)
    return np.where(levels == 0, 0.0, np.sqrt(ratio / (1 + ratio)))


ALIGNMENTS = _alignments()
