"""The instruction set that Numba compiles for: the one place that asks.

What counts is Numba's own target, which ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` set, not what
the machine has: an instruction that it lacks would end the process. Numba's cache of compiled code
is kept apart by the same two.
"""

import ctypes
import sys
from functools import cache

from numba.core.registry import cpu_target

# Named without a list of features, or with the one of a better machine.
_AVX2_ONLY = {"haswell", "broadwell", "skylake", "znver1", "znver2", "znver3", "x86-64-v3"}


def _find():
    """Find architecture and features of Numba's target."""
    triple, name, features = cpu_target.target_context.codegen().magic_tuple()
    found = {feature[1:] for feature in features.split(",") if feature.startswith("+")}
    return triple.split("-")[0], {"avx2"} if name in _AVX2_ONLY else found


ARCHITECTURE, FEATURES = _find()
IS_X86 = ARCHITECTURE in ("x86_64", "i386", "i686")
VECTOR_BITS = 512 if "avx512bw" in FEATURES else 256 if "avx2" in FEATURES else 128
_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA = 158, 0x1023, 18  # of Linux on x86-64


@cache
def has_amx():
    """Tell whether kernels may use tiles of bytes; the first call asks the system for them."""
    if not {"amx-tile", "amx-int8"} <= FEATURES or sys.platform != "linux":
        return False
    return ctypes.CDLL(None).syscall(_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA) == 0
