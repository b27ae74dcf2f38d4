"""``tamis prune FILE``: prune a trained model, with fine-tuning or without."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from tamis.cli._arguments import parse, show, value_of
from tamis.cli.train import summary_text
from tamis.errors import FileError, UsageError
from tamis.train import OPTIONS, Distribution, MethodOptions, Pattern, Recipe, Schedule, Source, parse_recipe

PruningMethod = Literal[
    "oneshot", "gmp", "woodfisher", "mfac", "obert", "cap", "wanda", "sparsegpt", "randompruning",
    "lotteryticket", "lrr",
]  # fmt: skip
GRADUAL = ("gmp", "lotteryticket", "lrr")


@dataclass(frozen=True)
class PruneCommand:
    """Prune a trained checkpoint; zeros that it has already are kept.

    With --epochs 0 it is pruned once and not trained (gmp, lotteryticket and lrr need epochs); otherwise the model is
    fine-tuned on the data of its own recipe (or --data) while it is pruned.
    """

    checkpoint: Annotated[str, tyro.conf.Positional]
    """A checkpoint that tamis train has written, or its run folder."""
    sparsity: float
    """Fraction of zeros over the prunable weights, in [0, 1)."""
    method: PruningMethod = "oneshot"
    """By magnitude at once (oneshot) or gradually (gmp), by curvature (woodfisher, mfac, obert, cap), by inputs (wanda,
    sparsegpt), at random, or in levels of training (lotteryticket, lrr)."""
    options: MethodOptions = field(default_factory=MethodOptions)
    """Options of the method."""
    distribution: Literal["default", "global", "uniform", "erk"] = "default"
    """How the zeros are shared among the layers; the method's own if not given."""
    pattern: Pattern = field(default_factory=Pattern)
    """Which masks are allowed."""
    exclude: tuple[str, ...] = ()
    """Layers that are not pruned, by name or glob, besides those of the recipe."""
    epochs: int = 0
    """Epochs of fine-tuning; gmp, lotteryticket and lrr need at least 1."""
    lr: float = 0.01
    """Learning rate of the fine-tuning, constant."""
    data: str = ""
    """Data for fine-tuning and for the accuracies; the recipe's own if not given."""
    out: str = "runs/pruned"
    """Run folder."""
    overwrite: bool = False
    """Replace an earlier run in the run folder."""
    json: bool = False
    """Print the summary as one JSON object."""


def run(arguments: list[str]) -> int:
    """Exit code 0."""
    method = value_of("--method", arguments) or "oneshot"
    default = PruneCommand(tyro.MISSING, tyro.MISSING, options=pruning_options(method))
    options = parse(PruneCommand, arguments, "tamis prune", default)
    if options.epochs < (1 if options.method in GRADUAL else 0):
        raise UsageError(f"--epochs {options.epochs}: expected at least {1 if options.method in GRADUAL else 0}")
    source = Path(options.checkpoint)
    from tamis.train import checkpoint_of, fit

    checkpoint = checkpoint_of(source)
    text = checkpoint.header.get("recipe")
    if not text:
        raise FileError(
            f"{source}: holds a model without its recipe; expected a checkpoint that tamis train has written"
        )
    recipe = pruning_recipe(parse_recipe(text, str(source)), options)
    folder = Path(options.out)
    summary = fit(recipe, folder, weights=checkpoint, overwrite=options.overwrite)
    if zeros_of(checkpoint.model, summary["layers"]) > options.sparsity + 0.01:
        print(
            f"the checkpoint was sparser than --sparsity {options.sparsity}: its zeros are kept, "
            f"{summary['sparsity']:.4f} of the weights are zero",
            file=sys.stderr,
        )
    show({**summary, "run_folder": str(folder)}, summary_text(summary, folder), options.json)
    return 0


def zeros_of(tensors: Mapping[str, Any], layers: Sequence[Mapping[str, Any]]) -> float:
    """Share of the weights of ``layers`` (rows of the summary) that are exactly zero in a checkpoint's tensors."""
    weights = [tensors[f"{layer['name']}.weight"] for layer in layers if f"{layer['name']}.weight" in tensors]
    total = sum(weight.numel() for weight in weights)
    return 1.0 - sum(int((weight != 0).sum()) for weight in weights) / total if total else 0.0


def pruning_options(method: str) -> MethodOptions:
    """The options of a method that starts from a trained model: its zeros stay, unless a flag says otherwise."""
    kind = OPTIONS.get(method, MethodOptions)  # an unknown name is refused with the other flags
    return kind(**{item.name: True for item in fields(kind) if item.name == "from_zeros"})


def pruning_recipe(trained: Recipe, options: PruneCommand) -> Recipe:
    """The recipe of the pruning run: the network, data and batches of the trained one, everything else from the flags.

    Raises:
        UsageError: a value is out of range.
    """
    return replace(
        trained,
        name=f"{trained.name[:90]}_pruned",
        method=options.method,
        sparsity=options.sparsity,
        exclude=(*trained.exclude, *options.exclude),
        source=Source(),
        data=replace(trained.data, source=options.data or trained.data.source),
        distribution=Distribution(kind=options.distribution),
        pattern=options.pattern,
        options=options.options,
        optimizer=replace(trained.optimizer, lr=options.lr),
        schedule=Schedule(kind="constant"),
        train=replace(trained.train, epochs=options.epochs, dense_twin_epochs=0, memorisation_probe=0),
    )
