"""How much the numbers of the bias study on TintedDigits depend on what its description leaves open.

For each variant of the study's recipe a dense network and networks pruned while they train (GMP-RI) are trained and
audited; one row of benchmarks/results/bias_sensitivity.csv is one network.  Data, recipe and audit are
those of ``recipes/studies/bias_tinted_digits.toml`` but for what the variant names.

    python benchmarks/bias_sensitivity.py --out runs/bias_sensitivity

A network takes about 11 seconds of one core; outputs that are in the folder already are not made anew.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tamis.audit import Outputs, audit, collect
from tamis.bench import write_csv
from tamis.data import TintedDigits, attribute_loader
from tamis.models import SmallCNN, create_model, register_model
from tamis.study import labels_of, load_bias_study
from tamis.train import describe_environment, train_attributes

RESULTS = Path(__file__).parent / "results"
METRICS = ("accuracy", "uncertainty", "tcb", "ece", "ba", "ba_max", "flip_share")


@register_model("small_cnn_mean_pool", w32={"widths": (32, 64, 128)})
def small_cnn_mean_pool(num_classes: int, in_channels: int, widths: Any = (32, 64, 128)) -> nn.Module:
    """The study's network with means instead of maxima in its 2x2 pooling."""
    model = SmallCNN(widths, num_classes, in_channels)
    model.pool = nn.AvgPool2d(2)
    return model


@dataclass(frozen=True)
class Variant:
    """What differs from the study: the seed of the data, the network, how its weights begin, and the recipe.

    Seeds 0 to ``seeds - 1`` are trained: one tells large effects, the study's three tell how far seeds differ.
    """

    data_seed: int = 66
    model: str = "small_cnn"
    torch_initial: bool = False
    lr: float = 0.05
    seeds: int = 1


VARIANTS = {
    "as in the study": Variant(seeds=3),
    "data of seed 0": Variant(data_seed=0),
    "torch's initial weights": Variant(torch_initial=True),
    "mean pooling, torch's initial weights": Variant(model="small_cnn_mean_pool", torch_initial=True),
    "mean pooling, data of seed 0": Variant(model="small_cnn_mean_pool", data_seed=0),
    "learning rate 0.025": Variant(lr=0.025),
    "learning rate 0.01": Variant(lr=0.01),
    "learning rate 0.005": Variant(lr=0.005),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="runs/bias_sensitivity", help="folder of the outputs")
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--levels", nargs="*", type=float, default=[0.98])
    parser.add_argument("--csv", default=str(RESULTS / "bias_sensitivity.csv"), help="empty: print only")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in given.variants:
        found = _rows(name, VARIANTS[name], given.levels, Path(given.out))
        rows += found
        for row in found:
            print(json.dumps(row), flush=True)
    if given.csv:
        machine = {key: value for key, value in describe_environment().items() if key != "load_average"}
        write_csv(Path(given.csv), rows, machine, {"study": "bias_tinted_digits", "method": "GMP-RI, joint"})


def _rows(name: str, variant: Variant, levels: list[float], folder: Path) -> list[dict[str, Any]]:
    data, seeds = TintedDigits(seed=variant.data_seed).generate(), variant.seeds
    outputs = {
        (level, seed): _outputs(name, variant, data, level, seed, folder)
        for seed in range(seeds)
        for level in (0.0, *levels)
    }
    content = audit(
        dense=[outputs[0.0, seed] for seed in range(seeds)],
        compressed=[outputs[level, seed] for level in levels for seed in range(seeds)],
        labels=labels_of(data, "test"),
        train_labels=labels_of(data, "train"),
        groups=data.identities,
        attributes=data.attributes,
        n_boot=100,
    ).content
    values = {
        (point["condition"], item["seed"], curve["metric"]): item["value"]
        for curve in content["curves"]
        for point in curve["points"]
        for item in point["seeds"]
    }
    pairs = {row["id"]: sum(p["condition"] == row["id"] and not p["reason"] for p in content["pairs"])
             for row in content["conditions"]}  # fmt: skip
    levels_by_id = {row["id"]: row["level"] for row in content["conditions"]}
    return [
        {
            "variant": name,
            "requested": min((0.0, *levels), key=lambda level: abs(level - levels_by_id[condition])),
            "seed": seed,
            **{metric: values.get((condition, seed, metric), "") for metric in METRICS},
            "pairs": pairs[condition] or "",
        }
        for condition in levels_by_id
        for seed in range(seeds)
    ]


def _outputs(name: str, variant: Variant, data: Any, level: float, seed: int, folder: Path) -> Outputs:
    file = folder / f"{''.join(c for c in name.replace(' ', '_') if c.isalnum() or c == '_')}_{level:g}_s{seed}.npz"
    if file.is_file():
        return Outputs.load(file)
    study = load_bias_study("bias_tinted_digits")
    recipe = replace(
        study.training,
        model=variant.model,
        sparsity=level,
        seed=seed,
        optimizer=replace(study.training.optimizer, lr=variant.lr),
    )
    run = train_attributes(recipe, data, _torch_initial(variant, data, seed) if variant.torch_initial else None)
    found = collect(
        run.model,
        attribute_loader(data, "test"),
        names=run.targets,
        name=variant.model,
        method="gmp_ri" if level else "dense",
        level=run.sparsity,
        seed=seed,
        meta={"variant": name, "cpu_s": round(run.cpu_s, 2)},
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    found.save(file)
    return found


def _torch_initial(variant: Variant, data: Any, seed: int) -> dict[str, Any]:
    """Weights as torch's convolutions set them: uniform, by the number of inputs and not of outputs."""
    torch.manual_seed(seed)
    model = create_model(variant.model, len(data.attributes), data.in_channels, image_size=data.image_size)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.reset_parameters()
    return model.state_dict()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
