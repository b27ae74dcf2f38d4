"""tamis transfer stats, plot, tasks and sweep as a user calls them."""

import csv
import json
import re
import subprocess
import sys

import pytest

from tamis.cli import main

HEADER = "arch,kind,method,sparsity,task,seed,value\n"
DENSE = {"aircraft": (0.50, 0.52), "b": (0.60, 0.61), "c": (0.80, 0.79)}
ACDC = {"aircraft": (0.55, 0.56), "b": (0.62, 0.60), "c": (0.75, 0.76)}
GMP = {"aircraft": (0.45, 0.46), "b": (0.55, 0.54), "c": (0.70, 0.71)}


def table(folder, missing=(), **methods):
    given = {"dense": (0.0, DENSE), "acdc": (0.8, ACDC), "gmp": (0.8, GMP)} | methods
    lines = [
        f"net,linear,{method},{sparsity},{task},{seed},{value}"
        for method, (sparsity, by_task) in given.items()
        for task, values in by_task.items()
        if (method, task) not in missing
        for seed, value in enumerate(values)
    ]
    (folder / "t.csv").write_text(HEADER + "\n".join(lines) + "\n")
    return str(folder / "t.csv")


def test_stats_print_both_intervals_with_their_names(tmp_path, capsys):
    assert main(["transfer", "stats", table(tmp_path), "--resamples", "500"]) == 0
    text = capsys.readouterr().out
    assert "[new seeds]" in text
    assert "[new tasks and seeds]" in text
    # errors .49 .395 .205 dense, .445 .39 .245 AC/DC: r = -.0918, -.0127, +.1951; mean +.0302
    assert re.search(r"acdc 80 %\s+3\.0 ± 8\.6", text)
    assert re.search(r"80 %\s+acdc\s+gmp\s+3/3", text)


def test_stats_as_json_have_every_scale(tmp_path, capsys):
    assert main(["transfer", "stats", table(tmp_path), "--json", "--resamples", "500"]) == 0
    found = json.loads(capsys.readouterr().out)
    [family] = found["families"]
    assert {row["method"] for row in family["scores"]} == {"acdc", "gmp"}
    assert set(family["wilcoxon_p"][0]) >= {"error_difference", "relative_error", "log_error_ratio", "log_odds"}
    # three tasks with one sign: the smallest p that three pairs can have
    gmp = next(row for row in family["wilcoxon_p"] if row["method"] == "gmp")
    assert gmp["log_odds"] == 0.25


def test_a_missing_cell_is_named_its_model_left_out_and_the_exit_code_1(tmp_path, capsys):
    path = table(tmp_path, missing={("gmp", "b")})
    assert main(["transfer", "stats", path, "--resamples", "500"]) == 1
    text = capsys.readouterr().out
    assert "net linear gmp 80 % on b" in text
    assert "gmp 80 %  " not in text.partition("missing")[0]
    assert main(["transfer", "stats", path, "--tasks", "aircraft,c", "--resamples", "500"]) == 0
    assert re.search(r"gmp 80 %\s+2", capsys.readouterr().out)


def test_upstream_accuracies_from_a_file_give_the_correlation_and_its_drops(tmp_path, capsys):
    (tmp_path / "up.csv").write_text("method,sparsity,top1\ndense,0.0,76.8\nacdc,0.8,76.4\ngmp,0.8,70.1\nstr,0.9,60\n")
    path = table(tmp_path, str=(0.9, {"aircraft": (0.3,), "b": (0.4,), "c": (0.5,)}))
    main(["transfer", "stats", path, "--upstream", str(tmp_path / "up.csv"), "--resamples", "500"])
    text = capsys.readouterr().out
    assert re.search(r"nothing\s+4\s+[01]\.\d\d", text)
    assert re.search(r"str 90 %\s+3\s+", text)


