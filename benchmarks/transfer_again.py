"""How much the relative error increase of a backbone changes when the backbone is trained once more.

    python benchmarks/transfer_again.py [FIRST.csv SECOND.csv] [--kind linear]

Both tables are of one sweep, each with backbones of its own.  Taken are the models that have all tasks of both tables.
The deviation of one training is that of the differences over the root of two; differences are not centred, because
both tables are also of two dense networks.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from scipy.stats import spearmanr

from tamis.transfer import effects, outcomes_of, read_results

RESULTS = Path(__file__).resolve().parent / "results"
DEFAULT = [RESULTS / f"transfer_tiny_imagenet{which}.csv" for which in ("_first", "")]


def increases(source: Path, kind: str) -> dict[tuple[str, float], dict[str, float]]:
    """r by task of every sparse model, in percent."""
    outcomes = outcomes_of([row for row in read_results(source) if row.kind == kind])
    found = {}
    for model in outcomes.models:
        if not model.is_dense and set(outcomes.tasks(model.arch, kind)) == outcomes.values[model].keys():
            cells = effects(outcomes, model)
            values = [100 * r for r in cells.on("relative_error")]
            found[model.method, model.sparsity] = dict(zip(cells.tasks, values, strict=True))
    return found


def main() -> None:
    """Print both means of every model, and the deviations of means and of cells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path, nargs="*", default=DEFAULT)
    parser.add_argument("--kind", default="linear")
    given = parser.parse_args()
    first, second = (increases(source, given.kind) for source in given.tables)
    models = sorted(first.keys() & second.keys())
    means = [tuple(statistics.fmean(table[model].values()) for table in (first, second)) for model in models]
    for (method, sparsity), (one, two) in zip(models, means, strict=True):
        print(f"{method:>12} {100 * sparsity:g} %  {one:6.1f} {two:6.1f}  {two - one:+6.1f}")
    print(f"deviation of one training, mean over tasks: {deviation([b - a for a, b in means]):.1f} points")
    for task in first[models[0]]:
        print(f"{task:>20}: {deviation([second[m][task] - first[m][task] for m in models]):.1f} points")
    print(f"rank correlation of the means: {spearmanr(*zip(*means, strict=True)).statistic:.2f}")


def deviation(differences: list[float]) -> float:
    """Of one of two equal sides, from their differences."""
    return (statistics.fmean([d * d for d in differences]) / 2) ** 0.5


if __name__ == "__main__":
    main()
