"""Makes run folders out of nothing: the files that a training leaves, with smooth invented curves and exact counts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

LAYERS = {
    "conv1": (432, 190),
    "layer1.0.conv1": (2304, 331),
    "layer1.0.conv2": (2304, 352),
    "layer2.0.conv1": (4608, 480),
    "layer2.0.conv2": (9216, 870),
    "layer3.0.conv1": (18432, 1650),
    "layer3.0.conv2": (36864, 3229),
    "fc": (640, 350),
}
TOTAL = sum(total for total, _ in LAYERS.values())
LIVE = sum(live for _, live in LAYERS.values())
STEPS_PER_EPOCH = 22
RECIPE = """# AC/DC on digits
name = "digits_acdc"
method = "acdc"
sparsity = 0.9

[source]
paper = "Peste et al., NeurIPS 2021"

[data]
source = "digits"

[model]
name = "resnet8_digits"

[train]
epochs = 40
seed = 7
"""
ENV = {
    "versions": {"tamis": "0.1.0", "python": "3.11.2", "torch": "2.13.0"},
    "processor": "Example CPU",
    "cpus": 2,
    "threads": 2,
    "isa": "avx512",
    "available_isas": ["baseline", "avx2", "avx512"],
    "load_average": [0.4, 0.5, 0.6],
}
SUMMARY: dict[str, Any] = {
    "recipe": "digits_acdc",
    "accuracy_dense": 0.9861,
    "accuracy_sparse": 0.9806,
    "sparsity": 1 - LIVE / TOTAL,
    "sparsity_over_all": 0.8871,
    "step_ms_dense": 21.4,
    "step_ms_sparse": 9.1,
    "bytes_dense": 312_460,
    "bytes_sparse": 71_204,
    "layers": [{"name": name, "total": total, "live": live} for name, (total, live) in LAYERS.items()],
    "pair": {"top1_agreement": 0.9889, "mean_kl": 0.0213, "mean_cross_entropy": 0.0714},
    "held_out_samples": 360,
    "flops": {
        "rows": [
            {"row": "forward", "count": "mask", "flops": 342_840, "dense_flops": 2_431_488, "fraction": 0.141},
            {"row": "training", "count": "mask", "flops": 4_033_838, "dense_flops": 7_294_464, "fraction": 0.553},
            {"row": "training", "count": "nonzero", "flops": 3_800_416, "dense_flops": 7_294_464, "fraction": 0.521},
        ],
    },
    "choices": [
        {"layer": "conv1", "sparsity": 0.56, "dense_ms": 0.41, "packed_ms": 0.62, "packed": False},
        {"layer": "layer1.0.conv1", "sparsity": 0.856, "dense_ms": 1.31, "packed_ms": 0.58, "packed": True},
        {"layer": "layer3.0.conv2", "sparsity": 0.912, "dense_ms": 2.07, "packed_ms": 0.49, "packed": True},
    ],
    "versions": {"torch": "2.13.0", "numpy": "2.4.6"},
}  # fmt: skip


def phase_of(epoch: int, method: str, epochs: int = 40) -> str:
    """The phase of epoch 1, 2, ...: AC/DC alternates, GMP and one-shot are sparse from a tenth on, dense never is."""
    if method == "dense" or epoch <= epochs // 10:
        return "dense"
    if method != "acdc":
        return "sparse"
    if epoch > epochs - 6:
        return "sparse"
    if epoch > epochs - 10:
        return "dense"
    return "sparse" if ((epoch - epochs // 10 - 1) // 4) % 2 == 0 else "dense"


def epoch_row(epoch: int, method: str = "acdc") -> dict[str, Any]:
    phase = phase_of(epoch, method)
    accuracy = (
        1 - 0.9 * math.exp(-epoch / 4) - 0.015 - (0.012 if phase == "sparse" else 0.0) - 0.003 * math.sin(3 * epoch)
    )
    return {
        "kind": "epoch", "epoch": epoch, "step": epoch * STEPS_PER_EPOCH, "phase": phase,
        "train_loss": 2.3 * math.exp(-epoch / 5) + 0.01, "train_accuracy": 1 - 0.9 * math.exp(-epoch / 3),
        "test_loss": 2.3 * math.exp(-epoch / 5) + 0.06, "test_accuracy": accuracy,
        "sparsity": 1 - LIVE / TOTAL if phase == "sparse" else 0.0,
        "exact_zeros": 1 - LIVE / TOTAL if phase == "sparse" else 0.0 if epoch <= 4 else 0.55 - epoch / 200,
        "lr": 0.1, "cpu_s": 0.5, "wall_s": 0.3, "samples": 1437,
        "step_cpu_ms": (21.4 if phase == "dense" else 9.1) + 0.6 * math.sin(5 * epoch),
    }  # fmt: skip


def mask_row(
    step: int, event: str, change: float | None, layers: Mapping[str, tuple[int, int]] = LAYERS
) -> dict[str, Any]:
    sparse = event != "decompress"
    return {
        "kind": "mask", "step": step, "epoch": step / STEPS_PER_EPOCH, "event": event,
        "sparsity": 1 - LIVE / TOTAL if sparse else 0.0,
        "layers": {
            name: {"live": live, "total": total, "no_fan_in": 1, "no_fan_out": 2}
            if sparse
            else {"live": total, "total": total}
            for name, (total, live) in layers.items()
        },
        "mask_change_percent": change, "iou": None if change is None else 1 - change / 20,
        "regrown_share": None if change is None else change / 25, "hash": f"{step:064x}",
    }  # fmt: skip


def mask_rows(method: str = "acdc", epochs: int = 40) -> list[dict[str, Any]]:
    """One row at every change of phase; GMP prunes once an epoch from a tenth to a half of the run."""
    if method == "gmp":
        return [mask_row(epoch * STEPS_PER_EPOCH, "prune", 4 / (epoch - 3)) for epoch in range(4, epochs // 2)]
    kinds = [phase_of(epoch, method, epochs) for epoch in range(1, epochs + 1)]
    rows: list[dict[str, Any]] = []
    for epoch in range(1, epochs):
        if kinds[epoch] != kinds[epoch - 1]:
            sparse = kinds[epoch] == "sparse"
            event = ("prune" if method == "oneshot" else "compress") if sparse else "decompress"
            change = 3.0 / 4 ** (sum(row["event"] == "compress" for row in rows) - 1) if sparse and rows else None
            rows.append(mask_row(epoch * STEPS_PER_EPOCH, event, change))
    return rows


def probe_row(epoch: int) -> dict[str, Any]:
    memorised = 0.1 + (0.5 * epoch / 40 if phase_of(epoch, "acdc") == "dense" else 0.05)
    return {
        "kind": "probe", "step": epoch * STEPS_PER_EPOCH, "loss_random": 2.3, "accuracy_random": memorised,
        "loss_true": 0.4, "accuracy_true": 1 - memorised,
    }  # fmt: skip


def all_rows(method: str = "acdc") -> list[dict[str, Any]]:
    """The whole log of a run of 40 epochs, in the order of its steps."""
    rows = [epoch_row(epoch, method) for epoch in range(1, 41)] + mask_rows(method)
    if method == "acdc":
        rows += [probe_row(epoch) for epoch in range(1, 41)]
    rows.sort(key=lambda row: (row["step"], row["kind"]))
    if method == "acdc":
        rows += [{"kind": "twin", "epoch": 39, "test_loss": 0.0625, "test_accuracy": 0.9861}]
        rows += [{"kind": "speed", "what": "training step", "dense_cpu_ms": 21.4, "sparse_cpu_ms": 9.1, "threads": 1}]
    return rows


def write_run(
    folder: Path,
    *,
    rows: Iterable[Mapping[str, Any]] | None = None,
    summary: Mapping[str, Any] | None = SUMMARY,
    recipe: str | None = RECIPE,
    env: Mapping[str, Any] | None = ENV,
    tail: bytes = b"",
) -> Path:
    """Write a run folder; ``None`` leaves a file out, for ``rows`` a whole AC/DC run; ``tail`` follows the log."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in (all_rows() if rows is None else rows))
    (folder / "metrics.jsonl").write_bytes(lines.encode() + tail)
    for name, content in (("summary.json", summary), ("env.json", env)):
        if content is not None:
            (folder / name).write_text(json.dumps(content))
    if recipe is not None:
        (folder / "recipe.toml").write_text(recipe)
    return folder
