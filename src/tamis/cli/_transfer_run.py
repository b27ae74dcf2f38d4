"""``tamis transfer run``: one sparse backbone on one task, head only or whole, with its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from tamis.cli._arguments import parse, show
from tamis.errors import UsageError
from tamis.train import find_recipe, parse_table, read_toml
from tamis.transfer import TransferRecipe, paper_recipe

USAGE = "tamis transfer run [RECIPE]"


@dataclass(frozen=True)
class TransferRunCommand:
    """Move a sparse checkpoint to your own images: a new head on frozen features (--how linear), or everything trained
    with the zeros kept (--how full).

    RECIPE is a .toml file, such as the recipe.toml of an earlier run; flags override its keys.  Ctrl-C during full
    fine-tuning finishes the step and leaves a run that --resume continues.
    """

    out: str = ""
    """Run folder; runs/transfer/TASK-HOW if not given."""
    paper: bool = False
    """Take the constants of the published study in place of the recipe's."""
    resume: bool = False
    """Go on with a run that was stopped in the run folder."""
    overwrite: bool = False
    """Replace an earlier run in the run folder."""
    report: bool = True
    """Write report.html into the run folder (needs tamis[report])."""
    json: bool = False
    """Print the summary as one JSON object."""
    recipe: Annotated[TransferRecipe, tyro.conf.arg(name="")] = TransferRecipe()  # noqa: RUF009 - frozen


def run(arguments: list[str]) -> int:
    """Exit code 0."""
    named = bool(arguments) and not arguments[0].startswith("-")
    recipe = TransferRecipe()
    if named:
        file = find_recipe(arguments[0])
        recipe = parse_table(TransferRecipe, read_toml(file), str(file))
    options = parse(TransferRunCommand, arguments[named:], USAGE, TransferRunCommand(recipe=recipe))
    recipe = options.recipe
    if options.resume and options.overwrite:
        raise UsageError("--resume continues the run in the folder, --overwrite replaces it: choose one")
    if not recipe.model or not recipe.data:
        raise UsageError("a transfer needs a backbone and data: give --model CHECKPOINT and --data FOLDER_OR_NPZ")
    from tamis.transfer import task_name

    name = task_name(recipe.data)
    if options.paper:
        recipe = paper_recipe(recipe, name)
    folder = Path(options.out or f"runs/transfer/{name}-{recipe.how}")
    summary = run_with_report(recipe, folder, options.report, resume=options.resume, overwrite=options.overwrite)
    show(summary, transfer_text(summary), options.json)
    return 0


def run_with_report(recipe: TransferRecipe, folder: Path, report: bool, **how: Any) -> dict[str, Any]:
    """The summary of the run, with its folder and the page where one was asked for."""
    if report:
        from tamis.report import require_extra

        require_extra()  # says what is missing before the work, not behind it
    from tamis.transfer import run_transfer

    summary = {**run_transfer(recipe, folder, **how), "run_folder": str(folder)}
    if report:
        from tamis.report import write_report

        summary["report"] = str(write_report(folder))
    return summary


def transfer_text(summary: Mapping[str, Any]) -> str:
    """The numbers of a transfer's summary for people."""
    backbone, seconds = summary["backbone"], summary["seconds"]
    lines = [
        f"{'task':<26}{summary['task']}: {len(summary['classes'])} classes, {summary['train_images']} training and "
        f"{summary['test_images']} test images",
        f"{'backbone':<26}{backbone['architecture'].get('name', 'own module')}, {backbone['method']}, read as "
        f"{' + '.join(backbone['styles'])}",
    ]
    for row in summary["outcomes"]:
        name = "accuracy" if row["selection"] in ("last", "best_val") else "not for statistics"
        detail = ", ".join(f"{key} {row[key]:.4g}" for key in ("C", "epoch") if key in row)
        lines.append(
            f"{name:<26}top-1 {row['top1']:.4f}, mean per class {row['mean_per_class']:.4f} ({row['selection']}"
            f"{', ' + detail if detail else ''})"
        )
    lines.append(
        f"{'sparsity':<26}{summary['sparsity_before']:.4f} before, {summary['sparsity_after']:.4f} after; the head is "
        "not counted"
    )
    lines.append(f"{'time':<26}features {seconds['extract']:.1f} s, fitting {seconds['fit']:.1f} s")
    lines += _speed_lines(summary)
    channels = summary["channels"]
    lines.append(
        f"{'channels':<26}{channels['zero_filter_fraction']:.1%} of the filters are all zero; "
        f"{channels['removable_channels']} of {channels['channels']} channels could be removed"
    )
    lines += [f"{'warning':<26}{text}" for text in summary["warnings"]]
    lines.append(f"{'run folder':<26}{summary['run_folder']}")
    if "report" in summary:
        lines.append(f"{'report':<26}{summary['report']}")
    return "\n".join(lines)


def _speed_lines(summary: Mapping[str, Any]) -> list[str]:
    speed = summary["speed"]
    if speed is None:
        return []
    lines = [
        f"{'speed':<26}batch {speed['batch_size']}, {speed['threads']} thread(s); CPU ms dense, sparse; dense / sparse"
    ]
    names = {"linear": "features (extract)", "full": "whole training step"}
    for row in speed["phases"]:
        ratio = ""
        if row["speedup"] is not None:
            spread = f"{row['speedup_low']:.2f} to {row['speedup_high']:.2f}"
            ratio = f"{row['cpu_speedup']:.2f} (wall {row['speedup']:.2f}, {spread})"
        name = names.get(row["phase"], row["phase"])
        if row["phase"] == "linear":
            continue  # the same as extract
        lines.append(f"  {name:<24}{row['dense_cpu_ms']:>10.2f}{row['sparse_cpu_ms']:>10.2f}  {ratio}".rstrip())
    return lines
