"""Draw a codec with a random rotation: nothing of it but the centre comes from the rows."""

from functools import partial

import numpy as np

from .._codes._entropy import EntropyRowCode, switching_rate
from .._codes._hierarchical import spend_bits_on_layers
from .._codes._row_code import spend_bits
from .._codes._scales import MAX_BITS_PER_ENTRY
from ._codec import Codec
from ._rotation import DRAWN
from ._row_terms import TermLayout


def draw_codec(
    mean, spread, *, bits, lattice, rotation, center, objective, random_state, coding="fixed"
):
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
    objective : {"reconstruction", "product"}
        Whether to code as many coordinates as the bits pay for, or the number that is best for
        products of two compressed matrices.
    random_state : RandomState
    coding : {"fixed", "hierarchical", "entropy"}, default="fixed"

    Returns
    -------
    Codec

    Raises
    ------
    ValueError
        If the bits of a row do not pay for a single coordinate, or the lattice has no such coding.
    """
    n_features = len(mean)
    n_bits = row_budget(bits, n_features)
    drawn = None if rotation is None else DRAWN[rotation].draw(n_features, random_state)
    row_code = CHOICES[coding](lattice, n_features, n_bits, objective)
    n_kept, kept = row_code.n_coordinates, None
    if n_kept < n_features:
        kept = np.sort(random_state.permutation(n_features)[:n_kept])
    distortion = 1 - n_kept / n_features * (1 - row_code.distortion)
    centre_ratio = np.linalg.norm(mean) / spread if spread > 0 else np.inf
    terms = TermLayout.choose(center, n_features, distortion, centre_ratio)
    codec = Codec(mean, drawn, kept, row_code, terms)
    return codec if coding == "fixed" else codec.calibrated()


def row_budget(bits, n_features):
    """Give the bits of a row's code words; refuse a budget that pays for none."""
    n_bits = int(min(bits, MAX_BITS_PER_ENTRY) * n_features + 1e-9)
    if n_bits < 1:
        raise ValueError(
            f"bits={bits} for {n_features} features comes to less than one bit a row; "
            f"bits must be at least {1 / n_features:.3g}."
        )
    return n_bits


def _choose_row_code(lattice, n_features, n_bits, objective, spend=spend_bits):
    """Choose how many coordinates are coded, and how.

    The least that a coordinate takes is one bit. A product of two rows loses
    1 - κ (1 - D)² of what it is (`skquant.theory`), with κ the share of coordinates that is coded:
    at low rates fewer coordinates, coded better, lose less. They are the same in all rows.
    """
    most = min(n_features, n_bits)
    counts = {most}
    if objective == "product":
        rates = np.linspace(n_bits / most, 3, 41)
        counts |= {int(n_bits / rate) for rate in rates} & set(range(1, most))
    codes = [spend(lattice, count, n_bits) for count in sorted(counts)]
    return max(codes, key=lambda code: code.n_coordinates * (1 - code.distortion) ** 2)


def _choose_entropy_code(lattice, n_features, n_bits, objective):
    """Choose the coordinates to code and their code; a row takes whole bytes."""
    if n_bits < 8:
        raise ValueError(
            f'coding="entropy" takes whole bytes a row, but bits comes to {n_bits} bits for '
            f"n_features = {n_features}; bits must be at least {8 / n_features:.3g}."
        )
    n_bytes, n_kept = n_bits // 8, n_features
    if objective == "product":
        n_kept = min(n_features, max(1, round(8 * n_bytes / switching_rate(lattice.name))))
    return EntropyRowCode.choose(lattice.name, n_kept, n_bytes)


CHOICES = {
    "fixed": _choose_row_code,
    "hierarchical": partial(_choose_row_code, spend=spend_bits_on_layers),
    "entropy": _choose_entropy_code,
}
