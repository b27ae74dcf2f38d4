"""``tamis audit demo``: small networks, their audit and its page, in less than a minute and from nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tamis.cli._arguments import parse, show
from tamis.errors import UsageError

if TYPE_CHECKING:
    from tamis.audit import Outputs
    from tamis.data import AttributeData

LEVELS = (0.9, 0.98)


@dataclass(frozen=True)
class Options:
    """Train a dense network and two pruned ones on tinted digits, audit them, and write the page.

    Real training on a task that is drawn, not downloaded: ten attributes of handwritten digits, of which a warm tint
    and a striped ground go with some. The folder then holds everything that tamis audit run reads, to try it on.
    """

    out: str = "runs/audit_demo"
    """Folder of outputs, labels, pictures, report.json and report.html; an earlier demo in it is replaced."""
    epochs: int = 6
    """Passes over the 5,028 training images; three networks take about 7 seconds of one core for each."""
    policy: str = "default"
    """A .toml file with limits, or "default"; the exit code is 0 whether they are kept or not."""
    json: bool = False
    """Print one JSON object instead of text."""


def run(arguments: list[str]) -> int:
    """Exit code 0."""
    return work(parse(Options, arguments, "tamis audit demo"))


def work(options: Options) -> int:
    """Exit code 0."""
    from tamis.report import require_extra

    if options.epochs < 1:
        raise UsageError(f"--epochs {options.epochs}: expected at least 1")
    require_extra()  # before the work, not after it
    from tamis.cli._audit_run import read_policy

    policy = read_policy(options.policy, False, False)
    assert policy is not None
    from tamis.audit import Validation, audit
    from tamis.data import TintedDigits
    from tamis.report import read_images
    from tamis.study import labels_of

    data, folder = TintedDigits().generate(), Path(options.out)
    test, valid, train = (labels_of(data, split) for split in ("test", "valid", "train"))
    test.save(folder / "labels.npz", train)
    valid.save(folder / "valid_labels.npz")
    _save_pictures(data, folder / "images.npz")
    found: dict[str, list[Outputs]] = {"test": [], "valid": []}
    for level in (0.0, *LEVELS):
        for split, outputs in _outputs(data, level, options.epochs).items():
            name = f"gmp_{100 * level:g}" if level else "dense"
            outputs.save(folder / f"{'' if split == 'test' else 'valid_'}{name}.npz")
            found[split].append(outputs)
    report = audit(
        dense=found["test"][:1],
        compressed=found["test"][1:],
        labels=test,
        train_labels=train,
        groups=data.identities,
        attributes=data.attributes,
        valid=Validation(valid, found["valid"]),
        command=_command(data.identities, "."),
    ).with_policy(policy)
    report.save(folder / "report.json")
    page = report.save_html(folder / "report.html", images=read_images(folder / "images.npz", report))
    command = _command(data.identities, str(folder))
    found_words = report.content["verdict"]["words"]
    result = {"page": str(page), "report": str(folder / "report.json"), "verdict": found_words, "command": command}
    text = (
        f"{found_words}\n\npage      {page}\nnumbers   {folder / 'report.json'}\n\n"
        "The page says which rules, whom they concern, what was foreseeable and what repairs it. The same page again:\n"
        f"  {command}"
    )
    show(result, text, options.json)
    return 0


def _command(identities: tuple[str, ...], folder: str) -> str:
    """What would make this report from the files of the demo."""
    names = ["dense", *(f"gmp_{100 * level:g}" for level in LEVELS)]
    files = [f"{folder}/{name}.npz".removeprefix("./") for name in names]
    valid = [f"{folder}/valid_{name}.npz".removeprefix("./") for name in (*names, "labels")]
    return (
        f"tamis audit run --dense {files[0]} --compressed {' '.join(files[1:])} "
        f"--labels {f'{folder}/labels.npz'.removeprefix('./')} --groups {' '.join(identities)} "
        f"--valid {' '.join(valid[:-1])} --valid-labels {valid[-1]} "
        f"--images {f'{folder}/images.npz'.removeprefix('./')} --policy default --report report.html"
    )


def _outputs(data: AttributeData, level: float, epochs: int) -> dict[str, Outputs]:
    """Train one network as ``tamis study bias`` does, for fewer epochs; its outputs by split."""
    from dataclasses import replace

    from tamis.audit import collect
    from tamis.data import attribute_loader
    from tamis.study import load_bias_study
    from tamis.train import train_attributes

    recipe = replace(load_bias_study("bias_tinted_digits").training, epochs=epochs, sparsity=level)
    trained = train_attributes(recipe, data)
    about: dict[str, Any] = {"name": recipe.model, "method": "gmp" if level else "dense", "level": trained.sparsity}
    return {
        split: collect(trained.model, attribute_loader(data, split), names=trained.targets, **about)
        for split in ("test", "valid")
    }


def _save_pictures(data: AttributeData, path: Path) -> None:
    """The images of the test as the audit's gallery reads them: uint8 (N, H, W, 3) and ids."""
    import io

    import numpy as np

    from tamis.storage import write_atomic

    pixels = (255 * data.test.images.permute(0, 2, 3, 1)).round().byte().numpy()
    stream = io.BytesIO()
    np.savez_compressed(stream, images=pixels, ids=data.test.ids.numpy())
    write_atomic(path, stream.getvalue())
