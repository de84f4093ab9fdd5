"""Vectors of 32 lanes as ordinary values inside Numba functions.

A kernel that handles 32 rows at a time reads like one that handles a single row: arithmetic,
comparisons and the functions below work lane by lane. They are written in LLVM's own vector
instructions, which every target has, so one source serves AVX-512, AVX2, NEON and plain SSE2.

Scalars join an operation at the vector's precision. Fused multiply-add is never used: a row's code
must not depend on the machine.
"""

import operator
import sys

from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import lower_builtin, models, register_model, type_callable

from ._isa import FEATURES, IS_X86, VECTOR_BITS
from ._traced import traceable

LANES = 32  # two registers of AVX-512: enough to hide the latency of a chain of instructions
# For functions of vectors: they become part of the kernels that call them.
inlined = njit(
    inline="always", nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True,
    error_model="numpy",
)  # fmt: skip
_FLOATS = (types.float32, types.float64)


class Vector(types.Type):
    """The type of a vector; a mask has the dtype `types.boolean`."""

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(f"Vector({dtype})")


class Registers(types.Type):
    """The type of a short list of vectors that the compiler keeps in registers where it can."""

    def __init__(self, dtype, count):
        self.vector = Vector(dtype)
        self.count = count
        super().__init__(f"Registers({dtype}, {count})")


def _llvm(dtype):
    """Give the LLVM type of a vector."""
    if dtype in _FLOATS:
        lane = ir.FloatType() if dtype == types.float32 else ir.DoubleType()
    else:
        lane = ir.IntType(1 if dtype == types.boolean else dtype.bitwidth)
    return ir.VectorType(lane, LANES)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _llvm(fe_type.dtype))


@register_model(Registers)
class _RegistersModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        array = ir.ArrayType(_llvm(fe_type.vector.dtype), fe_type.count)
        super().__init__(dmm, fe_type, ir.PointerType(array))


def to_vector(builder, scalar):
    """Copy a scalar to all lanes."""
    vector = ir.Constant(ir.VectorType(scalar.type, LANES), ir.Undefined)
    vector = builder.insert_element(vector, scalar, ir.Constant(ir.IntType(32), 0))
    order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(vector, vector, order)


def _operands(context, builder, dtype, sig, args):
    """Bring the operands to vectors of a dtype."""
    return [
        arg
        if isinstance(kind, Vector)
        else to_vector(builder, context.cast(builder, arg, kind, dtype))
        for kind, arg in zip(sig.args, args, strict=True)
    ]


def _common_dtype(kinds):
    """Find the dtype of the vectors among operands; None where there is none or they differ."""
    dtypes = {kind.dtype for kind in kinds if isinstance(kind, Vector)}
    rest = [kind for kind in kinds if not isinstance(kind, Vector)]
    if len(dtypes) != 1 or not all(isinstance(kind, types.Number) for kind in rest):
        return None
    return dtypes.pop()


def _define_operator(function, arity, emit, *, gives_mask=False):
    """Define an operator or a function lane by lane.

    `emit(builder, dtype, *operands)` gives the LLVM value.
    """

    @type_callable(function)
    def typer(context):
        def infer(*kinds):
            dtype = _common_dtype(kinds) if len(kinds) == arity else None
            if dtype is not None:
                return Vector(types.boolean) if gives_mask else Vector(dtype)

        return (lambda a: infer(a)) if arity == 1 else (lambda a, b: infer(a, b))

    def lower(context, builder, sig, args):
        dtype = _common_dtype(sig.args)
        return emit(builder, dtype, *_operands(context, builder, dtype, sig, args))

    kinds = [(Vector,)] if arity == 1 else [
        (Vector, Vector), (Vector, types.Number), (types.Number, Vector)
    ]  # fmt: skip
    for kind in kinds:
        lower_builtin(function, *kind)(lower)


def _arithmetic(name, name_of_integers):
    def emit(builder, dtype, a, b):
        return getattr(builder, name if dtype in _FLOATS else name_of_integers)(a, b)

    return emit


