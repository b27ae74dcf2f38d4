"""Every reader of files from outside, with small whole files to begin from; shared by tests and by the longer fuzzing.

Readers return something or raise one TamisError; whatever else they do is a fault of tamis.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

import tamis
from tamis.audit import Labels, Outputs, Policy, read_report
from tamis.data import load_data
from tamis.errors import FileError, UsageError
from tamis.kernels.choose import Choices
from tamis.methods import DecaySearch, OneShot
from tamis.models import create_model, read_foreign_state
from tamis.report import read_run
from tamis.sources import read_table
from tamis.study import CellResult, cells_of, load_bias_study, load_study, load_sweep
from tamis.study import read_results as read_study
from tamis.study._bias_tables import read_bias_rows
from tamis.study._source_published import read_published
from tamis.train import (
    export_model,
    load_checkpoint,
    load_model,
    load_recipe,
    parse_table,
    read_metrics,
    read_toml,
    restore,
    save_checkpoint,
)
from tamis.train._checkpoint import load_method
from tamis.transfer import Row, TransferRecipe, read_sparse_state, read_style
from tamis.transfer import read_results as read_transfers
from tamis.transfer._archives import lines_of, matlab
from tamis.transfer._cifar import cifar10
from tamis.transfer._results import COLUMNS, _line


@dataclass(frozen=True)
class Reader:
    """A reader, the ending of its files, and a function that makes whole ones.

    ``named`` is False where the reader gets bytes or is silent, so that no message can name the file.
    """

    suffix: str
    read: Callable[[Path], Any]
    whole: Callable[[], list[bytes]]
    named: bool = True


def _network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 4 * 4, 3))


def _run() -> tuple[nn.Module, torch.optim.Optimizer, OneShot]:
    model = _network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sparsifier = OneShot(0.75, packed=True).attach(model, optimizer)
    model(torch.ones(2, 2, 6, 6)).sum().backward()
    optimizer.step()
    return model, optimizer, sparsifier


def _written(write: Callable[[Path], Any], suffix: str) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"whole{suffix}"
        write(file)
        return file.read_bytes()


def _without_digest(content: bytes) -> bytes:
    """The same file as an earlier version wrote it, so that damage reaches the checks behind the SHA-256."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    metadata = header["__metadata__"]
    metadata.pop("tamis_sha256")
    words = json.loads(metadata["tamis"])
    words.pop("digest")
    metadata["tamis"] = json.dumps(words)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def checkpoints() -> list[bytes]:
    """A checkpoint with a packed layer, with and without its SHA-256."""
    content = _written(lambda file: save_checkpoint(file, *_run(), method="oneshot", sparsity=0.75), ".safetensors")
    return [content, _without_digest(content)]


def _resume(path: Path) -> Any:
    checkpoint = load_checkpoint(path)
    model, optimizer, sparsifier = _run()
    if checkpoint.method is not None:
        load_method(checkpoint, OneShot(0.75, packed=True))
    restore(checkpoint, model, optimizer, sparsifier)
    return checkpoint


def models() -> list[bytes]:
    """An exported network, packed, with and without its SHA-256."""
    torch.manual_seed(0)
    model = create_model("mlp.plain", 3, 1, image_size=(4, 4), hidden=(6,))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter[torch.rand_like(parameter) < 0.7] = 0
    architecture = {"name": "mlp.plain", "num_classes": 3, "in_channels": 1, "image_size": [4, 4], "hidden": [6]}
    content = _written(lambda file: export_model(model, file, "sparse", {"architecture": architecture}), ".safetensors")
    return [content, _without_digest(content)]


def foreign() -> list[bytes]:
    """State dicts in the three forms."""
    state = {f"module.{name}": value for name, value in _network().state_dict().items()}
    state["module.0.weight_mask"] = (state["module.0.weight"] > 0).float()
    found = [safetensors.torch.save(state)]
    for zipped in (True, False):
        stream = io.BytesIO()
        torch.save({"state_dict": state, "epoch": 3}, stream, _use_new_zipfile_serialization=zipped)
        found.append(stream.getvalue())
    return found


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


