"""Vectors of 32 lanes as ordinary values inside Numba functions.

A kernel that handles 32 rows at a time reads like one that handles a single row: arithmetic,
comparisons and the functions below work lane by lane. They are written in LLVM's own vector
instructions, which every target has, so one source serves AVX-512, AVX2, NEON and plain SSE2.

Scalars join an operation at the vector's precision. Fused multiply-add is never used: a row's code
must not depend on the machine.
"""

import operator

from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import lower_builtin, models, register_model, type_callable

from ._isa import FEATURES, IS_X86, VECTOR_BITS
from ._traced import traceable

LANES = 32  # two registers of AVX-512: enough to hide the latency of a chain of instructions
# For functions of vectors: they become part of the kernels that call them.
inlined = njit(
    forceinline=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True,
    error_model="numpy",
)  # fmt: skip
FLOATS = (types.float32, types.float64)


class Vector(types.Type):
    """The type of a vector; a mask has the dtype `types.boolean`."""

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(f"Vector({dtype})")


def vector_type(dtype):
    """Give the LLVM type of a vector."""
    if dtype in FLOATS:
        lane = ir.FloatType() if dtype == types.float32 else ir.DoubleType()
    else:
        lane = ir.IntType(1 if dtype == types.boolean else dtype.bitwidth)
    return ir.VectorType(lane, LANES)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, vector_type(fe_type.dtype))


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
        return getattr(builder, name if dtype in FLOATS else name_of_integers)(a, b)

    return emit


def _comparison(symbol):
    def emit(builder, dtype, a, b):
        if dtype in FLOATS:
            compare = builder.fcmp_unordered if symbol == "!=" else builder.fcmp_ordered
        else:
            compare = builder.icmp_signed if dtype.signed else builder.icmp_unsigned
        return compare(symbol, a, b)

    return emit


def _shift_right(builder, dtype, a, b):
    return (builder.ashr if dtype.signed else builder.lshr)(a, b)


def intrinsic(name):
    """Call an intrinsic of LLVM."""

    def emit(builder, dtype, *operands):
        lane = f"f{dtype.bitwidth}" if dtype in FLOATS else f"i{dtype.bitwidth}"
        vector = operands[0].type
        kind = ir.FunctionType(vector, [vector] * len(operands))
        full_name = f"llvm.{name}.v{LANES}{lane}"
        return builder.call(
            cgutils.get_or_insert_function(builder.module, kind, full_name), operands
        )

    return emit


def _magnitude(builder, dtype, a):
    if dtype in FLOATS:
        return intrinsic("fabs")(builder, dtype, a)
    negative = builder.icmp_signed("<", a, ir.Constant(a.type, [0] * LANES))
    return builder.select(negative, builder.neg(a), a)


def _choice(symbol):
    """Choose between two operands by a comparison: minimum or maximum, NaN aside."""

    def emit(builder, dtype, a, b):
        return builder.select(_comparison(symbol)(builder, dtype, a, b), a, b)

    return emit


def _flip(builder, dtype, a, b):
    integer = vector_type(types.int32 if dtype == types.float32 else types.int64)
    sign = ir.Constant(integer, [1 << (dtype.bitwidth - 1)] * LANES)
    flipped = builder.and_(builder.bitcast(b, integer), sign)
    return builder.bitcast(builder.xor(builder.bitcast(a, integer), flipped), a.type)


def in_parts(builder, name, *operands, sums=None, bits=None, gives=None):
    """Call an instruction of the target on as many lanes at a time as it takes.

    It gives vectors like the operands. It takes these as integers of some bits, after `sums`, and
    gives some of other bits if so told.
    """
    whole = operands[0].type
    size = VECTOR_BITS // whole.element.width
    result = ir.VectorType(whole.element, size)
    taken, given = (
        result if n is None else ir.VectorType(ir.IntType(n), VECTOR_BITS // n)
        for n in (bits, gives)
    )
    kinds = [taken] * len(operands)
    if sums is not None:
        kinds, operands = [result, *kinds], [sums, *operands]
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(given, kinds), name)
    parts = zip(*(split(builder, operand, size) for operand in operands), strict=True)
    found = []
    for part in parts:
        taken = [builder.bitcast(vector, kind) for vector, kind in zip(part, kinds, strict=True)]
        found.append(builder.bitcast(builder.call(function, taken), result))
    return join(builder, found)


def split(builder, vector, size):
    """Split a vector into shorter ones."""
    orders = (list(range(first, first + size)) for first in range(0, vector.type.count, size))
    orders = (ir.Constant(ir.VectorType(ir.IntType(32), size), order) for order in orders)
    return [builder.shuffle_vector(vector, vector, order) for order in orders]


