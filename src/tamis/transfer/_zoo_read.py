"""A checkpoint file of any style as dense tensors, supports and a table: what ``tamis transfer inspect`` prints."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import safetensors
import torch
from torch import Tensor

from tamis.documents import is_file, is_folder
from tamis.errors import FileError, UsageError
from tamis.kernels import PackedPattern
from tamis.methods import masks_of_state
from tamis.models import read_foreign_state
from tamis.train import load_checkpoint, load_container
from tamis.transfer._zoo_infer import (
    Support,
    check_finite,
    explicit_support,
    infer_support,
    soft_threshold,
)
from tamis.transfer._zoo_style import MIN_ZERO_FRACTION, Style
from tamis.transfer._zoo_translate import Translation, translate

HEADS = ("fc", "classifier", "linear", "head")


@dataclass(frozen=True)
class LayerRow:
    """One row of the table: a weight of a convolution or a linear layer.

    ``sparsity`` is the share of pruned weights (zeros of the mask), ``active_zeros`` counts zeros that are not pruned,
    ``source`` says where the mask comes from, ``style`` how the file stored the layer.
    """

    layer: str
    style: str
    shape: tuple[int, ...]
    total: int
    live: int
    sparsity: float
    active_zeros: int
    source: str

    def row(self) -> dict[str, Any]:
        """JSON types."""
        return {**asdict(self), "shape": list(self.shape)}


@dataclass(frozen=True, eq=False)
class SparseState:
    """A checkpoint in canonical terms.

    Attributes:
        file: where it came from.
        tensors: dense tensors by canonical name; pruned weights are exactly zero.
        masks: bool mask by layer name, for sparse layers other than the head.
        layers: the table, all convolutions and linear layers except the head.
        styles: names of the styles found, such as ``data_parallel``, ``wrapped``; ``plain`` where there is none.
        stem_pool, interpolation: see :class:`~tamis.transfer.Style`.
        architecture: arguments of :func:`tamis.models.create_model` where the file says so, else empty.
        provenance: what else the file says about its origin, such as method and sparsity.
        warnings: about masks and zeros.
    """

    file: Path
    tensors: dict[str, Tensor]
    masks: dict[str, Tensor]
    layers: tuple[LayerRow, ...]
    styles: tuple[str, ...]
    stem_pool: str
    interpolation: Literal["bilinear", "bicubic"]
    architecture: Mapping[str, Any]
    provenance: Mapping[str, Any]
    warnings: tuple[str, ...]

    @property
    def sparsity(self) -> float:
        """Share of pruned weights over all convolutions and linear layers but the head."""
        total = sum(row.total for row in self.layers)
        return 1.0 - sum(row.live for row in self.layers) / total if total else 0.0

    def sha256(self) -> str:
        """Digest of names, shapes and values in name order and of the masks: equal weights, equal digest."""
        digest = hashlib.sha256()
        for kind, entries in (("tensor", self.tensors), ("mask", self.masks)):
            for name in sorted(entries):
                value = entries[name].detach().cpu().contiguous()
                value = value + 0.0 if value.is_floating_point() else value  # -0.0 is 0.0
                digest.update(f"{kind} {name} {tuple(value.shape)} {value.dtype}\n".encode())
                digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b"")
        return digest.hexdigest()


def find_checkpoint(source: str | os.PathLike[str]) -> Path:
    """The file itself; of a run folder its sparse model, else its dense one, else its last checkpoint.

    Raises:
        FileError: a folder with none of them.
    """
    path = Path(source)
    if not is_folder(path):
        return path
    names = ("models/sparse.safetensors", "models/dense.safetensors", "checkpoints/last.safetensors")
    for name in names:
        if (path / name).is_file():
            return path / name
    raise FileError(f"{path}: a folder without {', '.join(names)}; expected a checkpoint file or a run folder")


def read_sparse_state(
    source: str | os.PathLike[str],
    *,
    min_zero_fraction: float = MIN_ZERO_FRACTION,
    styles: Sequence[Style] | None = None,
    head: str = "",
) -> SparseState:
    """Read a checkpoint of any style; no code in it is run.

    Args:
        source: a torch file, a safetensors file, a file of tamis (packed or with masks), or a run folder.
        min_zero_fraction: share of exact zeros from which a weight without a mask counts as sparse.
        styles: the styles to try; None takes all that are registered.
        head: name of the classifier, which is left out of masks and table; found by its usual names if empty.

    Raises:
        FileError: the file cannot be read, a mask does not fit, or a value is not finite.
        UsageError: ``min_zero_fraction`` is no share.
    """
    if not 0 < min_zero_fraction <= 1:
        raise UsageError(f"min_zero_fraction = {min_zero_fraction}: expected 0 < share <= 1")
    file = find_checkpoint(source)
    try:
        own = _read_own(file)
        if own is not None:
            found, names, header = own
        else:
            state = read_foreign_state(file)
            found, header = translate(state.tensors, styles), {}
            parallel = {"module.": "data_parallel", "_orig_mod.": "compiled"}
            names = tuple(parallel[prefix] for prefix in state.prefixes)
            names += tuple(style.name for style in found.styles)
        return _resolve(file, found, names or ("plain",), header, min_zero_fraction, head)
    except FileError as error:
        text = str(error)
        raise error if text.startswith(str(file)) else FileError(f"{file}: {text}") from None


def _read_own(file: Path) -> tuple[Translation, tuple[str, ...], Mapping[str, Any]] | None:
    """A file that tamis has written, with its masks; None for any other file."""
    if not _is_own(file):
        return None
    tensors, header = load_container(file)
    checkpoint = load_checkpoint(file)
    masks: dict[str, Tensor] = {}
    for name, shape in header.get("shapes", {}).items():
        prefix = f"{name}." if name else ""
        pattern = PackedPattern.from_arrays(tuple(shape), tensors[prefix + "row_ptr"], tensors[prefix + "indices"])
        masks[f"{prefix}weight"] = pattern.mask()
    packed = bool(masks)
    try:
        held = masks_of_state(checkpoint.method) if checkpoint.method is not None else {}
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{file}: the state of its method is damaged ({error!r})") from error
    masks |= {f"{name}.weight" if name else "weight": mask for name, mask in held.items()}
    names = tuple(text for text, there in (("tamis_packed", packed), ("tamis_masked", bool(held))) if there)
    return Translation(checkpoint.model, masks), names or ("tamis_dense",), header


def _is_own(file: Path) -> bool:
    if not is_file(file):  # opening a pipe would wait for ever
        return False
    try:
        with file.open("rb") as stream:
            if stream.read(9)[8:] != b"{":
                return False
        with safetensors.safe_open(str(file), framework="pt") as opened:
            return "tamis" in (opened.metadata() or {})
    except (OSError, ValueError, safetensors.SafetensorError):
        return False  # the reader of foreign files says what is wrong


def _resolve(
    file: Path,
    found: Translation,
    names: tuple[str, ...],
    header: Mapping[str, Any],
    min_zero_fraction: float,
    head: str,
) -> SparseState:
    tensors, masks, rows, warnings = dict(found.tensors), {}, [], []
    classifier = head or head_of(tensors)
    for name, tensor in found.tensors.items():
        layer = name.removesuffix(".weight") if name != "weight" else ""
        check_finite(name, tensor)
        if not _is_prunable(name, tensor):
            if name in found.masks:  # a bias: pruned entries are zero, none is held
                tensors[name] = explicit_support(name, tensor, found.masks[name]).apply(tensor)
            continue
        weight, support, style = _support(name, found, min_zero_fraction)
        tensors[name] = weight
        if layer == classifier:
            continue
        if support.mask is not None:
            masks[layer] = support.mask
        live = weight.numel() if support.mask is None else int(support.mask.sum())
        rows.append(
            LayerRow(
                layer, style or names[-1], tuple(weight.shape), weight.numel(), live,
                1.0 - live / max(weight.numel(), 1), support.active_zeros, support.source,
            )
        )  # fmt: skip
        warnings += [support.warning] if support.warning else []
    known = ("method", "sparsity", "classes", "form")
    return SparseState(
        file=file,
        tensors=tensors,
        masks=masks,
        layers=tuple(rows),
        styles=names,
        stem_pool=found.stem_pool,
        interpolation=found.interpolation,
        architecture=dict(header.get("architecture") or {}),
        provenance={key: header[key] for key in known if key in header},
        warnings=tuple(warnings),
    )


def _support(name: str, found: Translation, min_zero_fraction: float) -> tuple[Tensor, Support, str]:
    """The effective weight, its support, and how the file stored it ("" where nothing but the weight was stored)."""
    weight = found.tensors[name]
    if name in found.thresholds:
        weight = soft_threshold(weight, found.thresholds[name])
        pruned = int(weight.numel() - weight.count_nonzero())
        mask = (weight != 0).contiguous() if pruned else None
        return weight, Support(mask, "soft threshold", 0), "str"
    if name in found.masks:
        support = explicit_support(name, weight, found.masks[name], min_zero_fraction)
        styles = [style.name for style in found.styles if any(rule.role == "mask" for rule in style.rules)]
        return support.apply(weight), support, styles[0] if styles else ""
    return weight, infer_support(name, weight, min_zero_fraction), "plain" if found.styles else ""


def _is_prunable(name: str, tensor: Tensor) -> bool:
    return (name == "weight" or name.endswith(".weight")) and tensor.dim() in (2, 3, 4) and tensor.is_floating_point()


def head_of(tensors: Mapping[str, Tensor]) -> str:
    """The usual name of the classifier that has a weight among ``tensors``; empty if there is none."""
    return next((name for name in HEADS if f"{name}.weight" in tensors), "")
