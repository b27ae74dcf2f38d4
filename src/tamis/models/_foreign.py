"""Reading checkpoints that other programs wrote: torch files (plain tensors only) and safetensors."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from tamis.errors import FileError

# where training programs put the state dict, in the order of how specific the word is
_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights")
# what DistributedDataParallel and torch.compile put before every name
_PREFIXES = ("module.", "_orig_mod.")
_EXPECTED = "a state dict of tensors saved by torch.save or in safetensors form"
# torch writes members of its archives uncompressed; a file that inflates this much is not one of them
_MAX_INFLATION = 100


@dataclass(frozen=True, eq=False)
class ForeignState:
    """A state dict and what stood around it: the keys it was found under and the prefixes taken off every name."""

    tensors: dict[str, Tensor]
    containers: tuple[str, ...]
    prefixes: tuple[str, ...]


def load_foreign_checkpoint(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of :func:`read_foreign_state`: ``{parameter name: tensor on the CPU}``; raises as it does."""
    return read_foreign_state(path).tensors


def read_foreign_state(path: str | os.PathLike[str]) -> ForeignState:
    """Read a checkpoint without running any code that it may contain.

    Torch files (zip and legacy) go through ``torch.load(weights_only=True)``, safetensors files through their own
    reader; the content decides, not the file's ending.  A state dict inside ``{"state_dict": ...}``, ``{"model":
    ...}`` and the like is unwrapped, the prefixes ``module.`` and ``_orig_mod.`` are removed where every name has
    them.  Shapes and dtypes are those of the file; no tensor requires a gradient.

    Raises ``FileError`` naming the file, what was found and what was expected, if it is missing, a folder, empty,
    truncated, a pickle with code, not a state dict, or holds something other than dense tensors.
    """
    file = Path(path)
    content = _read(file)
    state, containers = _unwrap(file, content)
    for name, value in state.items():
        if not isinstance(name, str):
            raise _error(file, f"an entry under the key {name!r}, which is no name")
        if not isinstance(value, Tensor):
            raise _error(file, f"{type(value).__name__} under {name!r}")
        if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
            raise _error(file, f"a {value.layout} tensor of dtype {value.dtype} on {value.device} under {name!r}")
        # a view can claim more elements than are stored (stride 0); copying it would fill the memory
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise _error(file, f"a tensor of shape {tuple(value.shape)} without that many values under {name!r}")
    if not state:
        raise _error(file, "no tensors")
    tensors, prefixes = _without_prefixes({name: value.detach() for name, value in state.items()})
    return ForeignState(tensors, containers, prefixes)


def _read(file: Path) -> Any:
    try:
        if file.is_dir():
            raise _error(file, "a folder")
        if file.exists() and not file.is_file():  # opening a pipe would wait for ever
            raise _error(file, "a pipe or a device")
        with file.open("rb") as stream:
            start = stream.read(9)
        size = file.stat().st_size
    except FileNotFoundError:
        raise _error(file, "no such file") from None
    except OSError as error:
        raise _error(file, f"an unreadable file ({error.strerror or error})") from None
    except FileError:
        raise
    except ValueError:  # a zero byte
        raise _error(file, "no name of a file") from None
    if not start:
        raise _error(file, "an empty file")
    try:
        # a safetensors file is eight bytes of header length, then JSON
        if start[8:] == b"{":
            return safetensors.torch.load_file(file)
        if start.startswith(b"PK"):
            with zipfile.ZipFile(file) as archive:
                if sum(member.file_size for member in archive.infolist()) > _MAX_INFLATION * size:
                    raise _error(file, f"an archive that inflates to more than {_MAX_INFLATION} times its size")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the legacy form, which is what was asked for
            return torch.load(file, map_location="cpu", weights_only=True)
    except FileError:
        raise
    except Exception as error:
        # readers of damaged bytes raise nearly anything: EOFError, RuntimeError, KeyError, UnpicklingError ...
        raise _error(file, _reason(error)) from None


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "a damaged file, which asks for more memory than there is"
    if "weights_only" in text or "Weights only" in text:
        # torch's advice is to switch the protection off; say what is wrong instead
        _, _, detail = text.partition("WeightsUnpickler error: ")
        return (
            f"a pickle with more than plain tensors ({_shorten(detail) or type(error).__name__}), which could run code"
        )
    return f"a damaged or truncated file ({type(error).__name__}: {_shorten(text)})"


def _shorten(text: str) -> str:
    first = text.split(" Please ")[0].split(" Check the documentation")[0].strip(" .")
    return first if len(first) <= 160 else first[:157] + "..."


def _unwrap(file: Path, content: Any) -> tuple[Mapping[Any, Any], tuple[str, ...]]:
    containers: tuple[str, ...] = ()
    for _ in range(4):
        if not isinstance(content, Mapping):
            raise _error(file, f"an object of type {type(content).__name__}")
        wrapper = next((key for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if wrapper is None:
            return content, containers
        content, containers = content[wrapper], (*containers, wrapper)
    raise _error(file, "state dicts nested deeper than three levels")


def _without_prefixes(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    prefixes: tuple[str, ...] = ()
    while True:
        prefix = next((p for p in _PREFIXES if all(name.startswith(p) for name in state)), None)
        if prefix is None:
            return state, prefixes
        prefixes = (*prefixes, prefix)
        state = {name[len(prefix) :]: value for name, value in state.items()}


def _error(file: Path, found: str) -> FileError:
    return FileError(f"{file}: found {found}; expected {_EXPECTED}")
