"""``tamis audit``: files in, verdict, files and exit code out."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.audit.worlds import world

from tamis.audit import Labels
from tamis.cli import main
from tamis.data import TintedDigits

LENIENT = '[[rule]]\nmetric = "ba_change"\nmax = 0.9\n'
HARSH = '[[rule]]\nmetric = "accuracy_drop"\nmax = -0.5\nover = "mean"\n'


@pytest.fixture
def files(tmp_path, monkeypatch):
    """One dense and one compressed model in files, and the words of a command that audits them."""
    monkeypatch.chdir(tmp_path)
    given = world(n=200, seeds=1, levels=(0.98,), valid=True)
    given["dense"][0].save("dense.npz")
    given["compressed"][0].save("gmp98.npz")
    given["labels"].save("labels.npz", given["train_labels"])
    given["valid"].labels.save("valid_labels.npz")
    for number, outputs in enumerate(given["valid"].outputs):
        outputs.save(f"valid_{number}.npz")
    (tmp_path / "lenient.toml").write_text(LENIENT)
    (tmp_path / "harsh.toml").write_text(HARSH)
    return tmp_path


DENSE = ["--dense", "dense.npz", "--labels", "labels.npz", "--groups", "Male", "Young", "--attributes", "Hat", "Rare"]
BOTH = [*DENSE, "--compressed", "gmp98.npz", "--n-boot", "200"]


def test_flags_without_a_sub_command_audit_and_pass(files, capsys):
    out = ["--json", "out.json", "--markdown", "out.md", "--junit", "out.xml"]
    assert main(["audit", *BOTH, "--policy", "lenient.toml", *out]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# Bias audit: pass")
    assert (files / "out.md").read_text() == printed
    content = json.loads((files / "out.json").read_text())
    assert content["verdict"]["state"] == "pass"
    assert str(files) not in (files / "out.json").read_text()
    assert (files / "out.xml").read_text().startswith("<?xml")


def test_a_policy_that_is_not_met_is_exit_code_one_and_json_goes_to_stdout(files, capsys):
    assert main(["audit", "run", *BOTH, "--policy", "harsh.toml", "--json", "-"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"]["state"] == "fail"


def test_the_page_is_written(files, capsys):
    assert main(["audit", *BOTH, "--report", "out.html"]) == 0
    assert (files / "out.html").read_text(encoding="utf-8").lower().lstrip().startswith("<!doctype html>")


def test_calibrated_thresholds_and_intersections_reach_the_report(files, capsys):
    more = ["--valid", "valid_0.npz", "valid_1.npz", "--valid-labels", "valid_labels.npz", "--thresholds", "calibrated"]
    assert main(["audit", *BOTH, *more, "--intersections", "Male*Young", "--json", "-"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["provenance"]["thresholds"]["source"] == "calibrated"
    assert content["identities"][-1] == "Male=1,Young=1"
    assert len(content["countermeasures"]["calibration"]) == 6


def test_check_holds_a_written_report_against_another_policy(files, capsys):
    assert main(["audit", *BOTH, "--json", "out.json"]) == 0
    assert main(["audit", "check", "out.json", "--policy", "lenient.toml", "--junit", "o.xml"]) == 0
    assert main(["audit", "check", "out.json", "--policy", "harsh.toml"]) == 1
    assert main(["audit", "check", "missing.json"]) == 2


def test_predict_needs_no_compressed_model(files, capsys):
    assert main(["audit", "predict", *DENSE, "--queue", "q.csv", "--limit", "4"]) == 0
    assert "| 1 | " in capsys.readouterr().out
    assert len(list(csv.DictReader((files / "q.csv").read_text().splitlines()))) == 4
    assert main(["audit", "predict", *DENSE, "--queue", "all.csv", "--limit", "0"]) == 0
    assert len(list(csv.DictReader((files / "all.csv").read_text().splitlines()))) > 4
    assert "of 20" in capsys.readouterr().out  # what such rankings were worth in our own study
    assert main(["audit", "predict", *DENSE, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "tamis.audit.predict/1"


def test_queue_prints_or_writes_csv(files, capsys):
    words = ["audit", "queue", *DENSE, "--compressed", "gmp98.npz", "--limit", "3"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert len(list(csv.DictReader(printed.splitlines()))) == 3
    assert main([*words, "--out", "q.csv"]) == 0
    assert (files / "q.csv").read_text() == printed
    assert main([*words, "--condition", "nobody"]) == 2


def test_groups_may_come_from_a_file_of_their_own(files, capsys):
    labels, train = Labels.load("labels.npz"), Labels.load_train("labels.npz")
    assert train is not None
    labels.columns(("Male", "Young")).save("groups.npz", train)
    labels.columns(("Hat", "Rare")).save("targets.npz", train)
    words = ["audit", "--dense", "dense.npz", "--compressed", "gmp98.npz", "--attributes", "Hat", "--n-boot", "100"]
    assert main([*words, "--labels", "targets.npz", "--groups", "groups.npz", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["identities"] == ["Male", "Young"]
    replace(labels, cluster=None).columns(("Male", "Young")).save(
        "short.npz", Labels(train.values[:9], None, train.names)
    )
    assert main([*words, "--labels", "targets.npz", "--groups", "short.npz"]) == 2
    assert "expected the same samples" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["audit", "rum"], "tamis audit: got 'rum'; did you mean 'run'?"),
        (["audit", "xyz"], "tamis audit: got 'xyz'; expected one of run, predict, check, queue, demo, collect"),
        (["audit", "demo", "--epochs", "0"], "--epochs 0: expected at least 1"),
        (["audit", "demo", "--policy", "none.toml"], "none.toml: cannot be read"),
        (["audit", "predict", *DENSE, "--limit", "-1"], "--limit -1: expected a number of rows"),
        (
            ["audit", "queue", *DENSE, "--compressed", "gmp98.npz", "--limit", "-1"],
            "--limit -1: expected a number of rows",
        ),
        (["audit", *DENSE], "--compressed: expected at least one"),
        (["audit", "queue", *DENSE], "--compressed: expected at least one"),
        (["audit", *BOTH, "--strict"], "need --policy"),
        (["audit", *BOTH, "--policy", "none.toml"], "none.toml: cannot be read"),
        (["audit", *BOTH, "--valid", "valid_0.npz"], "belong together"),
        (["audit", *BOTH, "--labels", "valid_labels.npz"], "holds no train_labels"),
        (["audit", *BOTH, "--train-labels", "labels.npz", "--labels", "valid_labels.npz"], "samples are missing"),
    ],
)
def test_bad_usage_is_exit_code_two_and_one_sentence(files, capsys, words, says):
    assert main(words) == 2
    found = capsys.readouterr().err
    assert says in found
    assert len(found.splitlines()) == 1


def test_the_demo_trains_audits_and_leaves_a_page_and_the_files_to_make_it_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = TintedDigits(size=8, variants=1).generate()
    monkeypatch.setattr(TintedDigits, "generate", lambda _: small)
    assert main(["audit", "demo", "--epochs", "1"]) == 0
    printed = capsys.readouterr().out
    folder = Path("runs/audit_demo")
    assert f"page      {folder / 'report.html'}" in printed
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert "data:image/png;base64," in html  # digits are no faces
    assert str(tmp_path) not in html
    content = json.loads((folder / "report.json").read_text())
    assert [row["level"] for row in content["conditions"]] == pytest.approx([0.0, 0.9, 0.98], abs=1e-3)
    assert len(content["countermeasures"]["calibration"]) == 9
    command = next(line for line in printed.splitlines() if line.startswith("  tamis audit run")).split()
    main([*command[1:], "--json", "again.json"])
    again = json.loads(Path("again.json").read_text())
    assert again["pairs"] == content["pairs"]
    assert again["countermeasures"] == content["countermeasures"]
    assert Path("report.html").is_file()


def test_without_arguments_the_sub_commands_are_listed(capsys):
    assert main(["audit"]) == 2
    assert main(["audit", "--help"]) == 0
    assert "predict" in capsys.readouterr().out
