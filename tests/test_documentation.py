"""Every public object: documented, on a page of the API, and with an example that doctest runs."""

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import skquant

ROOT = Path(__file__).parents[1]


def modules():
    """Public modules of the package; those of extras that are not installed are left out."""
    yield skquant
    for found in pkgutil.iter_modules(skquant.__path__, "skquant."):
        if not found.name.rpartition(".")[2].startswith("_"):
            try:
                yield importlib.import_module(found.name)
            except ImportError:
                continue


PUBLIC = {
    f"{module.__name__}.{name}": value
    for module in modules()
    for name in getattr(module, "__all__", ())
    if inspect.isclass(value := getattr(module, name)) or inspect.isroutine(value)
}
METHODS = {
    f"{owner}.{name}": value
    for owner, cls in PUBLIC.items()
    if inspect.isclass(cls)
    for name, value in inspect.getmembers(cls)
    if not name.startswith("_")
    and (inspect.isroutine(value) or isinstance(value, property))
    and inspect.getmodule(getattr(value, "fget", value)) is not None
    and inspect.getmodule(getattr(value, "fget", value)).__name__.startswith("skquant")
}


def sections(obj):
    return re.findall(r"^(\w[\w ]*)\n-+$", inspect.getdoc(obj) or "", re.MULTILINE)


def test_public_objects_are_found():
    assert {"skquant.LatticeQuantizer", "skquant.matmul", "skquant.theory.gamma"} <= set(PUBLIC)
    assert "skquant.LatticeQuantizer.compress" in METHODS


@pytest.mark.parametrize("name", PUBLIC)
def test_public_objects_have_examples_that_run(name):
    """They run because pytest collects the doctests of all modules."""
    assert "Examples" in sections(PUBLIC[name])
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(PUBLIC[name]))
    assert examples
    assert not any(doctest.SKIP in example.options for example in examples)


@pytest.mark.parametrize("name", METHODS)
def test_methods_say_what_they_take_and_give(name):
    value = METHODS[name]
    assert inspect.getdoc(value)
    if isinstance(value, property):
        return
    documented = set(sections(value))
    signature = inspect.signature(value)
    if set(signature.parameters) - {"self"}:
        assert "Parameters" in documented
    returned = inspect.getsource(inspect.unwrap(value)).split("return ")
    if len(returned) > 1:
        assert "Returns" in documented


def test_public_objects_have_a_page():
    text = (ROOT / "docs" / "api.rst").read_text("utf-8")
    missing = {
        name for name in PUBLIC if not re.search(rf"^   {name.rpartition('.')[2]}$", text, re.M)
    }
    assert missing == set()
