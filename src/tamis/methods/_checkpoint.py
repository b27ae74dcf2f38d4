"""The checkpoint of a sparsifier: tensors and JSON types, never pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from torch import Tensor

from tamis.errors import UsageError
from tamis.methods._bitmap import from_bitmap, to_bitmap

FORMAT = 1


class SparsifierState(TypedDict):
    """What ``Sparsifier.state_dict`` returns.

    ``tensors`` holds bitmaps of masks (uint8), snapshots, saved values and generator states by name; ``json`` holds
    everything else as JSON types.
    """

    tensors: dict[str, Tensor]
    json: dict[str, Any]


def describe(sparsifier: Any) -> dict[str, Any]:
    """The choices that a resumed run must share, as JSON types."""
    choices = {
        "sparsity": sparsifier.sparsity,
        "distribution": repr(sparsifier.distribution),
        "pattern": repr(sparsifier.pattern),
        **sparsifier._configuration(),
    }
    if sparsifier.reparameterise is not None:
        choices["reparameterise"] = repr(sparsifier.reparameterise)
    return {"method": sparsifier.method, **choices}


def save_common(sparsifier: Any) -> SparsifierState:
    """The part of a checkpoint that all methods share."""
    supports = sparsifier._attached()
    recorder = sparsifier._recorder
    tensors = {f"mask/{name}": to_bitmap(mask) for name, mask in supports.masks.items()}
    tensors |= {f"previous/{name}": bits for name, bits in recorder.previous.items()}
    tensors |= sparsifier._latents.tensors(supports.layers)
    return {
        "tensors": tensors,
        "json": {
            "format": FORMAT,
            "configuration": describe(sparsifier),
            "layers": {name: list(shape) for name, shape in supports.shapes().items()},
            "step": sparsifier.step,
            "held": supports.held,
            "entering": sparsifier._due.pending,
            "events": list(recorder.events),
            "history": sparsifier._history.rows(0, None),
            "times": sparsifier._times.rows(sparsifier.phase),
        },
    }


def masks_of_state(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Bool mask by layer name that a sparsifier's ``state_dict()`` holds; empty where it was saved in a dense phase.

    Raises:
        FileError: a mask does not have the size of its layer.
    """
    json, tensors = state["json"], state["tensors"]
    shapes = json["layers"] if json["held"] else {}
    return {
        name: from_bitmap(tensors[f"mask/{name}"], shape) for name, shape in shapes.items() if f"mask/{name}" in tensors
    }


def load_common(sparsifier: Any, state: Mapping[str, Any]) -> None:
    """Check a checkpoint against the sparsifier and its model, then put its masks in force.

    Raises:
        UsageError: another format, method, choice or model; nothing is changed then.
    """
    json, tensors = state["json"], state["tensors"]
    if json.get("format") != FORMAT:
        raise UsageError(f"sparsifier state of format {json.get('format')!r}; this version of tamis reads {FORMAT}")
    _refuse_difference(json["configuration"], describe(sparsifier), "choice")
    supports = sparsifier._attached()
    shapes = {name: list(shape) for name, shape in supports.shapes().items()}
    _refuse_difference(json["layers"], shapes, "shape of layer")
    missing = [name for name in shapes if json["held"] and f"mask/{name}" not in tensors]
    if missing:
        raise UsageError(f"the sparsifier's state lacks the masks of {missing}; the checkpoint is incomplete")
    masks = {name: from_bitmap(tensors[f"mask/{name}"], shape) for name, shape in shapes.items() if json["held"]}
    sparsifier.step = int(json["step"])
    supports.release()
    if json["held"]:
        supports.hold({name: mask.to(supports.layers[name].weight.device) for name, mask in masks.items()})
    sparsifier._recorder.load(
        json["events"], {k.removeprefix("previous/"): t for k, t in tensors.items() if k.startswith("previous/")}
    )
    sparsifier._history.load(json["history"])
    sparsifier._times.load(json.get("times", []))
    sparsifier._due.loaded_with(json.get("entering", False))


def _refuse_difference(stored: Mapping[str, Any], present: Mapping[str, Any], what: str) -> None:
    for key in [*stored, *(key for key in present if key not in stored)]:
        if stored.get(key) != present.get(key):
            raise UsageError(
                f"cannot resume: {what} {key!r} is {present.get(key)!r} here but {stored.get(key)!r} in the "
                "checkpoint; resume with the settings and the model that it was saved with"
            )
