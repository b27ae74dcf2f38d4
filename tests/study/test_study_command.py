"""``tamis study methods`` as a user types it."""

import json

import pytest

from tamis.cli import main
from tamis.study import read_results

from .conftest import write_study


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Arguments of a finished study; nobody changes its cells."""
    folder = tmp_path_factory.mktemp("command")
    arguments = ["study", "methods", str(write_study(folder)), "--out", str(folder / "out"), "--sparsity", "0.75"]
    assert main(arguments) == 0
    return arguments, folder / "out"


def test_it_prints_the_table_and_says_where_the_files_are(finished, capsys):
    arguments, folder = finished
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "| Method | 75 % |" in text
    assert "One seed: there are no intervals" in text
    assert str(folder / "report.html") in text
    names = ["cells", "figures", "report.html", "results.csv", "tables.md"]
    assert sorted(file.name for file in folder.iterdir()) == names


def test_json_holds_every_number(finished, capsys, tmp_path):
    arguments, _ = finished
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["cell"] for row in found["results"]] == ["dense_s0", "gmp_75_s0", "oneshot_75_s0"]
    assert found["results"][0]["step_packed_cpu_ms"] is None
    assert found["failed"] == {}
    assert found["about"]["study"] == "tiny_methods"
    assert main([*arguments, "--json", str(tmp_path / "r.json")]) == 0
    assert json.loads((tmp_path / "r.json").read_text()) == found


def test_a_choice_of_methods_shows_these_alone(finished, capsys):
    arguments, folder = finished
    assert main([*arguments, "--methods", "oneshot"]) == 0
    assert "gmp" not in capsys.readouterr().out
    assert [row.method for row in read_results(folder / "results.csv")] == ["dense", "oneshot"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--methods", "gpm"], "unknown method 'gpm'"),
        (["--methods", ","], "methods: expected at least one"),
        (["--sparsity", "95"], "did you mean 0.95"),
        (["--seeds", "-1"], "--seeds -1: expected at least 1"),
        (["--epochs", "-2"], "--epochs -2: expected at least 1"),
        (["--reference", "acdc"], "reference = 'acdc': expected one of gmp, oneshot or dense"),
        (["--workers", "0"], "workers = 0: expected at least 1"),
    ],
)
def test_a_bad_flag_is_one_line_and_exit_code_2(study_file, tmp_path, capsys, flags, words):
    assert main(["study", "methods", str(study_file), "--out", str(tmp_path / "out"), *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_data_that_the_recipe_leaves_open_must_be_given(tmp_path, capsys):
    assert main(["study", "methods", "cifar10_methods", "--out", str(tmp_path / "out")]) == 2
    assert "comes without data: pass --data PATH" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_lists_the_studies_and_an_unknown_one_is_refused(capsys):
    assert main(["study", "--help"]) == 0
    assert "tamis study methods" in capsys.readouterr().out
    assert main(["study", "colours"]) == 2
    assert "got 'colours'; expected one of methods, bias, sources" in capsys.readouterr().err
    assert main(["study"]) == 2
