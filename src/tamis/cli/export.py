"""``tamis export FILE``: a trained model for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tamis.cli._arguments import parse, show

SUFFIX = {"dense": ".safetensors", "sparse": ".safetensors", "onnx": ".onnx"}


@dataclass(frozen=True)
class ExportCommand:
    """Write a model as a plain dense state_dict, as packed arrays, or as ONNX."""

    source: Annotated[str, tyro.conf.Positional]
    """A .safetensors checkpoint or model of tamis, or a run folder (its last checkpoint)."""
    form: Literal["dense", "sparse", "onnx"] = "dense"
    """dense: readable without tamis, zeros included; sparse: live weights and places; onnx: needs tamis[onnx]."""
    out: str = ""
    """Target file; FORM.safetensors or FORM.onnx beside the source if not given."""
    json: bool = False
    """Print one JSON object instead of text."""


def run(arguments: list[str]) -> int:
    """Exit code 0."""
    options = parse(ExportCommand, arguments, "tamis export")
    source = Path(options.source)
    if source.is_dir():
        source = source / "checkpoints" / "last.safetensors"
    target = Path(options.out) if options.out else source.with_name(f"{options.form}{SUFFIX[options.form]}")
    from tamis.errors import UsageError
    from tamis.train import export_model, load_model

    if target.resolve() == source.resolve():
        raise UsageError(f"{target}: is the source itself; give another file with --out")
    model, header = load_model(source)
    wanted = ("architecture", "method", "sparsity", "classes")
    kept = {key: value for key, value in header.items() if key in wanted}
    written = export_model(model, target, options.form, kept)
    size = written.stat().st_size
    result = {"file": str(written), "form": options.form, "bytes": size, "bytes_source": source.stat().st_size}
    show(result, f"{written}: {options.form}, {size:,} bytes", options.json)
    return 0
