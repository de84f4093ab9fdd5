"""What all estimators share: callbacks, and links to pages that the documentation has."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

import skquant
from skquant._base import DOCUMENTATION

ROOT = Path(__file__).parents[1]
MODULES = [skquant, *(importlib.import_module(f"skquant.{m.stem}") for m in
                      (ROOT / "skquant").glob("[a-z]*.py"))]  # fmt: skip
ESTIMATORS = {
    name: value
    for module in MODULES
    for name in getattr(module, "__all__", ())
    if isinstance(value := getattr(module, name), type) and issubclass(value, BaseEstimator)
}


def pages():
    """Names of what docs/api.rst gives a page of its own."""
    module, names = "", set()
    for line in (ROOT / "docs" / "api.rst").read_text("utf-8").splitlines():
        if found := re.fullmatch(r"\.\. currentmodule:: (\S+)", line):
            module = found[1]
        elif found := re.fullmatch(r"   (\w+)", line):
            names.add(f"{module}.{found[1]}")
    return names


def test_there_are_estimators():
    assert len(ESTIMATORS) >= 6


@pytest.mark.parametrize("cls", ESTIMATORS.values(), ids=ESTIMATORS)
def test_the_html_links_to_a_page_of_the_documentation(cls):
    html = cls()._repr_html_()
    [link] = set(re.findall(rf'href="{DOCUMENTATION}/generated/([^"#]+)\.html', html))
    assert link.rpartition(".")[2] == cls.__name__
    assert link in pages()


def test_the_documentation_is_where_the_package_says():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["urls"]["Documentation"] == DOCUMENTATION


@pytest.mark.parametrize("cls", ESTIMATORS.values(), ids=ESTIMATORS)
def test_estimators_take_callbacks(cls):
    pytest.importorskip("sklearn.callback")
    assert cls().set_callbacks().get_params() == cls().get_params()
