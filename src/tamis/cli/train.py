"""``tamis train RECIPE``: one training run; every key of the recipe is also a flag."""

from __future__ import annotations

import copy
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from tamis.cli._arguments import parse, show, value_of
from tamis.errors import UsageError
from tamis.train import OPTIONS, Recipe, load_recipe

USAGE = "tamis train RECIPE"


@dataclass(frozen=True)
class TrainCommand:
    """Train from RECIPE, a .toml file or the name of a recipe that comes with tamis; flags override its keys.

    Ctrl-C finishes the step and leaves a run that --resume continues.
    """

    data: str = ""
    """digits, synthetic, an .npz file, a folder of images, or torchvision:NAME; replaces data.source."""
    weights: str = ""
    """Start from the weights of this checkpoint or run folder instead of fresh ones."""
    out: str = ""
    """Run folder; runs/NAME if not given."""
    resume: bool = False
    """Go on from the checkpoint in the run folder."""
    overwrite: bool = False
    """Replace an earlier run in the run folder."""
    json: bool = False
    """Print the summary as one JSON object."""
    recipe: Annotated[Recipe, tyro.conf.arg(name="")] = Recipe()  # noqa: RUF009 - frozen


def run(arguments: list[str]) -> int:
    """Exit code 0; the first argument is the recipe."""
    asks_help = any(argument in ("-h", "--help") for argument in arguments)
    named = bool(arguments) and not arguments[0].startswith("-")
    if not named and not asks_help:
        raise UsageError(f"expected a recipe first: {USAGE} [OPTIONS], such as tamis train digits_acdc")
    recipe = load_recipe(arguments[0]) if named else Recipe()
    flags = arguments[named:]
    options = parse(TrainCommand, flags, USAGE, TrainCommand(recipe=_with_method_of(flags, recipe)))
    recipe = options.recipe
    if options.data:
        recipe = replace(recipe, data=replace(recipe.data, source=options.data))
    if options.resume and options.overwrite:
        raise UsageError("--resume continues the run in the folder, --overwrite replaces it: choose one")
    folder = Path(options.out or f"runs/{recipe.name}")
    from tamis.train import checkpoint_of, fit

    weights = checkpoint_of(options.weights) if options.weights else None
    summary = fit(recipe, folder, weights=weights, resume=options.resume, overwrite=options.overwrite)
    if not summary:  # not the first process of its job
        return 0
    show({**summary, "run_folder": str(folder)}, summary_text(summary, folder), options.json)
    return 0


def _with_method_of(flags: list[str], recipe: Recipe) -> Recipe:
    """The recipe with the options of another method where a flag names one, so that its flags are known.

    Values are checked when all flags are read, hence the unchecked copy.
    """
    method = value_of("--method", flags)
    if method not in OPTIONS or method == recipe.method:
        return recipe
    changed = copy.copy(recipe)
    object.__setattr__(changed, "method", method)
    object.__setattr__(changed, "options", OPTIONS[method]())
    return changed


def summary_text(summary: Mapping[str, Any], folder: Path, page: Path | None = None) -> str:
    """The numbers of summary.json for people; rows without a number are left out.

    Args:
        summary: what :func:`tamis.train.fit` returned.
        folder: the run folder.
        page: its report, if that is written already.
    """
    samples = summary["held_out_samples"]
    rows = [
        ("accuracy, dense model", summary["accuracy_dense"], f"{{:.4f}} on {samples} held-out images"),
        ("accuracy, sparse model", summary["accuracy_sparse"], f"{{:.4f}} on {samples} held-out images"),
        ("same answer from both", summary["pair"].get("top1_agreement"), "{:.4f} of the held-out images"),
        ("sparsity", summary["sparsity"] or None, "{:.4f} of the prunable weights are zero"),
        ("training step, dense", summary["step_ms_dense"], "{:.2f} ms CPU"),
        ("training step, packed", summary["step_ms_sparse"], "{:.2f} ms CPU"),
        ("file of the dense model", summary["bytes_dense"], "{:,} bytes"),
        ("file of the sparse model", summary["bytes_sparse"], "{:,} bytes"),
    ]
    lines = [f"{name:<26}{form.format(value)}" for name, value, form in rows if value is not None]
    if summary["source"]["expected"]:
        lines.append(f"{'published':<26}{summary['source']['expected']} ({summary['source']['certainty']})")
    lines.append(f"{'run folder':<26}{folder}")
    lines.append(f"{'report':<26}{page or f'is written by: tamis report {shlex.quote(str(folder))}'}")
    return "\n".join(lines)
