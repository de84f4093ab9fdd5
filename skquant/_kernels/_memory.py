"""Vectors from memory and to it, and the memory; the indices are unchecked."""

import sys

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing import signature
from numba.extending import lower_builtin, type_callable
from numba.np.arrayobj import _empty_nd_impl

from ._traced import traceable
from ._vectors import LANES, Vector, vector_type


@traceable
def load(array, index):
    """Read as many neighbours as lanes along the last axis of a C-contiguous array, unchecked."""


@traceable
def store(array, index, vector):
    """Write as many neighbours as lanes along the last axis of a C-contiguous array, unchecked."""


def room(like, shape):
    """Make an array of unspecified values of a scalar's type.

    `np.empty` is the same, but costs Numba a tenth of a second for each type in each process that
    compiles.
    """


@type_callable(room)
def _type_room(context):
    def infer(like, shape):
        kinds = shape if isinstance(shape, types.BaseTuple) else [shape]
        if isinstance(like, types.Number) and all(isinstance(k, types.Integer) for k in kinds):
            return types.Array(like, len(kinds), "C")

    return infer


@lower_builtin(room, types.Number, types.Any)
def _lower_room(context, builder, sig, args):
    shape, kinds = [args[1]], [sig.args[1]]
    if isinstance(kinds[0], types.BaseTuple):
        shape, kinds = cgutils.unpack_tuple(builder, args[1]), kinds[0]
    shape = [
        context.cast(builder, n, kind, types.intp) for n, kind in zip(shape, kinds, strict=True)
    ]
    return _empty_nd_impl(context, builder, sig.return_type, shape)._getvalue()


def is_index(array, index):
    return (
        isinstance(array, types.Array)
        and array.layout == "C"
        and (isinstance(index, types.Integer) if array.ndim == 1 else
             isinstance(index, types.BaseTuple) and len(index) == array.ndim)
    )  # fmt: skip


@type_callable(load)
def _type_load(context):
    return lambda array, index: Vector(array.dtype) if is_index(array, index) else None


@type_callable(store)
def _type_store(context):
    def infer(array, index, vector):
        if is_index(array, index) and array.mutable and vector == Vector(array.dtype):
            return types.void

    return infer


def pointer_to(context, builder, sig, args, kind):
    """Point to an element of an array, as a value of another LLVM type."""
    array_type, index_type = sig.args[:2]
    array = context.make_array(array_type)(context, builder, args[0])
    if array_type.ndim == 1:
        indices = [context.cast(builder, args[1], index_type, types.intp)]
    else:
        indices = [
            context.cast(builder, index, one_type, types.intp)
            for index, one_type in zip(
                cgutils.unpack_tuple(builder, args[1]), index_type, strict=True
            )
        ]
    element = cgutils.get_item_pointer(
        context, builder, array_type, array, indices, wraparound=False
    )
    return builder.bitcast(element, ir.PointerType(kind))


@lower_builtin(load, types.Array, types.Any)
def _lower_load(context, builder, sig, args):
    kind = vector_type(sig.return_type.dtype)
    value = builder.load(pointer_to(context, builder, sig, args, kind))
    value.align = sig.args[0].dtype.bitwidth // 8
    return value


@lower_builtin(store, types.Array, types.Any, Vector)
def _lower_store(context, builder, sig, args):
    kind = vector_type(sig.args[2].dtype)
    written = builder.store(args[2], pointer_to(context, builder, sig, args, kind))
    written.align = sig.args[0].dtype.bitwidth // 8
    return context.get_dummy_value()


@traceable
def load_run(codes, index):
    """Read LANES neighbouring little-endian uint32 of a C-contiguous array of bytes, unchecked."""


@type_callable(load_run)
def _type_load_run(context):
    def infer(codes, index):
        if is_index(codes, index) and codes.dtype == types.uint8:
            return Vector(types.uint32)

    return infer


@lower_builtin(load_run, types.Array, types.Any)
def _lower_load_run(context, builder, sig, args):
    words = builder.load(pointer_to(context, builder, sig, args, vector_type(types.uint32)))
    words.align = 1
    return swap_bytes(builder, words)


