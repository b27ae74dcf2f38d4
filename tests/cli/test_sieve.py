"""``tamis sieve`` as a user types it: outputs, exit codes, refusals that leave nothing behind."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tamis.cli import main


@pytest.fixture
def data(tmp_path, monkeypatch):
    """loans.csv in the working folder; the labels of branch C are flipped."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    branch = np.repeat(list("ABCDE"), 120)
    frame = pd.DataFrame(
        {"branch": branch, "income": rng.normal(50, 10, 600).round(2), "sex": rng.choice(["f", "m"], 600)}
    )
    repaid = frame.income + rng.normal(0, 3, 600) > 50
    repaid[branch == "C"] = ~repaid[branch == "C"]
    frame["repaid"] = np.where(repaid, "yes", "no")
    frame.to_csv("loans.csv", index=False)
    return tmp_path


COLUMNS = ["--source", "branch", "--target", "repaid", "--sensitive", "sex"]


def test_sources_scores_reasons_and_files(data, capsys):
    targets = ["--keep", "kept.csv", "--rejected", "rest.csv", "--report", "sieve.html", "--json", "sieve.json"]
    assert main(["sieve", "loans.csv", *COLUMNS, *targets, "--clean", "4"]) == 0
    out = capsys.readouterr().out
    assert "4 of 5 sources kept, 480 of 600 rows" in out
    assert "REJECTED" in out
    assert "C: largest is its discrepancy. Its labels follow other rules" in out
    whole = pd.read_csv("loans.csv", dtype=str)
    pd.testing.assert_frame_equal(pd.read_csv("kept.csv", dtype=str), whole[whole.branch != "C"].reset_index(drop=True))
    pd.testing.assert_frame_equal(pd.read_csv("rest.csv", dtype=str), whole[whole.branch == "C"].reset_index(drop=True))
    record = json.loads((data / "sieve.json").read_text())
    assert record["rejected"] == ["C"]
    assert "C" in (data / "sieve.html").read_text()
    before = (data / "sieve.html").read_bytes(), (data / "sieve.json").read_bytes()
    assert main(["sieve", "loans.csv", *COLUMNS, *targets, "--clean", "4"]) == 0
    assert ((data / "sieve.html").read_bytes(), (data / "sieve.json").read_bytes()) == before


def test_json_on_standard_output_is_one_object(data, capsys):
    assert main(["sieve", "loans.csv", *COLUMNS, "--clean", "majority", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["sources_kept"] == 3
    assert len(record["matrices"]["distance"]) == 5


def test_without_a_sensitive_column_it_says_what_is_missing(data, capsys):
    assert main(["sieve", "loans.csv", "--source", "branch", "--target", "repaid", "--drop", "sex"]) == 0
    assert "only labels were compared" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["loans.csv", "--source", "bank", "--target", "repaid"], "--source 'bank' is no column"),
        (["none.csv", *COLUMNS], "none.csv is not there"),
        (["loans.csv", *COLUMNS, "--keep", "loans.csv"], "is the table itself"),
        (["loans.csv", *COLUMNS, "--keep", "kept.xlsx"], "rows are written to files named"),
        (["loans.csv", *COLUMNS, "--keep", "a.csv", "--rejected", "./a.csv"], "must name different files"),
        (["loans.csv", *COLUMNS, "--json", "loans.csv"], "must name different files"),
        (["loans.csv", *COLUMNS, "--report", "page.pdf"], "ends in .html"),
        (["loans.csv", *COLUMNS, "--jobs", "0"], "--jobs 0"),
        (["loans.csv", *COLUMNS, "--clean", "77"], "--clean '77': expected auto, majority, 1 to 5"),
    ],
)
def test_what_does_not_fit_is_one_line_and_leaves_nothing_behind(data, capsys, arguments, message):
    assert main(["sieve", *arguments, *(["--keep", "k.csv"] if "--keep" not in arguments else [])]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert len([line for line in captured.err.splitlines() if line.startswith("tamis sieve: ")]) == 1
    assert sorted(path.name for path in data.iterdir()) == ["loans.csv"]


def test_a_missing_flag_is_exit_code_2(data):
    assert main(["sieve", "loans.csv", "--source", "branch"]) == 2
