"""Checkpoints: everything that a run needs to go on as if it had never stopped, in one safetensors file.

Names inside the file: the model's tensors under their own keys, a packed layer as ``name.values``, ``name.indices``,
``name.row_ptr``; then ``optimizer:<parameter>:<key>``, ``method:<key>``, ``rng:torch``.  The JSON header holds
``method``, ``sparsity``, ``shapes`` (dense shapes of packed layers), the recipe as TOML, the optimizer's scalars, the
method's counters, Python's and numpy's random states, the dense/sparse decisions of the kernels, and ``progress``.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tamis.errors import FileError, UsageError
from tamis.kernels import choices
from tamis.train._container import load_container, save_container
from tamis.train._packed_tensors import packed_tensors, unpacked_tensors

PREFIXES = ("optimizer:", "method:", "rng:")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory, fully read and checked; nothing has been loaded into a model yet.

    Attributes:
        path: where it came from, for messages.
        model: dense state_dict, packed layers unpacked under ``name.weight``.
        optimizer: state_dict of the torch optimizer, None if the file has none.
        method: ``{"tensors": ..., "json": ...}`` of the sparsifier, None if the file has none.
        random: states of the random generators, None if the file has none.
        header: the JSON header (``method``, ``sparsity``, ``shapes``, ``recipe``, ``progress``, ``choices``, ...).
    """

    path: Path
    model: dict[str, Tensor]
    optimizer: dict[str, Any] | None
    method: dict[str, Any] | None
    random: dict[str, Any] | None
    header: dict[str, Any]


def save_checkpoint(
    path: str | os.PathLike[str],
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    sparsifier: Any = None,
    *,
    method: str = "dense",
    sparsity: float = 0.0,
    recipe: str = "",
    progress: Mapping[str, Any] | None = None,
    architecture: Mapping[str, Any] | None = None,
) -> Path:
    """Write one checkpoint atomically, packed layers packed.

    Args:
        path: target ``.safetensors`` file.
        model: any module; its packed layers are stored as they are, all others dense.
        optimizer: its state tensors and scalars are stored; None for a model alone.
        sparsifier: an attached :class:`tamis.methods.Sparsifier`.
        method: name of the published method.
        sparsity: requested fraction of zeros over the prunable weights.
        recipe: the resolved recipe as TOML text.
        progress: plain JSON types (epoch, step, records).
        architecture: arguments of :func:`tamis.models.create_model`, so that the file alone can rebuild the network.

    Raises:
        UsageError: a tensor of the model has a name that the format reserves.
        OSError: the file cannot be written; an older one at ``path`` is untouched then.
    """
    tensors, shapes = packed_tensors(model)
    clash = [key for key in tensors if key.startswith(PREFIXES)]
    if clash:
        raise UsageError(f"tensors {clash} have names that checkpoints reserve ({', '.join(PREFIXES)})")
    header: dict[str, Any] = {"method": method, "sparsity": sparsity, "shapes": shapes, "recipe": recipe}
    header |= {"progress": dict(progress or {}), "architecture": dict(architecture or {})}
    if optimizer is not None:
        stored, header["optimizer"] = _split_optimizer(optimizer.state_dict())
        tensors |= {f"optimizer:{key}": value for key, value in stored.items()}
        header["random"] = {"python": random.getstate(), "numpy": _numpy_state()}
        tensors["rng:torch"] = torch.get_rng_state()
        header["choices"] = choices.state_dict()
    if sparsifier is not None:
        state = sparsifier.state_dict()
        tensors |= {f"method:{key}": value for key, value in state["tensors"].items()}
        header["method_state"] = state["json"]
    return save_container(path, tensors, header)


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read and check one checkpoint; loads nothing into any model.

    Raises:
        FileError: the file is missing, truncated, foreign, a pickle, of another version, or describes packed layers
            that are not consistent.
    """
    tensors, header = load_container(path)
    file = Path(path)
    try:
        model = {key: value for key, value in tensors.items() if not key.startswith(PREFIXES)}
        return Checkpoint(
            path=file,
            model=unpacked_tensors(model, header["shapes"]),
            optimizer=_join_optimizer(_strip(tensors, "optimizer:"), header["optimizer"])
            if "optimizer" in header
            else None,
            method={"tensors": _strip(tensors, "method:"), "json": header["method_state"]}
            if "method_state" in header
            else None,
            random={**header["random"], "torch": tensors["rng:torch"]} if "random" in header else None,
            header=header,
        )
    except FileError as error:
        raise FileError(f"{file}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RuntimeError) as error:
        raise FileError(
            f"{file}: its header and its tensors do not fit together ({error!r}); the file is damaged"
        ) from error


def checkpoint_of(source: str | os.PathLike[str]) -> Checkpoint:
    """The checkpoint in a file, or the last one of a run folder; raises as :func:`load_checkpoint`."""
    path = Path(source)
    return load_checkpoint(path / "checkpoints" / "last.safetensors" if path.is_dir() else path)


def load_weights(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Copy a checkpoint's dense weights into a model of the same architecture.

    Raises:
        FileError: names or shapes do not fit; the model is unchanged then.
    """
    _check_weights(model, checkpoint)
    model.load_state_dict(checkpoint.model)


