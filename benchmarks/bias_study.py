"""Run a bias study and commit its numbers: benchmarks/results/STUDY.csv, STUDY_pairs.csv, _curves.csv, _conditions.csv.

    python benchmarks/bias_study.py bias_tinted_digits --workers 2
    python benchmarks/bias_study.py bias_mnist_groups --data FOLDER --images 2000

The first writes the numbers of docs/bias_study.md.  With --stored nothing is trained: what a study's folder holds is
audited, and the lines above each CSV say how many of its networks were there.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

from tamis.study import (
    BiasStudy,
    audit_setups,
    bias_cells,
    load_bias_study,
    train_bias_study,
    trained_cells,
    write_bias_report,
)

RESULTS = Path(__file__).parent / "results"
TARGETS = {"networks": "", "pairs": "_pairs", "curves": "_curves", "conditions": "_conditions"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", default="bias_tinted_digits")
    parser.add_argument("--out", default="", help="folder of the study; runs/NAME if not given")
    parser.add_argument("--data", default="", help="folder with the files of the data")
    parser.add_argument("--images", type=int, default=0, help="training images at most; 0: those of the study")
    parser.add_argument("--seeds", type=int, default=0, help="seeds 0 to N - 1 instead of those of the study")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--stored", action="store_true", help="audit what was trained, train nothing")
    given = parser.parse_args()
    study: BiasStudy = load_bias_study(given.study)
    data = replace(study.data, path=given.data or study.data.path, images=given.images or study.data.images)
    study = replace(study, data=data, seeds=tuple(range(given.seeds)) if given.seeds else study.seeds)
    cells, folder = bias_cells(study), Path(given.out or f"runs/{study.name}")
    if given.stored:
        done = trained_cells(cells, folder)
        missing = {cell.name: "not trained yet" for cell in cells if cell not in [one.cell for one in done]}
    else:
        found = train_bias_study(cells, folder, workers=given.workers)
        done, missing = found.done, dict(found.failed)
    write_bias_report(study, audit_setups(done), folder, missing=missing)
    for name, suffix in TARGETS.items():
        shutil.copyfile(folder / f"{name}.csv", RESULTS / f"{study.name}{suffix}.csv")
        print(RESULTS / f"{study.name}{suffix}.csv")


if __name__ == "__main__":
    main()
