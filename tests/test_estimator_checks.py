"""scikit-learn's estimator checks on every estimator, and those that its suite leaves out."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from skquant import LatticeQuantizer, QuantizedKNeighborsClassifier
from skquant.lattices import D4

QUANTIZERS = [
    LatticeQuantizer(),
    LatticeQuantizer(bits=1, lattice="Z", rotation=None),
    LatticeQuantizer(bits=2.7, lattice="A2", rotation="orthogonal", center="rows"),
    LatticeQuantizer(bits=8, lattice=D4(), center=False, n_jobs=2),
    LatticeQuantizer(bits=3, output="codes"),
]
CLASSIFIERS = [
    QuantizedKNeighborsClassifier(),
    QuantizedKNeighborsClassifier(
        metric="cosine", quantizer=LatticeQuantizer(bits=5, rotation="orthogonal", lattice="D4")
    ),
]
ESTIMATORS = QUANTIZERS + CLASSIFIERS

# Of scikit-learn's checks, `parametrize_with_checks` leaves these to the projects.
LEFT_OUT = [
    "check_dataframe_column_names_consistency",
    "check_estimators_fit_returns_self",
    "check_inplace_ensure_writeable",
    "check_n_features_in_after_fitting",
    "check_param_validation",
    "check_readonly_memmap_input",
]
LEFT_OUT_FOR_TRANSFORMERS = [
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
]

by_name = pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)


@parametrize_with_checks(ESTIMATORS)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)
