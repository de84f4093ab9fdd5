"""The table beside scikit-learn's in the documentation, and what it says."""

import inspect
import re
from pathlib import Path

import pytest
import sklearn.neighbors
from sklearn.datasets import load_iris

import skquant

PAGE = Path(__file__).parents[1] / "docs" / "neighbors.rst"
PAIRS = {
    "NearestNeighbors": "QuantizedNearestNeighbors",
    "KNeighborsClassifier": "QuantizedKNeighborsClassifier",
    "KNeighborsRegressor": "QuantizedKNeighborsRegressor",
    "KNeighborsTransformer": "QuantizedKNeighborsTransformer",
}
every_pair = pytest.mark.parametrize("pair", PAIRS.items(), ids=lambda pair: pair[0])


@pytest.fixture(scope="module")
def rows_of_table():
    """What the page says of each name, by section and name."""
    text = PAGE.read_text("utf-8").split(".. parity table")[1]
    parts = re.split(r"\n(\S[^\n]*)\n\^+\n", text)[1:]
    sections = {}
    for title, body in zip(parts[::2], parts[1::2], strict=True):
        entries = [re.split(r"\n     - ", row) for row in body.split("\n   * - ")[1:]]
        sections[title] = {
            name: cells[-1] for cells in entries for name in re.findall(r"``(\w+)``", cells[0])
        }
    return sections


def classes(pair):
    theirs, ours = pair
    return getattr(sklearn.neighbors, theirs), getattr(skquant, ours)


def is_left_out(said):
    return said.startswith("left out")


def fitted_attributes(estimator):
    X, y = load_iris(return_X_y=True, as_frame=True)
    estimator = estimator.fit(X, y)
    names = {name for name in vars(estimator) if name.endswith("_") and name[0] != "_"}
    return names | {name for name in dir(type(estimator)) if name.endswith("_") and name[0] != "_"}


@every_pair
def test_parameters(pair, rows_of_table):
    said = rows_of_table["Parameters"]
    theirs, ours = (set(cls().get_params()) for cls in classes(pair))
    for name in theirs:
        assert name in said
        assert (name in ours) != is_left_out(said[name])
    new = {"bits", "quantizer", "n_lists", "n_probe", "rescore", "rescore_source", "n_candidates"}
    assert ours - theirs == new | {"random_state"}


@every_pair
def test_methods(pair, rows_of_table):
    said = rows_of_table["Methods"]
    theirs, ours = (
        {n for n, f in inspect.getmembers(cls, inspect.isfunction) if n[0] != "_"}
        for cls in classes(pair)
    )
    assert theirs <= ours | {n for n in said if is_left_out(said[n])}
    assert theirs <= set(said)
    generated = {"set_callbacks", "set_partial_fit_request"}  # by scikit-learn
    assert ours - theirs - generated == {"partial_fit", "remove"}


@every_pair
def test_arguments_of_methods(pair):
    theirs, ours = classes(pair)
    for name, method in inspect.getmembers(theirs, inspect.isfunction):
        if name[0] != "_" and not name.startswith(("set_", "get_")):
            expected = list(inspect.signature(method).parameters)
            parameters = inspect.signature(getattr(ours, name)).parameters
            assert list(parameters)[: len(expected)] == expected
            named = {p.name for p in parameters.values() if p.kind != p.VAR_KEYWORD}
            assert named - set(expected) <= {"subset"}


@every_pair
def test_attributes(pair, rows_of_table):
    said = rows_of_table["Fitted attributes"]
    theirs, ours = (fitted_attributes(cls()) for cls in classes(pair))
    for name in theirs:
        assert name in said
        assert (name in ours) != is_left_out(said[name])
    assert ours - theirs <= {"codes_", "lists_", "quantizer_", "rescore_codes_"}


def test_classes_and_functions(rows_of_table):
    assert set(sklearn.neighbors.__all__) <= set(rows_of_table["Classes and functions"])
