"""What an audit found, and the ways to read it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tamis.audit._gate import Gate, check_content
from tamis.audit._labels import Labels
from tamis.audit._markdown import markdown
from tamis.audit._outputs import Outputs
from tamis.audit._policy import Policy
from tamis.audit._queue import QUEUE_COLUMNS, csv_text, write_csv
from tamis.errors import UsageError
from tamis.storage import write_atomic

if TYPE_CHECKING:
    from tamis.audit._evidence import Evidence


@dataclass(frozen=True)
class Validation:
    """Held-out samples on which thresholds are calibrated, never those of the test.

    Attributes:
        labels: true values, with the columns of the test labels.
        outputs: outputs of the same models on these samples: one for each audited model, matched by model, method,
            axis, level and seed.
    """

    labels: Labels
    outputs: Sequence[Outputs]


class AuditReport:
    """What :func:`audit` found.

    ``content`` is the JSON object of docs/audit_json.md, made of plain dicts, lists and numbers; everything that a page
    shows comes from it.
    """

    def __init__(self, content: Mapping[str, Any], evidence: Evidence) -> None:
        self.content = content
        self._evidence = evidence

    @property
    def conditions(self) -> list[str]:
        """Names of the compressed conditions."""
        return list(self._evidence.comparisons)

    def pairs(self) -> list[dict[str, Any]]:
        """One row per (condition, attribute, identity): bias amplification of both sides, change, interval, p and q."""
        rows = []
        for pair in self.content["pairs"]:
            interval = pair["change"]["interval"] or {"lo": None, "hi": None, "kind": ""}
            rows.append({
                **{key: pair[key] for key in ("condition", "attribute", "identity", "reason", "toward", "p", "q")},
                **{key: pair[key]["mean"] for key in ("dense", "compressed", "change")},
                **{key: interval[key] for key in ("lo", "hi", "kind")},
            })  # fmt: skip
        return rows

    def samples(self, condition: str | None = None, limit: int | None = None) -> list[dict[str, Any]]:
        """Predictions that a person should look at, riskiest first; see :meth:`review_queue`."""
        from tamis.audit._samples import comparison_named, review_rows

        return [dict(row) for row in review_rows(comparison_named(self._evidence.comparisons, condition), limit)]

    def review_queue(
        self, path: str | os.PathLike[str] | None = None, condition: str | None = None, limit: int | None = None
    ) -> str:
        """The queue of :meth:`samples` as CSV text, also written to ``path`` if given.

        Names and ids that a spreadsheet would take for formulas get an apostrophe.

        Args:
            path: file to write, atomically.
            condition: None takes the last one: the highest level of the last method.
            limit: the most rows.
        """
        rows = self.samples(condition, limit)
        columns = (*QUEUE_COLUMNS, *self.content["identities"])
        if path is not None:
            write_csv(path, columns, rows)
        return csv_text(columns, rows)

    def criteria(self) -> Mapping[str, Any]:
        """What the dense models foretold, and how well: the key ``criteria``."""
        return self.content["criteria"]

    def countermeasures(self) -> Mapping[str, Any]:
        """Calibration, override and cascade: the key ``countermeasures``."""
        return self.content["countermeasures"]

    def check(self, policy: Policy) -> Gate:
        """Hold the report against a policy."""
        return check_content(self.content, policy)

    def with_policy(self, policy: Policy) -> AuditReport:
        """The same report with the policy's table and verdict in it."""
        gate = self.check(policy)
        return AuditReport({**self.content, "policy": gate.as_json(), "verdict": gate.verdict()}, self._evidence)

    def to_json(self) -> str:
        """``content`` as text: sorted keys, the same bytes for the same inputs."""
        return json_text(self.content)

    def to_markdown(self) -> str:
        """Verdict, policy table, curves and largest changes for a pull request or a terminal."""
        return markdown(self.content)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write :meth:`to_json` atomically."""
        return write_atomic(path, self.to_json())

    def to_html(self, *, images: Mapping[str, bytes] | None = None) -> str:
        """The page as one HTML text that works offline and asks nothing of the network (extra ``tamis[report]``).

        Args:
            images: PNG files by sample id for the gallery, as :func:`tamis.report.read_images` makes them.  None shows
                none: pictures of samples are often faces.

        Raises:
            UsageError: jinja2 or matplotlib is not installed, or an image is no PNG file.
        """
        from tamis.report.audit import render_audit_report

        return render_audit_report(self, images=images)

    def save_html(self, path: str | os.PathLike[str], *, images: Mapping[str, bytes] | None = None) -> Path:
        """Write :meth:`to_html` atomically, and return the path.

        Raises:
            UsageError: as :meth:`to_html`.
            FileError: the page cannot be written; an older page is then left as it was.
        """
        from tamis.report.audit import write_audit_report

        return write_audit_report(self, path, images=images)

    def to_metric_frame(self, attribute: str, condition: str = "dense", seed: int | None = None, **metrics: Any) -> Any:
        """A ``fairlearn.metrics.MetricFrame`` of one model and attribute, grouped by all identities.

        Args:
            attribute: the target.
            condition: name of the condition.
            seed: of its models; None takes the lowest.
            metrics: functions of (y_true, y_pred) by name; accuracy and selection rate if none is given.

        Raises:
            UsageError: Fairlearn is not installed, or a name is unknown.
        """
        from tamis.audit._metric_frame import metric_frame

        return metric_frame(self._evidence, attribute, condition, seed, metrics)


def json_text(content: Mapping[str, Any]) -> str:
    """JSON with sorted keys and without NaN, ending with a line feed."""
    try:
        return json.dumps(content, sort_keys=True, allow_nan=False, ensure_ascii=True, separators=(",", ":")) + "\n"
    except ValueError as error:
        raise UsageError(f"the report holds what JSON cannot ({error})") from None
