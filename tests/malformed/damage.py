"""Builders of damaged files, by format: headers that lie, pickles that act, archives of too much."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

MARK = "executed_by_a_pickle"


class Folder(dict[str, bytes]):
    """Content by place: the reader that must refuse it, and the name of the file."""

    def add(self, reader: str, ending: str, **contents: bytes | str) -> None:
        """Files of one reader by name."""
        for name, content in contents.items():
            data = content.encode("utf-8") if isinstance(content, str) else content
            self[f"{reader}/{name}{ending}"] = data


class Poison:
    """Its pickle makes a file in the working folder of whoever loads it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (MARK, "w"))


def poison() -> bytes:
    """A pickle that does something when it is loaded."""
    return pickle.dumps({"state_dict": {"conv1.weight": Poison()}}, protocol=2)


def safetensors_file(header: Mapping[str, Any] | bytes, data: bytes = b"") -> bytes:
    """A safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensors(header: str | None, **arrays: np.ndarray) -> bytes:
    """A safetensors file with these arrays and this text under the key ``tamis``."""
    kinds = {"float32": "F32", "int32": "I32", "int64": "I64", "uint8": "U8"}
    entries: dict[str, Any] = {} if header is None else {"__metadata__": {"tamis": header}}
    data = b""
    for name, array in arrays.items():
        start, data = len(data), data + array.tobytes()
        name = name.replace("__", ".")
        entries[name] = {
            "dtype": kinds[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [start, len(data)],
        }
    return safetensors_file(entries, data)


def packed(shapes: Any, row_ptr: Any = (0, 1), indices: Any = (0,), values: Any = (1.0,), **more: Any) -> bytes:
    """A checkpoint with one packed layer ``w``."""
    header = {"format_version": 1, "method": "x", "sparsity": 0.5, "recipe": "", "shapes": shapes, **more}
    return tensors(
        json.dumps(header),
        w__values=np.array(values, np.float32),
        w__indices=np.array(indices, np.int32),
        w__row_ptr=np.array(row_ptr, np.int64),
    )


def archive(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as found:
        for name, content in members.items():
            found.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def array(value: Any) -> bytes:
    """An .npy file; objects are pickled."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(value), allow_pickle=True)
    return stream.getvalue()


def npz(method: int = zipfile.ZIP_STORED, **arrays: Any) -> bytes:
    """An .npz file of arrays, or of ready members as bytes."""
    return archive({f"{name}.npy": v if isinstance(v, bytes) else array(v) for name, v in arrays.items()}, method)


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """An .npy file with any header."""
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + data


def outputs(about: Any = None, method: int = zipfile.ZIP_STORED, **changed: Any) -> bytes:
    """An .npz of outputs with something wrong in it."""
    told = {"format": "tamis.outputs/1", "model": "m", "method": "gmp", "level": 0.5, "axis": "sparsity", "seed": 0,
            "dense_seed": None, "task": "multilabel", "meta": {}}  # fmt: skip
    text = about if isinstance(about, str) else json.dumps({**told, **(about or {})})
    whole = {"logits": np.zeros((2, 1), np.float32), "ids": np.array(["a", "b"]), "names": np.array(["x"])}
    return npz(method, **{**whole, "about": np.array(text), **changed})


def bomb(side: int) -> bytes:
    """Zeros, which pack into next to nothing."""
    return npy(lying("<f4", f"({side}, {side})"), bytes(4 * side * side))


def lying(kind: str, shape: str) -> str:
    """What the header of an .npy file says."""
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"


def anything() -> dict[str, bytes]:
    """What no reader of a binary format takes."""
    return {
        "empty": b"",
        "seven_bytes": b"1234567",
        "text": b"this is no such file, but long enough for a header",
        "pickle": poison(),
        "zip_with_pickle": archive({"archive/data.pkl": poison(), "archive/version": b"3"}),
    }
