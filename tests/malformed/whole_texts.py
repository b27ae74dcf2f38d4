"""Small whole settings, results and reports to begin damaging from."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np

import tamis
from tamis.audit import Labels, Outputs
from tamis.study import CellResult
from tamis.transfer import Row
from tamis.transfer._results import COLUMNS, _line

RECIPE = b"""# a comment
name = "small"
method = "acdc"
sparsity = 0.9
exclude = ["fc"]
distribution = "erk"
[data]
source = "digits"
flip = true
[model]
name = "resnet8_digits"
options = { widths = [4, 4, 8] }
[optimizer]
lr = 5e-2
[train]
epochs = 7
"""
STUDY = b"""
name = "tiny"
base = "digits_resnet8"
methods = ["gmp", "acdc"]
sparsity = [0.5, 0.75]
seeds = [0, 1]
[cells.gmp]
distribution = "erk"
train = { label_smoothing = 0.1 }
"""
SWEEP = b"""
name = "small"
tasks = ["digits_parity"]
kinds = ["linear", "full"]
methods = ["gmp"]
sparsity = [0.8]
path = "{method}_{sparsity:g}.pt"
[recipe.finetune]
epochs = 2
"""
POLICY = b"""
strict = true
[[rule]]
metric = "ba_change"
max = 0.02
[[rule]]
metric = "accuracy_drop"
over = "mean"
max = 0.01
severity = "warning"
"""
STYLE = b"""
name = "mine"
signs = ['.+\\.w']
[[rules]]
pattern = '(.+)\\.w'
name = "<1>.weight"
"""
TRANSFER = b"""
model = "m.safetensors"
data = "photos"
how = "full"
[finetune]
epochs = 2
rates = [0.1, 0.01]
"""


def study_results() -> list[bytes]:
    """results.csv of a study."""
    names = [item.name for item in fields(CellResult)]
    rows = [CellResult("s", f"gmp_{i}", "gmp", 0.9, i, state="done", accuracy=0.5) for i in range(2)]
    lines = [",".join(str(value) for value in asdict(row).values()) for row in rows]
    return ["\n".join(["# study: s", ",".join(names), *lines, ""]).encode()]


ROW = Row("net", "linear", "acdc", 0.9, "digits", "3", 0.75, "top1", selection="last", n_test=540, note="a, b")
ROWS = (ROW, replace(ROW, seed="4", note="caf\u00e9, b"))


FOREIGN = b"""arch,kind,method,sparsity,dataset,seed,accuracy
net,full,gmp,0.5,cars,0,0.5
net,full,gmp,0.5,cars,1,0.25
"""


def transfer_rows() -> list[bytes]:
    """Tables of transfers: one of tamis, one of somebody else."""
    rows = (_line(["" if value != value else value for value in asdict(row).values()]) for row in ROWS)
    return [(_line(COLUMNS) + "".join(rows)).encode(), FOREIGN]


def json_rows() -> list[bytes]:
    """The same table as JSON lines."""
    rows = ({key: value for key, value in asdict(row).items() if value == value} for row in ROWS)
    return ["".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()]


BIAS = b"# study: b\nsetup,subject,method,sparsity,accuracy\njoint,,dense,0,0.9\njoint,,gmp_ri,0.95,\n"
PUBLISHED = (
    b"dataset,n_sources,n_adv,adversary,classifier,seed,method,learner,accuracy,fairness,bad_frac\n"
    b"germancredit,5,2,none,linear,0,flea,none,0.7,0.1,0.25\n"
)
METRICS = (
    b'{"kind": "epoch", "epoch": 1, "step": 10, "phase": "dense", "test_accuracy": 0.5}\n'
    b'{"kind": "mask", "step": 10, "event": "compress", "sparsity": 0.5, "layers": {"a": {"live": 1, "total": 2}}}\n'
    b'{"kind": "note", "text": "caf\xc3\xa9"}\n'
)
SUMMARY = json.dumps(
    {
        "recipe": "r", "method": "acdc", "accuracy_dense": 0.9, "accuracy_sparse": 0.8, "sparsity": 0.5,
        "layers": [{"name": "a", "live": 1, "total": 2, "sparsity": 0.5}], "warnings": ["w"],
        "flops": {"rows": [{"row": "forward", "count": "mask", "fraction": 0.5}]}, "choices": [], "best": {},
        "pair": {"top1_agreement": 0.9, "samples": 10}, "epochs": 1, "steps": 10, "versions": {"tamis": "0.1.0"},
    }
).encode()  # fmt: skip


def audit_report() -> list[bytes]:
    """A report.json of an audit of two networks."""
    rng = np.random.default_rng(0)
    truth, member = rng.random((40, 1)) < 0.5, rng.random((40, 1)) < 0.5
    names, ids = ("only",), np.arange(40)
    pair = [
        Outputs(rng.normal(size=(40, 1)) + 2 * truth, ids, names, method=method, level=level)
        for method, level in (("dense", 0.0), ("gmp", 0.5))
    ]
    known, groups = Labels(truth, ids, names), Labels(member, ids, ("g",))
    report = tamis.audit(
        dense=pair[:1], compressed=pair[1:], labels=known, train_labels=known, groups=groups, train_groups=groups
    )
    return [report.to_json().encode()]


def choices_file() -> list[bytes]:
    """The cache of dense/sparse choices."""
    entry = {"use": "sparse", "sparse_ms": 1.0, "dense_ms": 2.0}
    return [json.dumps({"format": 1, "entries": {"key/forward": entry}}).encode()]


def trials() -> list[bytes]:
    """The trials of a decay search."""
    return [json.dumps({"sparsity": 0.9, "trials": [{"decay": 1e-4, "sparsity": 0.8}]}).encode()]


def bias_study() -> bytes:
    return (Path(__file__).parents[2] / "recipes" / "studies" / "bias_tinted_digits.toml").read_bytes()
