"""Errors weighted by inputs: the norm is that of products, and weighting makes it smaller."""

import numpy as np
import pytest
import sklearn
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skquant import LowRankLowPrecisionCompressor as Compressor
from skquant._low_rank._factors import Factor, TrellisCode
from skquant._low_rank._metric import damped_root, gram_of_inputs, upper_root, weighted_norm


def correlated_inputs(n_inputs, n_features, decay, seed=0):
    """Draw inputs whose principal components fall by `decay`, in turned coordinates."""
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((n_features, n_features)))[0]
    normal = np.random.default_rng(seed).standard_normal((n_inputs, n_features))
    return normal * decay ** np.arange(n_features) @ rotation


def root_of_inputs(inputs):
    return damped_root(gram_of_inputs(inputs))


def weights(n_rows=200, n_features=48, seed=5):
    return np.random.default_rng(seed).standard_normal((n_rows, n_features))


def error_of_products(X, matrix, inputs):
    return np.linalg.norm((X - matrix.toarray()) @ inputs.T) / np.linalg.norm(X @ inputs.T)


def test_the_norm_is_that_of_products_with_the_inputs():
    X, inputs = weights(), correlated_inputs(3000, 48, 0.95)
    root = root_of_inputs(inputs)
    assert not np.tril(root, -1).any()
    ratios = [
        weighted_norm(rows, root) / np.linalg.norm(rows @ inputs.T) ** 2
        for rows in (X, weights(7, seed=6))
    ]
    assert ratios[0] == pytest.approx(ratios[1], rel=0.05)  # but for the damping
    assert np.trace(root @ root.T) == pytest.approx(48)
    assert weighted_norm(X, None) == pytest.approx(np.linalg.norm(X) ** 2)


def test_upper_root():
    gram = np.cov(weights().T)
    root = upper_root(gram)
    np.testing.assert_allclose(root @ root.T, gram, atol=1e-12)


def test_each_column_mends_those_before_it():
    """At one step the weighted error is the plain error of rows that are not weighted."""
    X, root = weights(2000), root_of_inputs(correlated_inputs(3000, 48, 0.93))
    aware, plain = (TrellisCode.fit(X, 0.05, r) for r in (root, None))

    def error(code, aid, weight):
        return weighted_norm(X - Factor.from_rows(code, X, aid).toarray(), weight)

    assert error(aware, root, root) == pytest.approx(error(plain, None, None), rel=0.1)
    assert error(aware, root, root) < 0.5 * error(aware, None, root)


@pytest.mark.parametrize("coding", ["fixed", "entropy"])
@pytest.mark.parametrize(
    "settings", [{"bit_budget": 1}, {"bit_budget": 3}, {"rank": 12, "bits": 5}]
)
@pytest.mark.parametrize(("decay", "gain"), [(0.9, 0.8), (0.98, 1.01)])
def test_the_error_of_products_falls(coding, settings, decay, gain):
    """On inputs that the fit has not seen, against the method without weights."""
    X = weights()
    seen, unseen = (correlated_inputs(2000, 48, decay, seed) for seed in (1, 2))
    compressor = Compressor(coding=coding, random_state=0, **settings)
    errors, bits = [], []
    for calibration in (None, seen):
        matrix = compressor.fit(X, calibration=calibration).compress(X)
        errors.append(error_of_products(X, matrix, unseen))
        bits.append(matrix.bits_per_entry)
    assert errors[1] < gain * errors[0]
    assert bits[1] < 1.03 * bits[0]
    assert compressor.product_err_ == pytest.approx(error_of_products(X, matrix, seen), rel=1e-6)
    plain = np.linalg.norm(X - matrix.toarray()) / np.linalg.norm(X)
    assert compressor.reconstruction_err_ == pytest.approx(plain, rel=1e-6)
    assert compressor.score(X) == pytest.approx(-(plain**2), rel=1e-6)
    gram = compressor.components_ @ compressor.components_.T
    np.testing.assert_allclose(gram, np.eye(compressor.rank_), atol=1e-9)


def test_inputs_alike_in_all_directions_change_little():
    X = weights()
    errors = [
        Compressor(bit_budget=2, coding="entropy", random_state=0)
        .fit(X, calibration=calibration)
        .reconstruction_err_
        for calibration in (None, 3.0 * np.eye(48))
    ]
    assert errors[1] == pytest.approx(errors[0], rel=0.05)


@pytest.mark.parametrize("coding", ["fixed", "entropy"])
def test_fewer_inputs_than_features_and_dead_features(coding):
    X, inputs = weights(), correlated_inputs(5, 48, 0.9)
    inputs[:, ::2] = 0
    compressor = Compressor(rank=8, bits=8, coding=coding, random_state=0)
    matrix = compressor.fit(X, calibration=inputs).compress(X)
    assert error_of_products(X, matrix, inputs) < 0.03


def test_inputs_are_routed_through_a_pipeline():
    X, inputs = weights(), correlated_inputs(300, 48, 0.9)
    with sklearn.config_context(enable_metadata_routing=True):
        compressor = Compressor(rank=8, random_state=0).set_fit_request(calibration=True)
        pipe = make_pipeline(FunctionTransformer(), compressor).fit(X, calibration=inputs)
    expected = Compressor(rank=8, random_state=0).fit(X, calibration=inputs)
    np.testing.assert_array_equal(pipe[-1].components_, expected.components_)


def test_inputs_that_cannot_serve():
    X, inputs = weights(), np.ones((3, 48))
    with pytest.raises(ValueError, match="calibration is not for method='lplr'"):
        Compressor(method="lplr").fit(X, calibration=inputs)
    with pytest.raises(ValueError, match="calibration has 47 features"):
        Compressor().fit(X, calibration=inputs[:, 1:])
    with pytest.raises(ValueError, match="calibration contains NaN"):
        Compressor().fit(X, calibration=inputs * np.nan)
    for bad in (0 * inputs, inputs * 1e200):
        with pytest.raises(ValueError, match="calibration has no row but zeros"):
            Compressor().fit(X, calibration=bad)
