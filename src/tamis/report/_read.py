"""Reads a run folder: tolerant of a run that is still going, strict about damage.

A folder without ``summary.json`` is a run in progress, and so is a last line of ``metrics.jsonl`` that has no line end
and does not parse: the page says so.  Anything else that does not parse raises a FileError.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tamis import documents
from tamis.errors import FileError
from tamis.report._rows import EpochRow, Fields, MaskRow, ProbeRow, epoch_row, mask_row, probe_row
from tamis.report._summary import Summary, read_summary


@dataclass(frozen=True)
class Run:
    """Everything that a run folder says; rows are sorted by step, and a row that was written again replaces the first.

    ``remarks`` are the reader's own notes about what is missing, ``notes`` those of the run.
    """

    name: str
    finished: bool
    recipe_text: str
    recipe: Mapping[str, Any]
    env: Mapping[str, Any]
    summary: Summary
    epochs: tuple[EpochRow, ...]
    masks: tuple[MaskRow, ...]
    probes: tuple[ProbeRow, ...]
    speeds: tuple[Mapping[str, Any], ...]
    twin: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]
    remarks: tuple[str, ...]


def read_run(run_folder: str | os.PathLike[str]) -> Run:
    """The run in ``run_folder``.

    Raises FileError if the folder is missing, is no run folder (neither ``recipe.toml``, ``metrics.jsonl`` nor
    ``summary.json`` in it) or holds a damaged file; the message names the file and the line.
    """
    folder = Path(run_folder)
    if not folder.is_dir():
        raise FileError(f"{folder} is not a folder; give the folder of a run, for example runs/demo.")
    if not any((folder / name).is_file() for name in ("recipe.toml", "metrics.jsonl", "summary.json")):
        raise FileError(
            f"{folder} is not the folder of a run: it has no recipe.toml, no metrics.jsonl and no summary.json. "
            "Give the folder that tamis train or tamis demo has written, for example runs/demo."
        )
    remarks: list[str] = []
    recipe_text = text_of(folder / "recipe.toml", remarks)
    rows = _metrics(folder / "metrics.jsonl", remarks)
    summary = json_object(folder / "summary.json")
    epochs = {fields.values.get("step"): epoch_row(fields) for fields in rows if fields.values["kind"] == "epoch"}
    masks = {
        (fields.values.get("step"), fields.values.get("event")): mask_row(fields)
        for fields in rows
        if fields.values["kind"] == "mask"
    }
    probes = {fields.values.get("step"): probe_row(fields) for fields in rows if fields.values["kind"] == "probe"}
    return Run(
        name=folder.resolve().name,
        finished=summary is not None,
        recipe_text=recipe_text,
        recipe=recipe_of(folder / "recipe.toml", recipe_text),
        env=json_object(folder / "env.json") or {},
        summary=Summary() if summary is None else read_summary(summary, str(folder / "summary.json")),
        epochs=tuple(sorted(epochs.values(), key=lambda row: row.step)),
        masks=tuple(sorted(masks.values(), key=lambda row: row.step)),
        probes=tuple(sorted(probes.values(), key=lambda row: row.step)),
        speeds=_records(rows, "speed"),
        twin=_records(rows, "twin"),
        notes=tuple(fields.text("text") for fields in rows if fields.values["kind"] == "note"),
        remarks=tuple(remarks),
    )


def _metrics(path: Path, remarks: list[str]) -> list[Fields]:
    if not path.is_file():
        remarks.append("There is no metrics.jsonl: nothing was logged while training.")
        return []
    lines = _bytes_of(path).split(b"\n")
    unended = lines.pop()  # empty if the file ends with a line end
    rows = [_row(line, f"{path} line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if unended.strip():
        where = f"{path} line {len(lines) + 1}"
        try:
            rows.append(_row(unended, where))
        except FileError:
            remarks.append(f"Line {len(lines) + 1} of metrics.jsonl is half-written and was left out.")
    if not rows:
        remarks.append("metrics.jsonl is empty: no epoch has ended yet.")
    return rows


def metrics_of(path: Path, remarks: list[str]) -> list[Mapping[str, Any]]:
    """The rows of a metrics.jsonl, each with its ``kind``; remarks where there are none or the last is half-written.

    FileError for a damaged row.
    """
    return [fields.values for fields in _metrics(path, remarks)]


def _records(rows: list[Fields], kind: str) -> tuple[Mapping[str, Any], ...]:
    """The rows of one kind as they were written, without the kind."""
    found = [fields.values for fields in rows if fields.values["kind"] == kind]
    return tuple({name: value for name, value in values.items() if name != "kind"} for values in found)


def _row(line: bytes, where: str) -> Fields:
    values = _parse(line, where)
    if not isinstance(values.get("kind"), str):
        raise FileError(f'{where}: the row has no "kind"; the file is damaged or was not written by tamis.')
    return Fields(values, where)


def json_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in the file, None if there is no such file."""
    return _parse(_bytes_of(path), str(path)) if path.is_file() else None


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise FileError(f"{path}: cannot be read ({problem.strerror}); expected a file of a run.") from None


def _parse(data: bytes, where: str) -> dict[str, Any]:
    try:
        return documents.json_object(data.decode("utf-8"), where)
    except UnicodeDecodeError as problem:
        raise FileError(f"{where}: not valid JSON ({problem}); the file is damaged.") from None
    except FileError as problem:
        raise FileError(f"{problem}; the file is damaged. Restore it or repeat the run.") from None


def text_of(path: Path, remarks: list[str]) -> str:
    """The text of a recipe; a remark where there is none.  FileError unless it is UTF-8."""
    if not path.is_file():
        remarks.append("There is no recipe.toml: the page cannot say how the run was configured.")
        return ""
    try:
        return _bytes_of(path).decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as problem:
        raise FileError(f"{path}: not UTF-8 text ({problem}); the file is damaged.") from None


def recipe_of(path: Path, text: str) -> dict[str, Any]:
    """The tables of a recipe's text; FileError unless it is TOML."""
    return documents.toml_table(text, str(path))
