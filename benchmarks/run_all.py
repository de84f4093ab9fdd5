"""Run the benchmarks, each in a process of its own, and put their tables into the documents.

A table replaces what stands between ``<!-- table: NAME -->`` and ``<!-- end -->`` in README.md, or
between ``.. table: NAME`` and ``.. end`` in docs/benchmarks.rst. A benchmark that fails leaves its
tables as they were.

    python benchmarks/run_all.py                  # all
    python benchmarks/run_all.py search memory    # only these
"""

import re
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context

from report import ROOT, provenance, timed

SCRIPTS = [
    "distortion",
    "search",
    "instruction_sets",
    "rescore",
    "lists",
    "rotations",
    "embeddings",
    "encode_speed",
    "first_call",
    "memory",
    "agreement",
    "rotation_rounds",
    "products",
    "published_codes",
    "structured_products",
    "low_rank",
    "entropy_speed",
]
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "benchmarks.rst"


def run_script(name):
    """Run one benchmark in this process."""
    return import_module(name).run()


def fill(path, opening, body, closing):
    """Replace what stands between two lines of a file, and tell whether they were there."""
    text = path.read_text(encoding="utf-8")
    pattern = f"(?<=^{re.escape(opening)}$)(.*?)(?=^{re.escape(closing)}$)"
    text, count = re.subn(pattern, lambda _: f"\n\n{body}\n\n", text, flags=re.M | re.S)
    path.write_text(text, encoding="utf-8")
    return count > 0


def publish(table, source):
    """Put a table where it is marked."""
    places = [
        fill(README, f"<!-- table: {table.name} -->", f"{table.markdown()}\n\n{source}",
             "<!-- end -->"),
        fill(PAGE, f".. table: {table.name}", f"{table.text()}\n\n{source.replace('`', '``')}",
             ".. end"),
    ]  # fmt: skip
    if not any(places):
        raise LookupError(f"Neither {README.name} nor {PAGE.name} has a place for {table.name}.")


def main(names):
    """Run benchmarks by name, and exit with an error if one fails."""
    failed = []
    for name in names or SCRIPTS:
        print(f"\n== {name}", flush=True)
        try:
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                tables, seconds = timed(process.submit(run_script, name).result)
            for table in tables:
                print(f"\n{table.text()}")
                publish(table, f"{provenance(name)} {table.note}".rstrip())
            print(f"\n{seconds:.0f} s", flush=True)
        except Exception as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            failed.append(name)
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}")


if __name__ == "__main__":
    main(sys.argv[1:])
