"""Tables of the site that are read from benchmarks/results, so that no number is typed twice."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ROOT / "benchmarks" / "results" / "layers.csv"
STUDY = ROOT / "benchmarks" / "results" / "study_digits.csv"
DISTRIBUTED = ROOT / "benchmarks" / "results" / "distributed_bytes.csv"
BESIDE = ROOT / "benchmarks" / "results" / "beside_study_digits.csv"
TRANSFER = {name: ROOT / "benchmarks" / "results" / f"transfer_{name}.csv" for name in ("digits", "tiny_imagenet")}
PICTURE = "_static/speedup.svg"


def layer_table(source: Path = LAYERS) -> str:
    """Markdown: one row per sparsity of a CSV that ``tamis bench layers`` wrote; a sentence where there is none."""
    if not source.is_file():
        return "No measurement of the layer suite is committed yet. Run `tamis bench layers` on your machine."
    lines = source.read_text(encoding="utf-8").splitlines()
    machine = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# "))
    by_sparsity: dict[float, list[tuple[float, str]]] = defaultdict(list)
    for row in csv.DictReader(line for line in lines if not line.startswith("#")):
        by_sparsity[float(row["sparsity"])].append((float(row["speedup"]), row["layer"]))
    text = [
        f"Forward and backward of one layer, speed-up in CPU time over the faster dense form. {machine['processor']}, "
        f"{machine['isa']}, {machine['threads']} thread(s), load average {machine['load_average']}; chooser on "
        "(`benchmarks/results/layers.csv`).",
        "",
        "| sparsity | layers | geometric mean | least | layer with the least | slower than dense |",
        "|---|---|---|---|---|---|",
    ]
    for sparsity, found in sorted(by_sparsity.items()):
        mean = math.exp(sum(math.log(speedup) for speedup, _ in found) / len(found))
        least, layer = min(found)
        slower = sum(speedup < 1 for speedup, _ in found)
        text.append(f"| {sparsity:g} | {len(found)} | {mean:.2f} | {least:.2f} | {layer} | {slower} |")
    return "\n".join(text)


def speedup_picture() -> str:
    """Markdown of the picture that benchmarks/plot_layers.py draws; empty where it was not drawn."""
    if not (Path(__file__).parent / PICTURE).is_file():
        return ""
    return f"![Speed-up of sparse layers over dense torch, by sparsity]({PICTURE})"


def study_cells(source: Path = STUDY) -> dict[tuple[str, str], Any]:
    """Mean accuracy and interval by (method, sparsity) from a CSV of ``tamis study methods``; empty without one."""
    if not source.is_file():
        return {}
    from tamis.study import estimate  # imports torch, which the other tables do without

    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in _finished(source):
        found[row["method"], row["sparsity_requested"]].append(float(row["accuracy"]))
    return {key: estimate(values) for key, values in found.items()}


def study_table(source: Path = STUDY) -> str:
    """Markdown: accuracy in percent by method and sparsity, best mean in bold."""
    cells = study_cells(source)
    if not cells:
        return "No study is committed yet. Run `tamis study methods` on your machine."
    columns = sorted({sparsity for method, sparsity in cells if method != "dense"}, key=float)
    best = {c: max((m for m, s in cells if s == c), key=lambda m: cells[m, c].mean) for c in columns}

    def text(method: str, sparsity: str) -> str:
        shown = _percent(cells[method, sparsity]) if (method, sparsity) in cells else "-"
        return f"**{shown}**" if best.get(sparsity) == method else shown

    methods = dict.fromkeys(method for method, _ in cells if method != "dense")
    dense = [f"dense: {text('dense', s)} %" for m, s in cells if m == "dense"]
    head = ["method", *(f"{float(column):.0%}" for column in columns)]
    rows = [head, ["---"] * len(head), *([m, *(text(m, c) for c in columns)] for m in methods)]
    return "\n".join(["; ".join(dense), "", *(f"| {' | '.join(row)} |" for row in rows)])


def study_rows(source: Path = STUDY, beside: Path = BESIDE) -> dict[str, str]:
    """By ``study_METHOD`` one sentence with the method's row of the study, or of the runs ``beside`` it."""
    cells = study_cells(source) | study_cells(beside)
    epochs = {row["method"]: float(row["epochs"]) for row in (*_finished(source), *_finished(beside))}
    sentences = {}
    for method in dict.fromkeys(method for method, _ in cells):
        shown = [f"{_percent(c)} % at {float(s):.0%} zeros" for (m, s), c in cells.items() if m == method]
        sentences[f"study_{method}"] = (
            f"Held-out accuracy on the 8x8 digits, {epochs[method]:g} epochs, mean of three seeds ± 95 % interval: "
            f"{', '.join(shown)} ([all methods side by side](methods.md))."
        )
    return sentences


