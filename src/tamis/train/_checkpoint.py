"""Checkpoints: everything that a run needs to go on as if it had never stopped, in one safetensors file.

Names inside the file: the model's tensors under their own keys, a packed layer as ``name.values``, ``name.indices``,
``name.row_ptr``; then ``optimizer:<parameter>:<key>``, ``method:<key>``, ``rng:torch``, ``extra:<key>``.  The JSON
header holds ``method``, ``sparsity``, ``shapes`` (dense shapes of packed layers), the recipe as TOML, the optimizer's
scalars, the method's counters, Python's and numpy's random states, the dense/sparse decisions of the kernels, and
``progress``.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tamis.errors import FileError, UsageError
from tamis.kernels import choices
from tamis.train._container import load_container, save_container
from tamis.train._model_content import extra_state_of, model_content, unpacked_tensors
from tamis.train._optimizer_content import join_optimizer, split_optimizer

PREFIXES = ("optimizer:", "method:", "rng:", "extra:")
EXTRA_STATE = "_extra_state"  # torch's key for what get_extra_state returns


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
        extra_state: what modules keep in their ``get_extra_state`` and is no tensor, by its key in the state_dict.
    """

    path: Path
    model: dict[str, Tensor]
    optimizer: dict[str, Any] | None
    method: dict[str, Any] | None
    random: dict[str, Any] | None
    header: dict[str, Any]
    extra_state: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> dict[str, Any]:
        """All of the model's dense state_dict: tensors and extra state."""
        return {**self.model, **self.extra_state}


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
        UsageError: a tensor of the model has a name that the format reserves, or the optimizer keeps state that belongs
            to no parameter.
        FileError: the optimizer's state or a module's extra state holds something else than tensors, numbers, strings,
            None, and dicts, lists and tuples of them.
        OSError: the file cannot be written; an older one at ``path`` is untouched then.
    """
    clash = [key for key in model.state_dict() if key.startswith(PREFIXES)]
    if clash:
        raise UsageError(f"tensors {clash} have names that checkpoints reserve ({', '.join(PREFIXES)})")
    tensors, content = model_content(model)
    header: dict[str, Any] = {"method": method, "sparsity": sparsity, **content, "recipe": recipe}
    header |= {"progress": dict(progress or {}), "architecture": dict(architecture or {})}
    if optimizer is not None:
        stored, header["optimizer"] = split_optimizer(optimizer.state_dict())
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
            optimizer=join_optimizer(_strip(tensors, "optimizer:"), header["optimizer"])
            if "optimizer" in header
            else None,
            method={"tensors": _strip(tensors, "method:"), "json": header["method_state"]}
            if "method_state" in header
            else None,
            random={**header["random"], "torch": tensors["rng:torch"]} if "random" in header else None,
            header=header,
            extra_state=extra_state_of(tensors, header),
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
    model.load_state_dict(checkpoint.state)


def _check_weights(model: nn.Module, checkpoint: Checkpoint) -> None:
    own, stored = model.state_dict(), checkpoint.state
    missing, foreign = sorted(own.keys() - stored.keys()), sorted(stored.keys() - own.keys())
    if missing or foreign:
        raise FileError(
            f"{checkpoint.path}: another architecture; it lacks {missing[:3] or 'nothing'} and has "
            f"{foreign[:3] or 'nothing'} beside what the model expects"
        )
    for key, value in checkpoint.model.items():
        # extra state has whatever form its module gives it
        if not key.endswith(EXTRA_STATE) and value.shape != own[key].shape:
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
        model.load_state_dict(checkpoint.state)
        optimizer.load_state_dict(checkpoint.optimizer)
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002 - as above
        torch.set_rng_state(stored["torch"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RuntimeError) as error:
        raise FileError(f"{checkpoint.path}: does not fit this run ({error})") from error


def _strip(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _numpy_state() -> list[Any]:
    state: Any = np.random.get_state()  # noqa: NPY002 - see restore
    name, keys, position, has_gauss, cached = state
    return [name, keys.tolist(), position, has_gauss, cached]
