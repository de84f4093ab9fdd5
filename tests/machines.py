"""Other processors, and Python with kernels compiled for them."""

import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding
import pytest


def has_haswell():
    features = llvmlite.binding.get_host_cpu_features()
    return all(features.get(name) for name in ("avx2", "bmi", "bmi2", "fma", "f16c", "lzcnt"))


other_machines = pytest.mark.parametrize(
    "cpu",
    [
        "generic",
        pytest.param(
            "haswell", marks=pytest.mark.skipif(not has_haswell(), reason="not such a machine")
        ),
    ],
)


def run_as(cpu, *arguments):
    """Run Python with kernels compiled for another CPU, without the features of this one."""
    environ = {**os.environ, "NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""}
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
