"""Short lists of vectors that stay in registers."""

import operator

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import lower_builtin, models, register_model, type_callable

from ._traced import traceable
from ._vectors import LANES, Vector, vector_type


class Registers(types.Type):
    """The type of a short list of vectors that the compiler keeps in registers where it can."""

    def __init__(self, dtype, count):
        self.vector = Vector(dtype)
        self.count = count
        super().__init__(f"Registers({dtype}, {count})")


@register_model(Registers)
class _RegistersModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        array = ir.ArrayType(vector_type(fe_type.vector.dtype), fe_type.count)
        super().__init__(dmm, fe_type, ir.PointerType(array))


@traceable
def registers(like, count):
    """Make a list of vectors of a scalar's type, of unspecified values; `count` is a literal."""


@type_callable(registers)
def _type_registers(context):
    def infer(like, count):
        if isinstance(like, types.Number) and isinstance(count, types.IntegerLiteral):
            return Registers(like, count.literal_value)

    return infer


@lower_builtin(registers, types.Number, types.IntegerLiteral)
def _lower_registers(context, builder, sig, args):
    kind = sig.return_type
    array = ir.ArrayType(vector_type(kind.vector.dtype), kind.count)
    return cgutils.alloca_once(builder, array)


@type_callable(operator.getitem)
def _type_getitem(context):
    def infer(block, index):
        if isinstance(block, Registers) and isinstance(index, types.Integer):
            return block.vector

    return infer


@type_callable(operator.setitem)
def _type_setitem(context):
    def infer(block, index, vector):
        if isinstance(block, Registers) and vector == block.vector:
            return types.void

    return infer


def _register(context, builder, block, index, index_type):
    index = context.cast(builder, index, index_type, types.intp)
    return builder.gep(block, [ir.Constant(index.type, 0), index], inbounds=True)


@lower_builtin(operator.getitem, Registers, types.Integer)
def _lower_getitem(context, builder, sig, args):
    return builder.load(_register(context, builder, args[0], args[1], sig.args[1]))


@lower_builtin(operator.setitem, Registers, types.Integer, Vector)
def _lower_setitem(context, builder, sig, args):
    builder.store(args[2], _register(context, builder, args[0], args[1], sig.args[1]))
    return context.get_dummy_value()


@traceable
def transpose(block):
    """Transpose as many vectors as lanes, in place."""


@type_callable(transpose)
def _type_transpose(context):
    def infer(block):
        if isinstance(block, Registers) and block.count == LANES:
            return types.void

    return infer


@lower_builtin(transpose, Registers)
def _lower_transpose(context, builder, sig, args):
    index = ir.IntType(64)
    places = [
        builder.gep(args[0], [ir.Constant(index, 0), ir.Constant(index, i)], inbounds=True)
        for i in range(LANES)
    ]
    vectors = [builder.load(place) for place in places]
    # Perfect shuffles: interleaving the two halves of the rows, log2 LANES times, exchanges axes.
    halves = [
        ir.Constant(
            ir.VectorType(ir.IntType(32), LANES),
            [start + i // 2 + LANES * (i % 2) for i in range(LANES)],
        )
        for start in (0, LANES // 2)
    ]
    for _ in range(LANES.bit_length() - 1):
        vectors = [
            builder.shuffle_vector(vectors[i], vectors[i + LANES // 2], half)
            for i in range(LANES // 2)
            for half in halves
        ]
    for vector, place in zip(vectors, places, strict=True):
        builder.store(vector, place)
    return context.get_dummy_value()
