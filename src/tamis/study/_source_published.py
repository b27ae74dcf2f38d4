"""Our rows beside the published ones, cell by cell; the published file is the user's and is only read."""

from __future__ import annotations

import gzip
import os
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tamis.documents import csv_records, is_file
from tamis.errors import FileError
from tamis.study._source_study import METHODS
from tamis.study._source_summary import setting

Row = Mapping[str, Any]
Key = tuple[Any, ...]

NAMES = {"germancredit": "german", "folktables": "acs51"}
LOCATION = Path("specs", "vectors", "flea_published.csv.gz")
MOST_BYTES = 200_000_000
EQUAL = 0.0011  # published numbers have three decimals
CLOSE = 0.005  # for means over seeds


@dataclass(frozen=True)
class Agreement:
    """Of one setting, method and learner: how near our numbers are to the published ones.

    ``cells`` compared; how many have the ``equal_accuracy`` and ``equal_fairness`` (to .0011); mean ``accuracy`` and
    ``fairness`` of ours and how much they are above the published mean; the largest difference of a mean over seeds
    for one adversary, and how many of ``adversaries`` have both within .005.  ``equal_kept`` of ``selections`` have the
    same share of bad sources.
    """

    setting: tuple[str, int, int]
    method: str
    learner: str
    cells: int
    equal_accuracy: int
    equal_fairness: int
    accuracy: float
    accuracy_above: float
    fairness: float
    fairness_above: float
    largest_accuracy: float
    largest_fairness: float
    adversaries: int
    close: int
    selections: int
    equal_kept: int


def published_file(given: str | os.PathLike[str] | None) -> Path | None:
    """The given file, or that of ``$TAMIS_SHARED``; None if neither is there.

    Raises:
        FileError: a file was given and is missing.
    """
    if given:
        file = Path(given)
        if not file.is_file():
            raise FileError(f"{file}: found no such file; expected the published results, flea_published.csv.gz")
        return file
    shared = os.environ.get("TAMIS_SHARED")
    found = Path(shared) / LOCATION if shared else None
    return found if found is not None and found.is_file() else None


def read_published(file: Path) -> dict[Key, tuple[float, float, float | None]]:
    """Accuracy, fairness and kept bad share of the linear classifiers, by (setting, adversary, seed, method, learner).

    Raises:
        FileError: the file is missing, too large or has other columns.
    """
    needed = (
        "dataset", "n_sources", "n_adv", "adversary", "classifier", "seed", "method", "learner", "accuracy", "fairness",
        "bad_frac",
    )  # fmt: skip
    if not is_file(file):  # opening a pipe would wait for ever
        raise FileError(
            f"{file}: cannot be read (no such file, or no plain one); expected the published results as CSV, also .gz"
        )
    try:
        with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise FileError(f"{file}: holds more than {MOST_BYTES:,} bytes; expected the published results")
        rows: dict[Key, tuple[float, float, float | None]] = {}
        for row in csv_records(content.decode("utf-8"), str(file), needed):
            if row["classifier"] != "linear":
                continue
            what = (NAMES.get(row["dataset"], row["dataset"]), int(row["n_sources"]), int(row["n_adv"]))
            key = (what, row["adversary"], int(row["seed"]), row["method"], row["learner"])
            bad = float(row["bad_frac"]) if row["bad_frac"] else None
            rows[key] = (float(row["accuracy"]), float(row["fairness"]), bad)
        return rows
    except FileError:
        raise
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise FileError(f"{file}: cannot be read ({error}); expected the published results as CSV, also .gz") from error


def compare(rows: Sequence[Row], published: Mapping[Key, tuple[float, float, float | None]]) -> list[Agreement]:
    """How near each setting, method and learner is to the published numbers, over all cells that both have.

    The published runs have one FLEA, with the published disparity: ``flea_signed`` is compared with it too.
    """
    pairs: dict[Key, dict[str, list[tuple[Row, tuple[float, float, float | None]]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in rows:
        method = "flea" if row["method"] == "flea_signed" else row["method"]
        theirs = published.get((setting(row), row["adversary"], row["seed"], method, row["learner"]))
        if theirs is not None:
            pairs[setting(row), row["method"], row["learner"]][row["adversary"]].append((row, theirs))
    order = {name: place for place, name in enumerate(METHODS)}
    return [_agreement(key, pairs[key]) for key in sorted(pairs, key=lambda key: order[key[1]])]


def _agreement(key: Key, by_adversary: Mapping[str, list[tuple[Row, tuple[float, float, float | None]]]]) -> Agreement:
    every = [pair for pairs in by_adversary.values() for pair in pairs]
    accuracy = [row["accuracy"] - theirs[0] for row, theirs in every]
    fairness = [row["fairness"] - theirs[1] for row, theirs in every]
    means = [
        (
            abs(_mean([row["accuracy"] - theirs[0] for row, theirs in pairs])),
            abs(_mean([row["fairness"] - theirs[1] for row, theirs in pairs])),
        )
        for pairs in by_adversary.values()
    ]
    kept = [
        (row["bad_frac"], theirs[2]) for row, theirs in every if row["bad_frac"] is not None and theirs[2] is not None
    ]
    what, method, learner = key
    return Agreement(
        setting=what,
        method=method,
        learner=learner,
        cells=len(every),
        equal_accuracy=sum(abs(value) <= EQUAL for value in accuracy),
        equal_fairness=sum(abs(value) <= EQUAL for value in fairness),
        accuracy=_mean([row["accuracy"] for row, _ in every]),
        accuracy_above=_mean(accuracy),
        fairness=_mean([row["fairness"] for row, _ in every]),
        fairness_above=_mean(fairness),
        largest_accuracy=max(value for value, _ in means),
        largest_fairness=max(value for _, value in means),
        adversaries=len(means),
        close=sum(max(pair) <= CLOSE for pair in means),
        selections=len(kept),
        equal_kept=sum(abs(ours - theirs) <= EQUAL for ours, theirs in kept),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
