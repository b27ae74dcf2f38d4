"""One safetensors file with a JSON header: the container of checkpoints and exported models.

Never pickle: reading a file executes nothing.  Every defect of a file ends in one :class:`tamis.errors.FileError`; a
SHA-256 of header and tensors stands beside the header, so that no changed byte is taken for a weight.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from tamis.documents import json_object
from tamis.errors import FileError
from tamis.storage import write_atomic

HEADER_KEY = "tamis"
DIGEST_KEY = "tamis_sha256"
# in the header: says that a SHA-256 belongs to it. A file with neither word nor sum is of an earlier version
DIGEST_WORD = "digest"
FORMAT_VERSION = 1


def save_container(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Path:
    """Write tensors and a JSON ``header`` atomically.

    Args:
        path: target file; parent folders are made.
        tensors: any shapes and dtypes, by name; views and tensors that share memory are copied.
        header: plain JSON types; ``format_version`` and ``digest`` are added.

    Raises:
        OSError: the file cannot be written; an older file at ``path`` is untouched then.
    """
    text = json.dumps({"format_version": FORMAT_VERSION, DIGEST_WORD: "sha256", **header}, allow_nan=False)
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    metadata = {HEADER_KEY: text, DIGEST_KEY: content_digest(text, plain)}
    return write_atomic(path, safetensors.torch.save(plain, metadata=metadata))


def content_digest(header: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of a header's text and of names, dtypes, shapes and bytes of all tensors in the order of their names."""
    found = hashlib.sha256(header.encode("utf-8"))
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        found.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode("utf-8", "surrogatepass"))
        if tensor.numel():
            found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def load_container(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All tensors and the JSON header of a file written by :func:`save_container`.

    Raises:
        FileError: the file is missing, truncated, a pickle, no safetensors file, not written by tamis, of another
            format version, or its content is not what was written (files without a SHA-256, of earlier versions, are
            read as they are); the message says what was found and what was expected.
    """
    tensors, metadata = read_safetensors(path)
    if HEADER_KEY not in metadata:
        raise FileError(f"{path}: a safetensors file that tamis did not write; expected a tamis checkpoint")
    header = json_object(metadata[HEADER_KEY], f"{path}: its header")
    version = header.get("format_version")
    if version != FORMAT_VERSION:
        raise FileError(
            f"{path}: format version {str(version)[:40]!r}, this tamis reads version {FORMAT_VERSION}; "
            "use the tamis release that wrote the file"
        )
    promised = header.pop(DIGEST_WORD, None) is not None or DIGEST_KEY in metadata
    if promised and metadata.get(DIGEST_KEY) != content_digest(metadata[HEADER_KEY], tensors):
        raise FileError(f"{path}: its content has not the SHA-256 that it was written with; the file is damaged")
    return tensors, header


def read_safetensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of any safetensors file; FileError for anything else (see :func:`load_container`)."""
    file, start = Path(path), b""
    try:
        if file.exists() and not file.is_file():  # opening a pipe would wait for ever
            raise FileError(
                f"{file}: cannot be read (it is a folder, a pipe or a device); expected a .safetensors file"
            )
        with file.open("rb") as stream:
            start = stream.read(9)
        with safetensors.safe_open(str(file), framework="pt") as opened:
            # A copy per tensor: the file is mapped, and may be replaced while the tensors live on.
            return {name: opened.get_tensor(name).clone() for name in opened.keys()}, dict(opened.metadata() or {})  # noqa: SIM118
    except FileError:
        raise
    except FileNotFoundError:
        raise FileError(f"{file}: no such file; expected a .safetensors file") from None
    except OSError as error:
        raise FileError(f"{file}: cannot be read ({error.strerror}); expected a .safetensors file") from error
    except (safetensors.SafetensorError, ValueError, RuntimeError) as error:
        if "\0" in str(file):
            raise FileError(f"{file}: cannot be read (no name of a file); expected a .safetensors file") from None
        # A safetensors file begins with eight bytes of length, which may look like a pickle's, and then "{".
        if start.startswith((b"PK\x03\x04", b"\x80")) and start[8:] != b"{":
            raise FileError(f"{file}: this is a torch or pickle file; expected a .safetensors file of tamis") from error
        raise FileError(
            f"{file}: no complete safetensors file ({file.stat().st_size} bytes; {error}); it is truncated, damaged or "
            "foreign"
        ) from error
