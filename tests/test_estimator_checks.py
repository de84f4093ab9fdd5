"""scikit-learn's estimator checks on every estimator, and those that its suite leaves out."""

import numpy as np
import pytest
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from skquant import (
    LatticeQuantizer,
    QuantizedKNeighborsClassifier,
    QuantizedKNeighborsRegressor,
    QuantizedKNeighborsTransformer,
    QuantizedNearestNeighbors,
)
from skquant.lattices import D4

QUANTIZERS = [
    LatticeQuantizer(),
    LatticeQuantizer(bits=1, lattice="Z", rotation=None),
    LatticeQuantizer(bits=2.7, lattice="A2", rotation="orthogonal", center="rows"),
    LatticeQuantizer(bits=8, lattice=D4(), center=False, n_jobs=2),
    LatticeQuantizer(bits=3, output="codes"),
    LatticeQuantizer(bits=2, rotation="pca"),
    LatticeQuantizer(bits=1.5, rotation="auto", lattice="D4", center="rows"),
    LatticeQuantizer(coding="entropy"),
    LatticeQuantizer(bits=3, coding="hierarchical", center="rows"),
    LatticeQuantizer(bits=9, lattice="Trellis", coding="entropy", objective="product"),
]
NEIGHBORS = [
    QuantizedKNeighborsClassifier(),
    QuantizedKNeighborsClassifier(quantizer=LatticeQuantizer(rotation="pca")),
    QuantizedKNeighborsClassifier(
        metric="cosine", quantizer=LatticeQuantizer(bits=5, rotation="orthogonal", lattice="D4")
    ),
    QuantizedKNeighborsRegressor(),
    QuantizedKNeighborsRegressor(bits=2, metric="cosine", weights="distance", rescore=2),
    QuantizedNearestNeighbors(),
    QuantizedNearestNeighbors(metric="inner_product", rescore=1.5),
    QuantizedNearestNeighbors(bits=2, n_candidates=20),
    QuantizedKNeighborsClassifier(n_lists=3, n_probe=1),
    QuantizedKNeighborsRegressor(metric="cosine", n_lists="auto"),
    QuantizedNearestNeighbors(metric="inner_product", n_lists=2, rescore=2),
]
GRAPHS = [
    QuantizedKNeighborsTransformer(),
    QuantizedKNeighborsTransformer(mode="connectivity", metric="inner_product"),
    QuantizedKNeighborsTransformer(bits=1.5, metric="cosine", rescore=3),
    QuantizedKNeighborsTransformer(n_lists=2, n_probe=1),
]
ESTIMATORS = QUANTIZERS + NEIGHBORS + GRAPHS

# Checks that scikit-learn runs on its own estimators, and `parametrize_with_checks` does not.
LEFT_OUT = [
    estimator_checks.check_dataframe_column_names_consistency,
    estimator_checks.check_inplace_ensure_writeable,
    estimator_checks.check_param_validation,
]
LEFT_OUT_OF_TRANSFORMERS = [
    estimator_checks.check_get_feature_names_out_error,
    estimator_checks.check_set_output_transform,
    estimator_checks.check_transformer_get_feature_names_out,
    estimator_checks.check_transformer_get_feature_names_out_pandas,
]
LEFT_OUT_OF_DENSE_TRANSFORMERS = [  # no data frame library takes sparse graphs
    estimator_checks.check_global_output_transform_pandas,
    estimator_checks.check_global_set_output_transform_polars,
    estimator_checks.check_set_output_transform_pandas,
    estimator_checks.check_set_output_transform_polars,
]


def run(check, estimator):
    check(type(estimator).__name__, estimator)


@parametrize_with_checks(ESTIMATORS)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
@pytest.mark.parametrize("check", LEFT_OUT)
def test_checks_left_out_of_the_suite(estimator, check):
    run(check, estimator)


@pytest.mark.parametrize("estimator", QUANTIZERS + GRAPHS, ids=repr)
@pytest.mark.parametrize("check", LEFT_OUT_OF_TRANSFORMERS)
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names")  # they provoke it
def test_checks_of_transformers_left_out_of_the_suite(estimator, check):
    run(check, estimator)


@pytest.mark.parametrize("estimator", QUANTIZERS, ids=repr)
@pytest.mark.parametrize("check", LEFT_OUT_OF_DENSE_TRANSFORMERS)
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names")
def test_checks_of_dense_transformers_left_out_of_the_suite(estimator, check):
    run(check, estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
@pytest.mark.parametrize("writeable", [True, False])
def test_input_is_left_as_it_is(estimator, writeable):
    """Be it writeable or not, and without changing that."""
    X = np.random.default_rng(0).standard_normal((30, 7))
    before = X.copy()
    X.flags.writeable = writeable
    fitted = clone(estimator).fit(X, np.arange(30) % 2)
    for method in ("transform", "compress", "predict", "kneighbors", "radius_neighbors"):
        if hasattr(fitted, method):
            getattr(fitted, method)(X)
    assert X.flags.writeable == writeable
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_data_frames_give_what_arrays_give(estimator, library):
    DataFrame = pytest.importorskip(library).DataFrame
    X, y = np.random.default_rng(0).standard_normal((30, 3)), np.arange(30) % 2
    frame = DataFrame({name: X[:, i] for i, name in enumerate(["length", "width", "height"])})
    named, plain = (clone(estimator).set_params(random_state=0) for _ in range(2))
    named.fit(frame, y), plain.fit(X, y)
    assert list(named.feature_names_in_) == ["length", "width", "height"]
    assert not hasattr(plain, "feature_names_in_")
    methods = ("transform", "predict_proba", "predict", "kneighbors_graph")
    method = next(name for name in methods if hasattr(estimator, name))
    results = (getattr(each, method)(data) for each, data in ((named, frame), (plain, X)))
    dense = [result.toarray() if issparse(result) else result for result in results]
    np.testing.assert_allclose(*dense, rtol=1e-9)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        getattr(named, method)(X)
