"""Products of small integers, four bytes to a lane: the instructions that differ between machines.

A lane of 32 bits holds four bytes or two 16-bit integers of a row, and meets the same number of a
query. Bytes take AVX-512 VNNI, AVX-VNNI or the dot product of AArch64, and smaller ones what AVX2
has, which adds two products up in 16 bits; elsewhere only 16-bit integers serve.
"""

from llvmlite import ir
from numba.core import types
from numba.extending import lower_builtin, type_callable

from ._isa import ARCHITECTURE, FEATURES, IS_X86, VECTOR_BITS
from ._traced import traceable
from ._vectors import LANES, Vector, in_parts, to_vector

_VNNI = VECTOR_BITS == 512 and "avx512vnni" in FEATURES
_VNNI_256 = VECTOR_BITS == 256 and "avxvnni" in FEATURES
_DOTPROD = ARCHITECTURE == "aarch64" and "dotprod" in FEATURES
_PAIRS = IS_X86 and VECTOR_BITS >= 256 and not (_VNNI or _VNNI_256)
HAS_BYTES = _VNNI or _VNNI_256 or _DOTPROD or _PAIRS
# Two products of bytes, each of up to 180 without sign and 90 with it, add up in 16 bits.
LARGEST_BYTE = 90 if _PAIRS else 127
# The instructions of x86 take the bytes of rows without sign.
BYTE_OFFSET = (LARGEST_BYTE if _PAIRS else 128) if IS_X86 else 0
# The norm of 16-bit integers: their products stay below 2^30, and their upper bytes below 128.
LARGEST_NORM = 32512
# As many queries as leave sums of all lanes in registers.
QUERIES = {512: 12, 256: 3, 128: 3 if ARCHITECTURE == "aarch64" else 1}[VECTOR_BITS]


def _dot_bytes(builder, sums, row, query):
    if _DOTPROD:
        name = "llvm.aarch64.neon.sdot.v4i32.v16i8"
        return in_parts(builder, name, row, query, sums=sums, bits=8)
    if _PAIRS:
        name = {512: "avx512.pmaddubs.w.512", 256: "avx2.pmadd.ub.sw"}[VECTOR_BITS]
        pairs = in_parts(builder, "llvm.x86." + name, row, query, bits=8, gives=16)
        return _dot_shorts(builder, sums, pairs, ir.Constant(row.type, [1 << 16 | 1] * LANES))
    if HAS_BYTES:
        return in_parts(builder, f"llvm.x86.avx512.vpdpbusd.{VECTOR_BITS}", row, query, sums=sums)
    # No machine without such an instruction has bytes, but its kernels have to compile, and code
    # that is never run would take their registers.
    return sums


def _dot_shorts(builder, sums, row, query):
    if _VNNI or _VNNI_256:
        return in_parts(builder, f"llvm.x86.avx512.vpdpwssd.{VECTOR_BITS}", row, query, sums=sums)
    if IS_X86:
        name = {512: "avx512.pmaddw.d.512", 256: "avx2.pmadd.wd", 128: "sse2.pmadd.wd"}[VECTOR_BITS]
        return builder.add(sums, in_parts(builder, "llvm.x86." + name, row, query, bits=16))
    half = ir.Constant(row.type, [16] * LANES)
    upper = builder.mul(builder.ashr(row, half), builder.ashr(query, half))
    row, query = (builder.ashr(builder.shl(v, half), half) for v in (row, query))
    return builder.add(sums, builder.add(upper, builder.mul(row, query)))


@traceable
def dot_bytes(sums, row, query):
    """Add to int32 sums the products of four bytes of each lane and four of a query.

    Bytes of rows are BYTE_OFFSET more than they stand for.
    """


def dot_shorts(sums, row, query):
    """Add to int32 sums the products of two 16-bit integers of each lane and two of a query."""


def _define(function, emit):
    @type_callable(function)
    def typer(context):
        def infer(sums, row, query):
            if sums == row == Vector(types.int32) and query in (types.int32, sums):
                return sums

        return infer

    @lower_builtin(function, Vector, Vector, types.Integer)
    def lower(context, builder, sig, args):
        sums, row, query = args
        return emit(builder, sums, row, to_vector(builder, query))

    @lower_builtin(function, Vector, Vector, Vector)
    def lower_vectors(context, builder, sig, args):
        return emit(builder, *args)


_define(dot_bytes, _dot_bytes)
_define(dot_shorts, _dot_shorts)
