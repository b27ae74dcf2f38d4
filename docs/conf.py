"""Sphinx configuration; ``make docs`` builds the site into docs/_build/html with warnings as errors."""

import os
import re
import sys
from pathlib import Path
from typing import Any

# The site's own measurements neither read nor change the decisions that the user's runs left behind.
os.environ["TAMIS_CACHE"] = ""
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "src")]

import _measured  # noqa: E402 - lies beside this file
import _measured_bias  # noqa: E402
import _measured_pairs  # noqa: E402
import _measured_sources  # noqa: E402

import tamis  # noqa: E402

project = "tamis"
author = "the tamis contributors"
version = release = tamis.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "_formulas",
]
html_math_renderer = "mathml"
exclude_patterns = ["_build", "gallery/*.ipynb", "gallery/*.py"]
html_theme = "furo"
html_title = f"tamis {release}"

myst_enable_extensions = ["dollarmath", "substitution"]
myst_substitutions = {
    "layer_table": _measured.layer_table(),
    "source_pairs": _measured_pairs.pairs_table(),
    "source_pairs_recreated": _measured_pairs.recreated_table(),
    "speedup_picture": _measured.speedup_picture(),
    "study_table": _measured.study_table(),
    "distributed_table": _measured.distributed_table(),
    **_measured.study_rows(),
    **_measured.transfer_tables(),
    **_measured_sources.flea_tables(),
    **_measured_bias.bias_substitutions(),
}
myst_heading_anchors = 3

# Signatures stay short: types are part of every docstring here.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
# "Attributes:" sections and properties of the same name would otherwise be described twice.
napoleon_use_ivar = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "capture_repr": (),
    "write_computation_times": False,
    "show_signature": False,
    "download_all_examples": False,
    "min_reported_time": 0,
}


def _generated_by_scikit_learn(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out the set_*_request methods, whose docstrings link into scikit-learn's own manual."""
    return True if re.fullmatch(r"set_\w+_request", name) else None


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-skip-member", _generated_by_scikit_learn)
