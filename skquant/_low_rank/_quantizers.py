"""Scalar quantizers of fixed rate: levels, rounding, and the packing of their indices."""

from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri

from .._kernels._bit_rows import read_bits, write_bits

MAX_BITS = 16
_LLOYD_ROUNDS = 300


@lru_cache
def unit_levels(kind, bits):
    """Give the levels of a quantizer for data of unit scale.

    Parameters
    ----------
    kind : {"uniform", "gaussian"}
        "uniform" spaces levels evenly from -1 to 1; the scale is half the range. "gaussian"
        has the least error on a standard normal variable, by Lloyd's rounds from the density of
        Panter and Dite; the scale is the standard deviation.
    bits : int
        1 to MAX_BITS.

    Returns
    -------
    float64 ndarray of shape (2**bits,)
        Ascending.
    """
    if kind == "uniform":
        return np.linspace(-1.0, 1.0, 2**bits)
    levels = np.sqrt(3.0) * ndtri((np.arange(2**bits) + 0.5) / 2**bits)
    for _ in range(_LLOYD_ROUNDS):
        mass, moment = _gaussian_cells(levels)
        levels = -moment / mass
    return levels


def _gaussian_cells(levels):
    """Probability and first moment, with a minus, of the cells of a standard normal variable."""
    edges = np.concatenate([[-np.inf], (levels[1:] + levels[:-1]) / 2, [np.inf]])
    return np.diff(ndtr(edges)), np.diff(np.exp(-(edges**2) / 2)) / np.sqrt(2 * np.pi)


@lru_cache
def gaussian_distortions(max_bits):
    """Give the mean squared error of the "gaussian" levels of 0 to `max_bits` bits."""
    distortions = [1.0]
    for bits in range(1, max_bits + 1):
        levels = unit_levels("gaussian", bits)
        mass, moment = _gaussian_cells(levels)
        distortions.append(1 + np.sum(levels * (2 * moment + levels * mass)))
    return np.array(distortions)


def nearest_indices(values, kind, bits):
    """Find the nearest level of each value of unit scale.

    Parameters
    ----------
    values : ndarray
    kind, bits
        As for `unit_levels`.

    Returns
    -------
    int64 ndarray
        Of the shape of `values`.
    """
    if kind == "uniform":
        top = 2**bits - 1
        return np.clip(np.rint((values + 1) * (top / 2)), 0, top).astype(np.int64)
    levels = unit_levels(kind, bits)
    return np.searchsorted((levels[1:] + levels[:-1]) / 2, values)


def dithered_indices(values, bits, rng):
    """Round each value of unit scale to a uniform level below or above it, without bias.

    Parameters
    ----------
    values : ndarray
        In [-1, 1]; others are clipped.
    bits : int
    rng : numpy.random.RandomState

    Returns
    -------
    int64 ndarray
        Indices of uniform levels whose expectation is the value.
    """
    top = 2**bits - 1
    place = np.clip((values + 1) * (top / 2), 0, top)
    return np.minimum(np.floor(place + rng.uniform(size=place.shape)), top).astype(np.int64)


def pack_rows(indices, bits):
    """Write rows of indices one behind the other, the lowest bit first.

    Parameters
    ----------
    indices : int64 ndarray of shape (n_rows, n_columns)
    bits : int64 ndarray of shape (n_columns,)
        Bits of an index of each column.

    Returns
    -------
    uint8 ndarray of shape (ceil(n_rows * sum(bits) / 8),)
    """
    data = np.empty(-(-len(indices) * int(np.sum(bits)) // 8), np.uint8)
    write_bits(indices, bits, data)
    return data


def unpack_rows(data, bits, n_rows):
    """Read the indices that `pack_rows` has written.

    Parameters
    ----------
    data : uint8 ndarray
        Eight rows begin at a whole byte, and so may this.
    bits : int64 ndarray of shape (n_columns,)
    n_rows : int

    Returns
    -------
    int64 ndarray of shape (n_rows, n_columns)

    Raises
    ------
    ValueError
        If the data are too short.
    """
    if 8 * len(data) < n_rows * int(np.sum(bits)):
        raise ValueError("the data are of fewer bytes than the rows")
    indices = np.empty((n_rows, len(bits)), np.int64)
    read_bits(data, bits, indices)
    return indices
