"""Rules of the house that a reader could break without noticing."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tamis

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src" / "tamis").rglob("*.py"))
ROOMS = ["sparsity", "kernels", "nn", "methods", "models", "data", "train", "transfer", "audit", "sources"]
ROOMS += ["bench", "report", "study", "interop", "cli"]


def test_every_public_name_of_the_package_resolves():
    for name in tamis.__all__:
        assert getattr(tamis, name) is not None
    with pytest.raises(AttributeError, match="public names"):
        _ = tamis.no_such_name


def test_importing_the_package_does_not_import_torch():
    code = "import sys, tamis; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_one_public_surface_and_every_name_on_it_is_documented(room):
    module = importlib.import_module(f"tamis.{room}")
    assert module.__doc__
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert inspect.getdoc(thing), f"tamis.{room}.{name} has no docstring"


@pytest.mark.parametrize("path", [p for p in SOURCES if "sparsity" in p.parts], ids=lambda p: p.name)
def test_sparsity_is_pure_no_modules_and_no_optimizers(path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    assert not {name for name in imported if re.match(r"torch\.(nn|optim)\b", name)}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: "/".join(p.parts[-2:]))
def test_no_file_outgrows_the_house(path):
    assert len(path.read_text().splitlines()) <= 600


def test_no_parameter_is_called_density():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.arg):
                assert node.arg != "density", f"{path.name}:{node.lineno}: say sparsity"


def test_nothing_is_unpickled_but_foreign_torch_checkpoints_weights_only():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
                assert not {"pickle", "cloudpickle", "joblib", "marshal", "shelve"} & set(names), path.name
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert given.get("weights_only") == "True", f"{path.name}:{node.lineno}"
