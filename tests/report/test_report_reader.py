"""Reading a run folder: what is tolerated, and what is refused with the name of the file and the line."""

from __future__ import annotations

import json
import math

import pytest
from run_folders import SUMMARY, all_rows, epoch_row, mask_row, probe_row, write_run

from tamis.errors import FileError
from tamis.report import read_run, write_report


def test_a_complete_run_is_read_in_full(complete_run):
    run = read_run(complete_run)
    assert run.finished
    assert run.remarks == ()
    assert len(run.epochs) == 40
    assert [row.event for row in run.masks] == ["compress", "decompress"] * 4 + ["compress"]
    assert len(run.probes) == 40
    assert run.summary.pair["top1_agreement"] == 0.9889
    assert run.masks[0].layers[0].name == "conv1"


def test_rows_are_sorted_and_a_repeated_row_replaces_the_first(tmp_path):
    rows = [epoch_row(2), epoch_row(1), {**epoch_row(2), "train_loss": 0.125}]
    run = read_run(write_run(tmp_path, rows=rows))
    assert [row.epoch for row in run.epochs] == [1, 2]
    assert run.epochs[1].train_loss == 0.125


def test_a_half_written_last_line_is_left_out_with_a_remark(tmp_path):
    run = read_run(write_run(tmp_path, rows=[epoch_row(1)], tail=b'{"kind": "epoch", "st\xc3'))
    assert len(run.epochs) == 1
    assert run.remarks == ("Line 2 of metrics.jsonl is half-written and was left out.",)


def test_a_whole_last_line_counts_even_without_a_line_end(tmp_path):
    run = read_run(write_run(tmp_path, rows=[epoch_row(1)], tail=json.dumps(epoch_row(2)).encode()))
    assert len(run.epochs) == 2
    assert run.remarks == ()


def test_missing_files_become_remarks(tmp_path):
    write_run(tmp_path, recipe=None, env=None)
    (tmp_path / "metrics.jsonl").unlink()
    remarks = read_run(tmp_path).remarks
    assert len(remarks) == 2
    assert "no recipe.toml" in remarks[0]
    assert "no metrics.jsonl" in remarks[1]


def test_absent_and_null_measurements_are_nan(tmp_path):
    run = read_run(write_run(tmp_path, rows=[{"kind": "epoch", "epoch": 1, "step": 5, "test_loss": None}]))
    assert math.isnan(run.epochs[0].test_loss)
    assert math.isnan(run.epochs[0].test_accuracy)


def test_rows_of_unknown_kinds_are_passed_over(tmp_path):
    run = read_run(write_run(tmp_path, rows=[{"kind": "energy", "joules": "many"}, epoch_row(1)]))
    assert len(run.epochs) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{broken", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[1, 2]", "expected a JSON object, found list"),
        (b"{" + b'"a":[' * 100_000, "not valid JSON"),
        (b'{"step": 3}', 'the row has no "kind"'),
        (json.dumps({**epoch_row(2), "test_accuracy": 97.2}).encode(), "'test_accuracy' is 97.2, expected a fraction"),
        (json.dumps({**epoch_row(2), "train_loss": "low"}).encode(), "'train_loss' is 'low', expected a number"),
        (json.dumps({**epoch_row(2), "train_loss": 10**400}).encode(), "holds a whole number of 1329 bits"),
        (json.dumps({**epoch_row(2), "step": True}).encode(), "'step' is True, expected a whole number"),
        (json.dumps({**epoch_row(2), "step": -1}).encode(), "'step' is -1, expected a whole number"),
        (json.dumps({**epoch_row(2), "phase": "warm"}).encode(), "'phase' is 'warm'"),
        (json.dumps({**epoch_row(2), "step_cpu_ms": -1.0}).encode(), "'step_cpu_ms' is -1.0"),
        (json.dumps({**mask_row(44, "compress", 1.0), "event": "melt"}).encode(), "'event' is 'melt'"),
        (
            json.dumps({**mask_row(44, "compress", 1.0), "layers": [1]}).encode(),
            "'layers' is \\[1\\], expected an object",
        ),
        (json.dumps(mask_row(44, "compress", 1.0, {"fc": (5, 9)})).encode(), "layer 'fc'.*'live' is 9.*at most total"),
        (json.dumps({**mask_row(44, "compress", 1.0), "layers": {"fc": 3}}).encode(), "layer 'fc' is not an object"),
        (json.dumps({**probe_row(2), "accuracy_true": 2}).encode(), "'accuracy_true' is 2"),
        (json.dumps({"kind": "note", "text": 5}).encode(), "'text' is 5, expected a string"),
    ],
)
def test_a_damaged_line_is_refused_by_file_and_number(tmp_path, line, message):
    write_run(tmp_path, rows=[epoch_row(1)], tail=line + b"\n" + json.dumps(epoch_row(3)).encode() + b"\n")
    with pytest.raises(FileError, match=rf"metrics\.jsonl line 2.*{message}"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"accuracy_sparse": 98.1}, "'accuracy_sparse' is 98.1, expected a fraction between 0 and 1"),
        ({"bytes_dense": "big"}, "'bytes_dense' is 'big'"),
        ({"step_ms_dense": -3}, "'step_ms_dense' is -3"),
        ({"layers": [{"name": "fc", "live": 3}]}, "layer 'fc'.*'total' is None"),
        ({"layers": ["fc"]}, "'layers'.*a list of objects"),
        ({"pair": {"top1_agreement": 99}}, "pair: field 'top1_agreement' is 99"),
        ({"choices": {"a": 1}}, "'choices'.*expected a list"),
        ({"warnings": [1]}, "'warnings'.*list of strings"),
        ({"flops": "many"}, "'flops' is 'many', expected an object"),
        ({"flops": {"rows": [{"row": "training", "fraction": -1}]}}, "flops: field 'fraction' is -1"),
    ],
)
def test_a_damaged_summary_is_refused_by_field(tmp_path, change, message):
    with pytest.raises(FileError, match=rf"summary\.json.*{message}"):
        read_run(write_run(tmp_path, rows=[], summary={**SUMMARY, **change}))


@pytest.mark.parametrize("name", ["summary.json", "env.json", "recipe.toml"])
def test_a_truncated_file_is_refused_by_name(tmp_path, name):
    write_run(tmp_path, rows=all_rows()[:3])
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2] + b'"{')
    with pytest.raises(FileError, match=name):
        read_run(tmp_path)


def test_a_recipe_that_is_no_text_is_refused(tmp_path):
    write_run(tmp_path, rows=[])
    (tmp_path / "recipe.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match=r"recipe\.toml: not UTF-8"):
        read_run(tmp_path)


def test_a_folder_that_is_none_or_no_run_is_refused(tmp_path):
    with pytest.raises(FileError, match="nowhere is not a folder"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(FileError, match="is not the folder of a run"):
        read_run(tmp_path)
