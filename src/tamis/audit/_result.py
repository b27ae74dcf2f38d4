"""What an audit found, and the ways to read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tamis.audit._labels import Labels
from tamis.audit._outputs import Outputs


@dataclass(frozen=True)
class Validation:
    """Held-out samples on which thresholds are calibrated, never those of the test.

    Attributes:
        labels: true values, with the columns of the test labels.
        outputs: outputs of the same models on these samples: one for each audited model, matched by method, axis, level
            and seed.
    """

    labels: Labels
    outputs: Sequence[Outputs]


class AuditReport:
    """What :func:`audit` found.

    ``content`` is the JSON object of docs/audit_json.md, made of plain dicts, lists and numbers; everything that a page
    shows comes from it.
    """

    content: Mapping[str, Any]

    def pairs(self) -> list[dict[str, Any]]:
        """One row per (compressed condition, attribute, identity): ``content["pairs"]`` without its nesting."""
        raise NotImplementedError

    def to_json(self) -> str:
        """``content`` as text: sorted keys, the same bytes for the same inputs."""
        raise NotImplementedError
