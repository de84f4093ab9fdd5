"""Fit a codec to rows: principal axes, with the bits of a row spread over them by water-filling.

Blocks are made of axes of like variance σ², and get bits as reverse water-filling asks for: such
that a bit more would save the same error anywhere. What has too little variance gets none and is
left out of the rotation. Blocks of equal bits form a group, which is turned at random, so that its
coordinates look alike, and coded with scales in proportion to its spread. The distortion of all
groups is about the same then, and so are their scales: what differs is the nesting ratio.

The lattice codes are made for Gaussian blocks. Those of data have heavier tails, whose overload
costs more than all else at high rates, so the scales of each group are fitted to rows.
"""

import numpy as np

from .._allocation import spend_on_ladders
from .._codes._nested import fill_block
from .._codes._row_code import lay_out
from .._codes._scales import (
    code_for,
    fit_scales,
    ladder,
    scalar_code,
    scalar_ladder,
    stretch,
)
from .._panels import empty_panels, put_rows
from ._codec import Codec
from ._drawn import row_budget
from ._principal_axes import normalised_blocks, principal_axes
from ._rotation import OrthogonalRotation, PrincipalRotation
from ._row_terms import TermLayout

SAMPLE_ROWS = 2**12  # fewer where rows are wide
SAMPLE_FLOATS = 2**22
SAMPLE_BLOCKS = 2**11
FEWEST_BLOCKS = 2**8  # with fewer the Gaussian scales are safer


def learn_codec(X, mean, spread, *, bits, lattice, center, objective, random_state):
    """Fit a codec with a learned rotation.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Finite rows, read in blocks.
    mean, spread, bits, lattice, center, objective, random_state
        As `draw_codec` takes them; ``objective="product"`` weights the error along each axis with
        its variance, as products of rows that are alike do.

    Returns
    -------
    Codec

    Raises
    ------
    ValueError
        If the bits of a row do not pay for a single coordinate.
    """
    n_features = len(mean)
    variances, axes = principal_axes(X, mean, center, random_state)
    if not variances.any():  # rows without length say nothing
        variances = np.ones_like(variances)
    groups = _spend(variances, lattice, row_budget(bits, n_features), objective)
    turned = [axes[:, own] @ _haar(len(own), random_state) for _, own, _ in groups]
    matrix = np.ascontiguousarray(np.hstack(turned), dtype=np.float32)
    sample = _sample(X, mean, center, random_state) @ matrix
    plan = _fit_codes(groups, variances, sample, random_state)
    kept = sum((size**2 - code.distortion) * n * code.dimension for code, n, size in plan)
    distortion = float(np.clip(1 - kept / n_features, 0, 1))
    centre_ratio = np.linalg.norm(mean) / spread if spread > 0 else np.inf
    terms = TermLayout.choose(center, n_features, distortion, centre_ratio)
    codec = Codec(mean, PrincipalRotation(matrix), None, lay_out(plan), terms)
    sample = sample[sample.any(axis=1)]  # rows without length need no alignment
    panels = empty_panels(*sample.shape)
    put_rows(sample, panels)
    return codec.aligned(panels, len(sample), n_features) if len(sample) else codec


def _sample(X, mean, center, random_state):
    """Draw some rows, normalised, float32."""
    n_chosen = min(SAMPLE_ROWS, max(SAMPLE_BLOCKS // 4, SAMPLE_FLOATS // X.shape[1]))
    chosen = X[np.sort(random_state.permutation(len(X))[:n_chosen])]
    return np.vstack([r.astype(np.float32) for r in normalised_blocks(chosen, mean, center)])


def _fit_codes(groups, variances, sample, random_state):
    """Fit the codes of groups to the coordinates of rows: code, number of blocks and spread."""
    plan, first = [], 0
    for code, own, count in groups:
        spread = float(np.sqrt(variances[own].mean()))
        blocks = sample[:, first : first + len(own)].reshape(-1, code.dimension)
        code = _fit_to_blocks(code, blocks / np.float32(spread), random_state)
        plan.append((stretch(code, spread), count, spread))
        first += len(own)
    return plan


def _spend(variances, lattice, n_bits, objective):
    """Choose codes for the axes, which are sorted by variance.

    Returns
    -------
    list of (code, axes, n_blocks)
        Groups of axes with the same code; ascending bits, but what fills no block comes last.
    """
    dimension, variances = fill_block(lattice).dimension, variances[variances > 0]
    n_blocks = len(variances) // dimension
    if n_bits < ladder(lattice)[1][0]:
        n_blocks = 0
    whole = n_blocks * dimension
    means = variances[:whole].reshape(n_blocks, dimension).mean(axis=1)
    variances = np.concatenate([means, variances[whole:]])
    sizes = np.repeat([dimension, 1], [n_blocks, len(variances) - n_blocks])
    ladders = [ladder(lattice)] * n_blocks + [scalar_ladder()] * (len(variances) - n_blocks)
    worths = sizes * variances ** (2 if objective == "product" else 1)
    spent = spend_on_ladders(worths, ladders, n_bits)
    groups = []
    for n_own in np.unique(spent[:n_blocks][spent[:n_blocks] > 0]):
        blocks = np.flatnonzero(spent[:n_blocks] == n_own)
        own = (blocks[:, None] * dimension + np.arange(dimension)).ravel()
        groups.append((code_for(lattice, int(n_own)), own, len(blocks)))
    for i in n_blocks + np.flatnonzero(spent[n_blocks:]):
        axis = np.array([whole + i - n_blocks])
        groups.append((scalar_code(1, int(spent[i])), axis, 1))
    return groups


def _fit_to_blocks(code, blocks, random_state):
    """Fit the scales of a code to blocks of unit variance, as far as they are a fair sample."""
    blocks = blocks[random_state.permutation(len(blocks))[:SAMPLE_BLOCKS]]
    if len(blocks) < FEWEST_BLOCKS or not 0.5 < np.mean(np.square(blocks, dtype=float)) < 2:
        return code
    return fit_scales(code, blocks)


def _haar(n, random_state):
    return OrthogonalRotation.draw(n, random_state).matrix
