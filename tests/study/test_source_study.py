"""The study of sources: cells, resuming, the command, and processes elsewhere."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from tamis.cli import main
from tamis.errors import FileError, UsageError
from tamis.sources import (
    FLEA,
    NaiveClassifier,
    RegularisedClassifier,
    TabularData,
    bad_sources,
    manipulate,
    split_sources,
)
from tamis.study import SourceStudy, run_source_study, source_cells
from tamis.study._source_cell import source_cell_rows

FAST = {"methods": ("original", "oracle", "naive", "flea", "flea_signed"), "learners": ("none", "regularised")}


def table(n: int = 600) -> TabularData:
    draw = np.random.default_rng(0)
    a = draw.integers(0, 2, n)
    X = np.column_stack([draw.normal(size=(n, 2)) + 0.5 * a[:, None], a])
    y = (X[:, 0] + X[:, 1] + 0.5 * draw.normal(size=n) > 0.5).astype(np.int64)
    return TabularData("drugs", X, y, a, ("u", "v", "sensitive"), 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a made-up table under the name of a published one."""
    place = tmp_path_factory.mktemp("tables")
    draw = np.random.default_rng(1)
    names = [
        "Age",
        "Education",
        "Country",
        "Ethnicity",
        "Nscore",
        "Escore",
        "Oscore",
        "Ascore",
        "Cscore",
        "Impulsive",
        "SS",
    ]
    with (place / "drug_consumption.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["ID", "Gender", *names, "Coke"])
        for number in range(400):
            x, gender = draw.normal(size=11).round(3), draw.choice([-1, 1])
            rows.writerow([number, gender, *x, "CL2" if x[0] + 0.5 * gender + draw.normal() > 0 else "CL0"])
    return place


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    """Arguments, folder and results of a small finished study."""
    out = tmp_path_factory.mktemp("study")
    arguments = [
        "study", "sources", "--data", "drugs", "--folder", str(folder), "--out", str(out), "--seeds", "2",
        "--adversaries", "none,flip#target", "--methods", "oracle,naive,flea", "--learners", "none,regularised",
    ]  # fmt: skip
    assert main(arguments) == 0
    return arguments, out


def test_a_cell_has_a_row_for_each_method_and_learner_that_is_what_its_parts_give():
    data = table()
    cell = source_cells(SourceStudy(data=("drugs",), adversaries=("flip#target",), seeds=(3,), **FAST))[0]
    rows = {(row["method"], row["learner"]): row for row in source_cell_rows(cell, data)}
    assert len(rows) == 10
    split, bad = split_sources(data, 3, 5), bad_sources(3, 5, 2)
    parts, _ = manipulate(split.sources, "flip#target", bad, 2, np.random.RandomState(3))
    X, y, a = (np.concatenate([part[place] for part in parts]) for place in range(3))
    s = np.repeat(range(5), [len(part.y) for part in parts])
    naive = NaiveClassifier(RegularisedClassifier()).fit(X, y, sensitive_features=a, sources=s)
    assert rows["naive", "regularised"]["accuracy"] == (naive.predict(split.test.X) == split.test.y).mean()
    kept = FLEA(n_clean=3).fit(X, y, sensitive_features=a, sources=s).support_
    assert sorted(rows["flea_signed", "none"]["kept"]) == np.flatnonzero(kept).tolist()
    assert rows["flea", "none"]["bad_frac"] == 0
    assert rows["flea", "none"]["accuracy"] == rows["oracle", "none"]["accuracy"]
    assert rows["naive", "none"]["bad_frac"] is None


def test_fewer_methods_and_learners_give_the_same_numbers():
    study = SourceStudy(data=("drugs",), adversaries=("shuffle#protected",), seeds=(0,))
    data = table(400)
    cell = source_cells(study)[0]
    whole = {(row["method"], row["learner"]): row for row in source_cell_rows(cell, data)}
    assert len(whole) == 7 * 5 + 3 + 1
    for methods, learners in (
        (("hterm",), ("preprocessing",)),
        (("robust_ensemble", "flea_signed"), ("preprocessing",)),
    ):
        for row in source_cell_rows(replace(cell, methods=methods, learners=learners), data):
            expected = whole[row["method"], row["learner"]]
            assert (row["accuracy"], row["fairness"], row["auc"]) == tuple(
                expected[key] for key in ("accuracy", "fairness", "auc")
            )


def test_original_and_oracle_are_the_same_under_every_adversary():
    data, found = table(400), []
    study = SourceStudy(
        data=("drugs",), adversaries=("flip#protected", "randomanchor#1"), seeds=(0,), methods=("original", "oracle"),
        learners=("none", "preprocessing"),
    )  # fmt: skip
    for cell in source_cells(study):
        found.append([(row["method"], row["accuracy"], row["fairness"]) for row in source_cell_rows(cell, data)])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"data": ("iris",)}, "data: unknown 'iris'"),
        ({"methods": ()}, "methods: expected at least one"),
        ({"learners": ("none", "none")}, "each of them once"),
        ({"seeds": ()}, "seeds: expected at least one"),
        ({"n_sources": 1}, "n_sources = 1"),
        ({"n_bad": 5}, "n_bad = 5: expected 0 to 4 for compas"),
    ],
)
def test_a_study_that_makes_no_sense_is_refused(given, words):
    with pytest.raises(UsageError, match=words):
        SourceStudy(**given)


