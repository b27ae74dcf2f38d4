"""What a bias study leaves: four CSV files, the tables as Markdown, figures, and a page that works offline."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tamis.bench import write_csv
from tamis.report import draw_svg, render_chart, render_template, require_extra
from tamis.storage import write_atomic
from tamis.study._bias_audit import SetupAudit
from tamis.study._bias_description import BiasStudy
from tamis.study._bias_figures import bias_figures, figure_words
from tamis.study._bias_results import Row, condition_rows, curve_rows, network_rows, pair_rows
from tamis.study._bias_tables import curve_table, evidence_table, joint_table, planted_table, single_table, strongest
from tamis.study._page import GROUND
from tamis.study._results import blank
from tamis.study._tables import markdown


@dataclass(frozen=True)
class BiasNumbers:
    """The rows of the four CSV files: networks, pairs, curves and conditions."""

    networks: Sequence[Row]
    pairs: Sequence[Row]
    curves: Sequence[Row]
    conditions: Sequence[Row]

    @classmethod
    def of(cls, audits: Sequence[SetupAudit]) -> BiasNumbers:
        """All rows of all audits."""
        return cls(network_rows(audits), pair_rows(audits), curve_rows(audits), condition_rows(audits))


def write_bias_report(
    study: BiasStudy,
    audits: Sequence[SetupAudit],
    folder: str | os.PathLike[str],
    *,
    missing: Mapping[str, str],
) -> Path:
    """Write ``networks.csv``, ``pairs.csv``, ``curves.csv``, ``conditions.csv``, ``tables.md``, ``figures/*.svg``,
    ``audits/*.json`` and ``report.html``; returns the page's path.

    Args:
        study: the description, shown as it is.
        audits: of :func:`audit_setups`.
        folder: made if missing.
        missing: cells without a result and why.

    Raises:
        UsageError: jinja2 or matplotlib is not installed.
    """  # fmt: skip
    require_extra()
    root, numbers = Path(folder), BiasNumbers.of(audits)
    about, machine = _about(study) | _counted(audits, missing), _machine(audits)
    for name in ("networks", "pairs", "curves", "conditions"):
        rows = [{key: blank(value) for key, value in row.items()} for row in getattr(numbers, name)]
        write_csv(root / f"{name}.csv", rows, machine, about)
    for one in audits:
        name = "-".join(part for part in (one.setup, one.subject.replace("+", "-")) if part)
        write_atomic(root / "audits" / f"{name}.json", json.dumps(one.content, indent=1, sort_keys=True) + "\n")
    tables = bias_tables(numbers)
    write_atomic(root / "tables.md", _text(study.name, tables))
    charts = {}
    for figure in bias_figures(numbers.networks, numbers.curves):
        svg = draw_svg("wide", figure.heights[0], f"study-{figure.key}", figure.draw, GROUND)
        write_atomic(root / "figures" / f"{figure.key}.svg", svg)
        words = figure_words(figure, numbers.networks)
        charts[figure.key] = render_chart(figure.key, figure.title, words, figure.caption, figure.heights, figure.draw)
    content = {
        "title": study.name,
        "seeds": len(study.seeds),
        "networks": len(numbers.networks),
        "charts": charts,
        "tables": tables,
        "missing": _by_reason(missing),
        "about": [(name.replace("_", " "), str(value)) for name, value in {**about, **machine}.items()],
    }
    return write_atomic(root / "report.html", render_template("bias.html.jinja", content, "tamis.study"))


def bias_tables(numbers: BiasNumbers) -> list[tuple[str, str, Any]]:
    """Heading, words and table of each section that has rows."""
    condition = strongest(numbers.curves)
    found = [
        ("Joint networks", "Means over attributes, or over the pairs of attribute and identity that are defined in "
         "every network, ± standard deviation over seeds. TCB: predicted over true frequency of the rarer value.",
         joint_table(numbers.networks)),
        ("Who, and was it foreseeable", "Pairs whose bias amplification rose for sure: the 95 % interval of the change "
         "lies above 0, drawing rows or originals. CIE: predictions whose majority over the seeds changed. rho: "
         "Spearman correlation of what dense networks show with the change; pairs share images, so p is optimistic. "
         "First: the quarter of the pairs ranked highest; their widest interval must lie above 0.",
         evidence_table(numbers.conditions)),
        (f"Asking the dense network, {condition}", "Predictions are replaced where the dense network is unsure "
         "(override), or where the sparse one is (cascade), with |p - 0.5| below the half-width.",
         curve_table(numbers.curves, condition)),
        ("Planted features", "A feature that goes with the label in training and not in the test; accuracy where it "
         "says what the label says, and where it says the contrary.", planted_table(numbers.networks)),
        ("Fewer outputs", "Networks trained on one attribute, or on an identity and an attribute; BA is the mean over "
         "the identities.", single_table(numbers.networks)),
    ]  # fmt: skip
    return [item for item in found if item[2].rows]


def _by_reason(missing: Mapping[str, str]) -> dict[str, str]:
    """Why cells have no result, and which."""
    found: dict[str, list[str]] = {}
    for name, why in missing.items():
        found.setdefault(why, []).append(name)
    return {why: ", ".join(names) for why, names in found.items()}


def _text(name: str, tables: Sequence[tuple[str, str, Any]]) -> str:
    parts = [f"# {name}"]
    for heading, words, table in tables:
        parts += [f"## {heading}", words, markdown(table)]
    return "\n\n".join(parts) + "\n"


def _machine(audits: Sequence[SetupAudit]) -> dict[str, Any]:
    for one in audits:
        return {key: value for key, value in one.cells[0].summary["env"].items() if key != "load_average"}
    return {}


def _counted(audits: Sequence[SetupAudit], missing: Mapping[str, str]) -> dict[str, Any]:
    return {"networks": sum(len(one.cells) for one in audits), "without_a_result": len(missing)}


def _about(study: BiasStudy) -> dict[str, Any]:
    """What the numbers are of, without paths of this machine."""
    recipe = study.training
    return {
        "study": study.name,
        "data": study.data.kind,
        "data_seed": study.data.seed,
        "images": study.data.images or "all",
        "model": recipe.model,
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "optimizer": json.dumps(vars(recipe.optimizer)),
        "finetuning": f"{study.finetuning.epochs} epochs, {json.dumps(vars(study.finetuning.optimizer))}",
        "pruning": f"global magnitude, {recipe.events} events from {recipe.start:g} to {recipe.end:g} of the steps",
        "seeds": list(study.seeds),
    }