def _comparison(symbol):
    def emit(builder, dtype, a, b):
        if dtype in _FLOATS:
            compare = builder.fcmp_unordered if symbol == "!=" else builder.fcmp_ordered
        else:
            compare = builder.icmp_signed if dtype.signed else builder.icmp_unsigned
        return compare(symbol, a, b)

    return emit


def _shift_right(builder, dtype, a, b):
    return (builder.ashr if dtype.signed else builder.lshr)(a, b)


def _intrinsic(name):
    """Call an intrinsic of LLVM."""

    def emit(builder, dtype, *operands):
        lane = f"f{dtype.bitwidth}" if dtype in _FLOATS else f"i{dtype.bitwidth}"
        vector = operands[0].type
        kind = ir.FunctionType(vector, [vector] * len(operands))
        full_name = f"llvm.{name}.v{LANES}{lane}"
        return builder.call(
            cgutils.get_or_insert_function(builder.module, kind, full_name), operands
        )

    return emit


def _magnitude(builder, dtype, a):
    if dtype in _FLOATS:
        return _intrinsic("fabs")(builder, dtype, a)
    negative = builder.icmp_signed("<", a, ir.Constant(a.type, [0] * LANES))
    return builder.select(negative, builder.neg(a), a)


def _choice(symbol):
    """Choose between two operands by a comparison: minimum or maximum, NaN aside."""

    def emit(builder, dtype, a, b):
        return builder.select(_comparison(symbol)(builder, dtype, a, b), a, b)

    return emit


def _flip(builder, dtype, a, b):
    integer = _llvm(types.int32 if dtype == types.float32 else types.int64)
    sign = ir.Constant(integer, [1 << (dtype.bitwidth - 1)] * LANES)
    flipped = builder.and_(builder.bitcast(b, integer), sign)
    return builder.bitcast(builder.xor(builder.bitcast(a, integer), flipped), a.type)


def in_parts(builder, name, *operands, sums=None, bits=None):
    """Call an instruction of the target on as many lanes at a time as it takes.

    It gives vectors like the operands. It takes these as integers of some bits, after `sums`.
    """
    whole = operands[0].type
    size = VECTOR_BITS // whole.element.width
    result = ir.VectorType(whole.element, size)
    taken = result if bits is None else ir.VectorType(ir.IntType(bits), VECTOR_BITS // bits)
    kinds = [taken] * len(operands)
    if sums is not None:
        kinds, operands = [result, *kinds], [sums, *operands]
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, kinds), name)
    parts = zip(*(_split(builder, operand, size) for operand in operands), strict=True)
    found = []
    for part in parts:
        taken = [builder.bitcast(vector, kind) for vector, kind in zip(part, kinds, strict=True)]
        found.append(builder.call(function, taken))
    return _join(builder, found)


def _split(builder, vector, size):
    """Split a vector into shorter ones."""
    orders = (list(range(first, first + size)) for first in range(0, vector.type.count, size))
    orders = (ir.Constant(ir.VectorType(ir.IntType(32), size), order) for order in orders)
    return [builder.shuffle_vector(vector, vector, order) for order in orders]


def _join(builder, parts):
    """Undo `_split`."""
    while len(parts) > 1:
        size = 2 * parts[0].type.count
        order = ir.Constant(ir.VectorType(ir.IntType(32), size), list(range(size)))
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [builder.shuffle_vector(a, b, order) for a, b in pairs]
    return parts[0]


def _high_half(builder, dtype, a, b):
    names = {512: "avx512.pmulh{}.w.512", 256: "avx2.pmulh{}.w", 128: "sse2.pmulh{}.w"}
    if IS_X86:
        name = "llvm.x86." + names[VECTOR_BITS].format("" if dtype.signed else "u")
        return in_parts(builder, name, a, b)
    extend, wide = builder.sext if dtype.signed else builder.zext, _llvm(types.int32)
    product = builder.mul(extend(a, wide), extend(b, wide))
    return builder.trunc(builder.lshr(product, ir.Constant(wide, [16] * LANES)), a.type)


@traceable
def high_half(a, b):
    """Upper 16 bits of the product of 16-bit integers."""


