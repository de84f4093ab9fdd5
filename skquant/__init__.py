"""Compress matrices to a chosen number of bits per entry and compute with the compressed form."""

from importlib import import_module

from . import lattices, metrics, theory
from ._lattice_quantizer import LatticeQuantizer
from ._neighbors import (
    InvertedLists,
    QuantizedKNeighborsClassifier,
    QuantizedKNeighborsRegressor,
    QuantizedKNeighborsTransformer,
    QuantizedNearestNeighbors,
)
from ._report import CompressionReport, compression_report
from .quantized_matrix import QuantizedMatrix, matmul

__version__ = "0.1.0"

__all__ = [
    "CompressionReport",
    "InvertedLists",
    "LatticeQuantizer",
    "LowRankLowPrecisionCompressor",  # noqa: F822
    "LowRankLowPrecisionMatrix",  # noqa: F822
    "QuantizedKNeighborsClassifier",
    "QuantizedKNeighborsRegressor",
    "QuantizedKNeighborsTransformer",
    "QuantizedMatrix",
    "QuantizedNearestNeighbors",
    "RateDistortionDisplay",  # noqa: F822
    "RecallDisplay",  # noqa: F822
    "compression_report",
    "lattices",
    "matmul",
    "metrics",
    "theory",
]

# Imported when first used: these have much to import themselves.
_LATE = {
    "LowRankLowPrecisionCompressor": "._low_rank",
    "LowRankLowPrecisionMatrix": "._low_rank",
    "RateDistortionDisplay": "._plotting",
    "RecallDisplay": "._plotting",
}


def __getattr__(name):
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATE[name], __name__), name)
