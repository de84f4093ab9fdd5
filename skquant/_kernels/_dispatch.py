"""The one place that chooses between kernels: portable or SIMD, batch or single.

So far every machine takes the portable kernels, which rely on the compiler's vectoriser.
"""

from ._codebook import decode_words, encode_words
from ._hadamard import rotate, rotate_back
from ._nested import decode_blocks, encode_blocks
from ._rows import centre_rows, column_energy, scale_rows
from ._top_k import update_top_k

__all__ = [
    "centre_rows",
    "column_energy",
    "decode_blocks",
    "decode_words",
    "encode_blocks",
    "encode_words",
    "rotate",
    "rotate_back",
    "scale_rows",
    "update_top_k",
]
