"""Other processors, and Python with kernels compiled for them."""

import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding
import pytest

_AVX2 = ("avx2", "bmi", "bmi2", "fma", "f16c", "lzcnt")
_VNNI = ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd", "avx512vnni", "avx512vbmi")
# What a machine that can stand in for another has, and what kernels are told of it.
_NEEDED = {"generic": (), "haswell": _AVX2, "icelake-server": (*_AVX2, *_VNNI)}
_TOLD = {"icelake-server": ",".join(f"+{name}" for name in ("avx2", *_VNNI))}


def _on(*cpus):
    """Parametrize a test by those of the machines that this one can stand in for."""
    features, cases = llvmlite.binding.get_host_cpu_features(), []
    for cpu in cpus:
        lacks = not all(features.get(name) for name in _NEEDED[cpu])
        mark = pytest.mark.skipif(lacks, reason="not such a machine")
        cases.append(pytest.param(cpu, marks=mark))
    return pytest.mark.parametrize("cpu", cases)


other_machines = _on("generic", "haswell")
machines_with_integers = _on("haswell", "icelake-server")


def run_as(cpu, *arguments):
    """Run Python with kernels compiled for another CPU, without the features of this one."""
    told = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": _TOLD.get(cpu, "")}
    environ = {**os.environ, **told}
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environ,
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