def outputs() -> list[bytes]:
    """What Outputs.save writes."""
    found = Outputs(np.arange(12.0).reshape(4, 3), np.array(["a", "b", "c", "d"]), ("x", "y", "z"), meta={"recipe": 1})
    return [_written(found.save, ".npz")]


def labels() -> list[bytes]:
    """What Labels.save writes, with labels of the training samples."""
    found = Labels(np.eye(4, 3), np.arange(4), ("x", "y", "z"), np.array([0, 0, 1, 1]))
    return [_written(lambda file: found.save(file, found), ".npz")]


def _labels(path: Path) -> Any:
    return Labels.load(path), Labels.load_train(path)


def images() -> list[bytes]:
    """An .npz of a few grey images."""
    stream = io.BytesIO()
    pixels = np.arange(90, dtype=np.uint8).reshape(3, 5, 6)
    y = np.array([0, 1, 1])
    np.savez_compressed(stream, x_train=pixels, y_train=y, x_test=pixels, y_test=y, classes=np.array(["a", "b"]))
    return [stream.getvalue()]


TABLE = b'source,x,y,note\na,1,0,"one, two"\nb,2.5,1,\na,-3,1,"say ""so"""\n'


def parquet() -> list[bytes]:
    """The same table as Parquet, as pandas and as pyarrow write it."""
    import pandas as pd
    import pyarrow as pa
    from pyarrow import parquet as pq

    frame = pd.read_csv(io.BytesIO(TABLE))
    stream, plain = io.BytesIO(), io.BytesIO()
    frame.to_parquet(stream)
    columns = {
        "source": ["a", "b", "a"],
        "x": [1.0, 2.5, -3.0],
        "y": [0, 1, 1],
        "day": [date(2026, 1, d) for d in (1, 2, 3)],
    }
    pq.write_table(pa.table(columns), plain)
    return [stream.getvalue(), plain.getvalue()]


def study_results() -> list[bytes]:
    """results.csv of a study."""
    names = [item.name for item in fields(CellResult)]
    rows = [CellResult("s", f"gmp_{i}", "gmp", 0.9, i, state="done", accuracy=0.5) for i in range(2)]
    lines = [",".join(str(value) for value in asdict(row).values()) for row in rows]
    return ["\n".join(["# study: s", ",".join(names), *lines, ""]).encode()]


ROW = Row("net", "linear", "acdc", 0.9, "digits", "3", 0.75, "top1", selection="last", n_test=540, note="a, b")


def transfer_rows() -> list[bytes]:
    """Tables of transfers: one of tamis, one of somebody else."""
    whole = _line(COLUMNS) + _line([value if value == value else "" for value in asdict(ROW).values()])
    return [whole.encode(), b"arch,kind,method,sparsity,dataset,seed,accuracy\nnet,full,gmp,0.5,cars,0,0.5\n"]


def json_rows() -> list[bytes]:
    """The same table as JSON lines."""
    values = {key: value for key, value in asdict(ROW).items() if value == value}
    return [(json.dumps(values) + "\n").encode()]


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


def _choices(path: Path) -> Any:
    found = Choices("measure", path)
    found._load()
    return found


def trials() -> list[bytes]:
    """The trials of a decay search."""
    return [json.dumps({"sparsity": 0.9, "trials": [{"decay": 1e-4, "sparsity": 0.8}]}).encode()]


def _trials(path: Path) -> Any:
    search = DecaySearch(0.9, start=1e-4)
    search.load(path)
    return search


def message() -> list[bytes]:
    """A message of a federated source."""
    from tamis.sources._federated import message_to_bytes

    return [message_to_bytes({"terms": np.arange(3), "hessians": np.array([True, False, True])})]


def _message(path: Path) -> Any:
    from tamis.sources._federated import message_from_bytes

    return message_from_bytes(path.read_bytes())


def mat() -> list[bytes]:
    """A MATLAB file."""
    from scipy.io import savemat

    stream = io.BytesIO()
    savemat(stream, {"class_names": np.array(["a", "b"], dtype=object), "labels": np.arange(4)}, do_compression=True)
    content = bytearray(stream.getvalue())
    content[:116] = b"MATLAB 5.0 MAT-file".ljust(116)  # without the date
    return [bytes(content)]


