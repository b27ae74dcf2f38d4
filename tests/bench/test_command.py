"""``tamis bench`` as a user types it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import pytest
import torch

from tamis import bench
from tamis.bench.peers import _base
from tamis.cli import main

TINY = ["--only", "linear 512>512 b64", "--sparsity", "0.9", "--repeats", "1", "--allocator", "default"]


@pytest.fixture(autouse=True)
def _threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def rows_of(path):
    lines = path.read_text().splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def test_layers_prints_a_table_and_writes_csv(tmp_path, capsys):
    target = tmp_path / "layers.csv"
    assert main(["bench", "layers", *TINY, "--csv", str(target)]) == 0
    text = capsys.readouterr().out
    assert "linear 512>512 b64" in text
    assert "geometric mean" in text
    (row,) = rows_of(target)
    assert row["layer"] == "linear 512>512 b64"
    assert float(row["speedup"]) > 0
    assert row["measured"] == "forward and backward"
    assert {"ours_cpu_ms", "ours_batch_last_cpu_ms", "nchw_cpu_ms", "share_of_fma_peak", "notes"} <= row.keys()
    assert "# allocator: default" in target.read_text()


def test_layers_as_json_is_one_object(capsys):
    assert main(["bench", "layers", *TINY, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["results"][0]["sparsity"] == 0.9
    assert found["machine"]["threads"] == 1
    assert found["geometric_mean_speedup"]["0.9"] > 0


def test_json_with_a_file_leaves_the_table_on_stdout(tmp_path, capsys):
    target = tmp_path / "layers.json"
    assert main(["bench", "layers", "--json", str(target), *TINY]) == 0
    assert "geometric mean" in capsys.readouterr().out
    assert json.loads(target.read_text())["means"][0]["over"] == "dense"


def test_batch_one_measures_inference_alone(tmp_path, capsys):
    target = tmp_path / "layers.csv"
    arguments = ["--only", "linear 512>512 b1", "--batch", "1", "--sparsity", "0.9", "--repeats", "1"]
    assert main(["bench", "layers", *arguments, "--allocator", "default", "--csv", str(target)]) == 0
    (row,) = rows_of(target)
    assert row["measured"] == "forward"
    assert "ours_batch_last_cpu_ms" not in row


def test_a_missing_peer_is_named_in_text_and_csv(tmp_path, capsys, monkeypatch):
    absent = _base.Peer("onnxruntime", ("no_such_package",))
    monkeypatch.setitem(bench.PEERS, "onnxruntime", absent)
    target = tmp_path / "layers.csv"
    assert main(["bench", "layers", *TINY, "--peers", "dense,onnxruntime", "--csv", str(target)]) == 0
    assert "onnxruntime: not installed (no_such_package)" in capsys.readouterr().out
    assert rows_of(target)[0]["notes"] == "onnxruntime: not installed (no_such_package)"


def test_step_and_infer_take_a_model_that_is_not_in_the_suite(tmp_path, capsys):
    shape = ["--model", "resnet8_digits", "--pixels", "8", "--batch", "2", "--sparsity", "0.9", "--repeats", "1"]
    assert main(["bench", "step", *shape, "--no-memory", "--allocator", "default"]) == 0
    text = capsys.readouterr().out
    assert "resnet8_digits 8px b2" in text
    assert "rest ms" in text
    assert main(["bench", "infer", *shape, "--allocator", "default"]) == 0
    assert "ours_folded ms" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["layer"], "expected 'layers', 'step' or 'infer'"),
        ([], "expected 'layers', 'step' or 'infer'"),
        (["layers", "--sparsity", "1.0"], "0 <= sparsity < 1"),
        (["infer", "--sparsity", "-0.1"], "0 <= sparsity < 1"),
        (["layers", "--only", "no such layer"], "no case contains"),
        (["step", "--repeats", "0"], "at least 1"),
        (["step", "--threads", "0"], "at least 1"),
        (["infer", "--batch", "0"], "at least 1"),
        (["layers", "--peers", "dense,mkl"], "--peers 'mkl' is unknown"),
        (["layers", "--csv", "no/such/folder/x.csv"], "its folder does not exist"),
        (["layers", "--json", "no/such/folder/x.json"], "its folder does not exist"),
        (["step", "--pixels", "32"], "belongs to --model"),
        (["step", "--model", "resnet18", "--pixels", "-1"], "at least 1"),
        (["step", "--model", "resnet8_digits"], "give --pixels and --batch"),
        (["infer", "--model", "resnet81", "--pixels", "32", "--batch", "1"], "unknown"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(arguments, words, capsys):
    allocator = ["--allocator", "default"] if arguments and arguments[0] != "layer" else []
    assert main(["bench", *arguments, *allocator]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["layers", "--allocator", "jemalloc"], ["layers", "--model", "resnet18"]])
def test_an_unknown_flag_or_choice_is_exit_code_2(arguments, capsys):
    assert main(["bench", *arguments]) == 2


def test_help_imports_no_torch():
    code = (
        "import sys; from tamis.cli import main\n"
        "for what in ('layers', 'step', 'infer'): main(['bench', what, '--help'])\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
