"""``tamis demo``: the whole job on handwritten digits, in about a minute of CPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tamis.cli._arguments import parse, show
from tamis.cli.train import summary_text
from tamis.train import load_recipe


@dataclass(frozen=True)
class DemoCommand:
    """Train a small ResNet on handwritten digits with AC/DC at 90 % sparsity, and write its report.

    Real training, nothing stored: alternating dense and sparse phases, a pair of models, both measured on held-out
    images, checkpoint, and an HTML page.
    """

    out: str = "runs/demo"
    """Run folder; an earlier demo in it is replaced."""
    json: bool = False
    """Print the summary as one JSON object."""


def run(arguments: list[str]) -> int:
    """Exit code 0."""
    options = parse(DemoCommand, arguments, "tamis demo")
    folder = Path(options.out)
    recipe = load_recipe("digits_acdc")
    from tamis.report import write_report
    from tamis.train import fit

    summary = fit(recipe, folder, overwrite=True)
    page = write_report(folder)
    text = f"{summary_text(summary, folder)}\n{'report':<26}{page}"
    show({**summary, "run_folder": str(folder), "report": str(page)}, text, options.json)
    return 0
