"""The 19 backbones of the sweep transfer_tiny_imagenet: ResNet-20 on 100 classes of Tiny-ImageNet at 32 pixels.

    python benchmarks/transfer_upstreams.py tiny_imagenet100_32.npz runs/upstream --device cuda
    tamis transfer sweep transfer_tiny_imagenet --models runs/upstream --root DATA --workers 2

Dense and by six methods at 80, 90 and 95 %, in a loop of one's own: a sparsifier that is attached masks the network
wherever it computes, so a GPU does in a minute or two each what takes 10 to 20 minutes of one core.  What is
finished is not trained again; of what was interrupted nothing is left.

Images, network, optimizer and epochs (12) are those of the recipe tiny_imagenet100_resnet20_dense, but: WoodFisher
prunes the dense network and trains for 6 more epochs; a ticket (LTH-T) is the dense network's, trained for 9, 12 or
15 more.  STR's threshold grows by itself, so its start was chosen such that about the wanted sparsity comes out; the
last few are cut off.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from tamis.data import Augmentation, ImageData, batches, load_data
from tamis.methods import ACDC, GMP, LTHT, STR, Examples, RigL, Sparsifier, WoodFisher
from tamis.models import create_model
from tamis.sparsity import Phase, acdc_phases
from tamis.storage import write_atomic
from tamis.train import Schedule, build_optimizer, evaluate, export_model, learning_rate, load_model, load_recipe

RECIPE = load_recipe("tiny_imagenet100_resnet20_dense")
EPOCHS = RECIPE.train.epochs
CONSTANT = Schedule(kind="constant", warmup_epochs=0)
STR_START = {0.8: -3.1, 0.9: -2.55, 0.95: -2.15}
TICKET_EPOCHS = {0.8: 9, 0.9: 12, 0.95: 15}
METHODS = ("acdc", "gmp", "rigl", "str", "woodfisher", "ltht")
NAMES = ("dense_0", *(f"{method}_{sparsity:g}" for method in METHODS for sparsity in STR_START))


def sparsifier(method: str, sparsity: float, steps: int, examples: Examples) -> tuple[Sparsifier, int]:
    """The method, and for how many epochs of ``steps`` optimizer steps it trains."""
    if method == "acdc":
        schedule = tuple(Phase(p.kind, p.start * steps, p.end * steps) for p in acdc_phases(EPOCHS, 1, 1, 1, 1, 3))
        return ACDC(sparsity, EPOCHS * steps, schedule=schedule, steps_per_epoch=steps, packed=False), EPOCHS
    if method == "gmp":
        return GMP(sparsity, EPOCHS * steps, packed=False), EPOCHS
    if method == "rigl":
        return RigL(sparsity, EPOCHS * steps, every=100, packed=False), EPOCHS
    if method == "str":
        return STR(sparsity, EPOCHS * steps, initial_logit=STR_START[sparsity], trim=True), EPOCHS
    if method == "ltht":
        epochs = TICKET_EPOCHS[sparsity]
        return LTHT(sparsity, epochs * steps, fraction=0.2, packed=False), epochs
    once = {"start": 0.1, "end": 0.1, "events": 1, "gradients": 256}
    return WoodFisher(sparsity, 6 * steps, examples=examples, packed=False, **once), 6


def train(name: str, data: ImageData, out: Path, device: torch.device) -> dict[str, Any]:
    """Train one backbone and write its folder, as far as a sweep reads it; returns the summary."""
    method, sparsity = name.split("_")
    steps = -(-len(data.train_x) // RECIPE.train.batch_size)
    torch.manual_seed(RECIPE.train.seed)
    architecture: dict[str, Any] = {
        "name": RECIPE.model.name,
        "num_classes": data.num_classes,
        "in_channels": data.in_channels,
        "image_size": list(data.image_size),
    }
    model = create_model(**architecture)
    from_dense = method in ("woodfisher", "ltht")
    if from_dense:
        model.load_state_dict(load_model(out / "dense_0" / "models" / "dense.safetensors")[0].state_dict())
    model.to(device)
    rate = {"woodfisher": 0.02, "ltht": 0.01}.get(method, RECIPE.optimizer.lr)
    optimizer = build_optimizer(replace(RECIPE.optimizer, lr=rate), model.parameters())
    attached, epochs = None, EPOCHS
    if method != "dense":
        attached, epochs = sparsifier(method, float(sparsity), steps, Examples(lambda: on(device, shuffled(data))))
        attached.attach(model, optimizer)
    start = time.perf_counter()
    for epoch in tqdm(range(epochs), desc=name, unit="epoch"):
        schedule = CONSTANT if method == "ltht" else RECIPE.schedule
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(schedule, rate, epoch, epochs)
        model.train()
        for images, labels in on(device, shuffled(data, epoch)):
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
    form = "dense" if attached is None else "sparse"
    plain = (model if attached is None else attached.finalize()).cpu()
    accuracy = evaluate(plain, data).accuracy
    folder = out / name
    export_model(plain, folder / "models" / f"{form}.safetensors", form,  # type: ignore[arg-type]
                 {"architecture": architecture, "method": method, "sparsity": float(sparsity)})  # fmt: skip
    summary = {
        "method": method,
        f"accuracy_{form}": accuracy,
        "sparsity": zeros(plain),
        "epochs": epochs,
        "seconds": time.perf_counter() - start,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "torch": torch.__version__,
    }
    write_atomic(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def shuffled(data: ImageData, epoch: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """The training images of an epoch, cropped and flipped; without an epoch as they are, for WoodFisher to look at."""
    seed = RECIPE.train.seed
    augmentation = Augmentation() if epoch is None else Augmentation(RECIPE.data.crop_padding, RECIPE.data.flip)
    generator = torch.Generator().manual_seed(seed if epoch is None else seed * 1_000_003 + epoch)
    return batches(data, RECIPE.train.batch_size, generator, augmentation)


def on(device: torch.device, pairs: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """The same tensors where the network is."""
    return ((images.to(device), labels.to(device)) for images, labels in pairs)


def zeros(model: nn.Module) -> float:
    """Share of exact zeros among the weights of convolutions and linear layers."""
    weights = [m.weight for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    return 1 - sum(int(w.count_nonzero()) for w in weights) / sum(w.numel() for w in weights)


def main() -> None:
    """Train what is missing, the dense network before those that begin from it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="tiny_imagenet100_32.npz")
    parser.add_argument("out", type=Path, help="folder of the backbones")
    parser.add_argument("--device", default="cpu", help="cpu, cuda")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES))
    options = parser.parse_args()
    data = load_data(options.data)
    for name in options.only:
        if not (options.out / name / "summary.json").exists():
            print(name, train(name, data, options.out, torch.device(options.device)), flush=True)


if __name__ == "__main__":
    main()