def _check_weights(model: nn.Module, checkpoint: Checkpoint) -> None:
    own = model.state_dict()
    missing, foreign = sorted(own.keys() - checkpoint.model.keys()), sorted(checkpoint.model.keys() - own.keys())
    if missing or foreign:
        raise FileError(
            f"{checkpoint.path}: another architecture; it lacks {missing[:3] or 'nothing'} and has "
            f"{foreign[:3] or 'nothing'} beside what the model expects"
        )
    for key, value in checkpoint.model.items():
        if value.shape != own[key].shape:
            raise FileError(
                f"{checkpoint.path}: {key} has shape {tuple(value.shape)}, the model expects {tuple(own[key].shape)}"
            )


def load_method(checkpoint: Checkpoint, sparsifier: Any) -> None:
    """Give ``sparsifier`` the state of a checkpoint; before ``attach`` it is kept until then.

    Raises:
        FileError: the state is damaged or of another method.
    """
    try:
        sparsifier.load_state_dict(checkpoint.method)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RuntimeError) as error:
        raise FileError(f"{checkpoint.path}: does not fit this run ({error})") from error


def restore(checkpoint: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer, sparsifier: Any = None) -> None:
    """Bring freshly built objects to the state of a checkpoint; the next step equals that of the run which wrote it.

    Args:
        checkpoint: written with an optimizer, and with a sparsifier if one is given.
        model: same architecture.
        optimizer: same class, over the same parameters.
        sparsifier: attached to both already.

    Raises:
        FileError: a part is missing or does not fit.
    """
    if checkpoint.optimizer is None or checkpoint.random is None or (sparsifier is None) != (checkpoint.method is None):
        raise FileError(f"{checkpoint.path}: no checkpoint of this kind of run; resume with the recipe that wrote it")
    _check_weights(model, checkpoint)
    try:
        stored = checkpoint.random
        version, internal, gauss = stored["python"]
        python_state, numpy_state = (version, tuple(internal), gauss), tuple(stored["numpy"])
        # Tried on throw-away generators first, so that a damaged file changes nothing.
        torch.Generator().set_state(stored["torch"])
        random.Random().setstate(python_state)
        np.random.RandomState().set_state(numpy_state)
        choices.load_state_dict(checkpoint.header["choices"])
        if sparsifier is not None:
            # The order matters: masks and packing first, then the values that must fit them.
            sparsifier.load_state_dict(checkpoint.method)
        model.load_state_dict(checkpoint.model)
        optimizer.load_state_dict(checkpoint.optimizer)
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002 - as above
        torch.set_rng_state(stored["torch"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RuntimeError) as error:
        raise FileError(f"{checkpoint.path}: does not fit this run ({error})") from error


def _split_optimizer(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{index}:{key}"] = value
            else:
                scalars.setdefault(str(index), {})[key] = value
    return tensors, {"groups": state["param_groups"], "scalars": scalars}


def _join_optimizer(tensors: Mapping[str, Tensor], stored: Mapping[str, Any]) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in stored["scalars"].items()}
    for name, value in tensors.items():
        index, _, key = name.partition(":")
        state.setdefault(int(index), {})[key] = value
    groups = [
        {key: tuple(value) if key == "betas" else value for key, value in group.items()} for group in stored["groups"]
    ]
    # by number: a file has names in the order of letters, and a snapshot of the state keeps the order that it finds
    return {"state": dict(sorted(state.items())), "param_groups": groups}


def _strip(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _numpy_state() -> list[Any]:
    state: Any = np.random.get_state()  # noqa: NPY002 - see restore
    name, keys, position, has_gauss, cached = state
    return [name, keys.tolist(), position, has_gauss, cached]
