"""Fit a codec to rows: the centre, the rotation, and which rotation.

A learned rotation has to earn the memory of its matrix: on rows that it has not seen.
"""

import numpy as np

from .._progress import steps
from ._drawn import draw_codec
from ._learned import learn_codec

HELD_OUT = 2**11
TRIED = 2**13
FEWEST_ROWS = 20
LEAST_GAIN = 0.05


def fit_codec(X, *, rotation, center, coding, **settings):
    """Fit a codec with a given rotation.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Finite rows, read in blocks.
    rotation : {"hadamard", "orthogonal", "pca", None}
    center, coding, **settings
        As `draw_codec` takes them.

    Returns
    -------
    Codec

    Raises
    ------
    ValueError
        If the squares of X overflow float64, the bits of a row do not pay for a single coordinate,
        or the rotation or the lattice has no such coding.
    """
    mean, spread = np.zeros(X.shape[1]), 0.0
    if center == "features":
        mean, spread = _mean_and_spread(X)
    settings = {"center": center, **settings}
    if rotation != "pca":
        return draw_codec(mean, spread, rotation=rotation, coding=coding, **settings)
    if coding != "fixed":
        raise ValueError(f'rotation="pca" needs coding="fixed", got coding={coding!r}.')
    return learn_codec(X, mean, spread, **settings)


def choose_codec(X, *, coding, random_state, **settings):
    """Fit a codec with the rotation that errs less on held-out rows, learned or random.

    The learned one is taken where its squared error is lower by a twentieth at least, and not tried
    where there is no choice. Both are tried on some of the rows, so that no copy is large. The rest
    of the arguments are `fit_codec`'s.
    """
    settings = {"coding": coding, "random_state": random_state, **settings}
    if coding != "fixed" or len(X) < FEWEST_ROWS:
        return fit_codec(X, rotation="hadamard", **settings)
    n_held = min(HELD_OUT, len(X) // 4)
    n_tried = max(TRIED, 4 * X.shape[1])
    order = random_state.permutation(len(X))
    held, tried = X[order[:n_held]], X[order[n_held : n_held + n_tried]]
    errors = [
        _squared_error(fit_codec(tried, rotation=rotation, **settings), held)
        for rotation in ("hadamard", "pca")
    ]
    learned = errors[1] < (1 - LEAST_GAIN) * errors[0]
    return fit_codec(X, rotation="pca" if learned else "hadamard", **settings)


def _squared_error(codec, rows):
    """Sum the squared error of the reconstruction."""
    return sum(
        float(np.sum(np.square(codec.decode(codec.encode(rows[b]), np.float64) - rows[b])))
        for b in codec.blocks(len(rows))
    )


def _mean_and_spread(X):
    """Mean of each feature and root mean squared norm of the centred rows, block by block."""
    total, energy, block = np.zeros(X.shape[1]), 0.0, max(1, 2**18 // X.shape[1])
    found = _map_blocks(_sum_block, X, block)
    with np.errstate(over="ignore", invalid="ignore"):
        for sums, squares in steps("mean", found, -(-len(X) // block)):
            total += sums
            energy += squares
        mean = total / len(X)
        spread = np.sqrt(max(energy / len(X) - mean @ mean, 0.0))
    if not (np.isfinite(spread) and np.isfinite(mean).all()):
        raise ValueError(
            "X has a row too large to compress: its square overflows float64. Scale X down."
        )
    return mean, spread


def _map_blocks(function, X, n_rows):
    """Apply a function to blocks of so many rows, in order; rows elsewhere are worked on there."""
    if hasattr(X, "map_blocks"):
        return X.map_blocks(function, n_rows)
    return (function(X[start : start + n_rows]) for start in range(0, len(X), n_rows))


def _sum_block(rows):
    """Sum rows, and the squares of their entries, always in the same order."""
    rows = rows.astype(np.float64, order="C")
    with np.errstate(over="ignore", invalid="ignore"):
        return rows.sum(axis=0), np.einsum("ij,ij->", rows, rows)
