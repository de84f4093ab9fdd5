"""Products of whole tiles of bytes: the matrix unit of x86 processors (AMX).

It holds eight tiles of 16 lines of 64 bytes. One instruction multiplies 16 queries by 16 rows, 64
bytes of each. Four tiles sum the products of AMX_QUERIES queries and LANES rows.
"""

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ._vectors import LANES

AMX_QUERIES = 32  # of a block
AMX_STEPS = 16  # of 32 bits that an instruction multiplies
_LINES, _LINE_BYTES = 16, 64
_QUERY_TILES, _ROW_TILES = (4, 5), (6, 7)  # the first four are the sums


def _tile_shapes():
    shapes = np.zeros(64, np.uint8)
    shapes[0] = 1  # the only layout that there is
    shapes[16:32].view(np.uint16)[:] = _LINE_BYTES
    shapes[48:56] = _LINES
    return shapes


TILE_SHAPES = _tile_shapes()


def _emit(builder, name, *arguments):
    """Call an instruction; numbers of tiles are constants of 8 bits."""
    arguments = [ir.Constant(ir.IntType(8), a) if isinstance(a, int) else a for a in arguments]
    kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    builder.call(
        cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}"), arguments
    )


def _place(context, builder, kind, value, *index):
    """Point to a place in an array."""
    array = context.make_array(kind)(context, builder, value)
    place = cgutils.get_item_pointer(context, builder, kind, array, index, wraparound=False)
    return builder.bitcast(place, ir.PointerType(ir.IntType(8)))


def _beyond(builder, place, n_bytes):
    return builder.gep(place, [ir.Constant(ir.IntType(64), n_bytes)])


@intrinsic
def begin_tiles(typing_context, shapes):
    """Set the shapes of tiles to `TILE_SHAPES`."""

    def emit(context, builder, signature, arguments):
        start = ir.Constant(ir.IntType(64), 0)
        _emit(builder, "ldtilecfg", _place(context, builder, shapes, arguments[0], start))
        return context.get_dummy_value()

    return types.void(shapes), emit


@intrinsic
def end_tiles(typing_context):
    """Give the tiles back."""

    def emit(context, builder, signature, arguments):
        _emit(builder, "tilerelease")
        return context.get_dummy_value()

    return types.void(), emit


@intrinsic
def clear_sums(typing_context):
    """Set all sums to zero."""

    def emit(context, builder, signature, arguments):
        for tile in range(4):
            _emit(builder, "tilezero", tile)
        return context.get_dummy_value()

    return types.void(), emit


def _adding(instruction):
    """Make a function that adds products to the sums by an instruction."""

    @intrinsic
    def add(typing_context, queries, query, rows, tile, step, row_step):
        def emit(context, builder, signature, arguments):
            values, query, row_values, tile, step, row_step = arguments
            line, lane = (ir.Constant(ir.IntType(64), n) for n in (4 * LANES, 0))
            steps = context.make_array(queries)(context, builder, values).strides
            query_line = builder.extract_value(steps, 0)
            first = _place(context, builder, queries, values, query, step)
            block = builder.mul(query_line, ir.Constant(ir.IntType(64), _LINES))
            _emit(builder, "tileloadd64", _QUERY_TILES[0], first, query_line)
            _emit(builder, "tileloadd64", _QUERY_TILES[1], builder.gep(first, [block]), query_line)
            place = _place(context, builder, rows, row_values, tile, row_step, lane)
            for half, into in enumerate(_ROW_TILES):
                start = _beyond(builder, place, half * _LINE_BYTES)
                _emit(builder, "tileloadd64", into, start, line)
            for into in range(4):
                _emit(builder, instruction, into, _QUERY_TILES[into // 2], _ROW_TILES[into % 2])
            return context.get_dummy_value()

        index = types.intp
        return types.void(queries, index, rows, index, index, index), emit

    return add


# Add the products of AMX_STEPS steps of AMX_QUERIES queries and of the rows of a tile to the sums.
# Queries, int32 (n_queries, n_steps), have bytes with signs; rows, int32 (n_tiles, n_steps, LANES),
# bytes without or with them. Steps of a tile that it does not have are read as well, beyond it, and
# have to meet zeros.
add_products = _adding("tdpbsud")
add_signed_products = _adding("tdpbssd")


@intrinsic
def store_sums(typing_context, products, part):
    """Write the sums to a part of an int32 array (n_parts, AMX_QUERIES, LANES)."""

    def emit(context, builder, signature, arguments):
        zero, line = (ir.Constant(ir.IntType(64), n) for n in (0, 4 * LANES))
        start = _place(context, builder, products, *arguments, zero, zero)
        for tile in range(4):
            lines, half = divmod(tile, 2)
            place = _beyond(builder, start, lines * _LINES * 4 * LANES + half * _LINE_BYTES)
            _emit(builder, "tilestored64", tile, place, line)
        return context.get_dummy_value()

    return types.void(products, types.intp), emit