@traceable
def load_words(codes, index):
    """Read eight bytes of as many rows as lanes as little-endian uint64, unchecked.

    `index` is the place in the first row of a C-contiguous array of bytes. The words go straight to
    the lanes: by way of memory a vector would wait for all that was done before.
    """


@type_callable(load_words)
def _type_load_words(context):
    def infer(codes, index):
        if is_index(codes, index) and codes.dtype == types.uint8 and codes.ndim == 2:
            return Vector(types.uint64)

    return infer


@lower_builtin(load_words, types.Array, types.Any)
def _lower_load_words(context, builder, sig, args):
    array = context.make_array(sig.args[0])(context, builder, args[0])
    stride = builder.extract_value(array.strides, 0)
    place = pointer_to(context, builder, sig, args, ir.IntType(8))
    words = ir.Constant(vector_type(types.uint64), ir.Undefined)
    for lane in range(LANES):
        word = builder.load(builder.bitcast(place, ir.PointerType(ir.IntType(64))))
        word.align = 1
        word = word if sys.byteorder == "little" else builder.bswap(word)
        words = builder.insert_element(words, word, ir.Constant(ir.IntType(32), lane))
        place = builder.gep(place, [stride])
    return words


@traceable
def store_words(codes, index, words):
    """Undo `load_words`."""


@type_callable(store_words)
def _type_store_words(context):
    def infer(codes, index, words):
        if _type_load_words(context)(codes, index) and words == Vector(types.uint64):
            return types.void if codes.mutable else None

    return infer


@lower_builtin(store_words, types.Array, types.Any, Vector)
def _lower_store_words(context, builder, sig, args):
    array = context.make_array(sig.args[0])(context, builder, args[0])
    stride = builder.extract_value(array.strides, 0)
    place = pointer_to(context, builder, sig, args, ir.IntType(8))
    for lane in range(LANES):
        word = builder.extract_element(args[2], ir.Constant(ir.IntType(32), lane))
        word = word if sys.byteorder == "little" else builder.bswap(word)
        builder.store(word, builder.bitcast(place, ir.PointerType(ir.IntType(64)))).align = 1
        place = builder.gep(place, [stride])
    return context.get_dummy_value()


class _Places(ir.Instruction):
    """Pointers to the elements of a flat array that a vector of indices names."""

    def __init__(self, block, start, index, kind, name=""):
        pointers = ir.VectorType(ir.PointerType(kind), LANES)
        super().__init__(block, pointers, "getelementptr", [start, index], name)
        self.kind = kind

    def descr(self, buf):
        operands = ", ".join(f"{each.type} {each.get_reference()}" for each in self.operands)
        buf.append(f"getelementptr {self.kind}, {operands}\n")


def _access_lanes(builder, name, start, index, kind, align, vector=None):
    """Gather elements of a type, or scatter those of a vector.

    `start` points to bytes, and so do indices that are aligned to one byte.
    """
    width = kind.width // 8 if isinstance(kind, ir.IntType) else 4 if kind == ir.FloatType() else 8
    step = kind if align == width else ir.IntType(8)
    places = _Places(builder.block, builder.bitcast(start, ir.PointerType(step)), index, step)
    builder._insert(places)
    pointers = ir.VectorType(ir.PointerType(kind), LANES)
    places = places if step == kind else builder.bitcast(places, pointers)
    lane = f"{'f' if kind in (ir.FloatType(), ir.DoubleType()) else 'i'}{8 * width}"
    mask = ir.Constant(ir.VectorType(ir.IntType(1), LANES), [1] * LANES)
    align = ir.Constant(ir.IntType(32), align)
    values = ir.VectorType(kind, LANES)
    if vector is None:
        arguments, result = [places, align, mask, ir.Constant(values, ir.Undefined)], values
    else:
        arguments, result = [vector, places, align, mask], ir.VoidType()
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(result, [argument.type for argument in arguments]),
        f"llvm.masked.{name}.v{LANES}{lane}.v{LANES}p0{lane}",
    )
    return builder.call(function, arguments)


@traceable
def gather(array, index):
    """Load the elements of a flat array that a vector of int32 names, unchecked."""


