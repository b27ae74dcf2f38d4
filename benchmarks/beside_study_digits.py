"""Methods on the digits that ``recipes/studies/digits_methods.toml`` cannot hold, with the network of that study.

python benchmarks/beside_study_digits.py [--methods str srste ltht] [--csv FILE]

STR reaches a sparsity through its weight decay, which is searched here with seed 0 at each sparsity (the CSV has the
decay and the sparsity before the final cut to the target).  SR-STE has the sparsity of its pattern; the first
convolution stays dense under 2:4: its rows have nine weights.  LTH-T begins with a trained network: 20 epochs dense,
then 20 epochs for all its levels together.  Rows of other methods in the CSV stay.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tamis.bench import describe_machine, write_csv
from tamis.methods import DecaySearch
from tamis.train import OPTIONS, Recipe, fit, load_checkpoint, load_recipe

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "benchmarks" / "results" / "beside_study_digits.csv"
SPARSITIES, SEEDS = (0.8, 0.9, 0.95, 0.98), (0, 1, 2)
LOGIT, FIRST_DECAY = -8.0, 2e-3
LTHT_RATE = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--csv", type=Path, default=TARGET)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for row in kept_rows(arguments.csv) if row["method"] not in arguments.methods]
    for method in arguments.methods:
        for row in RUNS[method]():
            rows.append(row)
            print(row, flush=True)
            write_csv(arguments.csv, rows, describe_machine())


def kept_rows(source: Path) -> list[dict[str, Any]]:
    """The rows that the CSV has already."""
    if not source.is_file():
        return []
    lines = source.read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def str_rows() -> Iterator[dict[str, Any]]:
    """One row per sparsity and seed, each sparsity with the decay that its search found."""
    decay = FIRST_DECAY
    for sparsity in SPARSITIES:
        search = DecaySearch(sparsity, decay, tolerance=0.01, max_runs=10)
        search.run(lambda wanted, s=sparsity: trained(str_recipe(s, wanted, 0, trim=False))["sparsity"])
        decay = search.best.decay
        for seed in SEEDS:
            before = search.best.sparsity if seed == 0 else ""
            summary = trained(str_recipe(sparsity, decay, seed, trim=True))
            yield row_of("str", sparsity, seed, summary) | {"weight_decay": decay, "sparsity_before_trim": before}


def srste_rows() -> Iterator[dict[str, Any]]:
    """2:4 with three seeds."""
    for seed in SEEDS:
        base = recipe(seed)
        made = replace(base, method="srste", sparsity=0.5, exclude=("conv1",), options=OPTIONS["srste"]())
        row = row_of("srste", 0.5, seed, trained(made))
        yield row | {"weight_decay": base.optimizer.weight_decay, "sparsity_before_trim": ""}


def ltht_rows() -> Iterator[dict[str, Any]]:
    """One row per sparsity and seed; the levels of a seed begin with the same dense network."""
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            base = recipe(seed)
            dense = Path(folder) / "dense"
            fit(base, dense)
            trained_weights = load_checkpoint(dense / "models" / "dense.safetensors")
            for sparsity in SPARSITIES:
                optimizer = replace(base.optimizer, lr=LTHT_RATE)
                made = replace(base, method="ltht", sparsity=sparsity, options=OPTIONS["ltht"](), optimizer=optimizer)
                summary = fit(made, Path(folder) / f"ltht_{sparsity:g}", weights=trained_weights)
                row = row_of("ltht", sparsity, seed, summary)
                row["epochs"] = base.train.epochs + summary["epochs"]
                yield row | {"weight_decay": optimizer.weight_decay, "sparsity_before_trim": ""}


def recipe(seed: int) -> Recipe:
    """The base of the study."""
    base = load_recipe("digits_resnet8")
    return replace(base, train=replace(base.train, seed=seed))


def str_recipe(sparsity: float, decay: float, seed: int, *, trim: bool) -> Recipe:
    """STR with this weight decay on everything, its thresholds included."""
    base = recipe(seed)
    options = OPTIONS["str"](initial_logit=LOGIT, trim=trim)
    optimizer = replace(base.optimizer, weight_decay=decay)
    return replace(base, method="str", sparsity=sparsity, options=options, optimizer=optimizer)


def trained(made: Recipe) -> dict[str, Any]:
    """The summary of one run, whose folder is not kept."""
    with tempfile.TemporaryDirectory() as folder:
        return fit(made, Path(folder) / "run")


def row_of(method: str, sparsity: float, seed: int, summary: dict[str, Any]) -> dict[str, Any]:
    """What the CSV keeps of a run."""
    return {
        "method": method,
        "sparsity_requested": sparsity,
        "sparsity": summary["sparsity"],
        "seed": seed,
        "accuracy": summary["accuracy_sparse"],
        "epochs": summary["epochs"],
    }


RUNS = {"str": str_rows, "srste": srste_rows, "ltht": ltht_rows}

if __name__ == "__main__":
    main()
