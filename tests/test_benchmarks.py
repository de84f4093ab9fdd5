"""The machinery of the benchmarks, on data small enough for a test."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def search(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = importlib.import_module("search")
    rng = np.random.default_rng(0)
    data = rng.normal(size=(2000, 32)), rng.normal(size=(module.N_QUERIES, 32))
    monkeypatch.setitem(module.DATA, "gaussian", lambda: data)
    return module


def test_a_contest_measures_all_that_can_take_part_and_says_who_cannot(search):
    libraries = ("blas", "skquant", "scikit_learn", "unheard_of")
    result = search.measure(search.Contest("gaussian", (4,), libraries=libraries, rounds=2))

    assert "unheard_of" in result["left_out"]["unheard_of"]
    found = {c["name"]: c for c in result["contestants"]}
    names = ["sgemm alone", "skquant", "skquant, coarse layer", "scikit-learn"]
    assert list(found) == names
    assert found["sgemm alone"]["recall"] is None
    assert found["scikit-learn"]["recall"] == 1  # by inner product, though it knows distances only
    assert 0.7 < found["skquant"]["recall"] < 1
    assert 16 <= found["skquant"]["bytes_per_row"] <= 24  # four bits each, and terms of the row
    assert found["scikit-learn"]["bytes_per_row"] == 33 * 4
    for c in found.values():
        assert np.shape(c["batch_s"]) == (2, 2)
        assert np.min(c["batch_s"]) > 0
        assert c["n_singles"] >= 2

    tables = importlib.import_module("search_tables")
    [table] = tables.tables([result])
    assert table.name == "search_gaussian"
    headings, skquant, layered, product, exact = table.cells()
    assert product[:2] == ["32", "sgemm alone"]
    assert product[headings.index("× sgemm")] == "1.00"
    assert product[headings.index("× flat")] == "–"  # faiss does not take part
    assert exact[headings.index("recall@10")] == "1.000"
    assert skquant[headings.index("bits")] == f"{found['skquant']['bytes_per_row'] / 4:.2f}"
    assert "unheard_of" in table.note


def test_threads_are_compared_by_the_least_time_that_passed():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        tables = importlib.import_module("search_tables")
    finally:
        sys.path.remove(str(BENCHMARKS))
    common = {"name": "skquant", "bits": 4, "n_queries": 10}
    result = {
        "data": "gaussian",
        "threads": [1, 2],
        "versions": {},
        "left_out": {},
        "contestants": [
            {**common, "threads": 1, "batch_s": [[3, 1], [2, 1]]},
            {**common, "threads": 2, "batch_s": [[1, 2], [4, 2]]},
        ],
    }
    [table] = tables.tables([result])
    assert table.name == "search_threads_gaussian"
    assert table.cells()[1] == ["4", "skquant", "5", "10", "2.00", "–"]


def test_the_adapter_for_ann_benchmarks_finds_neighbours(monkeypatch):
    names = ("a", "a.algorithms", "a.algorithms.base", "a.algorithms.base.module")
    for name in names:
        module = ModuleType(name)
        module.__path__ = []
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules[names[-1]].BaseANN = type("BaseANN", (), {})
    spec = importlib.util.spec_from_file_location(
        "a.algorithms.skquant.module", BENCHMARKS / "ann_benchmarks" / "module.py"
    )
    adapter = importlib.util.module_from_spec(spec)
    # There it is imported as a part of the folder it lies in.
    adapter.__package__ = "a.algorithms.skquant"
    monkeypatch.setitem(sys.modules, "a.algorithms.skquant", ModuleType("a.algorithms.skquant"))
    spec.loader.exec_module(adapter)

    X = np.random.default_rng(0).normal(size=(300, 16))
    algorithm = adapter.Skquant("euclidean", 8)
    algorithm.fit(X)
    assert algorithm.query(X[7], 3)[0] == 7
    algorithm.batch_query(X[:20], 1)
    np.testing.assert_array_equal(np.ravel(algorithm.res), np.arange(20))
    assert algorithm.get_additional()["bits_per_entry"] == algorithm.knn.codes_.bits_per_entry
