"""Compression by two quantized factors: the published methods, and reverse water-filling.

``_quantizers`` rounds to levels, ``_stream`` codes vectors with variable bits, and ``_basis`` codes
an orthonormal basis with it; ``_factors`` holds coded rows. ``_spectrum`` reads the data,
and ``_metric`` weights errors. ``_step_search`` spends a budget.
``_published`` and ``_waterfill`` choose factors, ``_compressor`` is the estimator around them, and
``_matrix`` the value that it makes.
"""

from ._compressor import LowRankLowPrecisionCompressor
from ._matrix import LowRankLowPrecisionMatrix

__all__ = ["LowRankLowPrecisionCompressor", "LowRankLowPrecisionMatrix"]
