"""Trellis quantization and its entropy code."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from skquant._kernels._trellis_coder import MAX_ORDER, decode_vectors
from skquant._kernels._trellis_quantizer import (
    CODEBOOK,
    NEXT_STATE,
    TABLE_STEPS,
    student_table,
    trellis_quantize,
    trellis_values,
)
from skquant._low_rank._stream import Model, best_tail, choose_order, decode, encode, quantize

MODELS = [Model(order, tail) for order in (0, MAX_ORDER) for tail in (4, 16)]


def code(vectors, step, model, shrink=0):
    """Quantize and code; give the values, and the bits of an entry."""
    indices, values = quantize(vectors, step, model)
    return values, encode(indices, model, shrink)


# The quantizer


def reachable(length):
    """Enumerate the sequences of small values that the trellis can reach."""
    paths = [((), 0)]
    for _ in range(length):
        grown = []
        for values, state in paths:
            for index in range(-2, 3):
                value = 2 * index - (int(np.sign(index)) if CODEBOOK[state] else 0)
                grown.append(((*values, value), int(NEXT_STATE[state, index & 1])))
        paths = grown
    return np.array([values for values, _ in paths])


def test_the_nearest_reachable_vector_is_found():
    """By the definition, over all of them; without a penalty for rate."""
    vectors = reachable(4)
    targets = np.random.default_rng(0).uniform(-1.5, 1.5, (200, 4))
    distances = ((targets[:, None] - vectors) ** 2).sum(axis=2)
    shape, table = targets.shape, student_table(16)
    indices, values = np.empty((2, *shape), np.int64)
    plain = np.zeros(shape, np.float32), np.ones(shape, np.float32)
    trellis_quantize(targets, 1.0, *plain, table, 0.0, indices)
    trellis_values(indices, values)
    np.testing.assert_allclose(((targets - values) ** 2).sum(axis=1), distances.min(axis=1))


def test_gain_over_rounding():
    """Within .13 bits of the bound of Shannon at 4 bits; rounding is .254 away at best."""
    vectors = np.random.default_rng(0).standard_normal((20, 5000))
    values, data = code(vectors, 0.1, Model())
    distortion = np.mean((vectors - 0.1 * values) ** 2)
    assert 8 * len(data) / vectors.size + math.log2(distortion) / 2 < 0.13


# The code


@settings(deadline=None)
@given(
    st.sampled_from(MODELS),
    st.integers(1, 6),
    st.integers(1, 40),
    st.floats(-8, 8),
    st.integers(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_what_is_coded_comes_back(model, n_vectors, length, octaves, shrink, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_t(2, (n_vectors, length)) * 2.0**octaves
    if shrink:
        n_vectors = min(n_vectors, length)
        vectors = vectors[:n_vectors] * (np.arange(length) < length - np.arange(n_vectors)[:, None])
    indices, values = quantize(vectors, 1.0, model)
    decoded = decode(encode(indices, model, shrink), indices.shape, model, shrink)
    coded = np.arange(length) < length - shrink * np.arange(n_vectors)[:, None]
    np.testing.assert_array_equal(decoded[coded], values[coded])
    assert not decoded[~coded].any()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("step", [1e-8, 1.0, 1e9])
def test_extreme_steps(model, step):
    vectors = np.random.default_rng(0).standard_normal((4, 60)) ** 5
    values, data = code(vectors, step, model)
    np.testing.assert_array_equal(decode(data, values.shape, model), values)
    assert np.abs(vectors - step * values).max() <= 2 * step + 1e-6 or step > 1


def test_a_step_beyond_the_coder_is_refused():
    with pytest.raises(ValueError, match="precision of the coder"):
        quantize(np.ones((1, 3)), 1e-13, Model())


@pytest.mark.parametrize("deviation", [0.6, 2.0, 20.0])
def test_length_is_near_the_entropy(deviation):
    """Of the indices of each codebook, which is what an ideal code would take."""
    vectors = deviation * np.random.default_rng(0).standard_normal((40, 4000))
    indices, _ = quantize(vectors, 1.0, Model())
    counts = [{}, {}]
    for row in indices.tolist():
        state = 0
        for index in row:
            own = counts[CODEBOOK[state]]
            own[index] = own.get(index, 0) + 1
            state = NEXT_STATE[state, index & 1]
    ideal = 0.0
    for own in counts:
        n = np.array(list(own.values()))
        ideal -= np.sum(n * np.log2(n / n.sum()))
    assert 8 * len(encode(indices, Model())) < 1.02 * ideal


def test_smooth_vectors_are_foretold():
    phase = np.linspace(0, 20, 2000)
    vectors = 100 * np.sin(np.arange(1, 9)[:, None] * phase)
    assert choose_order(vectors, 1.0) == MAX_ORDER
    lengths = [len(code(vectors, 1.0, Model(order))[1]) for order in (0, MAX_ORDER)]
    assert lengths[1] < 0.5 * lengths[0]


def test_tails_are_chosen_by_the_data():
    rng = np.random.default_rng(0)
    gaussian, heavy = (quantize(v, 0.3, Model())[0] for v in (
        rng.standard_normal((5, 4000)), rng.standard_t(2, (5, 4000))))  # fmt: skip
    assert best_tail(gaussian, 0).tail == 16
    assert best_tail(heavy, 0).tail == 4


@given(st.binary(max_size=400), st.sampled_from(MODELS), st.integers(0, 1))
@settings(deadline=None)
def test_any_bytes_are_decoded_or_refused(data, model, shrink):
    """Without reading beyond them, which a poisoned neighbourhood would show."""
    data = np.frombuffer(data, np.uint8)
    results = []
    for poison in (0, 255):
        around = np.full(len(data) + 64, poison, np.uint8)
        inside = around[32 : 32 + len(data)]
        inside[:] = data
        values = np.zeros((5, 30), np.int64)
        used = decode_vectors(inside, shrink, model.order, student_table(model.tail), values)
        results.append((used, values.tolist()))
    assert results[0] == results[1]


def test_damaged_streams_are_refused():
    indices, _ = quantize(np.random.default_rng(0).standard_normal((5, 300)), 0.1, Model())
    data = encode(indices, Model())
    for damaged in (data[:-1], np.append(data, 0), data[:0]):
        with pytest.raises(ValueError, match="damaged"):
            decode(damaged, indices.shape, Model())


@pytest.mark.parametrize("degrees", [4, 16])
def test_table_is_the_distribution_of_student(degrees):
    table = student_table(degrees)
    z = np.arange(len(table) - 2) / TABLE_STEPS / math.sqrt((degrees - 1) / degrees)
    np.testing.assert_allclose(table[:-2], student.cdf(z, degrees) - 0.5, atol=1e-12)
    assert (np.diff(table) >= 0).all()
