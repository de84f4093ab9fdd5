"""Quantizers of one seed, the rows they are fitted to, and all their options."""

import numpy as np
import pytest
from sklearn.base import clone

from skquant import LatticeQuantizer
from skquant.lattices import LATTICES

CENTERS = ["features", "rows", False]
every_center = pytest.mark.parametrize("center", CENTERS)
every_rotation = pytest.mark.parametrize(
    "rotation", ["hadamard", "orthogonal", "pca", "auto", None]
)
every_lattice = pytest.mark.parametrize("lattice", LATTICES)


def gaussian(n_rows, n_features, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal((n_rows, n_features)).astype(dtype)


def quantizer(bits=4.0, **parameters):
    return LatticeQuantizer(bits, **{"random_state": 0} | parameters)


def codes_of(quantizer, X):
    """The bytes of the rows."""
    return clone(quantizer).set_params(output="codes").fit(X).transform(X)


def relative_errors(X, reconstruction):
    X, reconstruction = np.asarray(X, float), np.asarray(reconstruction, float)
    return np.linalg.norm(X - reconstruction, axis=1) / np.linalg.norm(X, axis=1)
