import json

import pytest

from tamis.errors import FileError
from tamis.train import MetricsLog, read_metrics


def test_rows_come_back_in_order(tmp_path):
    with MetricsLog(tmp_path / "m.jsonl") as log:
        log.append({"kind": "epoch", "epoch": 0})
        log.append({"kind": "note", "text": "café"})
    assert read_metrics(tmp_path / "m.jsonl") == [{"kind": "epoch", "epoch": 0}, {"kind": "note", "text": "café"}]


def test_a_row_is_on_disk_before_the_next_step(tmp_path):
    log = MetricsLog(tmp_path / "m.jsonl")
    log.append({"a": 1})
    assert read_metrics(tmp_path / "m.jsonl") == [{"a": 1}]
    log.close()


def test_a_resumed_log_drops_the_rows_after_its_checkpoint(tmp_path):
    with MetricsLog(tmp_path / "m.jsonl") as log:
        log.append({"epoch": 0})
        size = log.size
        log.append({"epoch": 1})
    with MetricsLog(tmp_path / "m.jsonl", keep=size) as log:
        log.append({"epoch": 1, "again": True})
    assert read_metrics(tmp_path / "m.jsonl") == [{"epoch": 0}, {"epoch": 1, "again": True}]


def test_a_log_that_lost_rows_says_so(tmp_path):
    with MetricsLog(tmp_path / "m.jsonl", keep=100):
        pass
    (row,) = read_metrics(tmp_path / "m.jsonl")
    assert row["kind"] == "note"
    assert "100 bytes" in row["text"]


def test_numbers_that_json_lacks_become_null(tmp_path):
    with MetricsLog(tmp_path / "m.jsonl") as log:
        log.append({"loss": float("nan"), "deep": {"x": [float("inf"), 1.5]}})
    text = (tmp_path / "m.jsonl").read_text()
    assert json.loads(text) == {"loss": None, "deep": {"x": [None, 1.5]}}


def test_a_last_line_cut_by_a_crash_is_left_out(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"a": 1}\n{"a": ')
    assert read_metrics(tmp_path / "m.jsonl") == [{"a": 1}]


@pytest.mark.parametrize("line", ["no json", "[1]", '"text"'])
def test_a_damaged_line_is_named(tmp_path, line):
    (tmp_path / "m.jsonl").write_text(f'{{"a": 1}}\n{line}\n')
    with pytest.raises(FileError, match="line 2"):
        read_metrics(tmp_path / "m.jsonl")


def test_a_missing_file_is_one_error(tmp_path):
    with pytest.raises(FileError, match="cannot be read"):
        read_metrics(tmp_path / "m.jsonl")
