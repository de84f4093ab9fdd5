"""What the benchmarks share: timing, and tables that say which script and machine they are from."""

import os
import platform
import re
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from time import perf_counter

import numpy as np
from llvmlite.binding import get_host_cpu_features

ROOT = Path(__file__).parents[1]
PACKAGES = ("skquant", "numpy", "scipy", "sklearn", "numba", "faiss")


@dataclass
class Table:
    """Measured values.

    Parameters
    ----------
    name : str
        What the markers of the documents call the table.
    columns : list of tuple
        Heading, and how a value is formatted, as in ``format(value, ...)``; "" for words.
    rows : list of tuple
        Values; None where there is none.
    note : str, default=""
        What stands below the table, after its provenance.
    """

    name: str
    columns: list
    rows: list
    note: str = ""

    def cells(self):
        """Give all cells as text, the headings first."""
        formatted = [
            [
                "–" if v is None else format(v, f)
                for v, (_, f) in zip(row, self.columns, strict=True)
            ]
            for row in self.rows
        ]
        return [[heading for heading, _ in self.columns], *formatted]

    def text(self):
        """Lay the table out in aligned columns under a rule, as reStructuredText reads them."""
        cells = self.cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        align = ["<" if f == "" else ">" for _, f in self.columns]
        lines = [
            "  ".join(f"{c:{a}{w}}" for c, a, w in zip(line, align, widths, strict=True)).rstrip()
            for line in cells
        ]
        rule = "  ".join("=" * width for width in widths)
        return "\n".join([rule, lines[0], rule, *lines[1:], rule])

    def markdown(self):
        """Lay the table out for Markdown."""
        headings, *lines = self.cells()
        rule = ["---" if f == "" else "---:" for _, f in self.columns]
        return "\n".join(f"| {' | '.join(line)} |" for line in [headings, rule, *lines])


def provenance(script):
    """Name the command, the machine and the versions behind a table."""
    versions = ", ".join(f"{name} {import_module(name).__version__}" for name in PACKAGES)
    return (
        f"Measured by `python benchmarks/{script}.py` on {processor()}, "
        f"{platform.system()}, Python {platform.python_version()}, {versions}."
    )


def processor():
    """Name the processor, its cores and the vector instructions that the compiler sees."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*:\s*(.*)", cpuinfo.read_text())
        name = found.group(1) if found else name
    features = get_host_cpu_features()
    vectors = [f for f in ("neon", "avx2", "avx512f", "avx512vnni") if features.get(f)]
    return f"{name} ({os.cpu_count()} cores; {', '.join(vectors)})"


def timed(function, *arguments):
    """Call a function: its result, and the seconds it took."""
    start = perf_counter()
    result = function(*arguments)
    return result, perf_counter() - start


def time_in_turn(functions, repeats):
    """Time functions in turn, so that all see the same machine; a first round is dropped.

    Returns
    -------
    ndarray of shape (repeats, n_functions)
        Seconds.
    """
    rounds = [[timed(function)[1] for function in functions] for _ in range(repeats + 1)]
    return np.array(rounds[1:])


def show(tables):
    """Print tables, when a benchmark runs by itself."""
    for table in tables:
        print(f"\n{table.name}\n\n{table.text()}\n\n{table.note}".rstrip())
    print(f"\n{provenance(Path(sys.argv[0]).stem)}")
