"""``tamis audit collect MODEL``: from a model file and data to the outputs and labels that an audit reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from tamis.cli._arguments import parse, show
from tamis.errors import UsageError

if TYPE_CHECKING:
    from tamis.audit import Labels, Outputs


@dataclass(frozen=True)
class Options:
    """Run a model on one split of a data set, and store its outputs and the true labels."""

    model: Annotated[str, tyro.conf.Positional]
    """A .safetensors model or checkpoint of tamis, or a run folder (its last checkpoint)."""
    data: str = "tinted_digits"
    """tinted_digits, mnist_groups, animals (several labels); or digits, synthetic, an .npz file, a folder of images,
    torchvision:NAME (classes)."""
    path: str = ""
    """Folder of the files of mnist_groups or animals."""
    split: Literal["test", "valid", "train"] = "test"
    """valid exists for data with several labels only."""
    out: str = ""
    """Target file; outputs_SPLIT.npz beside the model if not given."""
    labels: str = ""
    """Also write the true labels, identities among them, and those of the training images to this .npz file."""
    targets: tuple[str, ...] = ()
    """Attributes of the model's logits, in order; all attributes of the data if not given."""
    method: str = ""
    """What made the model small; that of the file if not given, or dense where it has no zeros."""
    seed: int = 0
    """Training seed, which pairs a compressed model with its dense twin."""
    bits: int = 0
    """Round the weights to so many bits first; the level of the outputs is then bits."""
    batch_size: int = 500
    """Images per forward pass."""
    json: bool = False
    """Print one JSON object instead of text."""


def run(arguments: list[str]) -> int:
    """The exit code."""
    return work(parse(Options, arguments, "tamis audit collect"))


def work(options: Options) -> int:
    """Exit code 0."""
    from tamis.data import ATTRIBUTE_SOURCES
    from tamis.nn import quantise_weights
    from tamis.train import load_model, measured_sparsity

    if options.batch_size < 1:
        raise UsageError(f"--batch-size {options.batch_size}: expected at least 1")
    source = Path(options.model)
    if source.is_dir():
        source = source / "checkpoints" / "last.safetensors"
    model, header = load_model(source)
    sparsity = measured_sparsity(model)
    about: dict[str, Any] = {
        "name": str(header["architecture"]["name"]),
        "method": options.method or (str(header.get("method", "pruned")) if sparsity else "dense"),
        "level": sparsity,
        "seed": options.seed,
        "meta": {"data": options.data, "split": options.split},
    }
    if options.bits:
        model = quantise_weights(model, options.bits)
        about |= {"method": options.method or "bits", "level": options.bits, "axis": "bits"}
    several = options.data in ATTRIBUTE_SOURCES
    outputs, labels, train = _attributes(model, options, about) if several else _classes(model, options, about)
    target = outputs.save(options.out or source.with_name(f"outputs_{options.split}.npz"))
    result = {
        "outputs": str(target),
        "samples": len(outputs.logits),
        "names": list(outputs.names),
        "method": outputs.method,
        "axis": outputs.axis,
        "level": outputs.level,
    }
    text = f"{target}: {len(outputs.logits)} samples x {len(outputs.names)} {outputs.task} logits, {outputs.method}"
    text += f", {outputs.level:g} bits" if options.bits else f", sparsity {outputs.level:.4f}"
    if options.labels:
        result["labels"] = str(labels.save(options.labels, train=train))
        text += f"\n{options.labels}: {len(labels.names)} label columns"
    show(result, text, options.json)
    return 0


def _attributes(model: Any, options: Options, about: dict[str, Any]) -> tuple[Outputs, Labels, Labels]:
    from tamis.audit import Labels, collect
    from tamis.data import attribute_loader, load_attribute_data

    data = load_attribute_data(options.data, options.path)
    names = options.targets or data.attributes
    data.labels(options.split, names)  # refuses unknown names
    outputs = collect(model, attribute_loader(data, options.split, options.batch_size), names=names, **about)
    columns = (*data.attributes, *data.identities)

    def labels(split: str) -> Labels:
        part = data.split(split)
        return Labels(data.labels(split, columns).numpy(), part.ids.numpy(), columns, part.base.numpy())

    return outputs, labels(options.split), labels("train")


def _classes(model: Any, options: Options, about: dict[str, Any]) -> tuple[Outputs, Labels, Labels]:
    from tamis.audit import Labels, collect
    from tamis.data import load_data, ordered_batches

    if options.split == "valid":
        raise UsageError(f"--split valid: the data {options.data!r} have train and test only")
    if options.targets or options.path:
        raise UsageError(f"--targets and --path belong to data with several labels; {options.data!r} has classes")
    data = load_data(options.data)
    classes = (data.train_y if options.split == "train" else data.test_y).numpy()
    ids = [f"{options.split}-{number}" for number in range(len(classes))]
    loader = ordered_batches(data, options.batch_size, options.split)
    outputs = collect(model, loader, names=data.classes, ids=ids, task="multiclass", **about)
    train = Labels.from_classes(data.train_y.numpy(), None, data.classes)
    return outputs, Labels.from_classes(classes, outputs.ids, data.classes), train