def join(builder, parts):
    """Undo `split`."""
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
    extend, wide = builder.sext if dtype.signed else builder.zext, vector_type(types.int32)
    product = builder.mul(extend(a, wide), extend(b, wide))
    return builder.trunc(builder.lshr(product, ir.Constant(wide, [16] * LANES)), a.type)


@traceable
def high_half(a, b):
    """Upper 16 bits of the product of 16-bit integers."""


def _rounded_product(builder, dtype, a, b):
    if VECTOR_BITS > 128 or "ssse3" in FEATURES:
        names = {512: "avx512.pmul.hr.sw.512", 256: "avx2.pmul.hr.sw", 128: "ssse3.pmul.hr.sw.128"}
        return in_parts(builder, "llvm.x86." + names[VECTOR_BITS], a, b)
    wide = vector_type(types.int32)
    product = builder.mul(builder.sext(a, wide), builder.sext(b, wide))
    half, by = (ir.Constant(wide, [number] * LANES) for number in (1 << 14, 15))
    return builder.trunc(builder.ashr(builder.add(product, half), by), a.type)


@traceable
def rounded_product(a, b):
    """Product of 16-bit integers over 2^15, rounded to nearest."""


def _average(builder, dtype, a, b):
    wide = vector_type(types.uint32)
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
_define_operator(rint, 1, intrinsic("rint"))
_define_operator(floor, 1, intrinsic("floor"))
_define_operator(root, 1, intrinsic("sqrt"))
_define_operator(high_half, 2, _high_half)
_define_operator(rounded_product, 2, _rounded_product)
_define_operator(average, 2, _average)
_define_operator(least, 2, _choice("<"))
_define_operator(most, 2, _choice(">"))


def _define_choice(function, symbol):
    """Define the choice for scalars of one type; Numba's own takes longer to compile."""

    @type_callable(function)
    def typer(context):
        def infer(a, b):
            if isinstance(a, types.Number) and isinstance(b, types.Number):
                kind = context.unify_types(types.unliteral(a), types.unliteral(b))
                return kind if kind in (types.intp, *FLOATS) else None

        return infer

    @lower_builtin(function, types.Number, types.Number)
    def lower(context, builder, sig, args):
        kind = sig.return_type
        a, b = (context.cast(builder, v, own, kind) for v, own in zip(args, sig.args, strict=True))
        compare = builder.fcmp_ordered if kind in FLOATS else builder.icmp_signed
        return builder.select(compare(symbol, a, b), a, b)


_define_choice(least, "<")
_define_choice(most, ">")
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
    kind = vector_type(new)
    if old == new:
        return vector
    if old == types.boolean:
        vector = builder.zext(vector, vector_type(types.int32))
        old = types.int32
    if old in FLOATS and new in FLOATS:
        wider = new.bitwidth > old.bitwidth
        return builder.fpext(vector, kind) if wider else builder.fptrunc(vector, kind)
    if old in FLOATS:
        return builder.fptosi(vector, kind) if new.signed else builder.fptoui(vector, kind)
    if new in FLOATS:
        return builder.sitofp(vector, kind) if old.signed else builder.uitofp(vector, kind)
    if new.bitwidth < old.bitwidth:
        return builder.trunc(vector, kind)
    if new.bitwidth == old.bitwidth:
        return vector
    return builder.sext(vector, kind) if old.signed else builder.zext(vector, kind)


@traceable
def bits(vector):
    """Reinterpret floats as integers of the same width."""


@type_callable(bits)
def _type_bits(context):
    def infer(vector):
        if isinstance(vector, Vector) and vector.dtype in FLOATS:
            return Vector(types.int32 if vector.dtype == types.float32 else types.int64)

    return infer


@traceable
def from_bits(vector):
    """Undo `bits`; make a float32 of a scalar uint32."""


@type_callable(from_bits)
def _type_from_bits(context):
    def infer(vector):
        if vector in (Vector(types.int32), Vector(types.int64)):
            return Vector(types.float32 if vector.dtype == types.int32 else types.float64)
        return types.float32 if vector == types.uint32 else None

    return infer


@lower_builtin(bits, Vector)
@lower_builtin(from_bits, Vector)
def _lower_bits(context, builder, sig, args):
    return builder.bitcast(args[0], vector_type(sig.return_type.dtype))


@lower_builtin(from_bits, types.uint32)
def _lower_bits_of_scalar(context, builder, sig, args):
    return builder.bitcast(args[0], ir.FloatType())


@traceable
def multiply_add(a, b, c):
    """Compute a * b + c, rounded once or twice: not where the result decides anything."""


@type_callable(multiply_add)
def _type_multiply_add(context):
    return lambda a, b, c: a if a == b == c == Vector(types.float32) else None


@lower_builtin(multiply_add, Vector, Vector, Vector)
def _lower_multiply_add(context, builder, sig, args):
    return intrinsic("fmuladd")(builder, sig.return_type.dtype, *args)
