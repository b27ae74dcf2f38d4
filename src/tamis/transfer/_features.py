"""Features of a frozen backbone: what enters the classifier, once for every image, and a cache that keeps them."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from tqdm import tqdm

import tamis
from tamis.errors import FileError, UsageError
from tamis.nn import sparsify, worth_packing
from tamis.train import load_container, save_container
from tamis.transfer._task import Split, Task
from tamis.transfer._transforms import Transform
from tamis.transfer._zoo import Backbone, head_name

BATCH = 128


@dataclass(frozen=True, eq=False)
class Features:
    """What a frozen backbone makes of a task.

    ``train_x`` is float32 (n_train, d), ``train_y`` int64 (n_train,), test likewise, in the order of the task's images.
    ``cached`` tells whether they were read instead of computed.
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    cached: bool = False

    @property
    def width(self) -> int:
        """d, the input size of the classifier."""
        return self.train_x.shape[1]


@torch.no_grad()
def extract_features(
    model: nn.Module,
    task: Task,
    transform: Transform,
    *,
    masks: Mapping[str, Tensor] | None = None,
    head: str = "",
    batch_size: int = BATCH,
    bn_refresh: int = 0,
) -> Features:
    """One pass over the training and the test images through a frozen backbone; time linear in their number.

    The *test* transform serves for training images too (section 3 of the protocol).  Frozen means eval mode: a copy of
    the model is used, whose batch norms keep the upstream statistics; the model is not touched.

    Args:
        model: with a Linear classifier, whose input after global pooling is the feature.
        task: the images.
        transform: what turns them into input.
        masks: sparse layers, which run packed where that is worth it; None runs dense.
        head: name of the classifier; the last Linear if empty.
        batch_size: images per forward pass.
        bn_refresh: passes over the training images in train mode before, which move the batch norms' running
            statistics to the new images (not part of the protocol; 0 is off).

    Raises:
        FileError: a feature is NaN or infinite.
    """
    network = copy.deepcopy(model)
    classifier = head or head_name(network)
    parent, _, leaf = classifier.rpartition(".")
    setattr(network.get_submodule(parent), leaf, nn.Identity())
    for _ in range(bn_refresh):
        _refresh(network, task, transform, batch_size)
    network.eval()
    if masks:
        worth = {name: mask for name, mask in masks.items() if worth_packing(mask)}
        network = sparsify(network, worth, minimum_sparsity=1.0)
    splits: dict[Split, Tensor] = {}
    for split in ("train", "test"):
        splits[split] = _extract(network, task, split, transform, batch_size)
    return Features(splits["train"], task.labels("train"), splits["test"], task.labels("test"))


def _extract(network: nn.Module, task: Task, split: Split, transform: Transform, batch_size: int) -> Tensor:
    count = len(task.labels(split))
    features: Tensor | None = None
    done = 0
    with tqdm(total=count, unit="image", desc=f"features {split}", disable=None) as bar:
        for images, _ in task.ordered_batches(split, transform, batch_size):
            found = network(images)
            if found.dim() != 2:
                raise UsageError(f"the classifier's input is {tuple(found.shape)}; expected (N, d) after pooling")
            if features is None:
                features = torch.empty(count, found.shape[1])
            features[done : done + len(found)] = found
            done += len(found)
            bar.update(len(found))
    assert features is not None
    if done != count or not bool(torch.isfinite(features).all()):
        raise FileError(f"{task.name}: {split} features are not finite; the backbone or the images are damaged")
    return features


def _refresh(network: nn.Module, task: Task, transform: Transform, batch_size: int) -> None:
    for module in network.modules():
        module.train(isinstance(module, _BatchNorm))
    for images, _ in task.ordered_batches("train", transform, batch_size):
        if len(images) > 1:
            network(images)


def feature_key(backbone_sha256: str, task: Task, transform: Transform, options: Mapping[str, Any]) -> str:
    """What cached features depend on, as a digest: weights and masks, task and images, transform, dtype, version."""
    parts = [
        backbone_sha256,
        task.name,
        task.fingerprint,
        transform.id,
        "float32",
        tamis.__version__,
        *(f"{name}={options[name]}" for name in sorted(options)),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def cached_features(
    cache: str | os.PathLike[str] | None,
    backbone: Backbone,
    task: Task,
    transform: Transform,
    *,
    batch_size: int = BATCH,
    bn_refresh: int = 0,
) -> Features:
    """:func:`extract_features` of a backbone, its sparse layers packed, through a folder of features.

    A file is used if its key, shapes and labels are those of the task and every number is finite; any other file at its
    place is computed anew and replaced.  Files are written atomically.

    Args:
        cache: the folder, made if missing; None computes without one.
        backbone: its network, masks and head, and the digest of its file.
        task, transform, batch_size, bn_refresh: see :func:`extract_features`.
    """
    key = feature_key(backbone.state.sha256(), task, transform, {"bn_refresh": bn_refresh})
    file = None if cache is None else Path(cache) / f"{task.name}-{key[:16]}.safetensors"
    found = None if file is None else _read(file, key, task)
    if found is not None:
        return found
    found = extract_features(
        backbone.model,
        task,
        transform,
        masks=backbone.masks,
        head=backbone.head,
        batch_size=batch_size,
        bn_refresh=bn_refresh,
    )
    if file is not None:
        tensors = {"train_x": found.train_x, "train_y": found.train_y, "test_x": found.test_x, "test_y": found.test_y}
        save_container(file, tensors, {"kind": "features", "key": key, "task": task.name, "transform": transform.id})
    return found


def _read(file: Path, key: str, task: Task) -> Features | None:
    try:
        tensors, header = load_container(file)
        found = Features(tensors["train_x"], tensors["train_y"], tensors["test_x"], tensors["test_y"], cached=True)
    except (FileError, KeyError):
        return None
    sound = (
        header.get("kind") == "features"
        and header.get("key") == key
        and torch.equal(found.train_y, task.labels("train"))
        and torch.equal(found.test_y, task.labels("test"))
        and all(x.dim() == 2 and x.dtype == torch.float32 for x in (found.train_x, found.test_x))
        and (len(found.train_x), len(found.test_x)) == (task.n_train, task.n_test)
        and found.train_x.shape[1] == found.test_x.shape[1]
        and all(bool(torch.isfinite(x).all()) for x in (found.train_x, found.test_x))
    )
    return found if sound else None
