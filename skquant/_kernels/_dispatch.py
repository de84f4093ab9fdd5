"""The one place that chooses between kernels by what the machine can do.

All are compiled for it from one source. What differs is whether products of small integers outrun
those of floats, and of which.
"""

from ._amx import AMX_QUERIES, AMX_STEPS
from ._amx_products import multiply_tiles_by_amx
from ._coarse import BLOCK, CENTRE, GROUP, decode_coarse, encode_coarse, measure_rows
from ._coarse_scan import SLAB_ROWS, find_listed_rows, find_rows
from ._codebook import MOST_WORDS, decode_words, encode_words, multiply_words
from ._dot import BYTE_OFFSET, HAS_BYTES, LARGEST_BYTE, LARGEST_NORM, QUERIES
from ._e8 import decode_e8_blocks, decode_e8_shorts, multiply_e8_blocks, multiply_e8_runs
from ._e8_encoder import encode_e8_blocks
from ._hadamard import rotate, rotate_back
from ._isa import VECTOR_BITS, has_amx
from ._layers import decode_layers, encode_layers, multiply_layers
from ._look_up import N_ENTRIES
from ._nested import FEW_VECTORS, decode_blocks, encode_blocks, multiply_blocks
from ._panel_products import multiply_panels
from ._rows import centre_rows, gather_rows, scale_rows
from ._terms import pack_terms, unpack_terms
from ._tile_products import multiply_tiles
from ._tiles import round_rows, search_lists, search_tiles, search_tiles_by_amx
from ._top_k import update_top_k
from ._visits import (
    cut_pieces,
    gather_lists,
    join_words,
    rank_lists,
    round_visits,
    sort_visits,
    weigh_rows,
)

HAS_INTEGERS = HAS_BYTES or VECTOR_BITS >= 256

__all__ = [
    "AMX_QUERIES",
    "AMX_STEPS",
    "BLOCK",
    "CENTRE",
    "GROUP",
    "N_ENTRIES",
    "SLAB_ROWS",
    "decode_coarse",
    "encode_coarse",
    "find_listed_rows",
    "find_rows",
    "measure_rows",
    "BYTE_OFFSET",
    "FEW_VECTORS",
    "HAS_BYTES",
    "HAS_INTEGERS",
    "LARGEST_BYTE",
    "LARGEST_NORM",
    "MOST_WORDS",
    "QUERIES",
    "centre_rows",
    "cut_pieces",
    "decode_blocks",
    "decode_e8_blocks",
    "decode_e8_shorts",
    "decode_layers",
    "decode_words",
    "encode_blocks",
    "encode_e8_blocks",
    "encode_layers",
    "encode_words",
    "gather_lists",
    "gather_rows",
    "has_amx",
    "join_words",
    "multiply_blocks",
    "multiply_e8_blocks",
    "multiply_e8_runs",
    "multiply_layers",
    "multiply_panels",
    "multiply_tiles",
    "multiply_tiles_by_amx",
    "multiply_words",
    "pack_terms",
    "rank_lists",
    "rotate",
    "rotate_back",
    "round_rows",
    "round_visits",
    "scale_rows",
    "search_lists",
    "search_tiles",
    "search_tiles_by_amx",
    "sort_visits",
    "unpack_terms",
    "update_top_k",
    "weigh_rows",
]
