"""Lanes of vectors among each other: folded, picked, told as bits, summed."""

import sys

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import lower_builtin, type_callable

from ._isa import VECTOR_BITS
from ._traced import traceable
from ._vectors import FLOATS, LANES, Vector, inlined, join, split, vector_type


@traceable
def fold(vector):
    """Truncate 32-bit integers to 16 bits, lanes in another order, which takes fewer instructions.

    Groups of four lanes of the lower half take turns with groups of the upper half: nothing moves
    from one part of a register to another. Folded vectors go with folded ones.
    """


@traceable
def unfold(vector):
    """Undo `fold`: give 32-bit integers, the lanes in their order."""


@traceable
def pair(low, high):
    """Make 32-bit integers, the lanes in their order, of their halves, folded int16."""


def _folds(one, other):
    kinds = dict(zip(one, other, strict=True))
    return lambda context: (
        lambda vector: (
            Vector(kinds[vector.dtype])
            if isinstance(vector, Vector) and vector.dtype in kinds
            else None
        )
    )


_WIDE, _NARROW = (types.int32, types.uint32), (types.int16, types.uint16)
type_callable(fold)(_folds(_WIDE, _NARROW))
type_callable(unfold)(_folds(_NARROW, _WIDE))


@type_callable(pair)
def _type_pair(context):
    def infer(low, high):
        return Vector(types.int32) if low == high == Vector(types.int16) else None

    return infer


def _order(places):
    return ir.Constant(ir.VectorType(ir.IntType(32), LANES), list(places))


_GROUPS = range(0, LANES, 8)
_LOW = int(sys.byteorder != "little")  # which half of 32 bits is the lower one
_FOLD = _order(
    group + 2 * i + _LOW + half for group in _GROUPS for half in (0, LANES) for i in range(4)
)
_INTERLEAVE = [
    _order(group + first + i // 2 + i % 2 * LANES for group in _GROUPS for i in range(8))
    for first in (0, 4)
]


@lower_builtin(fold, Vector)
def _lower_fold(context, builder, sig, args):
    halves = split(builder, args[0], LANES // 2)
    shorts = vector_type(sig.return_type.dtype)
    return builder.shuffle_vector(*(builder.bitcast(half, shorts) for half in halves), _FOLD)


@lower_builtin(pair, Vector, Vector)
def _lower_pair(context, builder, sig, args):
    args = args if sys.byteorder == "little" else args[::-1]
    kind = ir.VectorType(ir.IntType(32), LANES // 2)
    parts = [builder.shuffle_vector(*args, order) for order in _INTERLEAVE]
    return join(builder, [builder.bitcast(part, kind) for part in parts])


@lower_builtin(unfold, Vector)
def _lower_unfold(context, builder, sig, args):
    both = _lower_pair(context, builder, None, [args[0], args[0]])
    places = ir.Constant(both.type, [16] * LANES)
    return (builder.ashr if sig.return_type.dtype.signed else builder.lshr)(both, places)


@traceable
def pick(table, index):
    """Take entries of an array of eight float32 by an int32 index, of which three bits count."""


@type_callable(pick)
def _type_pick(context):
    def infer(table, index):
        if isinstance(table, types.Array) and table.dtype == types.float32:
            return Vector(types.float32) if index == Vector(types.int32) else None

    return infer


@lower_builtin(pick, types.Array, Vector)
def _lower_pick(context, builder, sig, args):
    kind, index = ir.VectorType(ir.FloatType(), 8), args[1]
    array = context.make_array(sig.args[0])(context, builder, args[0])
    table = builder.load(builder.bitcast(array.data, ir.PointerType(kind)))
    table.align = 4
    if VECTOR_BITS >= 256:
        function = ir.FunctionType(kind, [kind, ir.VectorType(ir.IntType(32), 8)])
        function = cgutils.get_or_insert_function(builder.module, function, "llvm.x86.avx2.permps")
        parts = split(builder, index, 8)
        return join(builder, [builder.call(function, [table, part]) for part in parts])
    found = ir.Constant(vector_type(types.float32), ir.Undefined)
    for lane in range(LANES):
        place = ir.Constant(ir.IntType(32), lane)
        which = builder.and_(builder.extract_element(index, place), ir.Constant(place.type, 7))
        found = builder.insert_element(found, builder.extract_element(table, which), place)
    return found


@traceable
def lane_bits(mask):
    """Give the lanes of a mask as the lowest bits of a uint64."""


@type_callable(lane_bits)
def _type_lane_bits(context):
    return lambda mask: types.uint64 if mask == Vector(types.boolean) else None


@lower_builtin(lane_bits, Vector)
def _lower_lane_bits(context, builder, sig, args):
    return builder.zext(builder.bitcast(args[0], ir.IntType(LANES)), ir.IntType(64))


@traceable
def lanes_of(bits):
    """Undo `lane_bits`; what is above the lowest bits does not count."""


@type_callable(lanes_of)
def _type_lanes_of(context):
    return lambda bits: Vector(types.boolean) if bits == types.uint64 else None


@lower_builtin(lanes_of, types.uint64)
def _lower_lanes_of(context, builder, sig, args):
    lowest = builder.trunc(args[0], ir.IntType(LANES))
    return builder.bitcast(lowest, vector_type(types.boolean))


@inlined
def any_lane(mask):
    """Whether any lane of a mask is set."""
    return lane_bits(mask) != 0


@traceable
def lowest_bit(bits):
    """Find the lowest bit that is set in a uint64."""


@traceable
def highest_bit(bits):
    """Find the highest bit that is set in a uint64."""


@type_callable(lowest_bit)
@type_callable(highest_bit)
def _type_bit(context):
    return lambda bits: types.uint64 if bits == types.uint64 else None


@lower_builtin(lowest_bit, types.uint64)
def _lower_lowest_bit(context, builder, sig, args):
    return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))


@lower_builtin(highest_bit, types.uint64)
def _lower_highest_bit(context, builder, sig, args):
    above = builder.ctlz(args[0], ir.Constant(ir.IntType(1), 1))
    return builder.sub(ir.Constant(above.type, 63), above)


@traceable
def total(vector):
    """Sum all lanes, in an order that does not depend on the machine."""


@type_callable(total)
def _type_total(context):
    return lambda vector: vector.dtype if isinstance(vector, Vector) else None


@lower_builtin(total, Vector)
def _lower_total(context, builder, sig, args):
    vector, add = args[0], builder.fadd if sig.return_type in FLOATS else builder.add
    while vector.type.count > 1:
        vector = add(*split(builder, vector, vector.type.count // 2))
    return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))
