"""Whether a cell of the baseline DRO can be reproduced at all: does its result survive a change in the 14th digit?

    TAMIS_SHARED=... python benchmarks/dro_sensitivity.py --published flea_published.csv.gz

The published DRO takes a thousand steps of descent and ascent on constraints that switch on and off, and keeps the best
step that passes a test with random weights; where one step passes on one machine and fails on another, all later draws
differ.  Every cell is run from the published start, zeros, and from two starts that differ from it by 1e-14.  If the
three decide alike on every row of the test part, rounding does not decide; other runs, also the published one, should
then agree.  Writes benchmarks/results/sources_dro.csv.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from tamis.bench import describe_machine, write_csv
from tamis.sources import fairness_measures, load_tabular
from tamis.sources._dro import DROClassifier, _Game
from tamis.sources._logistic import logits
from tamis.study import SourceStudy, read_published, source_cells
from tamis.study._source_cell import _Experiment
from tamis.study._source_published import EQUAL

RESULTS = Path(__file__).parent / "results"
STARTS = (0.0, 1e-14, -1e-14)


class _UpToDRO(_Experiment):
    """A cell with all its draws, which stops before DRO."""

    def _dro(self) -> None:
        self.pool, _ = self._together()


def decisions(experiment: _UpToDRO, start: float) -> np.ndarray[Any, Any]:
    """Decisions on the test part of DRO that begins at ``start`` instead of zero."""
    pool, random = experiment.pool, np.random.RandomState()
    random.set_state(experiment.random.get_state())
    cell, xi = experiment.cell, DROClassifier().xi
    while True:
        game = _Game(pool.X, pool.y, pool.a, xi, 2 * cell.n_bad / cell.n_sources, paper_compat=True)
        game.theta += start
        theta = game.play(DROClassifier().steps, random)
        if 0 < (logits(theta, pool.X) >= 0).mean() < 1 or xi > 1:
            return (logits(theta, experiment.test.X) >= 0).astype(int)
        xi *= 2


def main() -> None:
    """Run and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["compas", "drugs", "german"])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--published", type=Path, required=True, help="CSV of the published results, .gz too")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    published = read_published(options.published)
    study = SourceStudy(
        data=tuple(options.data), seeds=tuple(range(options.seeds)), methods=("dro",), learners=("regularised",)
    )
    tables = {name: load_tabular(name) for name in options.data}
    rows = []
    for cell in source_cells(study):
        experiment = _UpToDRO(cell, tables[cell.data])
        experiment.rows()
        first, *others = (decisions(experiment, start) for start in STARTS)
        test = experiment.test
        found = fairness_measures(test.y, first, test.a)
        theirs = published[(cell.data, cell.n_sources, cell.n_bad), cell.adversary, cell.seed, "dro", "regularised"]
        equal = max(abs(found["accuracy"] - theirs[0]), abs(found["fairness"] - theirs[1])) <= EQUAL
        stable = all((first == other).all() for other in others)
        row = {
            "data": cell.data, "adversary": cell.adversary, "seed": cell.seed, "stable": int(stable),
            "as_published": int(equal),
        }  # fmt: skip
        print(row, flush=True)
        rows.append(row)
    about = {"study": "DRO as published, three starts that differ by 1e-14", "seeds": options.seeds}
    write_csv(options.out / "sources_dro.csv", rows, describe_machine(), about)


if __name__ == "__main__":
    main()
