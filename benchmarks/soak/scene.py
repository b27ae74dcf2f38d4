"""The small works that are killed, and what must be true of their folders afterwards."""

from __future__ import annotations

import json
import math
import random
import shutil
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from tamis.study import read_results as read_study
from tamis.train import load_container, load_recipe, read_metrics
from tamis.transfer import read_results as read_transfers

RECIPE = """
name = "{name}"
method = "{method}"
{sparsity}
[data]
source = "{data}"
crop_padding = 1
flip = true
[model]
name = "resnet8_digits"
options = {{ widths = [4, 4, 8] }}
[optimizer]
name = "{optimizer}"
lr = 0.02
[train]
epochs = 6
batch_size = 16
packed = "always"
{more}
"""
PHASES = """[options]
warmup = 1
sparse = 1
dense = 1
last_dense = 1
last_sparse = 1
"""
METHODS = {
    "dense": {"sparsity": "", "optimizer": "sgd", "more": ""},
    "acdc": {"sparsity": "sparsity = 0.8", "optimizer": "sgd", "more": "dense_twin_epochs = 1\n" + PHASES},
    "gmp": {"sparsity": "sparsity = 0.9", "optimizer": "adam", "more": "checkpoint_every = 2"},
    "rigl": {"sparsity": "sparsity = 0.8", "optimizer": "sgd", "more": ""},
}
STUDY = """
name = "soak"
base = "dense.toml"
methods = ["gmp"]
sparsity = [0.75]
seeds = [0, 1]
"""
SWEEP = """
name = "soak"
tasks = ["other.npz"]
kinds = ["linear", "full"]
seeds = [0]
models = [
  {{ path = "{dense}", method = "dense" }},
  {{ path = "{acdc}", method = "acdc", sparsity = 0.8 }},
]
[recipe.probe]
grid_step = 9
[recipe.finetune]
epochs = 3
validate = true
optimizer = {{ lr = 0.02 }}
"""
# what depends on the clock, and so differs between two equal runs
TIMES = {"cpu_s", "wall_s", "step_cpu_ms", "timed_steps"}
TIMED = ("step_ms_dense", "step_ms_sparse", "step_wall_ms_dense", "step_wall_ms_sparse", "choices", "versions")


def lay_out(home: Path) -> None:
    """Data, recipes, a study and a sweep in ``home``."""
    home.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    for name in ("data", "other"):
        labels = np.arange(96) % 3
        images = draw.integers(0, 256, (96, 8, 8, 3), dtype=np.uint8)
        images[np.arange(96), :, labels, 0] = 255
        np.savez(home / f"{name}.npz", x_train=images[:64], y_train=labels[:64], x_test=images[64:], y_test=labels[64:])
    for method, options in METHODS.items():
        text = RECIPE.format(name=method, method=method, data=home / "data.npz", **options)
        (home / f"{method}.toml").write_text(text)
    (home / "study.toml").write_text(STUDY)
    (home / "sweep.toml").write_text(SWEEP.format(dense=home / "whole_dense", acdc=home / "whole_acdc"))


def check_files(folder: Path) -> None:
    """Every file in a folder that has the name of a result is whole; AssertionError or FileError otherwise.

    Checkpoints and models are compared with their SHA-256.
    """
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        if file.name.startswith("."):  # temporary files and locks, which nothing reads
            assert file.suffix in (".part", ".lock"), file
        elif file.suffix == ".safetensors":
            with safetensors.safe_open(str(file), framework="pt") as opened:
                assert "tamis_sha256" in opened.metadata(), f"{file} has no SHA-256"
            load_container(file)
        elif file.suffix == ".json":
            assert isinstance(json.loads(file.read_text()), dict), file
        elif file.name == "recipe.toml" and "transfer" not in str(file) and "out_sweep" not in str(file):
            load_recipe(file)
        elif file.suffix == ".jsonl":
            read_metrics(file)
        elif file.suffix == ".html":
            assert file.read_text().rstrip().endswith("</html>"), file
        elif file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                assert all(arrays[name] is not None for name in arrays.files), file


