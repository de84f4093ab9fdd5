"""Vectors work, and codes are the same, on every machine."""

from hashlib import sha256

import numpy as np
from machines import other_machines, run_as
from reference import to_panels

from skquant._codecs._rotation import HadamardRotation
from skquant._codes._entropy import EntropyRowCode
from skquant._codes._hierarchical import spend_bits_on_layers
from skquant._codes._scales import available_bits, code_for
from skquant.lattices import LATTICES


@other_machines
def test_the_vectors_of_other_machines(cpu):
    sample = "(float32 or words) and not neighbours and not registers"
    files = ("test_vectors.py", "test_vector_masks.py", "test_vector_memory.py")
    run_as(cpu, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files, "-k", sample)


def digest_of_codes():
    """Rotate, encode and decode some rows, and condense what comes out, to the last bit."""
    panels = to_panels(np.random.default_rng(0).standard_normal((200, 48), dtype=np.float32))
    HadamardRotation.draw(48, np.random.RandomState(0)).forward(panels)
    digest = sha256()
    for lattice in LATTICES.values():
        for n_bits in (available_bits(lattice)[2], 32):
            code = code_for(lattice, n_bits)
            codes, decoded = np.zeros((200, 6 * code.n_bits), np.uint8), np.zeros_like(panels)
            moments, energy = np.zeros((200, 2)), np.zeros(200)
            code.encode(panels, 0, 6, 0, codes, moments)
            code.decode(codes, 0, 6, 0, decoded, energy)
            for array in (codes, moments, decoded, energy):
                digest.update(array.tobytes())
    return digest.hexdigest()


def digest_of_hierarchical_codes():
    """Do the same with hierarchical codes, and multiply."""
    panels = to_panels(np.random.default_rng(0).standard_normal((70, 96), dtype=np.float32))
    vectors = np.random.default_rng(1).standard_normal((2, 96), dtype=np.float32)
    digest = sha256()
    for lattice in LATTICES.values():
        for bits in (1, 2.5, 6):
            code = spend_bits_on_layers(lattice, 96, int(96 * bits))
            codes, decoded = np.zeros((70, code.n_bytes), np.uint8), np.zeros_like(panels)
            for array in (code.encode(panels, codes), codes, code.decode(codes, decoded), decoded):
                digest.update(array.tobytes())
            products, _ = code.multiply(codes, np.rint(4 * vectors))
            digest.update(np.rint(16 * products).tobytes())
    return digest.hexdigest()


@other_machines
def test_hierarchical_codes_do_not_depend_on_the_machine(cpu):
    there = run_as(
        cpu, "-c", "import test_machine_independence as t; print(t.digest_of_hierarchical_codes())"
    )
    assert there.strip() == digest_of_hierarchical_codes()


def digest_of_entropy_codes():
    """Encode and decode some rows by entropy coding, and condense what comes out."""
    panels = to_panels(np.random.default_rng(0).standard_normal((70, 96), dtype=np.float32))
    digest = sha256()
    for name, n_bytes in (("E8", 17), ("D4", 70), ("Trellis", 24)):
        code = EntropyRowCode.choose(name, 96, n_bytes)
        codes, decoded = np.zeros((70, n_bytes), np.uint8), np.zeros_like(panels)
        for array in (code.encode(panels, codes), codes, code.decode(codes, decoded), decoded):
            digest.update(array.tobytes())
    return digest.hexdigest()


@other_machines
def test_entropy_codes_do_not_depend_on_the_machine(cpu):
    there = run_as(
        cpu, "-c", "import test_machine_independence as t; print(t.digest_of_entropy_codes())"
    )
    assert there.strip() == digest_of_entropy_codes()


@other_machines
def test_codes_do_not_depend_on_the_machine(cpu):
    there = run_as(cpu, "-c", "import test_machine_independence as t; print(t.digest_of_codes())")
    assert there.strip() == digest_of_codes()