def _rounded_product(builder, dtype, a, b):
    if VECTOR_BITS > 128 or "ssse3" in FEATURES:
        names = {512: "avx512.pmul.hr.sw.512", 256: "avx2.pmul.hr.sw", 128: "ssse3.pmul.hr.sw.128"}
        return in_parts(builder, "llvm.x86." + names[VECTOR_BITS], a, b)
    wide = _llvm(types.int32)
    product = builder.mul(builder.sext(a, wide), builder.sext(b, wide))
    half, by = (ir.Constant(wide, [number] * LANES) for number in (1 << 14, 15))
    return builder.trunc(builder.ashr(builder.add(product, half), by), a.type)


@traceable
def rounded_product(a, b):
    """Product of 16-bit integers over 2^15, rounded to nearest."""


def _average(builder, dtype, a, b):
    wide = _llvm(types.uint32)
    whole = builder.add(builder.zext(a, wide), builder.zext(b, wide))
    one = ir.Constant(wide, [1] * LANES)
    return builder.trunc(builder.lshr(builder.add(whole, one), one), a.type)


@traceable
def average(a, b):
    """Take the mean of 16-bit integers without sign, rounded up."""


@traceable
def flip(a, b):
    """Change the sign of a where that of b is set."""


@traceable
def rint(x):
    """Round to the nearest integer, ties to even."""


@traceable
def floor(x):
    """Round down."""


@traceable
def root(x):
    """Take the square root."""


@traceable
def least(a, b):
    """Smaller of two, the second where they do not compare."""


@traceable
def most(a, b):
    """Larger of two, the second where they do not compare."""