def test_upstream_accuracies_of_one_architecture_say_nothing_about_another(tmp_path, capsys):
    models = (("dense", 0.0, 0.9), ("acdc", 0.8, 0.8), ("gmp", 0.8, 0.7))
    lines = [
        f"{arch},linear,{method},{sparsity},{task},0,{up * share},{up if arch == 'first' else ''}"
        for arch in ("first", "second")
        for method, sparsity, up in models
        for task, share in (("x", 0.5), ("y", 0.6))
    ]
    path = tmp_path / "t.csv"
    path.write_text("arch,kind,method,sparsity,task,seed,value,upstream\n" + "\n".join(lines) + "\n")

    def correlated(*more):
        main(["transfer", "stats", str(path), "--json", "--resamples", "100", *more])
        return [family["arch"] for family in json.loads(capsys.readouterr().out)["families"] if family["upstream"]]

    assert correlated() == ["first"]
    file = tmp_path / "up.csv"
    file.write_text("method,sparsity,top1\n" + "".join(f"{m},{s},{up}\n" for m, s, up in models))
    assert correlated("--upstream", str(file)) == ["first", "second"]
    file.write_text("arch,method,sparsity,top1\n" + "".join(f"second,{m},{s},{up}\n" for m, s, up in models))
    assert correlated("--upstream", str(file)) == ["second"]


def test_a_perfect_model_is_compared_with_the_others(tmp_path, capsys):
    path = table(tmp_path, gmp=(0.8, {"aircraft": (1.0,), "b": (0.6,), "c": (0.7,)}))
    assert main(["transfer", "stats", path, "--resamples", "500"]) == 0
    assert main(["transfer", "stats", path, "--json", "--resamples", "500"]) == 0
    text = capsys.readouterr().out
    found = json.loads(text[text.index("{") :])
    [gmp] = [row for row in found["families"][0]["scores"] if row["method"] == "gmp"]
    assert gmp["geometric"] is None
    assert gmp["mean"] is not None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stats", "none.csv"], "none.csv: cannot be read"),
        (["stats", "TABLE", "--resamples", "3"], "--resamples 3"),
        (["stats", "TABLE", "--tasks", "z"], "no results left"),
        (["stats", "TABLE", "--upstream", "TABLE"], "expected also top1"),
        (["sweep", "none.toml"], "no such sweep"),
        (["sweep", "--seeds", "-1"], "--seeds -1"),
        (["tasks", "nothing"], "digits_mirrored"),
        (["stat"], "did you mean 'stats'"),
        (["nonsense"], "got 'nonsense'; expected one of run, inspect"),
        ([], "tamis transfer: got no part of the command; expected one of run, inspect"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(tmp_path, capsys, words, message):
    path = table(tmp_path)
    assert main(["transfer", *(path if word == "TABLE" else word for word in words)]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_plots_are_svg_files_with_their_numbers_beside_them(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    speeds = tmp_path / "s.csv"
    speeds.write_text("arch,kind,method,sparsity,speed_up\nnet,linear,acdc,0.8,1.5\nnet,linear,gmp,0.8,1.2\n")
    words = ["transfer", "plot", table(tmp_path), "--out", str(tmp_path / "f"), "--speeds", str(speeds)]
    assert main([*words, "--resamples", "500", "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    names = sorted(path.name for path in (tmp_path / "f").iterdir())
    assert names == sorted(f"{key}_net_linear.{end}" for key in ("score", "speed", "tasks") for end in ("csv", "svg"))
    assert len(files) == 6
    for path in (tmp_path / "f").glob("*.svg"):
        assert path.read_text().lstrip().startswith("<?xml")
    lines = [line for line in (tmp_path / "f/speed_net_linear.csv").read_text().splitlines() if line[0] != "#"]
    rows = list(csv.DictReader(lines))
    # AC/DC is faster and better, so only it is on the front
    assert [(row["method"], row["pareto"]) for row in rows] == [("acdc", "True"), ("gmp", "False")]


def test_tasks_lists_the_twelve_and_those_without_a_download(capsys):
    assert main(["transfer", "tasks", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["tasks"]) == 12
    assert "digits_parity" in {row["task"] for row in found["builtin"]}


def test_one_task_shows_its_split(capsys):
    assert main(["transfer", "tasks", "digits_parity", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["classes"], found["train"], found["test"], found["validation"]) == (2, 1257, 540, 250)
    assert len(found["split_sha256"]) == 64


@pytest.mark.parametrize("command", ["stats", "plot", "tasks", "sweep"])
def test_help_of_a_sub_command_imports_no_torch(command):
    code = (
        "import sys; from tamis.cli import main; "
        f"c = main(['transfer', '{command}', '--help']); print(c, 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert found.stdout.splitlines()[-1] == "0 False"
