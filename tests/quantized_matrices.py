"""Compressed Gaussian rows, and panels small enough that they take several."""

import numpy as np

from skquant import LatticeQuantizer, _file_format
from skquant._codecs._codec import Codec


def compress(n_rows, n_features, dtype=np.float64, bits=3.0, seed=0, **parameters):
    """Compress Gaussian rows about a centre that is not zero."""
    rng = np.random.default_rng(seed)
    X = (rng.standard_normal((n_rows, n_features)) + rng.standard_normal(n_features)).astype(dtype)
    return LatticeQuantizer(bits, random_state=seed, **parameters).fit(X).compress(X)


def dense(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def use_small_panels(monkeypatch):
    """Let even small matrices be worked on, and mapped, in several panels."""
    monkeypatch.setattr(Codec, "block_rows", lambda self: 64)
    monkeypatch.setattr(_file_format, "PANEL_NBYTES", 256)
