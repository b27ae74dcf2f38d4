"""Text files that may be damaged or hostile (JSON, TOML, CSV): read and parsed, or refused with one FileError."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tamis.errors import FileError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# the most bytes of one text file; the largest that tamis writes, the log of a long run, has a few hundred MB
MAX_BYTES = 1 << 30
# the most tables and lists inside one another; no file of tamis comes near, and deeper ones exhaust the stack
MAX_DEPTH = 64
# larger whole numbers may not fit a float
MAX_INTEGER = 10**38


def is_file(path: Path) -> bool:
    """Whether a plain file is there; False also for what the system takes for no name at all, such as a long text."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether a folder is there; False for what is no name at all, as :func:`is_file`."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def read_text(path: str | os.PathLike[str], expected: str) -> str:
    """The text of a UTF-8 file, its line ends as ``\\n``, without a byte order mark.

    Args:
        path: the file.
        expected: what it should be, for the message, such as ``"a TOML text file"``.

    Raises:
        FileError: it is missing, no plain file (a folder, a pipe), larger than 1 GiB, or not UTF-8.
    """
    return _decoded(_content(path, expected), path, expected)


def read_appended(path: str | os.PathLike[str], expected: str) -> str:
    """As :func:`read_text`, of a file that is appended to line by line: up to its last line end.

    What stands behind it was left by a crash, and may end within a character.
    """
    content = _content(path, expected)
    return _decoded(content[: content.rfind(b"\n") + 1], path, expected)


def read_finished(path: str | os.PathLike[str], expected: str) -> str:
    """As :func:`read_text`, of a table that tamis wrote at once, and so with an end to its last line.

    Raises:
        FileError: also where the last line has no end: then its last number may be a part of what it was.
    """
    text = read_text(path, expected)
    if text and not text.endswith("\n"):
        raise FileError(f"{path}: is cut short, its last line has no line end; expected {expected}, whole")
    return text


def _content(path: str | os.PathLike[str], expected: str) -> bytes:
    file = Path(path)
    try:
        if file.exists() and not file.is_file():
            raise FileError(f"{file}: is a {'folder' if file.is_dir() else 'pipe or device'}; expected {expected}")
        if file.stat().st_size > MAX_BYTES:
            raise FileError(f"{file}: has more than {MAX_BYTES >> 30} GiB; expected {expected}")
        return file.read_bytes()
    except OSError as error:
        raise FileError(f"{file}: cannot be read ({error.strerror}); expected {expected}") from None
    except FileError:
        raise
    except ValueError:  # a zero byte in the name
        raise FileError(f"{str(file)!r}: is no name of a file; expected {expected}") from None


def _decoded(content: bytes, path: str | os.PathLike[str], expected: str) -> str:
    try:
        return content.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise FileError(f"{Path(path)}: is not UTF-8 text (byte {error.start}); expected {expected}") from None


def json_value(text: str, where: str) -> Any:
    """What JSON text stands for.

    Raises:
        FileError: it is not JSON, holds a whole number of more than 38 digits, or is nested deeper than 64 levels; the
            message begins with ``where``.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{where}: is not valid JSON ({_reason(error)})") from None
    _check(value, where)
    return value


def json_object(text: str, where: str) -> dict[str, Any]:
    """As :func:`json_value`, and refuses everything but an object.

    Raises:
        FileError: the text is no valid JSON, or its outermost value is no object; the message begins with ``where``.
    """
    value = json_value(text, where)
    if not isinstance(value, dict):
        raise FileError(f"{where}: expected a JSON object, found {type(value).__name__}")
    return value


def toml_table(text: str, where: str) -> dict[str, Any]:
    """The tables of TOML text.

    Raises:
        FileError: it is not TOML, holds a whole number of more than 38 digits, or is nested deeper than 64 levels; the
            message begins with ``where``.
    """
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError
        raise FileError(f"{where}: this is no valid TOML ({_reason(error)})") from None
    _check(table, where)
    return table


def csv_heading(text: str, where: str) -> list[str]:
    """The names in the heading of CSV text; empty if there is none, FileError if it is no CSV."""
    try:
        return next(csv.reader(_lines(text), strict=True), [])
    except csv.Error as error:
        raise FileError(f"{where}: is not well-formed CSV ({error})") from None


def csv_records(text: str, where: str, needed: tuple[str, ...] = ()) -> Iterator[dict[str, str]]:
    """The rows of CSV text by the names in its heading; lines that begin with ``#`` and blank lines are passed over.

    Args:
        text: the content of the file.
        where: the file, for messages.
        needed: columns that must be there.

    Raises:
        FileError: the text is no CSV, a column is missing or there twice, or a row has not as many cells as the
            heading, which a row that was cut short has not.
    """
    reader = csv.reader(_lines(text), strict=True)
    try:
        names = next(reader, [])
        twice = [name for name in names if names.count(name) > 1]
        lacking = [name for name in needed if name not in names]
        if twice or lacking:
            problem = f"the column {twice[0]!r} twice" if twice else f"the columns {_listed(names)}"
            raise FileError(
                f"{where}: found {problem}; expected {'each once' if twice else 'also ' + _listed(lacking)}"
            )
        for number, cells in enumerate(reader, 2):  # the heading is row 1, as people count
            if len(cells) != len(names):
                raise FileError(
                    f"{where}, row {number}: has {len(cells)} cells; expected {len(names)} as in the heading"
                )
            yield dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise FileError(f"{where}: is not well-formed CSV ({error})") from None


def _lines(text: str) -> list[str]:
    # only \n ends a line: str.splitlines would also cut at characters that texts may hold, such as U+2028
    return [line + "\n" for line in text.split("\n") if line and not line.startswith("#")]


def _check(value: Any, where: str) -> None:
    """Refuse what would overflow the stack or a float further on."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):  # level by level, since recursion is what such files are after
        for inner in level:
            if type(inner) is int and abs(inner) >= MAX_INTEGER:
                raise FileError(
                    f"{where}: holds a whole number of {inner.bit_length()} bits; expected at most 38 digits"
                )
        parts = (
            outer.values() if isinstance(outer, dict) else outer for outer in level if isinstance(outer, (dict, list))
        )
        level = [inner for part in parts for inner in part]
        if not level:
            return
    raise FileError(f"{where}: is nested deeper than {MAX_DEPTH} levels; no file of tamis is")


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return "nested too deeply" if isinstance(error, RecursionError) else text[:200]


def _listed(names: list[str]) -> str:
    shown = ", ".join(name[:40] for name in names[:12]) or "none"
    return shown + (f" and {len(names) - 12} more" if len(names) > 12 else "")
