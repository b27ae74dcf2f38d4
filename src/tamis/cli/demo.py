"""``tamis demo``: the whole job on handwritten digits, in about a minute of CPU; ``tamis demo transfer`` goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tamis.cli._arguments import parse, show
from tamis.cli.train import summary_text
from tamis.train import load_recipe


@dataclass(frozen=True)
class DemoCommand:
    """Train a small ResNet on handwritten digits with AC/DC at 90 % sparsity, and write its report.
    ``tamis demo transfer`` then moves it to other tasks.

    Real training, nothing stored: alternating dense and sparse phases, a pair of models, both measured on held-out
    images, checkpoint, and an HTML page.
    """

    out: str = "runs/demo"
    """Run folder; an earlier demo in it is replaced."""
    json: bool = False
    """Print the summary as one JSON object."""


@dataclass(frozen=True)
class DemoTransferCommand:
    """Move the demo's dense and sparse network to other tasks, and add the result to the demo's report.

    Real tasks from images that come with scikit-learn: the digits mirrored, turned, by parity, and patches of two
    photographs.  If there is no demo in the folder yet, it is trained first.
    """

    out: str = "runs/demo"
    """Run folder of the demo; the transfers go into its folder transfer, earlier ones are replaced."""
    json: bool = False
    """Print the results as one JSON object."""


def train_demo(folder: Path) -> dict[str, Any]:
    """Train the demo's pair anew; returns its summary."""
    recipe = load_recipe("digits_acdc")
    from tamis.train import fit

    return fit(recipe, folder, overwrite=True)


def run(arguments: list[str]) -> int:
    """Exit code 0; with ``transfer`` as the first argument the demo goes on to other tasks."""
    if arguments[:1] == ["transfer"]:
        transfer_options = parse(DemoTransferCommand, arguments[1:], "tamis demo transfer")
        from tamis.cli._demo_transfer import transfer_demo

        return transfer_demo(Path(transfer_options.out), transfer_options.json)
    options = parse(DemoCommand, arguments, "tamis demo")
    folder = Path(options.out)
    summary = train_demo(folder)
    from tamis.report import write_report

    page = write_report(folder)
    text = summary_text(summary, folder, page)
    show({**summary, "run_folder": str(folder), "report": str(page)}, text, options.json)
    return 0
