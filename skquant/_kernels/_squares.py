"""Turn rows of 32-bit words into columns, a square of 16 by 16 in registers at a time.

A *tile* has the same word of LANES rows side by side; *lines* have 16 words of a row each.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ._vectors import LANES

SIDE = 16  # words of a square
_WORD = 4  # bytes


@intrinsic
def turn_to_lines(typing_context, tiles, tile, step, lines, line):
    """Lay SIDE steps of the rows of a tile out in LANES lines, a row after the other."""

    def emit(context, builder, signature, arguments):
        values, tile, step, line_values, line = arguments
        for half in range(0, LANES, SIDE):
            start = _place(context, builder, tiles, values, half, tile, step)
            into = _place(context, builder, lines, line_values, half * SIDE, line)
            _turn(builder, start, LANES, into, SIDE)
        return context.get_dummy_value()

    index = types.intp
    return types.void(tiles, index, index, lines, index), emit


@intrinsic
def turn_to_steps(typing_context, lines, steps):
    """Undo `turn_to_lines`: lay LANES lines out in SIDE steps of a tile."""

    def emit(context, builder, signature, arguments):
        for half in range(0, LANES, SIDE):
            start = _place(context, builder, lines, arguments[0], half * SIDE)
            into = _place(context, builder, steps, arguments[1], half)
            _turn(builder, start, SIDE, into, LANES)
        return context.get_dummy_value()

    return types.void(lines, steps), emit


def _place(context, builder, kind, value, beyond, *index):
    """Point to an element some words beyond a place in an array of words."""
    array = context.make_array(kind)(context, builder, value)
    index = [*index, *[ir.Constant(ir.IntType(64), 0)] * (kind.ndim - len(index))]
    place = cgutils.get_item_pointer(context, builder, kind, array, index, wraparound=False)
    place = builder.bitcast(place, ir.PointerType(ir.IntType(32)))
    return builder.gep(place, [ir.Constant(ir.IntType(64), beyond)])


def _turn(builder, start, distance, into, distance_of_target):
    """Transpose a square whose rows start some words apart, and those of the target some others."""
    kind = ir.PointerType(ir.VectorType(ir.IntType(32), SIDE))

    def line(first, nth, distance):
        place = builder.gep(first, [ir.Constant(ir.IntType(64), nth * distance)])
        return builder.bitcast(place, kind)

    rows = [builder.load(line(start, nth, distance)) for nth in range(SIDE)]
    for row in rows:
        row.align = _WORD
    for nth, row in enumerate(_transpose(builder, rows)):
        builder.store(row, line(into, nth, distance_of_target)).align = _WORD


def _transpose(builder, rows):
    """Exchange, in each step, the halves of smaller squares."""
    n = len(rows)
    for size in (2**i for i in range(n.bit_length() - 1)):
        low = [j if not j & size else n + (j ^ size) for j in range(n)]
        high = [j ^ size if not j & size else n + j for j in range(n)]
        rows = [
            builder.shuffle_vector(
                rows[i & ~size], rows[i | size],
                ir.Constant(ir.VectorType(ir.IntType(32), n), high if i & size else low),
            )
            for i in range(n)
        ]  # fmt: skip
    return rows