def run_state(folder: Path) -> dict[str, Any]:
    """All that two equal runs of ``tamis train`` must share, bit for bit: tensors as bytes, everything else as JSON."""
    state: dict[str, Any] = {}
    for file in sorted([*(folder / "models").glob("*.safetensors"), folder / "checkpoints" / "last.safetensors"]):
        tensors, header = load_container(file)
        for name, tensor in tensors.items():
            state[f"{file.name}:{name}"] = (str(tensor.dtype), tuple(tensor.shape), tensor.numpy().tobytes())
        state[f"{file.name}:header"] = json.dumps(_untimed(header), sort_keys=True)
    rows = [row for row in read_metrics(folder / "metrics.jsonl") if row["kind"] != "speed"]
    state["metrics"] = json.dumps([_untimed(row) for row in rows], sort_keys=True)
    summary = json.loads((folder / "summary.json").read_text())
    rows = summary["flops"].get("rows", [])
    summary["flops"] = [row for row in rows if "time" not in row["count"]]
    state["summary"] = json.dumps({k: v for k, v in summary.items() if k not in TIMED}, sort_keys=True)
    return state


def check_same(found: Mapping[str, Any], whole: Mapping[str, Any]) -> None:
    """AssertionError that says where a run differs from the whole one."""
    for key in [*whole, *found]:
        one, other = found.get(key), whole.get(key)
        if one != other:
            place = next((i for i, (a, b) in enumerate(zip(str(one), str(other), strict=False)) if a != b), 0)
            parts = str(one)[max(place - 80, 0) : place + 80], str(other)[max(place - 80, 0) : place + 80]
            raise AssertionError(f"{key} differs from the whole run: {parts[0]!r} and not {parts[1]!r}")


def _untimed(value: Any) -> Any:
    """JSON without what depends on the clock: times, and how many bytes their digits take in the log."""
    if isinstance(value, Mapping):
        return {k: _untimed(v) for k, v in value.items() if k not in (*TIMES, "times", "log_bytes", "choices")}
    return [_untimed(item) for item in value] if isinstance(value, list) else value


def study_rows(folder: Path) -> dict[str, tuple[Any, ...]]:
    """What results.csv of a study says of each finished cell, without times."""
    file = folder / "results.csv"
    rows = read_study(file) if file.exists() else ()
    names = ("sparsity", "accuracy", "loss", "held_out", "epochs", "train_flops", "forward_flops", "layers_packed")
    return {row.cell: tuple(getattr(row, name) for name in names) for row in rows if row.state == "done"}


def sweep_rows(folder: Path) -> dict[Any, tuple[Any, ...]]:
    """What results.csv of a sweep says, by cell and selection, without times."""
    file = folder / "results.csv"
    rows = read_transfers(file) if file.exists() else ()
    return {row.key: (row.value, row.top1, row.mean_per_class, row.epoch, row.sparsity_after) for row in rows}


def same_rows(some: Mapping[Any, tuple[Any, ...]], all_of: Mapping[Any, tuple[Any, ...]]) -> bool:
    """Whether each row of ``some`` is a row of ``all_of``, NaN equal to NaN."""

    def plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple("nan" if isinstance(value, float) and math.isnan(value) else value for value in row)

    return all(key in all_of and plain(row) == plain(all_of[key]) for key, row in some.items())


def attempt(cycle: Callable[..., Any], tally: Any, number: int, home: Path, seed: int) -> None:
    """One cycle of a campaign in a folder of its own; what it raises is printed and counted as a failure."""
    folder = home / f"out_{tally.campaign}_{number}"
    try:
        cycle(folder, random.Random(f"{seed} {tally.campaign} {number}"), tally)
    except Exception:
        tally.failures += 1
        print(f"{tally.campaign} {number} FAILED\n{traceback.format_exc()}", flush=True)
    tally.cycles += 1
    shutil.rmtree(folder, ignore_errors=True)
