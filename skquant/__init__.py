"""Compress matrices to a chosen number of bits per entry and compute with the compressed form."""

from . import lattices, metrics, theory
from ._lattice_quantizer import LatticeQuantizer
from ._neighbors import QuantizedKNeighborsClassifier
from ._plotting import RateDistortionDisplay
from .quantized_matrix import QuantizedMatrix, matmul

__version__ = "0.1.0"

__all__ = [
    "LatticeQuantizer",
    "QuantizedKNeighborsClassifier",
    "QuantizedMatrix",
    "RateDistortionDisplay",
    "lattices",
    "matmul",
    "metrics",
    "theory",
]
