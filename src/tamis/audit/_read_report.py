"""Reading a report.json that somebody else may have written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tamis.audit._content import SCHEMA
from tamis.errors import FileError

MAX_BYTES = 1 << 30
_KEYS = {
    "conditions": list,
    "means": dict,
    "pairs": list,
    "group_values": list,
    "attribute_values": list,
    "curves": list,
    "undefined": list,
    "reasons": dict,
    "provenance": dict,
    "identities": list,
    "task": str,
}


def read_report(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object of a report.json.

    Raises:
        FileError: the file is missing, too large, no JSON, of another schema, or lacks a part.
    """
    file = Path(path)
    try:
        if file.exists() and not file.is_file():  # opening a pipe would wait for ever
            raise FileError(f"{file}: is a folder, a pipe or a device; expected a report.json")
        if file.stat().st_size > MAX_BYTES:
            raise FileError(
                f"{file}: {file.stat().st_size >> 20} MiB; expected a report of at most {MAX_BYTES >> 20} MiB"
            )
        found = json.loads(file.read_bytes())
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{file}: cannot read this file ({error.strerror}); expected a report.json") from None
    except (ValueError, RecursionError) as error:
        raise FileError(f"{file}: this is no JSON ({error}); expected what tamis audit run --json writes") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        schema = found.get("schema") if isinstance(found, dict) else type(found).__name__
        raise FileError(f"{file}: found the schema {schema!r}; expected {SCHEMA!r}")
    for key, kind in _KEYS.items():
        if not isinstance(found.get(key), kind):
            raise FileError(
                f"{file}: the part {key!r} is missing or damaged; expected what tamis audit run --json writes"
            )
    return found
