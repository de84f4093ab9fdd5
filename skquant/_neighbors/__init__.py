"""Nearest neighbours over compressed rows: the shared search and one file for each estimator."""

from ._classification import QuantizedKNeighborsClassifier
from ._lists import InvertedLists
from ._regression import QuantizedKNeighborsRegressor
from ._transformer import QuantizedKNeighborsTransformer
from ._unsupervised import QuantizedNearestNeighbors

__all__ = [
    "InvertedLists",
    "QuantizedKNeighborsClassifier",
    "QuantizedKNeighborsRegressor",
    "QuantizedKNeighborsTransformer",
    "QuantizedNearestNeighbors",
]
