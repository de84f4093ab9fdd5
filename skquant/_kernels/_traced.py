"""Functions that kernels call and that cost them little to compile: their Python code emits.

Numba takes a tenth of a second for every function, whether it is inlined or not, and milliseconds
for every statement. A *traced* function is no function to it but an instruction: while a kernel is
compiled, the Python code of the traced function runs once, and what it does to its arguments
becomes the kernel's instructions. Loops in it are unrolled, and nothing in it can depend on values
that only a call of the kernel knows: it has no branches but those of Python. Lists hold vectors.
"""

import inspect
import operator
from functools import wraps

from numba.core import types
from numba.extending import lower_builtin, type_callable


class Traced:
    """A value that only a call of the kernel will know, and its type."""

    def __init__(self, trace, kind, value):
        self._trace, self._kind, self._value = trace, kind, value

    def __getattr__(self, name):
        if not isinstance(self._kind, types.NamedTuple) or name not in self._kind.fields:
            raise AttributeError(name)
        return self._trace.part(self, self._kind.fields.index(name))

    def __getitem__(self, index):
        if isinstance(self._kind, types.BaseTuple):
            return self._trace.part(self, index)
        return emit(operator.getitem, self, index)

    def __bool__(self):
        raise TypeError("a traced function cannot branch on a value that only a call knows")


def _define_operators():
    two = "add sub mul truediv and_ or_ xor lshift rshift lt le gt ge eq ne".split()
    for name in [*two, "invert", "setitem"]:
        function = getattr(operator, name)
        plain = name.strip("_")
        setattr(Traced, f"__{plain}__", lambda *args, f=function: emit(f, *args))
        if name in two[:9]:
            setattr(Traced, f"__r{plain}__", lambda b, a, f=function: emit(f, a, b))
    Traced.__abs__ = lambda a: emit(abs, a)


class _Typing:
    """What a traced function does, as far as types go."""

    known = {}  # what resolves a function and types of arguments

    def __init__(self, typing_context):
        self.typing_context = typing_context

    def resolve(self, function, kinds):
        """Find what implements a function or an operator, and its signature."""
        if (function, kinds) not in self.known:
            resolver = self.typing_context.resolve_value_type(function)
            signature = resolver.get_call_type(self.typing_context, kinds, {})
            self.known[function, kinds] = resolver, signature
        return self.known[function, kinds]

    def emit(self, function, arguments):
        """Call a function or an operator that Numba knows."""
        arguments = [self.take(argument) for argument in arguments]
        kinds = tuple(argument._kind for argument in arguments)
        resolver, signature = self.resolve(function, kinds)
        return Traced(self, signature.return_type, self.call(resolver, signature, arguments))

    def call(self, resolver, signature, arguments):
        """Give the value of a call."""

    def take(self, argument):
        """Make a constant or a tuple a traced value."""
        if isinstance(argument, Traced):
            return argument
        if isinstance(argument, (tuple, list)):
            parts = [self.take(part) for part in argument]
            kind = types.Tuple([part._kind for part in parts])
            return Traced(self, kind, self.join(kind, parts))
        kind = types.unliteral(self.typing_context.resolve_value_type(argument))
        return Traced(self, kind, self.constant(kind, argument))

    def join(self, kind, parts):
        """Give the value of a tuple."""

    def constant(self, kind, argument):
        """Give the value of a constant."""

    def part(self, whole, i):
        """Take an entry of a tuple."""
        return Traced(self, whole._kind.types[i], None)


class _Emission(_Typing):
    """What a traced function does, as instructions."""

    def __init__(self, context, builder):
        super().__init__(context.typing_context)
        self.context, self.builder = context, builder

    def call(self, resolver, signature, arguments):
        implementation = self.context.get_function(resolver, signature)
        values = [
            self.context.cast(self.builder, argument._value, argument._kind, kind)
            for argument, kind in zip(arguments, signature.args, strict=True)
        ]
        return implementation(self.builder, values)

    def join(self, kind, parts):
        return self.context.make_tuple(self.builder, kind, [part._value for part in parts])

    def constant(self, kind, argument):
        if isinstance(kind, types.Number):
            return self.context.get_constant(kind, argument)
        return self.context.get_dummy_value()

    def part(self, whole, i):
        value = self.builder.extract_value(whole._value, i)
        return Traced(self, whole._kind.types[i], value)


def emit(function, *arguments):
    """Emit a call of a function that Numba knows, with at least one traced argument."""
    trace = next(argument._trace for argument in arguments if isinstance(argument, Traced))
    return trace.emit(function, arguments)


_define_operators()


def traceable(function):
    """Let traced functions call a function that is only known to Numba."""

    @wraps(function)
    def call(*arguments):
        return emit(call, *arguments)

    return call


def traced(function):
    """Let kernels call a function, and its Python code emit what it does."""
    known = {}

    @type_callable(function)
    def typer(context):
        def infer(*kinds):
            if kinds not in known:
                typing = _Typing(context)
                result = function(*(Traced(typing, kind, None) for kind in kinds))
                known[kinds] = types.void if result is None else typing.take(result)._kind
            return known[kinds]

        infer.__signature__ = inspect.signature(function)
        return infer

    @lower_builtin(function, types.VarArg(types.Any))
    def lower(context, builder, sig, args):
        emission = _Emission(context, builder)
        given = [Traced(emission, *each) for each in zip(sig.args, args, strict=True)]
        result = function(*given)
        return context.get_dummy_value() if result is None else emission.take(result)._value

    return function
