"""The audit's JSON object as the page sees it: checked, its names made fit to show, and asked for by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tamis.errors import UsageError
from tamis.report.audit._text import LONGEST_NAME, LONGEST_TEXT, display, display_names, without_folders

SCHEMA = "tamis.audit/1"
SHAPES: dict[str, type] = {
    "attributes": list,
    "identities": list,
    "conditions": list,
    "verdict": dict,
    "provenance": dict,
    "curves": list,
    "pairs": list,
    "histograms": list,
    "exemplars": list,
    "criteria": dict,
    "countermeasures": dict,
    "undefined": list,
    "lost": list,
    "reasons": dict,
}
PERSONAL = ("user", "username", "host", "hostname", "node", "home", "cwd")
NAMESPACES = {"attribute": "attributes", "identity": "identities", "condition": "conditions", "id": "conditions"}


@dataclass(frozen=True)
class Condition:
    """One way of compressing at one level: identifier as shown, and what the curves need of it."""

    id: str
    title: str
    series: str
    axis: str
    level: float
    seeds: int
    dense: bool


@dataclass(frozen=True)
class Audit:
    """The content with texts fit to show.

    Attributes:
        values: the whole object; names of attributes, identities and conditions are those of the next three fields.
        attributes: K names as shown, all different.
        identities: names as shown, all different.
        conditions: the dense one first.
        sample_ids: for each condition's exemplars the identities of the samples as they came, for export and images.
    """

    values: Mapping[str, Any]
    attributes: tuple[str, ...]
    identities: tuple[str, ...]
    conditions: tuple[Condition, ...]
    sample_ids: tuple[tuple[str, ...], ...]

    @property
    def compressed(self) -> tuple[Condition, ...]:
        """All conditions but the dense one."""
        return tuple(condition for condition in self.conditions if not condition.dense)

    def title_of(self, condition: str) -> str:
        """How a condition is named in tables; unknown ones keep their identifier."""
        return next((found.title for found in self.conditions if found.id == condition), condition)

    def reason(self, code: str) -> str:
        """The sentence for a code."""
        return str(self.values["reasons"].get(code) or code.replace("_", " "))


def read_content(report: Any) -> Audit:
    """The checked content of an AuditReport, or of its JSON as a dict.

    Raises UsageError if it is neither, if its schema is another one, or if a part of it is missing.
    """
    content = getattr(report, "content", report)
    if not isinstance(content, Mapping):
        raise UsageError(f"the report is a {type(content).__name__}; expected an AuditReport or the dict of its JSON")
    if content.get("schema") != SCHEMA:
        raise UsageError(f"the report has schema {display(str(content.get('schema')))!r}; expected {SCHEMA!r}")
    for name, shape in SHAPES.items():
        if not isinstance(content.get(name), shape):
            raise UsageError(
                f"the report's {name} is {type(content.get(name)).__name__}, not {shape.__name__}; expected the whole "
                "object of AuditReport.to_json()"
            )
    names = {
        "attributes": display_names(map(str, content["attributes"])),
        "identities": display_names(map(str, content["identities"])),
        "conditions": display_names(str(condition["id"]) for condition in content["conditions"]),
    }
    values = {key: _clean(value, key, names) for key, value in content.items()}
    values["provenance"] = _anonymous(values["provenance"])
    return Audit(
        values,
        tuple(names["attributes"].values()),
        tuple(names["identities"].values()),
        _conditions(values["conditions"]),
        tuple(tuple(str(row["id"]) for row in part["rows"]) for part in content["exemplars"]),
    )


def _clean(value: Any, key: str, names: Mapping[str, Mapping[str, str]]) -> Any:
    """``value`` under ``key`` with all texts fit to show."""
    if isinstance(value, str):
        space = NAMESPACES.get(key, key)
        known = names.get(space, {}).get(value)
        longest = LONGEST_NAME if key in NAMESPACES else LONGEST_TEXT
        return known if known is not None else display(value, longest) if value else ""
    if isinstance(value, Mapping):
        inner = {"groups": "identities", "missing": "attributes"}.get(key)
        shown = names.get(inner or "", {})
        return {
            shown.get(str(name)) or display(str(name)): _clean(part, str(name), names) for name, part in value.items()
        }
    if isinstance(value, list | tuple):
        return [_clean(part, key, names) for part in value]
    return value


def _anonymous(value: Any) -> Any:
    """``value`` without keys that name people or machines, and without folders."""
    if isinstance(value, str):
        return without_folders(value)
    if isinstance(value, dict):
        return {key: _anonymous(part) for key, part in value.items() if key.lower() not in PERSONAL}
    return [_anonymous(part) for part in value] if isinstance(value, list) else value


def _conditions(values: Sequence[Mapping[str, Any]]) -> tuple[Condition, ...]:
    """All conditions; those of several networks that share method and level are told apart by the network's name."""
    found = [_condition(value) for value in values]
    titles = [condition.title for condition in found]
    return tuple(
        replace(condition, title=f"{value['model'] or value['id']}, {condition.title}")
        if titles.count(condition.title) > 1
        else condition
        for condition, value in zip(found, values, strict=True)
    )


def _condition(values: Mapping[str, Any]) -> Condition:
    dense = values["role"] == "dense"
    axis, method = str(values["axis"]), str(values["method"])
    level = float(f"{float(values['level']):.6g}")  # 0.8000000000000002 is the level 0.8
    series = ", ".join(part for part in (str(values["model"]), method) if part) or "compressed"
    place = f"{level:g} bits" if axis == "bits" else f"{100 * level:.4g}\u00a0% sparse"
    title = f"{method or 'compressed'}, {place}"
    title = title.replace(" ", "\u00a0") if len(title) <= 30 else title
    return Condition(str(values["id"]), "dense" if dense else title, series, axis, level, len(values["seeds"]), dense)
