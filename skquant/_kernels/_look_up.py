"""Tables of 64 or 256 bytes: the instructions that look bytes up differ between machines.

A register of AVX-512 holds 64 bytes, which VBMI permutes by the low six bits of each byte; the
table instruction of AArch64 takes four registers. Elsewhere 16 bytes are looked up at a time, or
one. The quarters of a longer table are looked up one by one, and the highest bits choose.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import lower_builtin, type_callable

from ._isa import ARCHITECTURE, FEATURES, IS_X86, VECTOR_BITS
from ._memory import is_index, pointer_to
from ._vectors import LANES, Vector, in_parts, join, split

N_ENTRIES, LONG = 64, 256
_VBMI = VECTOR_BITS == 512 and "avx512vbmi" in FEATURES
_SHUFFLES = {512: "llvm.x86.avx512.pshuf.b.512", 256: "llvm.x86.avx2.pshuf.b"}
_BYTES = ir.VectorType(ir.IntType(8), 2 * LANES)


def look_up(tables, index, places):
    """Take entries of a table by the bytes of uint16 lanes, two in each, of which six bits count.

    `index` is where in an array of bytes the 64 entries start, unchecked.
    """


@type_callable(look_up)
def _type_look_up(context):
    def infer(tables, index, places):
        if (
            is_index(tables, index)
            and tables.dtype == types.uint8
            and places == Vector(types.uint16)
        ):
            return places

    return infer


@lower_builtin(look_up, types.Array, types.Any, Vector)
def _lower_look_up(context, builder, sig, args):
    start = pointer_to(context, builder, sig, args, ir.IntType(8))
    found = _look_up(builder, start, builder.bitcast(args[2], _BYTES))
    return builder.bitcast(found, args[2].type)


def _look_up(builder, start, places):
    """Look 64 bytes up in as many entries."""
    if _VBMI:
        return _permute(builder, _load(builder, start, 0, 64), places)
    if ARCHITECTURE == "aarch64":
        return _look_up_neon(builder, start, places)
    if IS_X86 and VECTOR_BITS in _SHUFFLES:
        return _shuffle(builder, start, places)
    return _one_by_one(builder, start, places, N_ENTRIES)


def look_up_words(tables, index, words):
    """Take entries of a table by the bytes of int32 lanes, four in each.

    `index` is where in an array of bytes the 256 entries start, unchecked.
    """


@type_callable(look_up_words)
def _type_look_up_words(context):
    def infer(tables, index, words):
        fits = is_index(tables, index) and tables.dtype == types.uint8
        return words if fits and words == Vector(types.int32) else None

    return infer


@lower_builtin(look_up_words, types.Array, types.Any, Vector)
def _lower_look_up_words(context, builder, sig, args):
    start = pointer_to(context, builder, sig, args, ir.IntType(8))
    halves = [builder.bitcast(half, _BYTES) for half in split(builder, args[2], LANES // 2)]
    found = [_look_up_long(builder, start, places) for places in halves]
    kind = ir.VectorType(ir.IntType(32), LANES // 2)
    return join(builder, [builder.bitcast(each, kind) for each in found])


def _look_up_long(builder, start, places):
    """Look 64 bytes up in 256 entries."""
    if not (ARCHITECTURE == "aarch64" or (IS_X86 and VECTOR_BITS in _SHUFFLES)):
        return _one_by_one(builder, start, places, LONG)
    quarters = [
        _look_up(builder, builder.gep(start, [ir.Constant(ir.IntType(64), first)]), places)
        for first in range(0, LONG, N_ENTRIES)
    ]
    return _choose(builder, quarters, places, (64, 128))


def _load(builder, start, first, size):
    """Load entries of the table."""
    place = builder.gep(start, [ir.Constant(ir.IntType(64), first)])
    kind = ir.VectorType(ir.IntType(8), size)
    entries = builder.load(builder.bitcast(place, ir.PointerType(kind)))
    entries.align = 1
    return entries


def _permute(builder, table, places):
    kind = ir.FunctionType(_BYTES, [_BYTES, _BYTES])
    name = "llvm.x86.avx512.permvar.qi.512"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [table, places])


def _look_up_neon(builder, start, places):
    quarters = [_load(builder, start, first, 16) for first in range(0, N_ENTRIES, 16)]
    kind = ir.FunctionType(quarters[0].type, [quarters[0].type] * 5)
    name = "llvm.aarch64.neon.tbl4.v16i8"
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    places = builder.and_(places, ir.Constant(_BYTES, [N_ENTRIES - 1] * 2 * LANES))
    parts = split(builder, places, 16)
    return join(builder, [builder.call(function, [*quarters, part]) for part in parts])


def _shuffle(builder, start, places):
    """Look up in each quarter of the table, and choose by the two bits above."""
    low = builder.and_(places, _constant(15))
    found = []
    for first in range(0, N_ENTRIES, 16):
        quarter = _load(builder, start, first, 16)
        order = ir.Constant(ir.VectorType(ir.IntType(32), 2 * LANES), list(range(16)) * 4)
        table = builder.shuffle_vector(quarter, quarter, order)
        found.append(in_parts(builder, _SHUFFLES[VECTOR_BITS], table, low))
    return _choose(builder, found, places, (16, 32))


def _choose(builder, found, places, bits):
    """Choose between what was found in parts of a table by bits of the places."""
    for bit in bits:
        chosen = builder.icmp_unsigned("!=", builder.and_(places, _constant(bit)), _constant(0))
        pairs = zip(found[::2], found[1::2], strict=True)
        found = [builder.select(chosen, upper, lower) for lower, upper in pairs]
    return found[0]


def _one_by_one(builder, start, places, n_entries):
    found = ir.Constant(_BYTES, ir.Undefined)
    places = builder.and_(places, _constant(n_entries - 1))
    for lane in range(2 * LANES):
        lane = ir.Constant(ir.IntType(32), lane)
        place = builder.zext(builder.extract_element(places, lane), ir.IntType(64))
        entry = builder.load(builder.gep(start, [place]))
        found = builder.insert_element(found, entry, lane)
    return found


def _constant(number):
    return ir.Constant(_BYTES, [number] * 2 * LANES)
