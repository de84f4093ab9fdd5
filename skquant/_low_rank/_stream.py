"""Entropy-coded vectors: a step, a model of the entries, and the bytes."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .._kernels._trellis_coder import (
    MAX_INDEX,
    MAX_ORDER,
    decode_vectors,
    encode_vectors,
    expect,
    new_memory,
)
from .._kernels._trellis_quantizer import student_table, trellis_quantize, trellis_values

TAILS = (4, 16)  # degrees of freedom; few for entries with outliers
ORDERS = (0, MAX_ORDER)
PENALTY = 0.3  # squared steps that a bit is worth; the least error at equal bits, .5 to 4 bits

_table = lru_cache(student_table)


@dataclass(frozen=True)
class Model:
    """What the coder assumes of vectors.

    Parameters
    ----------
    order : int
        How many of the last entries of a vector predict the next.
    tail : int
        Degrees of freedom of the distribution about the prediction.
    """

    order: int = 0
    tail: int = TAILS[-1]


def new_predictor(length):
    """Make the memory that `quantize` carries from one set of vectors to the next."""
    return new_memory(length)


def choose_order(vectors, step):
    """Find whether the last entries of a vector help to predict the next.

    Parameters
    ----------
    vectors : ndarray of shape (n_vectors, length)
    step : float

    Returns
    -------
    int
        Of ORDERS.
    """
    centre, scale = np.empty((2, *vectors.shape), np.float32)
    bits = [
        expect(vectors, 1 / step, order, new_memory(vectors.shape[1]), centre, scale)
        for order in ORDERS
    ]
    return ORDERS[int(np.argmin(bits))]


def choose_model(vectors, step):
    """Choose the model that gives the shortest code.

    Parameters
    ----------
    vectors : ndarray of shape (n_vectors, length)
    step : float

    Returns
    -------
    Model
    """
    vectors = np.ascontiguousarray(vectors)
    order = choose_order(vectors, step)
    indices, _ = quantize(vectors, step, Model(order))
    return best_tail(indices, order)


def quantize(vectors, step, model, memory=None):
    """Quantize vectors with regard to what their code will take.

    Parameters
    ----------
    vectors : ndarray of shape (n_vectors, length)
        Of magnitude below MAX_INDEX steps.
    step : float
    model : Model
    memory : ndarray, default=None
        As of `new_predictor`; updated. None for vectors with none before them.

    Returns
    -------
    indices, values : int64 ndarray of shape (n_vectors, length)
        What `encode` takes, and the multiples of the step that they stand for.

    Raises
    ------
    ValueError
        If the step is too small for the vectors.
    """
    # Squares of what the coder multiplies must stay finite.
    if not np.abs(vectors).max(initial=0.0) < step * (MAX_INDEX / 4):
        raise ValueError("The bits asked for exceed the precision of the coder.")
    memory = new_memory(vectors.shape[1]) if memory is None else memory
    centre, scale = np.empty((2, *vectors.shape), np.float32)
    expect(vectors, 1 / step, model.order, memory, centre, scale)
    indices, values = np.empty((2, *vectors.shape), np.int64)
    trellis_quantize(vectors, 1 / step, centre, scale, _table(model.tail), PENALTY, indices)
    trellis_values(indices, values)
    return indices, values


def encode(indices, model, shrink=0):
    """Code trellis indices.

    Parameters
    ----------
    indices : int64 ndarray of shape (n_vectors, length)
    model : Model
    shrink : int, default=0
        Entries that each vector has less than the one before.

    Returns
    -------
    uint8 ndarray
    """
    data = np.empty(indices.size // 2 + 64, np.uint8)
    n_bytes = encode_vectors(indices, shrink, model.order, _table(model.tail), data)
    if n_bytes > len(data):
        data = np.empty(n_bytes, np.uint8)
        encode_vectors(indices, shrink, model.order, _table(model.tail), data)
    return data[:n_bytes].copy()


def decode(data, shape, model, shrink=0):
    """Decode what `encode` has coded.

    Parameters
    ----------
    data : uint8 ndarray
    shape : tuple of int
        (n_vectors, length).
    model : Model
    shrink : int, default=0

    Returns
    -------
    int64 ndarray of shape (n_vectors, length)
        Multiples of the step; 0 where a vector has no entries.

    Raises
    ------
    ValueError
        If the data are not the code of such vectors.
    """
    values = np.zeros(shape, np.int64)
    if decode_vectors(data, shrink, model.order, _table(model.tail), values) != len(data):
        raise ValueError("the entropy-coded stream is damaged")
    return values


def best_tail(indices, order):
    """Choose the tails of the model that give the shorter code.

    Parameters
    ----------
    indices : int64 ndarray of shape (n_vectors, length)
    order : int

    Returns
    -------
    Model
    """
    models = [Model(order, tail) for tail in TAILS]
    nothing = np.empty(0, np.uint8)
    lengths = [encode_vectors(indices, 0, order, _table(m.tail), nothing) for m in models]
    return models[int(np.argmin(lengths))]
