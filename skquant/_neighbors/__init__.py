"""Nearest neighbours over compressed rows: the shared search and one file for each estimator."""

from ._classification import QuantizedKNeighborsClassifier
from ._regression import QuantizedKNeighborsRegressor
from ._transformer import QuantizedKNeighborsTransformer
from ._unsupervised import QuantizedNearestNeighbors

__all__ = [
    "QuantizedKNeighborsClassifier",
    "QuantizedKNeighborsRegressor",
    "QuantizedKNeighborsTransformer",
    "QuantizedNearestNeighbors",
]
