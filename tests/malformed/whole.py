"""Small whole files of the binary formats, and a table, to begin damaging from; whole_texts.py has the others."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

from tamis.audit import Labels, Outputs
from tamis.methods import OneShot
from tamis.models import create_model
from tamis.train import (
    export_model,
    save_checkpoint,
)


def _network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 4 * 4, 3))


def one_shot_run() -> tuple[nn.Module, torch.optim.Optimizer, OneShot]:
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
    content = _written(
        lambda file: save_checkpoint(file, *one_shot_run(), method="oneshot", sparsity=0.75), ".safetensors"
    )
    return [content, _without_digest(content)]


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


def outputs() -> list[bytes]:
    """What Outputs.save writes."""
    found = Outputs(np.arange(12.0).reshape(4, 3), np.array(["a", "b", "c", "d"]), ("x", "y", "z"), meta={"recipe": 1})
    return [_written(found.save, ".npz")]


def labels() -> list[bytes]:
    """What Labels.save writes, with labels of the training samples."""
    found = Labels(np.eye(4, 3), np.arange(4), ("x", "y", "z"), np.array([0, 0, 1, 1]))
    return [_written(lambda file: found.save(file, found), ".npz")]


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


def message() -> list[bytes]:
    """A message of a federated source."""
    from tamis.sources._federated import message_to_bytes

    return [message_to_bytes({"terms": np.arange(3), "hessians": np.array([True, False, True])})]


def mat() -> list[bytes]:
    """A MATLAB file."""
    from scipy.io import savemat

    stream = io.BytesIO()
    savemat(stream, {"class_names": np.array(["a", "b"], dtype=object), "labels": np.arange(4)}, do_compression=True)
    content = bytearray(stream.getvalue())
    content[:116] = b"MATLAB 5.0 MAT-file".ljust(116)  # without the date
    return [bytes(content)]


def pictures() -> list[bytes]:
    """A PNG and a JPEG."""
    from PIL import Image

    found = []
    for form in ("PNG", "JPEG"):
        stream = io.BytesIO()
        Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(stream, form)
        found.append(stream.getvalue())
    return found
