"""Nothing that tamis reads can run code: no pickle but the restricted one of foreign checkpoints; poison stays dead."""

from __future__ import annotations

import ast
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from tests.malformed.damage import MARK, Poison, array, npz, poison
from tests.malformed.readers import READERS, outcome

SOURCES = sorted((Path(__file__).resolve().parents[1] / "src" / "tamis").rglob("*.py"))
# modules that unpickle, or run text as code
FORBIDDEN = {
    "pickle",
    "cPickle",
    "_pickle",
    "shelve",
    "marshal",
    "dill",
    "joblib",
    "cloudpickle",
    "dbm",
    "code",
    "yaml",
}
# functions that unpickle unless they are told not to, and what must be told
CHECKED = {"torch.load": "weights_only=True", "np.load": "allow_pickle=False", "numpy.load": "allow_pickle=False"}
NEVER = {
    "eval", "exec", "compile", "__import__", "pd.read_pickle", "pandas.read_pickle", "torch.jit.load", "torch.package",
    "torch.hub.load", "read_array", "npy.read_array", "torch.serialization.load", "dist.all_gather_object",
    "dist.broadcast_object_list", "dist.gather_object", "dist.recv_object_list",
}  # fmt: skip


# the forward pass of a traced module, written by torch.fx from the user's own code; no file reaches it
KNOWN = {"_fuse_graph.py": ["exec", "compile"]}


def name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def offences(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            found += [module] if node.level == 0 and module.split(".")[0] in FORBIDDEN else []
            # a bare `load` would escape the next check
            taken = {"torch": {"load"}, "numpy": {"load"}, "numpy.lib.format": {"read_array"}}.get(module, set())
            found += [f"from {module} import {alias.name}" for alias in node.names if alias.name in taken]
        elif isinstance(node, ast.Call):
            name = name_of(node.func)
            told = {f"{k.arg}={k.value.value}" for k in node.keywords if isinstance(k.value, ast.Constant)}
            if name in NEVER or (name in CHECKED and CHECKED[name] not in told):
                found.append(f"{name} in line {node.lineno}")
            if "allow_pickle=True" in told or "weights_only=False" in told:
                found.append(f"{name} in line {node.lineno} allows pickles")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: "/".join(p.parts[-2:]))
def test_no_module_can_unpickle(path):
    found = offences(path.read_text(encoding="utf-8"))
    assert [offence.split(" in line")[0] for offence in found] == KNOWN.get(path.name, [])


def test_torch_load_is_called_in_one_place():
    callers = [path.name for path in SOURCES if "torch.load(" in path.read_text(encoding="utf-8").replace("``", "")]
    assert "_foreign.py" in callers
    users = []
    for path in SOURCES:
        calls = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
        users += [path.name for call in calls if name_of(call.func) == "torch.load"]
    assert users == ["_foreign.py"]


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from pickle import loads", "torch.load(f)", "torch.load(f, weights_only=False)", "np.load(f)",
        "np.load(f, allow_pickle=True)", "from torch import load", "eval('1')", "import joblib", "pd.read_pickle(f)",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_looks_for(source):
    assert offences(source)


def poisoned(suffix: str) -> list[bytes]:
    """Files with a pickle that makes a file when it is loaded, in every place where a format has room for one."""
    import torch

    bare = [pickle.dumps({"w": Poison()}, protocol=number) for number in range(pickle.HIGHEST_PROTOCOL + 1)]
    zipped = io.BytesIO()
    torch.save({"w": Poison()}, zipped)
    legacy = io.BytesIO()
    torch.save({"w": Poison()}, legacy, _use_new_zipfile_serialization=False)
    names = ("logits", "ids", "names", "about", "labels", "x_train", "y_train", "x_test", "y_test", "terms", "classes")
    objects = npz(**{name: np.array([Poison()], object) for name in names})
    return [*bare, zipped.getvalue(), legacy.getvalue(), objects, array(np.array([Poison()], object)), *_typed(suffix)]


def _typed(suffix: str) -> list[bytes]:
    """Parquet with an extension type whose description is a pickle: what pyarrow before 14.0.1 unpickled."""
    if suffix != ".parquet":
        return []
    import pyarrow as pa
    from pyarrow import parquet

    notes = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": poison()}
    schema = pa.schema([pa.field("source", pa.int64(), metadata=notes)])
    stream = io.BytesIO()
    parquet.write_table(pa.table([pa.array([1, 2])], schema=schema), stream)
    return [stream.getvalue()]


@pytest.mark.parametrize("name", READERS)
@pytest.mark.filterwarnings("ignore:pickle-based deserialization:RuntimeWarning")
def test_a_poisoned_pickle_is_never_loaded(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, content in enumerate(poisoned(READERS[name].suffix)):
        path = tmp_path / f"poison_{number}{READERS[name].suffix}"
        path.write_bytes(content)
        outcome(READERS[name], path)
    assert not (tmp_path / MARK).exists()


def test_the_poison_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(poison())["state_dict"]["conv1.weight"].close()
    assert (tmp_path / MARK).exists()
