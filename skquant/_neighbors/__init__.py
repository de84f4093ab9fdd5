"""Nearest neighbours over compressed rows: the shared search and one file for each estimator."""

from ._classification import QuantizedKNeighborsClassifier

__all__ = ["QuantizedKNeighborsClassifier"]