def test_acs51_has_its_own_number_of_sources():
    cells = source_cells(SourceStudy(data=("acs51",), n_bad=20, adversaries=("none",), seeds=(0,)))
    assert (cells[0].n_sources, cells[0].name) == (51, "acs51_n51_b20_none_s0")


def test_the_command_prints_tables_and_leaves_results_and_page(finished, capsys):
    arguments, out = finished
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "### drugs, 2 of 5 sources bad" in text
    assert "| FLEA, published disparity |" in text
    assert sorted(file.name for file in out.iterdir()) == ["cells", "report.html", "results.csv", "tables.md"]
    with (out / "results.csv").open() as stream:
        rows = list(csv.DictReader(line for line in stream if not line.startswith("#")))
    assert len(rows) == 2 * 2 * 6
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [float(row["accuracy"]) for row in rows] == [round(row["accuracy"], 6) for row in found["results"]]


def test_what_is_finished_is_not_computed_again_and_a_lost_cell_is(finished):
    arguments, out = finished
    cells = sorted((out / "cells").iterdir())
    before = {file: (file.stat().st_mtime_ns, file.read_text()) for file in cells}
    text = cells[0].read_text()
    cells[0].unlink()
    assert main(arguments) == 0
    assert {file: file.stat().st_mtime_ns for file in cells[1:]} == {file: before[file][0] for file in cells[1:]}
    assert cells[0].read_text() == text


def test_a_cell_of_another_study_is_not_replaced(finished, capsys):
    arguments, _ = finished
    assert main([*arguments, "--learners", "none"]) == 2
    assert "holds this cell with another learners; use --out another folder" in capsys.readouterr().err


def test_a_damaged_cell_is_named(finished, tmp_path):
    cells = source_cells(SourceStudy(data=("drugs",), seeds=(0,), adversaries=("none",), **FAST))
    file = tmp_path / "cells" / f"{cells[0].name}.json"
    file.parent.mkdir()
    file.write_text('{"cell": ')
    with pytest.raises(FileError, match="no result of a cell"):
        run_source_study(cells, tmp_path)


def test_a_cell_that_fails_leaves_its_error_and_exit_code_1(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    arguments = ["study", "sources", "--data", "drugs", "--folder", str(tmp_path / "empty"), "--seeds", "1"]
    assert main([*arguments, "--adversaries", "none", "--out", str(tmp_path / "out")]) == 1
    assert "found no such file" in capsys.readouterr().err
    assert "found no such file" in (tmp_path / "out" / "report.html").read_text()


def test_dask_computes_the_same(finished, folder, tmp_path):
    from distributed import LocalCluster

    _, out = finished
    study = SourceStudy(
        data=("drugs",), seeds=(0,), adversaries=("none", "flip#target"), methods=("oracle", "naive", "flea"),
        learners=("none", "regularised"),
    )  # fmt: skip
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        found = run_source_study(source_cells(study), tmp_path, data_folder=folder, cluster=cluster.scheduler_address)
    local = run_source_study(source_cells(study), out, data_folder=folder)
    assert [row["accuracy"] for row in found.rows] == [row["accuracy"] for row in local.rows]
    assert not found.failed


def test_a_scheduler_that_is_not_there_is_refused(folder, tmp_path, monkeypatch):
    cells = source_cells(SourceStudy(data=("drugs",), seeds=(0,), adversaries=("none",), **FAST))
    with pytest.raises(UsageError, match="found no Dask scheduler there"):
        run_source_study(cells, tmp_path, data_folder=folder, cluster="nonsense://x")