def _cifar(path: Path) -> Any:
    for number in range(1, 6):
        (path.parent / f"data_batch_{number}.bin").write_bytes(path.read_bytes())
    (path.parent / "test_batch.bin").write_bytes(path.read_bytes())
    (path.parent / "batches.meta.txt").write_text("a\nb\n")
    return cifar10(path.parent)


def _picture(path: Path) -> Any:
    from tamis.data._decode import decode, pillow

    return decode(path, str(path), 3, (8, 8), pillow(str(path)))


def pictures() -> list[bytes]:
    """A PNG and a JPEG."""
    from PIL import Image

    found = []
    for form in ("PNG", "JPEG"):
        stream = io.BytesIO()
        Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(stream, form)
        found.append(stream.getvalue())
    return found


READERS: dict[str, Reader] = {
    "checkpoint": Reader(".safetensors", _resume, checkpoints),
    "model": Reader(".safetensors", load_model, models),
    "foreign": Reader(".pth", read_foreign_state, foreign),
    "backbone": Reader(".pth", read_sparse_state, foreign),
    "recipe": Reader(".toml", load_recipe, lambda: [RECIPE]),
    "study": Reader(".toml", lambda path: cells_of(load_study(path)), lambda: [STUDY], named=False),
    "sweep": Reader(".toml", load_sweep, lambda: [SWEEP]),
    "bias_study": Reader(".toml", load_bias_study, lambda: [_bias_study()]),
    "transfer_recipe": Reader(".toml", lambda p: parse_table(TransferRecipe, read_toml(p), str(p)), lambda: [TRANSFER]),
    "policy": Reader(".toml", Policy.load, lambda: [POLICY]),
    "style": Reader(".toml", read_style, lambda: [STYLE]),
    "outputs": Reader(".npz", Outputs.load, outputs),
    "labels": Reader(".npz", _labels, labels),
    "images": Reader(".npz", load_data, images),
    "picture": Reader(".png", _picture, pictures),
    "table": Reader(".csv", read_table, lambda: [TABLE]),
    "parquet": Reader(".parquet", read_table, parquet),
    "study_results": Reader(".csv", read_study, study_results),
    "bias_rows": Reader(".csv", read_bias_rows, lambda: [BIAS]),
    "published": Reader(".csv", read_published, lambda: [PUBLISHED]),
    "published_gz": Reader(".csv.gz", read_published, lambda: [gzip.compress(PUBLISHED, mtime=0)]),
    "transfers": Reader(".csv", read_transfers, transfer_rows),
    "transfers_jsonl": Reader(".jsonl", read_transfers, json_rows),
    "metrics": Reader(".jsonl", read_metrics, lambda: [METRICS]),
    "run_summary": Reader(".json", lambda path: _read_run(path, "summary.json"), lambda: [SUMMARY], named=False),
    "run_metrics": Reader(".jsonl", lambda path: _read_run(path, "metrics.jsonl"), lambda: [METRICS], named=False),
    "audit_report": Reader(".json", read_report, audit_report),
    "choices": Reader(".json", _choices, choices_file, named=False),
    "trials": Reader(".json", _trials, trials),
    "message": Reader(".bin", _message, message, named=False),
    "mat": Reader(".mat", matlab, mat),
    "list": Reader(".txt", lines_of, lambda: [b"a 1\nb 2\n"]),
    "cifar": Reader(".bin", _cifar, lambda: [bytes(2 * 3073)], named=False),
}


def _bias_study() -> bytes:
    return (Path(__file__).parents[2] / "recipes" / "studies" / "bias_tinted_digits.toml").read_bytes()


def _read_run(path: Path, name: str) -> Any:
    """A run folder that holds the file under the name that it has there."""
    folder = path.parent / f"{path.stem}_run"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(path.read_bytes())
    return read_run(folder)


def outcome(reader: Reader, path: Path) -> str:
    """The message with which a file is refused, empty if it is read; every other exception passes.

    Raises AssertionError where the message is not one sentence that names the file.
    """
    try:
        reader.read(path)
    except (FileError, UsageError) as error:
        text = str(error)
        assert "\n" not in text, text
        assert len(text) < 1200, f"{len(text)} characters: {text[:200]}"
        assert "Traceback" not in text
        assert not reader.named or path.name in text, text
        return text
    return ""
