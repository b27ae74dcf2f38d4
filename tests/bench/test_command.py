"""``tamis bench`` as a user types it."""

from __future__ import annotations

import json

import pytest
import torch

from tamis.cli import main


@pytest.fixture(autouse=True)
def _threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_layers_prints_a_table_and_writes_csv(tmp_path, capsys):
    target = tmp_path / "layers.csv"
    arguments = ["--only", "linear 512>512 b64", "--sparsity", "0.9", "--repeats", "1", "--csv", str(target)]
    assert main(["bench", "layers", *arguments]) == 0
    text = capsys.readouterr().out
    assert "linear 512>512 b64" in text
    assert "geometric mean" in text
    assert target.read_text().count("linear 512>512 b64") == 1


def test_layers_as_json_is_one_object(capsys):
    assert (
        main(["bench", "layers", "--only", "linear 512>512 b64", "--sparsity", "0.9", "--repeats", "1", "--json"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["results"][0]["sparsity"] == 0.9
    assert found["machine"]["threads"] == 1
    assert found["geometric_mean_speedup"]["0.9"] > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["layer"], "expected 'layers' or 'step'"),
        ([], "expected 'layers' or 'step'"),
        (["layers", "--sparsity", "1.0"], "0 <= sparsity < 1"),
        (["layers", "--only", "no such layer"], "no case contains"),
        (["step", "--repeats", "0"], "at least 1"),
        (["step", "--threads", "0"], "at least 1"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(arguments, words, capsys):
    assert main(["bench", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert captured.err.count("\n") == 1
