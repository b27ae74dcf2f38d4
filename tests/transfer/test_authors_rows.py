"""The statistics on the paper authors' raw rows: every golden cell, aggregate, interval, test and correlation.

The rows are third-party data and no part of tamis; without them these tests are skipped, naming the file.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from tamis.transfer import (
    Model,
    bootstrap,
    correlation,
    correlations,
    duel,
    effects,
    outcomes_of,
    score_of,
    signed_rank,
)

STATS = json.loads((Path(__file__).parents[1] / "golden/transfer_stats.json").read_text())
pytestmark = pytest.mark.shared_data

RESAMPLES = 10_000  # a percentile is known to 0.7 % of the width then


@pytest.fixture(scope="module")
def outcomes(authors_rows):
    return outcomes_of(authors_rows)


def golden_rows(folder, name):
    with (folder / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


def model_of(row):
    return Model(row["arch"], row["kind"], row["method"], float(row["sparsity"]))


def test_no_cell_is_missing_and_replicates_are_told(authors_rows, outcomes):
    assert len(authors_rows) == 2655
    assert outcomes.missing() == ()
    assert [note.partition(" on ")[0] for note in outcomes.notes] == [
        "mobilenetv1 full STR 75 % has replicates of one seed"
    ]
    seeds = Counter(
        len(cell)
        for model, by_task in outcomes.values.items()
        if (model.arch, model.kind) == ("resnet50", "full")
        for cell in by_task.values()
    )
    assert seeds[4] == 3


def test_all_720_cells_of_the_relative_error_increase(authors_vectors, outcomes):
    rows = golden_rows(authors_vectors, "transfer_rel_err_by_task.csv")
    assert len(rows) == 720
    found = {}
    for row in rows:
        model, task = model_of(row), row["dataset"]
        if model.is_dense:
            assert float(row["rel_err_increase"]) == 0
        elif model not in found:
            cells = effects(outcomes, model)
            found[model] = dict(zip(cells.tasks, cells.on("relative_error"), strict=True))
        assert outcomes.mean(model, task) == pytest.approx(float(row["acc_mean"]), abs=1e-6)
        if not model.is_dense:
            # printed with six decimals: half a unit of the last one
            assert found[model][task] == pytest.approx(float(row["rel_err_increase"]), abs=1e-6)


def test_all_60_aggregates_are_the_golden_ones(authors_vectors, outcomes):
    rows = golden_rows(authors_vectors, "transfer_aggregates.csv")
    assert len(rows) == 60
    columns = {"mean_acc": "mean_accuracy", "rel_err_incr": "mean", "sd": "sd", "se": "se", "median": "median",
               "ratio_of_means": "ratio_of_means", "geo": "geometric", "dlogit": "log_odds",
               "wins": "wins"}  # fmt: skip
    checked = 0
    for row in rows:
        model = model_of(row)
        if model.is_dense:
            continue
        score = score_of(outcomes, model)
        for column, field in columns.items():
            assert getattr(score, field) == pytest.approx(float(row[column]), abs=1e-9), (model, column)
        found = bootstrap(outcomes, model, "tasks", resamples=RESAMPLES)
        ends = float(row["boot_lo"]), float(row["boot_hi"])
        width = ends[1] - ends[0]
        assert (found.low, found.high) == pytest.approx(ends, abs=0.05 * width), model
        checked += 1
    assert checked == 56


def test_all_56_rows_of_the_statistics(outcomes):
    assert len(STATS["rows"]) == 56
    for row in STATS["rows"]:
        model = model_of(row)
        score = score_of(outcomes, model)
        assert (len(score.tasks), score.wins) == (row["n_tasks"], row["wins"])
        for ours, theirs in {"mean": "mean", "se": "se", "t_low": "t_lo", "t_high": "t_hi", "median": "median",
                             "geometric": "geo", "ratio_of_means": "ratio_of_means", "log_odds": "dlogit",
                             "loo_low": "loo_min", "loo_high": "loo_max", "specialised": "specialised",
                             "general": "general"}.items():  # fmt: skip
            assert getattr(score, ours) == pytest.approx(row[theirs], abs=1e-6), (model, ours)
        assert (score.loo_low_without, score.loo_high_without) == (row["loo_min_without"], row["loo_max_without"])


def test_exact_wilcoxon_on_all_four_scales(outcomes):
    for row in STATS["rows"]:
        cells = effects(outcomes, model_of(row))
        assert len(row["wilcoxon"]) == 4
        for scale, expected in row["wilcoxon"].items():
            found = signed_rank(cells.on(scale))
            assert (found.n, found.w_plus) == (expected["n"], expected["w_plus"]), (row, scale)
            assert found.p == pytest.approx(expected["p"], abs=1e-6)


@pytest.mark.parametrize(("over", "column"), [("seeds", "ci_seeds"), ("tasks", "ci_tasks"), ("both", "ci_both")])
def test_bootstrap_intervals_are_the_golden_ones(outcomes, over, column):
    for row in STATS["rows"]:
        model = model_of(row)
        # the golden intervals resample the seeds of method and dense independently
        found = bootstrap(outcomes, model, over, resamples=RESAMPLES, paired=False)
        if row[column] is None:
            assert found.unavailable.startswith("one seed")
        else:
            width = row[column][1] - row[column][0]
            assert (found.low, found.high) == pytest.approx(row[column], abs=0.05 * width), (model, over)


def test_duels_of_methods_are_the_golden_ones(outcomes):
    for row in STATS["paired_methods"]:
        first, second = (Model(row["arch"], row["kind"], *row[side]) for side in "ab")
        found = duel(outcomes, first, second)
        assert found.better == row["a_better_on"]
        assert found.log_error_ratio == pytest.approx(row["mean_log_error_ratio"], abs=1e-6)
        assert found.log_odds == pytest.approx(row["mean_log_odds_difference"], abs=1e-6)
        for ours, theirs in ((found.test, "wilcoxon_log_error_ratio"), (found.log_odds_test, "wilcoxon_log_odds")):
            assert (ours.n, ours.w_plus) == (row[theirs]["n"], row[theirs]["w_plus"])
            assert ours.p == pytest.approx(row[theirs]["p"], abs=1e-6)


@pytest.mark.parametrize("kind", ["linear", "full"])
def test_correlation_with_upstream_and_its_drops(outcomes, kind):
    upstream = {(row["method"], row["sparsity"]): row["top1"] for row in STATS["upstream_top1"]}
    golden = STATS["correlation_resnet50"][kind]
    every = correlation(outcomes, upstream, "resnet50", kind)
    assert every.n == 17
    assert every.pearson == pytest.approx(golden["pearson_all"], abs=1e-6)
    assert every.spearman == pytest.approx(golden["spearman_all"], abs=1e-6)
    for task, value in golden["per_task_pearson"].items():
        assert every.per_task[task] == pytest.approx(value, abs=1e-6)
    drops = {found.without: found.pearson for found in correlations(outcomes, upstream, "resnet50", kind)}
    assert drops["STR 98 %"] == pytest.approx(golden["pearson_without_str98"], abs=1e-6)
    without = "STR 98 %, WoodFisher 80 %, WoodFisher 90 %, WoodFisher 95 %"
    assert drops[without] == pytest.approx(golden["pearson_without_str98_and_woodfisher"], abs=1e-6)


def test_full_is_not_always_better_than_linear(outcomes):
    from tamis.transfer import best_of_kinds

    best = best_of_kinds(outcomes, "resnet50")
    rigl = best["RigL ERK 5x", 0.8]
    assert rigl["SUN"][1] == rigl["caltech256"][1] == "linear"
    assert best["STR", 0.8]["dtd"][1] == "linear"
    lost = rigl["SUN"][0] - outcomes.mean(Model("resnet50", "full", "RigL ERK 5x", 0.8), "SUN")
    assert lost == pytest.approx(0.045, abs=5e-4)
