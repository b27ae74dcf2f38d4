"""A foreign state dict in canonical terms: tensors, masks and thresholds under the names of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from tamis.errors import FileError
from tamis.transfer._zoo_style import Style, list_styles


@dataclass(frozen=True, eq=False)
class Translation:
    """What a state dict holds: tensors, masks and thresholds by canonical parameter name, and which styles it is of."""

    tensors: dict[str, Tensor]
    masks: dict[str, Tensor] = field(default_factory=dict)
    thresholds: dict[str, Tensor] = field(default_factory=dict)
    styles: tuple[Style, ...] = ()

    @property
    def stem_pool(self) -> str:
        """``tensorflow`` where a style asks for it, else ``as_built``."""
        return next((style.stem_pool for style in self.styles if style.stem_pool != "as_built"), "as_built")

    @property
    def interpolation(self) -> Literal["bilinear", "bicubic"]:
        """How the upstream training resized its images."""
        return next((style.interpolation for style in self.styles if style.interpolation != "bilinear"), "bilinear")


def translate(state: Mapping[str, Tensor], styles: Sequence[Style] | None = None) -> Translation:
    """Apply every style that recognises the keys, in order, to the keys that are left by those before.

    Args:
        state: tensors by key, without prefixes that all keys share.
        styles: the styles to try; None takes all that are registered.

    Returns:
        Tensors are those of ``state``, not copied, masked or thresholded; ``fc.weight`` of shape (C, d, 1, 1) is
        reshaped where a style says so.

    Raises:
        FileError: two keys have one canonical name, or a mask or threshold has no tensor.
    """
    found = Translation(dict(state))
    for style in list_styles() if styles is None else styles:
        if style.recognises(found.tensors):
            found = _apply(style, found)
    for what, entries in (("mask", found.masks), ("threshold", found.thresholds)):
        orphans = sorted(set(entries) - set(found.tensors))
        if orphans:
            raise FileError(f"a {what} for {orphans[:3]}, but no such tensor; the checkpoint is incomplete")
    return found


def _apply(style: Style, before: Translation) -> Translation:
    after: dict[str, dict[str, Tensor]] = {"tensor": {}, "mask": {}, "threshold": {}}
    for kind, entries in (("tensor", before.tensors), ("mask", before.masks), ("threshold", before.thresholds)):
        for key, tensor in entries.items():
            role, name = _meaning(style, key)
            role = role if kind == "tensor" else kind  # what is a mask already stays one under its new name
            if name in after[role]:
                raise FileError(f"style {style.name}: two keys mean the {role} {name!r}, one of them is {key!r}")
            after[role][name] = tensor
    if style.flat_head:
        for entries in (after["tensor"], after["mask"]):
            head = entries.get("fc.weight")
            if head is not None and head.dim() == 4 and tuple(head.shape[2:]) == (1, 1):
                entries["fc.weight"] = head.flatten(1)
    return Translation(after["tensor"], after["mask"], after["threshold"], (*before.styles, style))


def _meaning(style: Style, key: str) -> tuple[str, str]:
    for rule in style.rules:
        name = rule.translate(key)
        if name is not None:
            return rule.role, name
    return "tensor", key
