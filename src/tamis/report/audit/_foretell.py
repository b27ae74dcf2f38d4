"""Will it get worse?  What the dense model alone says, beside the evidence for and against trusting it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tamis.report._format import DASH, percent
from tamis.report._svg import LIGHT, Chart, render_chart
from tamis.report._tables import Table
from tamis.report.audit._content import Audit, Condition
from tamis.report.audit._estimates import fixed, mean, number, p_value, signed
from tamis.report.audit._heat import index_of
from tamis.report.audit._text import LONGEST_IN_CHART, display

CRITERIA = {
    "cu": "correlation \u00d7 uncertainty",
    "ce": "correlation \u00d7 error",
    "c": "correlation",
    "u": "uncertainty",
    "e": "error",
    "rarity": "rarity",
    "dense_ba": "dense bias amplification",
}
TOP = 12
PANELS = 3


@dataclass(frozen=True)
class Foretelling:
    """Ranking (its top and the whole), evidence, how samples are flagged, a chart, and the conclusion in words."""

    words: str
    top: Table | None
    whole: Table | None
    evidence: Table | None
    samples: Table | None
    chart: Chart | None


def foretelling_of(audit: Audit) -> Foretelling:
    """Section 5 of the audit."""
    criteria = audit.values["criteria"]
    ranked = sorted(criteria["attributes"], key=lambda row: row["rank"])
    evidence = [row for row in criteria["evidence"] if row["condition"] in {c.id for c in audit.compressed}]
    top = _ranking(audit, ranked[:TOP])
    return Foretelling(
        _words(audit, evidence),
        top,
        _ranking(audit, ranked) if len(ranked) > TOP else None,
        _evidence(audit, evidence),
        _samples(audit, criteria["samples"]),
        _chart(audit, ranked),
    )


def _words(audit: Audit, evidence: Sequence[Mapping[str, Any]]) -> str:
    titles = {condition.id: condition.title for condition in audit.compressed}
    rows = [row for row in evidence if row["criterion"] == "cu" and math.isfinite(number(row["spearman"]))]
    if not rows:
        return "No compressed model was measured here, so nothing says how far to trust this ranking."
    sure = [row for row in rows if number(row["p"]) < 0.05 and row["spearman"] > 0]
    if not sure:
        return (
            "In this audit it foretold nothing: its rank correlation with the measured changes is not sure for any of "
            "the models."
        )
    found = ", ".join(
        f"{titles[row['condition']]} (\u03c1\u00a0=\u00a0{fixed(row['spearman'], 2)}, {p_value(row['p'], 'p')})"
        for row in sure
    )
    rest = "; for the others it says nothing sure" if len(sure) < len(rows) else ""
    return f"In this audit it agrees with the measured changes for {found}{rest}."


def _ranking(audit: Audit, rows: Sequence[Mapping[str, Any]]) -> Table | None:
    if not rows:
        return None
    pairs = index_of(audit)
    last = audit.compressed[-1] if audit.compressed else None
    headings = ["Rank", "Pair", "Score c·u", "Correlation c", "Uncertainty u", "Error", "Dense BA"]
    table = []
    for row in rows:
        line = [
            str(row["rank"]),
            f"{row['attribute']} by {row['identity']}",
            fixed(row["score"]),
            fixed(row["correlation"]),
            percent(number(row["uncertainty"])),
            percent(number(row["error"])),
            signed(row["dense_ba"]),
        ]
        if last:
            pair = pairs.get((last.id, row["attribute"], row["identity"]))
            line.append(signed(mean(pair["change"])) if pair else DASH)
        table.append(tuple(line))
    if last:
        headings.append(f"Measured change, {last.title}")
    return Table(tuple(headings), (True, False, *(True for _ in headings[2:])), tuple(table))


def _evidence(audit: Audit, rows: Sequence[Mapping[str, Any]]) -> Table | None:
    if not rows:
        return None
    found = {(row["condition"], row["criterion"]): row for row in rows}
    used = [key for key in CRITERIA if any(row["criterion"] == key for row in rows)]
    table = []
    for condition in audit.compressed:
        own = [found.get((condition.id, key)) for key in used]
        if any(own):
            counts = sorted({str(row["n"]) for row in own if row})
            hits = _hits(found.get((condition.id, "cu")))
            table.append((condition.title, ", ".join(counts), hits, *(_rho(audit, row) for row in own)))
    headings = ("Models", "Pairs", "Rose for sure: top quarter, all", *(CRITERIA[key] for key in used))
    return Table(headings, (False, *(True for _ in headings[1:])), tuple(table))


def _hits(row: Mapping[str, Any] | None) -> str:
    """How many of the pairs ranked highest surely rose, beside all; a dash for a report of an older version."""
    if row is None or "top_risen" not in row or not row["n"]:
        return DASH
    return f"{row['top_risen']} of {row['top']}, {row['risen']} of {row['n']}"


def _rho(audit: Audit, row: Mapping[str, Any] | None) -> str:
    if row is None:
        return DASH
    if row["reason"]:
        return audit.reason(row["reason"])
    return f"{fixed(row['spearman'], 2)} ({p_value(row['p'], 'p')})"


def _samples(audit: Audit, rows: Sequence[Mapping[str, Any]]) -> Table | None:
    table = [
        (
            audit.title_of(row["condition"]),
            row["attribute"] or "all attributes",
            f"{row['flips']:,}",
            fixed(row["auroc"]) if not row["reason"] else audit.reason(row["reason"]),
            percent(number(row["flagged"])),
            percent(number(row["base"])),
        )
        for row in rows
        if not row["attribute"] or len(audit.attributes) <= TOP
    ]
    headings = ("Models", "Attribute", "Changed predictions", "AUROC", "Flagged among changed", "Flagged overall")
    return Table(headings, (False, False, True, True, True, True), tuple(table)) if table else None


def _chart(audit: Audit, rows: Sequence[Mapping[str, Any]]) -> Chart | None:
    """Score against measured change for the last few conditions."""
    pairs = index_of(audit)
    series: list[tuple[Condition, list[tuple[float, float]]]] = []
    for condition in audit.compressed[-PANELS:]:
        points = [
            (number(row["score"]), mean(pairs[(condition.id, row["attribute"], row["identity"])]["change"]))
            for row in rows
            if (condition.id, row["attribute"], row["identity"]) in pairs
        ]
        points = [point for point in points if all(map(math.isfinite, point))]
        if len(points) > 1:
            series.append((condition, points))
    if not series:
        return None

    def draw(figure: Any, narrow: bool) -> None:
        panels = (
            figure.subplots(len(series), 1, squeeze=False)
            if narrow
            else figure.subplots(1, len(series), squeeze=False, sharey=True)
        )
        for panel, (condition, points) in zip(panels.ravel(), series, strict=True):
            panel.axhline(0, color=LIGHT["muted"], linewidth=0.8)
            panel.plot(
                *zip(*points, strict=True),
                marker="o",
                markersize=4,
                color=LIGHT["sparse"],
                linestyle="none",
                alpha=0.85,
            )
            panel.set_title(display(condition.title, LONGEST_IN_CHART))
            panel.set_xlabel("score c·u of the dense model")
        panels.ravel()[0].set_ylabel("measured change")

    alt = "Score of the dense model against the measured change of bias amplification: " + "; ".join(
        f"{condition.title}, {len(points)} pairs with changes from {signed(min(y for _, y in points))} to "
        f"{signed(max(y for _, y in points))}"
        for condition, points in series
    )
    caption = (
        "Each dot is a pair of attribute and identity. Dots that climb to the right mean that the dense model foretold "
        "the change."
    )
    return render_chart("foretell", "What the dense model foretold", alt + ".", caption, (2.7, 2.4 * len(series)), draw)
