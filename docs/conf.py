"""Sphinx configuration: nothing here needs the network."""

import tomllib
from pathlib import Path

from docutils import nodes

import skquant

project = "skquant"
author = "skquant developers"
copyright = "2026, skquant developers"
version = release = skquant.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "**/GALLERY_HEADER.rst"]

autosummary_generate = True
numpydoc_show_class_members = False  # the class template lists them
pyproject = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
numpydoc_validation_checks = set(pyproject["tool"]["numpydoc_validation"]["checks"])

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"[\\/](plot_|quickstart)",
    "download_all_examples": False,
    "remove_config_comments": True,
}

highlight_language = "none"  # diagrams are no Python; doctests and code blocks say what they are
html_theme = "pydata_sphinx_theme"
html_title = "skquant"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["skquant.css"]
html_theme_options = {"header_links_before_dropdown": 6}


def skip_what_scikit_learn_documents(app, what, name, obj, skip, options):
    """Leave out `get_params`, `set_output` and the like, whose text links into other pages."""
    if (getattr(obj, "__module__", None) or "").startswith("sklearn."):
        return True
    return None


def take_recall_for_text(app, doctree):
    """Undo the links that docutils makes of ``recall@10``, which it takes for an address."""
    for link in list(doctree.findall(nodes.reference)):
        if link.get("refuri", "").startswith("mailto:recall@"):
            link.parent.replace(link, link.children)


def setup(app):
    """Connect the hooks above."""
    app.connect("autodoc-skip-member", skip_what_scikit_learn_documents)
    app.connect("doctree-read", take_recall_for_text)
