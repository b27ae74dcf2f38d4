"""The demo's second half: its pair of networks on other tasks, what sparsity cost there, and back into the report."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tamis.cli._arguments import show
from tamis.errors import UsageError

DIGITS = ("digits_mirrored", "digits_rotated", "digits_parity")
PHOTOS = ("china_patches", "flower_patches")
# every sixth value of C: eight of them, to keep the demo within a minute
_GRID_STEP = 6


def transfer_demo(folder: Path, as_json: bool) -> int:
    """Run it; exit code 0.

    Linear on every task with both networks of the demo, and full fine-tuning of the sparse one on the mirrored digits.

    Args:
        folder: run folder of the demo; it is trained if it is not there.
        as_json: print JSON instead of text.
    """
    from tamis.report import require_extra, write_report

    require_extra()
    models = {name: folder / "models" / f"{name}.safetensors" for name in ("dense", "sparse")}
    if not all(file.is_file() for file in models.values()):
        print(f"{folder}: no demo yet, training it first", file=sys.stderr)
        from tamis.cli.demo import train_demo

        train_demo(folder)
    home = folder / "transfer"
    if home.exists():
        shutil.rmtree(home)
    summaries = list(_transfers(models, home))
    for summary in summaries:
        write_report(summary["run_folder"])
    page = write_report(folder)
    statistics = _statistics(home)
    result = {"transfers": [_brief(summary) for summary in summaries], "statistics": statistics, "report": str(page)}
    show(result, _text(summaries, statistics, page), as_json)
    return 0


def _transfers(models: Mapping[str, Path], home: Path) -> Iterable[dict[str, Any]]:
    from tamis.train import Optimizer
    from tamis.transfer import FineTuneOptions, ProbeOptions, TransferRecipe, run_transfer

    for task in (*DIGITS, *_photos()):
        for name, file in models.items():
            recipe = TransferRecipe(
                model=str(file), data=task, cache="none", speed=False, probe=ProbeOptions(grid_step=_GRID_STEP)
            )
            out = home / f"{task}-linear-{name}"
            yield {**run_transfer(recipe, out), "run_folder": str(out)}
    recipe = TransferRecipe(
        model=str(models["sparse"]),
        data=DIGITS[0],
        how="full",
        cache="none",
        finetune=FineTuneOptions(optimizer=Optimizer(lr=0.05), epochs=5, schedule="cosine"),
    )
    out = home / f"{DIGITS[0]}-full-sparse"
    yield {**run_transfer(recipe, out), "run_folder": str(out)}


def _photos() -> tuple[str, ...]:
    from tamis.transfer import builtin_task

    try:
        builtin_task(PHOTOS[0])
    except UsageError as error:
        print(f"without the photographs: {error}", file=sys.stderr)
        return ()
    return PHOTOS


def _statistics(home: Path) -> dict[str, Any]:
    """What sparsity cost over the linear tasks, with the intervals that a single seed allows."""
    from tamis.transfer import outcomes_of, read_results, verdicts

    rows = [row for file in sorted(home.glob("*-linear-*/results.csv")) for row in read_results(file)]
    try:
        (verdict,) = verdicts(outcomes_of(rows))
    except UsageError as error:
        return {"refused": str(error)}
    score = verdict.score
    return {
        "tasks": len(score.tasks),
        "relative_error_increase": score.mean,
        "se": score.se,
        "t_low": score.t_low,
        "t_high": score.t_high,
        "wins": score.wins,
        "log_odds": score.log_odds,
        "wilcoxon_p": {str(scale): test.p for scale, test in verdict.tests.items()},
    }


def _brief(summary: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("task", "how", "top1", "mean_per_class", "sparsity_before", "sparsity_after", "run_folder")
    return {**{key: summary[key] for key in keys}, "method": summary["backbone"]["method"]}


def _text(summaries: Iterable[Mapping[str, Any]], statistics: Mapping[str, Any], page: Path) -> str:
    lines = [f"{'task':<18}{'kind':<8}{'method':<8}{'top-1':>8}{'per class':>11}{'sparsity':>10}"]
    for row in summaries:
        lines.append(
            f"{row['task']:<18}{row['how']:<8}{row['backbone']['method']:<8}{row['top1']:>8.4f}"
            f"{row['mean_per_class']:>11.4f}{row['sparsity_after']:>10.4f}"
        )
    lines.append("")
    if "refused" in statistics:
        lines.append(f"no statistics: {statistics['refused']}")
    else:
        lines += [
            f"relative error increase of the sparse network over {statistics['tasks']} tasks, linear: "
            f"{statistics['relative_error_increase']:+.1%} (SE {statistics['se']:.1%})",
            f"  these seeds, new tasks (t interval): {statistics['t_low']:+.1%} to {statistics['t_high']:+.1%}",
            "  these tasks, new seeds: unavailable, one seed",
            f"  lower error than dense on {statistics['wins']} of {statistics['tasks']}; log-odds "
            f"{statistics['log_odds']:+.3f}; Wilcoxon p "
            + ", ".join(f"{p:.3f} ({scale})" for scale, p in statistics["wilcoxon_p"].items()),
        ]
    lines += ["small demo, not the paper", f"report  {page}"]
    return "\n".join(lines)
