"""Our rows beside the published ones: the file, the comparison, and the numbers of real data."""

from __future__ import annotations

import gzip
import os

import pytest

from tamis.errors import FileError
from tamis.sources import (
    load_tabular,
)
from tamis.study import SourceStudy, compare, read_published, source_cells
from tamis.study._source_cell import source_cell_rows
from tamis.study._source_published import published_file

from .source_rows import made_up

HEAD = "dataset,n_sources,n_adv,adversary,classifier,seed,method,learner,accuracy,fairness,bad_frac\n"


@pytest.fixture(scope="module")
def published(shared_data):
    """The rows of the published results, which are the user's."""
    file = shared_data.parent / "specs" / "vectors" / "flea_published.csv.gz"
    if not file.is_file():
        pytest.skip(f"published results not found at {file}: set TAMIS_SHARED to the folder that contains specs/")
    return read_published(file)


def test_published_rows_are_compared_cell_by_cell(tmp_path):
    file = tmp_path / "published.csv.gz"
    lines = [
        "germancredit,5,2,random,linear,0,flea,none,.7,.9,.333",
        "germancredit,5,2,random,linear,1,flea,none,.6,.9,.000",
        "germancredit,5,2,random,xgboost,0,flea,none,.1,.1,.000", "germancredit,5,2,none,linear,0,naive,none,.5,.8,",
    ]  # fmt: skip
    file.write_bytes(gzip.compress((HEAD + "\n".join(lines) + "\n").encode()))
    rows = [
        made_up(0.701, 1 / 3), made_up(0.604, 0.0, seed=1), made_up(0.5, None, method="naive", adversary="none"),
        made_up(0.9, 0.0, seed=7),
    ]  # fmt: skip
    naive, flea = compare(rows, read_published(file))
    assert (naive.method, naive.cells, naive.fairness_above) == ("naive", 1, pytest.approx(0.1))
    assert (flea.cells, flea.equal_accuracy, flea.equal_kept, flea.selections) == (2, 1, 2, 2)
    assert flea.accuracy_above == pytest.approx(0.0025)
    assert (flea.close, flea.adversaries) == (1, 1)
    assert naive.close == 0


def test_the_published_file_is_found_or_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("TAMIS_SHARED", raising=False)
    assert published_file("") is None
    monkeypatch.setenv("TAMIS_SHARED", os.fspath(tmp_path))
    assert published_file("") is None
    with pytest.raises(FileError, match="found no such file"):
        published_file(tmp_path / "absent.csv")
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(FileError, match="expected also dataset"):
        read_published(published_file(other))
    (tmp_path / "broken.csv.gz").write_bytes(b"\x1f\x8bnothing")
    with pytest.raises(FileError, match="cannot be read"):
        read_published(tmp_path / "broken.csv.gz")


@pytest.mark.shared_data
def test_the_shared_published_results_have_every_linear_row(published):
    assert len(published) == 9 * 3740
    assert (("acs51", 51, 20), "random", 0, "flea", "none") in published


@pytest.mark.shared_data
@pytest.mark.parametrize("adversary", ["flip#protected", "shuffle#protected", "randomanchor#1"])
def test_a_cell_of_compas_has_the_published_numbers(shared_data, published, adversary):
    study = SourceStudy(
        data=("compas",), adversaries=(adversary,), seeds=(0,), methods=("original", "oracle", "flea"),
        learners=("none", "regularised", "preprocessing", "postprocessing"),
    )  # fmt: skip
    (cell,) = source_cells(study)
    found = compare(
        [
            {"data": cell.data, "n_sources": 5, "n_bad": 2, "adversary": adversary, "seed": 0, **row}
            for row in source_cell_rows(cell, load_tabular("compas", shared_data / "tab"))
        ],
        published,
    )
    assert len(found) == 12
    for item in found:
        assert item.equal_accuracy == 1, item
        assert item.largest_fairness <= 0.005, item
        assert item.equal_kept == item.selections


@pytest.mark.shared_data
@pytest.mark.parametrize(("name", "seed"), [("compas", 0), ("drugs", 0), ("drugs", 6), ("german", 0), ("german", 3)])
def test_the_naive_pool_of_the_adversary_random_is_the_published_one(shared_data, published, name, seed):
    """Between them the bad sources of these cells are given every one of the seven manipulations."""
    study = SourceStudy(
        data=(name,), adversaries=("random",), seeds=(seed,), methods=("naive",), learners=("none", "regularised")
    )
    (cell,) = source_cells(study)
    for row in source_cell_rows(cell, load_tabular(name, shared_data / "tab")):
        accuracy, fairness, _ = published[(name, 5, 2), "random", seed, "naive", row["learner"]]
        assert row["accuracy"] == pytest.approx(accuracy, abs=0.0011), row["learner"]
        assert row["fairness"] == pytest.approx(fairness, abs=0.0011), row["learner"]
