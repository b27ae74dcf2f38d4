"""The stress test of one's own sources, from Python and from the command line."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tamis.cli import main
from tamis.errors import UsageError
from tamis.sources import FLEA, stress_sources


def table(n_sources: int = 10, rows: int = 150):
    """Sources that follow one rule, whose groups differ in a feature and in their labels."""
    draw = np.random.default_rng(0)
    n = n_sources * rows
    a = draw.integers(0, 2, n)
    X = np.column_stack([draw.normal(size=n) + a, draw.normal(size=n)])
    y = (X[:, 0] + X[:, 1] + 0.5 * draw.normal(size=n) > 0.5).astype(int)
    return X.round(3), y, a, np.repeat([f"site{i}" for i in range(n_sources)], rows)


@pytest.fixture(scope="module")
def stressed():
    X, y, a, s = table()
    return stress_sources(
        X, y, sensitive_features=a, sources=s, adversaries=("none", "flip#target", "flip#protected", "random"),
        shares=(0.2, 0.4), trials=2,
    )  # fmt: skip


def test_flips_are_caught_and_nothing_is_caught_where_nothing_was_done(stressed):
    found = {(item.adversary, item.share): item for item in stressed.results}
    assert len(found) == 8
    for share, n_bad in ((0.2, 2), (0.4, 4)):
        assert found["none", share].caught == 0
        assert found["flip#target", share].n_bad == n_bad
        assert found["flip#target", share].caught == 1
        assert found["flip#target", share].bad_frac == 0
    assert found["flip#protected", 0.2].caught_all == 1


def test_equal_seeds_give_equal_results_and_inputs_stay_as_they_are(stressed):
    X, y, a, s = table()
    for array in (X, y, a, s):
        array.flags.writeable = False
    again = stress_sources(
        X, y, sensitive_features=a, sources=s, adversaries=("flip#target",), shares=(0.2,), trials=2
    )  # fmt: skip
    assert again.results[0] == next(item for item in stressed.results if item.adversary == "flip#target")


def test_a_source_that_is_bad_already_is_left_alone_and_named():
    X, y, a, s = table()
    y[s == "site3"] = 1 - y[s == "site3"]
    found = stress_sources(X, y, sensitive_features=a, sources=s, adversaries=("flip#target",), shares=(0.1,), trials=2)
    assert "site3" in found.rejected_before
    assert found.results[0].caught == 1


def test_an_adversary_that_cannot_act_is_counted_as_skipped():
    X, y, a, s = table(5, 60)
    y = np.where(a == 1, 1, y)  # nobody of group 1 has label 0: randomanchor#0 finds no anchor
    found = stress_sources(
        X, y, sensitive_features=a, sources=s, adversaries=("randomanchor#0",), shares=(0.2,), trials=2,
        selector=FLEA(n_clean=5, on_empty_group="max"),
    )  # fmt: skip
    assert found.results[0].skipped == 2
    assert math.isnan(found.results[0].caught)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"adversaries": ("flip",)}, r"adversaries \['flip'\]"),
        ({"shares": (1.5,)}, "expected numbers between 0 and 1"),
        ({"trials": 0}, "trials 0"),
        ({"shares": (0.99,)}, "take smaller shares"),
        ({"selector": FLEA(n_clean=2)}, "needs three"),
    ],
)
def test_a_bad_argument_is_one_clear_sentence(change, words):
    X, y, a, s = table(4, 40)
    with pytest.raises(UsageError, match=words):
        stress_sources(X, y, sensitive_features=a, sources=s, **change)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    X, y, a, s = table(6, 100)
    target = tmp_path_factory.mktemp("stress") / "sites.csv"
    rows = [f"{x[0]},{x[1]},{'yes' if label else 'no'},{'fm'[group]},{site}" for x, label, group, site in zip(
        X.tolist(), y.tolist(), a.tolist(), s.tolist(), strict=True)]  # fmt: skip
    target.write_text("\n".join(["height,weight,bought,sex,site", *rows]) + "\n")
    return target


FLAGS = ["--source", "site", "--target", "bought", "--sensitive", "sex", "--trials", "1", "--shares", "0.3"]


def test_the_command_prints_a_table_and_leaves_the_file_alone(file, capsys):
    before = file.read_bytes()
    assert main(["sieve", "stress", str(file), *FLAGS, "--adversaries", "flip#target,random"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["adversary", "30", "%", "bad"]
    assert lines[1].split() == ["flip#target", "100", "(0)"]
    assert file.read_bytes() == before


def test_json_holds_every_number_and_a_requirement_that_is_not_met_is_exit_code_1(file, capsys, tmp_path):
    target = tmp_path / "stress.json"
    arguments = ["sieve", "stress", str(file), *FLAGS, "--adversaries", "none,flip#target", "--require", "0.9"]
    assert main([*arguments, "--json", str(target)]) == 1
    assert "none at 30 % bad sources: 0 % rejected, 90 % required" in capsys.readouterr().err
    found = json.loads(target.read_text())
    assert found["met"] is False
    assert [row["caught"] for row in found["results"]] == [0.0, 1.0]
    assert main([*arguments[:-4], "--adversaries", "flip#target", "--require", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["met"] is True


def test_a_requirement_that_nothing_could_test_is_not_met(tmp_path, capsys):
    X, y, a, s = table(6, 60)
    file = tmp_path / "sites.csv"
    y = np.where(a == 1, 0, y)  # nobody of group 1 has label 1: randomanchor#1 finds no anchor
    rows = [f"{x[0]},{label},{group},{site}" for x, label, group, site in zip(X, y, a, s, strict=True)]
    file.write_text("\n".join(["height,bought,sex,site", *rows]) + "\n")
    arguments = ["sieve", "stress", str(file), *FLAGS, "--adversaries", "randomanchor#1"]
    assert main(arguments) == 0
    assert main([*arguments, "--require", "0.5"]) == 1
    assert "no trial was possible, 50 % required" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--require", "2"], "--require 2.0: expected a share"),
        (["--adversaries", "flip"], "expected some of flip#protected"),
        (["--sensitive", "gender"], "'gender' is no column"),
        (["--sensitive", "bought"], "must be different columns"),
        (["--shares", "0"], "expected numbers between 0 and 1"),
    ],
)
def test_a_bad_flag_is_one_line_and_exit_code_2(file, capsys, flags, words):
    assert main(["sieve", "stress", str(file), *FLAGS, *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
