"""What the kernels emit for AArch64, which no machine of the tests has to run."""

import re

import llvmlite.binding as llvm
import pytest
from llvmlite import ir

from skquant._kernels import _dot, _look_up, _vectors
from skquant._kernels._vectors import LANES

NUMBERS = ir.VectorType(ir.IntType(32), LANES)
BYTES = ir.VectorType(ir.IntType(8), 2 * LANES)


@pytest.fixture(autouse=True)
def aarch64(monkeypatch):
    """Let the emitters believe that they compile for AArch64 with dot products."""
    for module in (_dot, _vectors):
        monkeypatch.setattr(module, "VECTOR_BITS", 128)
        monkeypatch.setattr(module, "IS_X86", False)
    for name, value in (("_DOTPROD", True), ("_VNNI", False), ("_VNNI_256", False)):
        monkeypatch.setattr(_dot, name, value)


def assembly(emit, *kinds):
    """Compile a function that applies `emit` to vectors from memory, and count its instructions."""
    module = ir.Module()
    module.triple = "aarch64-unknown-linux-gnu"
    pointers = [ir.PointerType(kind) for kind in kinds]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointers[0], *pointers]), "run")
    builder = ir.IRBuilder(function.append_basic_block())
    out, *places = function.args
    builder.store(emit(builder, *(builder.load(place) for place in places)), out)
    builder.ret_void()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(module.triple)
    machine = target.create_target_machine(cpu="neoverse-n1", features="+dotprod", opt=3)
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    return re.findall(r"^\t([a-z]\w*)", machine.emit_assembly(parsed), re.M)


def test_bytes_take_the_dot_product():
    instructions = assembly(_dot._dot_bytes, NUMBERS, NUMBERS, NUMBERS)
    assert instructions.count("sdot") == LANES // 4
    assert not {"mul", "mla", "smull", "bl"} & set(instructions)


def test_shorts_take_products_of_vectors():
    instructions = assembly(_dot._dot_shorts, NUMBERS, NUMBERS, NUMBERS)
    products = [name for name in instructions if re.fullmatch("mul|mla|smull2?|smlal2?", name)]
    assert LANES // 4 <= len(products) <= 2 * LANES // 4
    assert "bl" not in instructions


def test_tables_are_looked_up_by_sixteen_bytes():
    def emit(builder, places, table):
        start = builder.alloca(BYTES)
        builder.store(table, start)
        start = builder.bitcast(start, ir.PointerType(ir.IntType(8)))
        return _look_up._look_up_neon(builder, start, places)

    instructions = assembly(emit, BYTES, BYTES)
    assert instructions.count("tbl") == 2 * LANES // 16
    assert "bl" not in instructions
