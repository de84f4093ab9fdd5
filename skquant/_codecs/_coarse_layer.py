"""Give a fitted codec a coarse layer."""

from dataclasses import replace

import numpy as np

from .._codes._layered import LayeredRowCode
from .._panels import empty_panels, put_rows
from ._principal_axes import normalised_blocks

SAMPLE_ROWS = 2**10


def add_coarse_layer(codec, X):
    """Give a codec with a coarse layer, whose own code takes what that leaves over.

    Parameters
    ----------
    codec : Codec
    X : ndarray of shape (n_rows, n_features)
        Rows like those it is for.

    Returns
    -------
    Codec
    """
    codec = replace(codec, row_code=LayeredRowCode(codec.row_code))
    if codec.terms.center == "features":  # then each row has its own alignment
        return codec
    some = X[np.linspace(0, len(X) - 1, min(len(X), SAMPLE_ROWS)).astype(np.intp)]
    rows = np.vstack(list(normalised_blocks(some, codec.mean, codec.terms.center)))
    rows = codec.to_coordinates(rows[rows.any(axis=1)])
    if not len(rows):
        return codec
    panels = empty_panels(*rows.shape)
    put_rows(rows, panels)
    return codec.aligned(panels, len(rows), codec.n_features)
