"""Sparse backbones: any checkpoint as a plain network of tamis and the masks that its weights are held to."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tamis.errors import FileError, UsageError
from tamis.models import create_described, create_model, list_models, load_weights
from tamis.nn import prunable_modules
from tamis.transfer._zoo_read import SparseState, head_of, read_sparse_state
from tamis.transfer._zoo_style import MIN_ZERO_FRACTION, Style

STEMS = ("conv1.weight", "model.0.0.weight")  # the convolution that sees the images, in the networks of tamis
_NO_HEAD = 10  # classes of the network that is built where the file has no classifier to count them


@dataclass(frozen=True, eq=False)
class Backbone:
    """A network with its masks, and where it came from.

    Attributes:
        model: dense layers with exact zeros, in eval mode; its head is the file's where that fits.
        masks: bool mask by layer name for the sparse layers; never the head.
        head: name of the classifier, a Linear.
        architecture: arguments of :func:`tamis.models.create_model`, empty for a network that the caller gave.
        state: what the file said, with the table of layers.
    """

    model: nn.Module
    masks: dict[str, Tensor]
    head: str
    architecture: dict[str, Any]
    state: SparseState


def load_backbone(
    source: str | os.PathLike[str],
    arch: str | nn.Module = "auto",
    *,
    min_zero_fraction: float = MIN_ZERO_FRACTION,
    styles: Sequence[Style] | None = None,
) -> Backbone:
    """Load a checkpoint of any style (:func:`list_styles`, torchvision's names, files of tamis) as a sparse backbone.

    Args:
        source: a file, or a run folder of tamis.
        arch: name of a network of :func:`tamis.models.list_models`; ``auto`` takes that of the file, or the one whose
            names and shapes agree; or a module of your own with a Linear as its last layer, which is changed in place.
        min_zero_fraction: share of exact zeros from which a weight without a mask counts as sparse.
        styles: the styles to try; None takes all that are registered.

    Raises:
        FileError: the file cannot be read or is damaged, or its names and shapes fit no network, or not that of
            ``arch``; the message names the keys.  Only the head may differ or be absent.
        UsageError: several networks fit (name one), or ``arch`` is unknown.
    """
    own_head = head_name(arch) if isinstance(arch, nn.Module) else ""
    state = read_sparse_state(source, min_zero_fraction=min_zero_fraction, styles=styles, head=own_head)
    if isinstance(arch, nn.Module):
        model, architecture = arch, {}
    else:
        architecture = find_architecture(state, arch)
        if state.stem_pool == "tensorflow":
            architecture["stem"] = "tensorflow"  # an option of the ResNets; others refuse it
        model = create_described(architecture, state.tensors, str(state.file))
    rename = _renaming(model, [*state.tensors, *(f"{name}.weight" for name in state.masks)])
    head = head_name(model)
    own = model.state_dict()
    tensors = {rename[key]: value for key, value in state.tensors.items()}
    is_head = [key for key in {**own, **tensors} if key.startswith(f"{head}.")]
    if any(key not in tensors or key not in own or tensors[key].shape != own[key].shape for key in is_head):
        tensors = {key: value for key, value in tensors.items() if key not in is_head}
        tensors |= {key: own[key] for key in is_head if key in own}
    load_weights(model, tensors, source=str(state.file))
    if state.stem_pool == "tensorflow" and isinstance(arch, nn.Module):
        replace_stem_pool(model)
    layers = prunable_modules(model)
    masks = {rename[f"{name}.weight"].removesuffix(".weight"): mask for name, mask in state.masks.items()}
    masks = {name: mask for name, mask in masks.items() if name in layers and name != head}
    return Backbone(model.eval(), masks, head, architecture, state)


def find_architecture(state: SparseState, arch: str = "auto") -> dict[str, Any]:
    """Arguments of :func:`tamis.models.create_model` for a checkpoint.

    ``auto`` takes what the file says; of other files, the one network whose names and shapes agree but for the head.

    Raises:
        FileError: none agrees; the message names the closest and what differs.
        UsageError: several agree, such as the same layers with other strides, or ``arch`` is unknown.
    """
    if state.architecture and arch in ("auto", state.architecture.get("name")):
        return dict(state.architecture)
    # by name, not by place: safetensors files are sorted, and renamed keys move
    stems = [state.tensors[name] for name in STEMS if name in state.tensors]
    first = next((value for value in [*stems, *state.tensors.values()] if value.dim() == 4), None)
    head = state.tensors.get(f"{head_of(state.tensors)}.weight")
    sizes: dict[str, Any] = {
        "num_classes": _NO_HEAD if head is None else int(head.shape[0]),
        "in_channels": 3 if first is None else int(first.shape[1]),
    }
    if arch != "auto":
        if arch not in list_models():
            create_model(arch, **sizes)  # says what is known
        return {"name": arch, **sizes}
    fits, differences = [], {}
    for name in (name for name in list_models() if "." in name and not name.startswith("mlp.")):
        try:
            with torch.device("meta"):
                model = create_model(name, **sizes)
        except (UsageError, TypeError, NotImplementedError):
            continue  # a network that needs more than classes and channels
        difference = _difference(model, state.tensors)
        if difference:
            differences[name] = difference
        else:
            fits.append(name)
    if len(fits) == 1:
        return {"name": fits[0], **sizes}
    if fits:
        raise UsageError(
            f"{state.file}: the weights fit {' and '.join(fits)}, which differ in strides alone; say which with --arch"
        )
    closest = min(differences, key=lambda name: len(differences[name]), default="")
    shown = ", ".join(differences.get(closest, [])[:4])
    raise FileError(
        f"{state.file}: fits no network of tamis (closest: {closest}, which differs in {shown}); name one with --arch, "
        "give your own module to load_backbone, or describe the style of the names with --style"
    )


def _difference(model: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
    own = {key: tuple(value.shape) for key, value in model.state_dict().items() if "num_batches" not in key}
    rename = _renaming(model, tensors)
    given = {rename[key]: tuple(value.shape) for key, value in tensors.items() if "num_batches" not in key}
    head = head_name(model)
    keys = [key for key in {**own, **given} if not key.startswith(f"{head}.")]
    return [key for key in keys if own.get(key) != given.get(key)]


def _renaming(model: nn.Module, keys: Any) -> dict[str, str]:
    """What the model's class calls each key of another program's file (``checkpoint_filter``)."""
    translate = getattr(type(model), "checkpoint_filter", None)
    if translate is None:
        return {key: key for key in keys}
    return {key: next(iter(translate({key: None}))) for key in keys}


def head_name(model: nn.Module) -> str:
    """The name of the classifier: the last Linear in registration order.

    Raises:
        UsageError: the model has none.
    """
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not names:
        raise UsageError(f"{type(model).__name__} has no Linear layer; expected a classifier to replace")
    return names[-1]


def replace_head(model: nn.Module, num_classes: int, seed: int, head: str = "") -> nn.Linear:
    """Put a new dense Linear with torch's default initial weights in the place of the classifier; returns it.

    The draw depends on the seed alone, not on the method or on what ran before: one initial head for all methods
    (another head for some was a confound of earlier code).  The generator of the caller is left as it was.

    Args:
        model: changed in place.
        num_classes: outputs.
        seed: any whole number of at least 0.
        head: name of the classifier; found if empty.

    Raises:
        UsageError: the classifier is no Linear layer, or none is found.
    """
    name = head or head_name(model)
    old = model.get_submodule(name)
    if not isinstance(old, nn.Linear):
        raise UsageError(f"head {name!r} is a {type(old).__name__}; expected a Linear")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        new = nn.Linear(old.in_features, num_classes)
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, new.to(old.weight.device))
    return new


def replace_stem_pool(model: nn.Module) -> None:
    """Give the 3x3 max pool behind the stem TensorFlow's SAME padding, in place: no padding, a last partial window.

    Behind a ReLU this equals padding zeros on the right and at the bottom.  Renaming a TensorFlow checkpoint alone
    loads without an error and computes other numbers.

    Raises:
        UsageError: the model has no ``maxpool`` of kernel 3 and stride 2.
    """
    pool = getattr(model, "maxpool", None)
    if not isinstance(pool, nn.MaxPool2d) or pool.kernel_size not in (3, (3, 3)) or pool.stride not in (2, (2, 2)):
        raise UsageError(
            f"{type(model).__name__} has no 3x3 max pool of stride 2 called maxpool, which a checkpoint from "
            "TensorFlow needs; expected a network with the ImageNet stem"
        )
    model.maxpool = nn.MaxPool2d(3, 2, padding=0, ceil_mode=True)
