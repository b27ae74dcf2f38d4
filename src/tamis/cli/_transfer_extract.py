"""``tamis transfer extract``: the features of a task's images into the cache, for probes later."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from tamis.cli._arguments import parse, show
from tamis.errors import UsageError


@dataclass(frozen=True)
class TransferExtractCommand:
    """Run all images of a task through a frozen backbone once and keep the features; a later
    ``tamis transfer run --how linear --cache FOLDER`` starts with them.
    """

    model: str = ""
    """Checkpoint of any style, or a run folder of tamis."""
    data: str = ""
    """Folder of images, .npz file, or the name of a task."""
    root: str = "data"
    """Folder of the unpacked archives of known tasks."""
    cache: str = "runs/transfer/features"
    """Folder of cached features."""
    arch: str = "auto"
    """Network of the checkpoint."""
    min_zero_fraction: float = 0.01
    """Share of exact zeros from which a layer without a mask counts as sparse."""
    style: str = ""
    """A .toml file with a checkpoint style of your own, which is tried too."""
    size: int = 0
    """Side of the images in pixels; 0: that of the backbone."""
    norm: Literal["imagenet", "task"] = "imagenet"
    """Mean and deviation that images are normalised with."""
    json: bool = False
    """Print one JSON object."""


def run(arguments: list[str]) -> int:
    """Exit code 0."""
    options = parse(TransferExtractCommand, arguments, "tamis transfer extract")
    if not options.model or not options.data:
        raise UsageError("give --model CHECKPOINT and --data FOLDER_OR_NPZ")
    from tamis.transfer import cached_features, input_transform, load_backbone, load_task, styles_with

    backbone = load_backbone(
        options.model, options.arch, min_zero_fraction=options.min_zero_fraction, styles=styles_with(options.style)
    )
    task = load_task(options.data, root=options.root)
    transform = input_transform(
        task,
        backbone.architecture,
        size=options.size,
        norm=options.norm,
        interpolation=backbone.state.interpolation,
    )
    start = time.perf_counter()
    features = cached_features(options.cache, backbone, task, transform)
    seconds = time.perf_counter() - start
    result = {
        "task": task.name,
        "train": list(features.train_x.shape),
        "test": list(features.test_x.shape),
        "cached": features.cached,
        "seconds": seconds,
        "cache": options.cache,
        "transform": transform.id,
    }
    done = "were in the cache" if features.cached else f"computed in {seconds:.1f} s"
    text = f"{task.name}: {task.n_train} training and {task.n_test} test images, {features.width} features, {done}"
    text += f"\ncache  {options.cache}"
    show(result, text, options.json)
    return 0
