"""One safetensors file with a JSON header: the container of checkpoints and exported models.

Never pickle: reading a file executes nothing.  Every defect of a file ends in one :class:`tamis.errors.FileError`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from tamis.errors import FileError
from tamis.storage import write_atomic

HEADER_KEY = "tamis"
FORMAT_VERSION = 1


def save_container(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Path:
    """Write tensors and a JSON ``header`` atomically.

    Args:
        path: target file; parent folders are made.
        tensors: any shapes and dtypes, by name; views and tensors that share memory are copied.
        header: plain JSON types; ``format_version`` is added.

    Raises:
        OSError: the file cannot be written; an older file at ``path`` is untouched then.
    """
    text = json.dumps({"format_version": FORMAT_VERSION, **header}, allow_nan=False)
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return write_atomic(path, safetensors.torch.save(plain, metadata={HEADER_KEY: text}))


def load_container(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All tensors and the JSON header of a file written by :func:`save_container`.

    Raises:
        FileError: the file is missing, truncated, a pickle, no safetensors file, not written by tamis, or of another
            format version; the message says what was found and what was expected.
    """
    tensors, metadata = read_safetensors(path)
    if HEADER_KEY not in metadata:
        raise FileError(f"{path}: a safetensors file that tamis did not write; expected a tamis checkpoint")
    try:
        header = json.loads(metadata[HEADER_KEY])
        version = header["format_version"]
    except (ValueError, TypeError, KeyError) as error:
        raise FileError(f"{path}: its header is damaged ({error!r}); expected a tamis checkpoint") from error
    if version != FORMAT_VERSION:
        raise FileError(
            f"{path}: format version {version!r}, this tamis reads version {FORMAT_VERSION}; "
            "use the tamis release that wrote the file"
        )
    return tensors, header


def read_safetensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of any safetensors file; FileError for anything else (see :func:`load_container`)."""
    file = Path(path)
    try:
        with file.open("rb") as stream:
            start = stream.read(9)
        with safetensors.safe_open(str(file), framework="pt") as opened:
            # A copy per tensor: the file is mapped, and may be replaced while the tensors live on.
            return {name: opened.get_tensor(name).clone() for name in opened.keys()}, dict(opened.metadata() or {})  # noqa: SIM118
    except FileNotFoundError:
        raise FileError(f"{file}: no such file; expected a .safetensors file") from None
    except OSError as error:
        raise FileError(f"{file}: cannot be read ({error.strerror}); expected a .safetensors file") from error
    except (safetensors.SafetensorError, ValueError, RuntimeError) as error:
        # A safetensors file begins with eight bytes of length, which may look like a pickle's, and then "{".
        if start.startswith((b"PK\x03\x04", b"\x80")) and start[8:] != b"{":
            raise FileError(f"{file}: this is a torch or pickle file; expected a .safetensors file of tamis") from error
        raise FileError(
            f"{file}: no complete safetensors file ({file.stat().st_size} bytes; {error}); it is truncated, damaged or "
            "foreign"
        ) from error
