"""The one place that chooses between kernels: portable or SIMD, batch or single.

So far every machine takes the portable kernels, which rely on the compiler's vectoriser.
"""

from ._codebook import decode_words, encode_words
from ._e8 import decode_e8_blocks
from ._hadamard import rotate, rotate_back
from ._nested import FEW_VECTORS, decode_blocks, encode_blocks, multiply_blocks
from ._rows import centre_rows, gather_rows, scale_rows
from ._top_k import update_top_k

__all__ = [
    "FEW_VECTORS",
    "centre_rows",
    "decode_blocks",
    "decode_e8_blocks",
    "decode_words",
    "encode_blocks",
    "encode_words",
    "gather_rows",
    "multiply_blocks",
    "rotate",
    "rotate_back",
    "scale_rows",
    "update_top_k",
]