def distributed_table(source: Path = DISTRIBUTED) -> str:
    """Markdown: bytes of gradients per step by network and sparsity; a sentence where there is no CSV."""
    rows = _finished(source)
    if not rows:
        return "No measurement is committed yet. Run `benchmarks/distributed_bytes.py` under torchrun."
    text = [
        f"Bytes of gradients that each of {rows[0]['processes']} processes gives to all-reduce in a step "
        "(`benchmarks/distributed_bytes.py`, counted in the communication hook):",
        "",
        "| network | sparsity | bytes | share of dense |",
        "|---|---|---|---|",
    ]
    for row in rows:
        share, count = float(row["bytes_over_dense"]), int(row["bytes"])
        text.append(f"| {row['model']} | {float(row['sparsity']):.0%} | {count:,} | {share:.3f} |")
    return "\n".join(text)


def _finished(source: Path) -> list[dict[str, str]]:
    if not source.is_file():
        return []
    lines = source.read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return [row for row in rows if row.get("state", "done") == "done"]


def transfer_tables(sources: Mapping[str, Path] = TRANSFER) -> dict[str, str]:
    """By ``transfer_NAME`` the scores of a committed sweep as Markdown; a sentence where there is none."""
    return {f"transfer_{name}": transfer_table(source) for name, source in sources.items()}


def transfer_table(source: Path) -> str:
    """Markdown: relative error increase over dense in percent, with both intervals, by kind; missing cells named."""
    if not source.is_file():
        return "No sweep is committed yet."
    from tamis.study import transfer_statistics  # imports torch, which other tables do without
    from tamis.study._transfer_tables import score_records
    from tamis.transfer import read_results

    rows_of_all = read_results(source)
    found = transfer_statistics(rows_of_all, resamples=2000)
    text = _upstream(rows_of_all)
    for arch, kind in found.families:
        rows = score_records(found, arch, kind)
        if not rows:
            continue
        dense = next(
            model for model in found.outcomes.models if model.is_dense and (model.arch, model.kind) == (arch, kind)
        )
        tasks = found.outcomes.tasks(arch, kind)
        accuracies = ", ".join(f"{task} {100 * found.outcomes.mean(dense, task):.1f}" for task in tasks)
        head = ["model", "mean ± SE", "new seeds", "new tasks and seeds", "t, new tasks", "wins", "p"]
        text += [f"**{arch}, {kind}**, tasks: {len(tasks)}. Dense accuracy in %: {accuracies}.", ""]
        text += [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
        for row in rows:
            cells = [
                f"{row['method']} {100 * row['sparsity']:g} %",
                f"{_hundredfold(row['mean'])} ± {_hundredfold(row['se'])}",
                _ends(row, "seeds"),
                _ends(row, "both"),
                _ends(row, "t"),
                f"{row['wins']}/{row['tasks']}",
                f"{row['p']:.2g}",
            ]
            text.append(f"| {' | '.join(cells)} |")
        text.append("")
    if found.missing:
        text.append(f"Missing cells, whose models are left out above: {', '.join(found.missing)}.")
    return "\n".join(text)


def _upstream(rows: Iterable[Any]) -> list[str]:
    """Accuracy of the backbones on the task that they were trained on, by method in the order of sparsity."""
    found: dict[str, dict[float, float]] = defaultdict(dict)
    for row in rows:
        if not math.isnan(row.upstream):
            found[row.method][row.sparsity] = row.upstream
    if not found:
        return []
    texts = [
        f"{method} " + " / ".join(f"{100 * accuracy:.1f}" for _, accuracy in sorted(by_sparsity.items()))
        for method, by_sparsity in sorted(found.items(), key=lambda item: (item[0] != "dense", item[0]))
    ]
    return [f"Accuracy upstream in %, in the order of sparsity: {'; '.join(texts)}.", ""]


def _ends(row: Mapping[str, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "not available" if math.isnan(low) else f"{_hundredfold(low)} to {_hundredfold(high)}"


def _hundredfold(value: float) -> str:
    return "-" if math.isnan(value) else f"{round(100 * value, 1) + 0.0:.1f}"  # a negative zero is none


def _percent(cell: Any) -> str:
    interval = "" if math.isnan(cell.half) else f" ± {100 * cell.half:.1f}"
    return f"{100 * cell.mean:.1f}{interval}"