_define_operator(operator.add, 2, _arithmetic("fadd", "add"))
_define_operator(operator.sub, 2, _arithmetic("fsub", "sub"))
_define_operator(operator.mul, 2, _arithmetic("fmul", "mul"))
_define_operator(operator.truediv, 2, _arithmetic("fdiv", None))
_define_operator(operator.and_, 2, _arithmetic(None, "and_"))
_define_operator(operator.or_, 2, _arithmetic(None, "or_"))
_define_operator(operator.xor, 2, _arithmetic(None, "xor"))
_define_operator(operator.lshift, 2, _arithmetic(None, "shl"))
_define_operator(operator.rshift, 2, _shift_right)
_define_operator(operator.invert, 1, lambda builder, dtype, a: builder.not_(a))
_define_operator(flip, 2, _flip)
_define_operator(abs, 1, _magnitude)
_define_operator(rint, 1, _intrinsic("rint"))
_define_operator(floor, 1, _intrinsic("floor"))
_define_operator(root, 1, _intrinsic("sqrt"))
_define_operator(high_half, 2, _high_half)
_define_operator(rounded_product, 2, _rounded_product)
_define_operator(average, 2, _average)
_define_operator(least, 2, _choice("<"))
_define_operator(most, 2, _choice(">"))
for _function, _symbol in [
    (operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"), (operator.ge, ">="),
    (operator.eq, "=="), (operator.ne, "!="),
]:  # fmt: skip
    _define_operator(_function, 2, _comparison(_symbol), gives_mask=True)


@traceable
def where(mask, a, b):
    """Take a in the lanes of the mask and b in the others."""


@type_callable(where)
def _type_where(context):
    def infer(mask, a, b):
        dtype = _common_dtype((a, b))
        if mask == Vector(types.boolean) and dtype is not None:
            return Vector(dtype)

    return infer


@lower_builtin(where, Vector, types.Any, types.Any)
def _lower_where(context, builder, sig, args):
    mask, *rest = args
    kinds = sig.return_type(*sig.args[1:])
    return builder.select(mask, *_operands(context, builder, sig.return_type.dtype, kinds, rest))


@traceable
def splat(scalar):
    """Copy a scalar to all lanes."""


@type_callable(splat)
def _type_splat(context):
    return lambda scalar: Vector(scalar) if isinstance(scalar, types.Number) else None


@lower_builtin(splat, types.Number)
def _lower_splat(context, builder, sig, args):
    return to_vector(builder, args[0])


@traceable
def cast(vector, like):
    """Convert to a dtype, such as ``np.float64``, or to a scalar's type; truncate to integers."""


@type_callable(cast)
def _type_cast(context):
    def infer(vector, like):
        dtype = like.instance_type if isinstance(like, types.NumberClass) else like
        if isinstance(vector, Vector) and isinstance(dtype, types.Number):
            return Vector(dtype)

    return infer


@lower_builtin(cast, Vector, types.Any)
def _lower_cast(context, builder, sig, args):
    old, new, vector = sig.args[0].dtype, sig.return_type.dtype, args[0]
    kind = _llvm(new)
    if old == new:
        return vector
    if old == types.boolean:
        vector = builder.zext(vector, _llvm(types.int32))
        old = types.int32
    if old in _FLOATS and new in _FLOATS:
        wider = new.bitwidth > old.bitwidth
        return builder.fpext(vector, kind) if wider else builder.fptrunc(vector, kind)
    if old in _FLOATS:
        return builder.fptosi(vector, kind) if new.signed else builder.fptoui(vector, kind)
    if new in _FLOATS:
        return builder.sitofp(vector, kind) if old.signed else builder.uitofp(vector, kind)
    if new.bitwidth < old.bitwidth:
        return builder.trunc(vector, kind)
    if new.bitwidth == old.bitwidth:
        return vector
    return builder.sext(vector, kind) if old.signed else builder.zext(vector, kind)


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
    halves = _split(builder, args[0], LANES // 2)
    shorts = _llvm(sig.return_type.dtype)
    return builder.shuffle_vector(*(builder.bitcast(half, shorts) for half in halves), _FOLD)


@lower_builtin(pair, Vector, Vector)
def _lower_pair(context, builder, sig, args):
    args = args if sys.byteorder == "little" else args[::-1]
    kind = ir.VectorType(ir.IntType(32), LANES // 2)
    parts = [builder.shuffle_vector(*args, order) for order in _INTERLEAVE]
    return _join(builder, [builder.bitcast(part, kind) for part in parts])


@lower_builtin(unfold, Vector)
def _lower_unfold(context, builder, sig, args):
    both = _lower_pair(context, builder, None, [args[0], args[0]])
    places = ir.Constant(both.type, [16] * LANES)
    return (builder.ashr if sig.return_type.dtype.signed else builder.lshr)(both, places)


@traceable
def bits(vector):
    """Reinterpret floats as integers of the same width."""


@type_callable(bits)
def _type_bits(context):
    def infer(vector):
        if isinstance(vector, Vector) and vector.dtype in _FLOATS:
            return Vector(types.int32 if vector.dtype == types.float32 else types.int64)

    return infer


@traceable
def from_bits(vector):
    """Undo `bits`."""


@type_callable(from_bits)
def _type_from_bits(context):
    def infer(vector):
        if vector in (Vector(types.int32), Vector(types.int64)):
            return Vector(types.float32 if vector.dtype == types.int32 else types.float64)

    return infer


@lower_builtin(bits, Vector)
@lower_builtin(from_bits, Vector)
def _lower_bits(context, builder, sig, args):
    return builder.bitcast(args[0], _llvm(sig.return_type.dtype))


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
        parts = _split(builder, index, 8)
        return _join(builder, [builder.call(function, [table, part]) for part in parts])
    found = ir.Constant(_llvm(types.float32), ir.Undefined)
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
def multiply_add(a, b, c):
    """Compute a * b + c, rounded once or twice: not where the result decides anything."""


@type_callable(multiply_add)
def _type_multiply_add(context):
    return lambda a, b, c: a if a == b == c == Vector(types.float32) else None


@lower_builtin(multiply_add, Vector, Vector, Vector)
def _lower_multiply_add(context, builder, sig, args):
    return _intrinsic("fmuladd")(builder, sig.return_type.dtype, *args)


@traceable
def load(array, index):
    """Read as many neighbours as lanes along the last axis of a C-contiguous array, unchecked."""


@traceable
def store(array, index, vector):
    """Write as many neighbours as lanes along the last axis of a C-contiguous array, unchecked."""


def _is_index(array, index):
    return (
        isinstance(array, types.Array)
        and array.layout == "C"
        and (isinstance(index, types.Integer) if array.ndim == 1 else
             isinstance(index, types.BaseTuple) and len(index) == array.ndim)
    )  # fmt: skip


@type_callable(load)
def _type_load(context):
    return lambda array, index: Vector(array.dtype) if _is_index(array, index) else None


@type_callable(store)
def _type_store(context):
    def infer(array, index, vector):
        if _is_index(array, index) and array.mutable and vector == Vector(array.dtype):
            return types.void

    return infer


def _pointer(context, builder, sig, args, kind):
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
    kind = _llvm(sig.return_type.dtype)
    value = builder.load(_pointer(context, builder, sig, args, kind))
    value.align = sig.args[0].dtype.bitwidth // 8
    return value


@lower_builtin(store, types.Array, types.Any, Vector)
def _lower_store(context, builder, sig, args):
    kind = _llvm(sig.args[2].dtype)
    written = builder.store(args[2], _pointer(context, builder, sig, args, kind))
    written.align = sig.args[0].dtype.bitwidth // 8
    return context.get_dummy_value()


@traceable
def load_run(codes, index):
    """Read LANES neighbouring little-endian uint32 of a C-contiguous array of bytes, unchecked."""


@type_callable(load_run)
def _type_load_run(context):
    def infer(codes, index):
        if _is_index(codes, index) and codes.dtype == types.uint8:
            return Vector(types.uint32)

    return infer


@lower_builtin(load_run, types.Array, types.Any)
def _lower_load_run(context, builder, sig, args):
    words = builder.load(_pointer(context, builder, sig, args, _llvm(types.uint32)))
    words.align = 1
    return _swap_bytes(builder, words)


@traceable
def total(vector):
    """Sum all lanes, in an order that does not depend on the machine."""


@type_callable(total)
def _type_total(context):
    return lambda vector: vector.dtype if isinstance(vector, Vector) else None


@lower_builtin(total, Vector)
def _lower_total(context, builder, sig, args):
    vector, add = args[0], builder.fadd if sig.return_type in _FLOATS else builder.add
    while vector.type.count > 1:
        vector = add(*_split(builder, vector, vector.type.count // 2))
    return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))


@traceable
def load_words(codes, index):
    """Read eight bytes of as many rows as lanes as little-endian uint64, unchecked.

    `index` is the place in the first row of a C-contiguous array of bytes. The words go straight to
    the lanes: by way of memory a vector would wait for all that was done before.
    """


@type_callable(load_words)
def _type_load_words(context):
    def infer(codes, index):
        if _is_index(codes, index) and codes.dtype == types.uint8 and codes.ndim == 2:
            return Vector(types.uint64)

    return infer


@lower_builtin(load_words, types.Array, types.Any)
def _lower_load_words(context, builder, sig, args):
    array = context.make_array(sig.args[0])(context, builder, args[0])
    stride = builder.extract_value(array.strides, 0)
    place = _pointer(context, builder, sig, args, ir.IntType(8))
    words = ir.Constant(_llvm(types.uint64), ir.Undefined)
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
    place = _pointer(context, builder, sig, args, ir.IntType(8))
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


def _swap_bytes(builder, words):
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
    return _swap_bytes(builder, _access_lanes(builder, "gather", start, args[1], ir.IntType(32), 1))


@lower_builtin(scatter_words, types.Array, Vector, Vector)
def _lower_scatter_words(context, builder, sig, args):
    start = _start(context, builder, sig.args[0], args[0])
    words = _swap_bytes(builder, args[2])
    _access_lanes(builder, "scatter", start, args[1], ir.IntType(32), 1, words)
    return context.get_dummy_value()


@traceable
def prefetch(array, index):
    """Ask for the line of the cache with an element, which is needed soon."""


@type_callable(prefetch)
def _type_prefetch(context):
    return lambda array, index: types.void if _is_index(array, index) else None


@lower_builtin(prefetch, types.Array, types.Any)
def _lower_prefetch(context, builder, sig, args):
    byte, number = ir.IntType(8), ir.IntType(32)
    place = _pointer(context, builder, sig, args, byte)
    kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    to_read, near, data = (ir.Constant(number, value) for value in (0, 3, 1))
    builder.call(function, [place, to_read, near, data])
    return context.get_dummy_value()


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
    array = ir.ArrayType(_llvm(kind.vector.dtype), kind.count)
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