@traceable
def gather_words(codes, index):
    """Load four bytes from each of the places in a flat array of bytes as uint32, unchecked."""


@traceable
def scatter_words(codes, index, words):
    """Store each uint32 as four little-endian bytes of a flat array, unchecked, lane by lane."""


def _is_flat(array):
    return isinstance(array, types.Array) and array.layout == "C" and array.ndim == 1


@type_callable(gather)
def _type_gather(context):
    def infer(array, index):
        if _is_flat(array) and index == Vector(types.int32):
            return Vector(array.dtype)

    return infer


@type_callable(gather_words)
def _type_gather_words(context):
    def infer(codes, index):
        if _is_flat(codes) and codes.dtype == types.uint8 and index == Vector(types.int32):
            return Vector(types.uint32)

    return infer


@type_callable(scatter_words)
def _type_scatter_words(context):
    def infer(codes, index, words):
        if (
            _type_gather_words(context)(codes, index)
            and codes.mutable
            and words == Vector(types.uint32)
        ):
            return types.void

    return infer


def _start(context, builder, array_type, array):
    return context.make_array(array_type)(context, builder, array).data


@lower_builtin(gather, types.Array, Vector)
def _lower_gather(context, builder, sig, args):
    start = _start(context, builder, sig.args[0], args[0])
    kind = context.get_data_type(sig.args[0].dtype)
    return _access_lanes(builder, "gather", start, args[1], kind, sig.args[0].dtype.bitwidth // 8)


def swap_bytes(builder, words):
    """Bring words from the machine's order of bytes to little-endian, or back."""
    if sys.byteorder == "little":
        return words
    for shift, mask in ((16, 0x0000FFFF), (8, 0x00FF00FF)):
        by, low = (ir.Constant(words.type, [number] * LANES) for number in (shift, mask))
        up = builder.shl(builder.and_(words, low), by)
        words = builder.or_(up, builder.and_(builder.lshr(words, by), low))
    return words


@lower_builtin(gather_words, types.Array, Vector)
def _lower_gather_words(context, builder, sig, args):
    start = _start(context, builder, sig.args[0], args[0])
    return swap_bytes(builder, _access_lanes(builder, "gather", start, args[1], ir.IntType(32), 1))


@lower_builtin(scatter_words, types.Array, Vector, Vector)
def _lower_scatter_words(context, builder, sig, args):
    start = _start(context, builder, sig.args[0], args[0])
    words = swap_bytes(builder, args[2])
    _access_lanes(builder, "scatter", start, args[1], ir.IntType(32), 1, words)
    return context.get_dummy_value()


@traceable
def prefetch(array, index):
    """Ask for the line of the cache with an element, which is needed soon."""


@type_callable(prefetch)
def _type_prefetch(context):
    return lambda array, index: types.void if is_index(array, index) else None


@lower_builtin(prefetch, types.Array, types.Any)
def _lower_prefetch(context, builder, sig, args):
    byte, number = ir.IntType(8), ir.IntType(32)
    place = pointer_to(context, builder, sig, args, byte)
    kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    to_read, near, data = (ir.Constant(number, value) for value in (0, 3, 1))
    builder.call(function, [place, to_read, near, data])
    return context.get_dummy_value()


@traceable
def copy_bytes(source, first, target, place, count):
    """Copy neighbours of C-contiguous arrays of bytes, from an index to another, unchecked."""


@type_callable(copy_bytes)
def _type_copy_bytes(context):
    def infer(source, first, target, place, count):
        fits = is_index(source, first) and is_index(target, place) and target.mutable
        if fits and source.dtype == target.dtype == types.uint8:
            return types.void

    return infer


@lower_builtin(copy_bytes, types.Array, types.Any, types.Array, types.Any, types.Integer)
def _lower_copy_bytes(context, builder, sig, args):
    places = [
        pointer_to(context, builder, signature(types.void, *sig.args[i : i + 2]), args[i : i + 2],
                   ir.IntType(8))
        for i in (0, 2)
    ]  # fmt: skip
    count = context.cast(builder, args[4], sig.args[4], types.intp)
    cgutils.raw_memcpy(builder, places[1], places[0], count, 1)
    return context.get_dummy_value()
