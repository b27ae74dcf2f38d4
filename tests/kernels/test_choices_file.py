"""The file of measured decisions: written rarely, shared between processes, complete at exit."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tamis.kernels import _choices_file
from tamis.kernels._choices_file import ChoicesFile


def entry(use="sparse"):
    return {"use": use, "sparse_ms": 1.0, "dense_ms": 2.0}


def names(path):
    return set(json.loads(path.read_text())["entries"])


@pytest.fixture
def clock(monkeypatch):
    """The time that the file sees, as a list of one number."""
    now = [100.0]
    monkeypatch.setattr(_choices_file.time, "monotonic", lambda: now[0])
    return now


def test_many_decisions_within_a_second_are_written_together(tmp_path, clock, monkeypatch):
    path, writes = tmp_path / "choices.json", []
    write = _choices_file.write_atomic
    monkeypatch.setattr(_choices_file, "write_atomic", lambda *args: writes.append(args) or write(*args))
    file = ChoicesFile(path)
    for number in range(50):
        file.add({f"a{number}": entry()})
    assert names(path) == {"a0"}
    clock[0] += 1
    file.write_if_due()
    assert names(path) == {f"a{number}" for number in range(50)}
    clock[0] += 5
    file.write_if_due()
    assert len(writes) == 2, "nothing new is not written"


def test_processes_keep_what_others_have_added_since(tmp_path, clock):
    path = tmp_path / "choices.json"
    one, other = ChoicesFile(path), ChoicesFile(path)
    one.add({"a": entry(), "both": entry("dense")})
    other.add({"b": entry(), "both": entry("sparse")})
    clock[0] += 1
    one.add({"c": entry()})
    assert names(path) == {"a", "b", "both", "c"}
    assert one.read()["both"]["use"] == "sparse", "who measured last wins"


def test_what_waits_is_written_at_exit(tmp_path):
    program = """if True:
        import sys
        from pathlib import Path
        from tamis.kernels.choose import Choices, Direction
        choices = Choices(path=Path(sys.argv[1]))
        for key in "abc":
            choices.run(key, Direction.FORWARD, lambda: 1, lambda: 2)
        """
    path = tmp_path / "choices.json"
    subprocess.run([sys.executable, "-c", program, str(path)], check=True, timeout=120)
    assert names(path) == {"a/forward", "b/forward", "c/forward"}


def test_a_folder_that_cannot_be_written_is_tried_once(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    file, tries = ChoicesFile(tmp_path / "file" / "choices.json"), []
    write = _choices_file.write_atomic
    monkeypatch.setattr(_choices_file, "write_atomic", lambda *args: tries.append(args) or write(*args))
    monkeypatch.setattr(_choices_file, "_SECONDS_BETWEEN_WRITES", 0)
    file.add({"a": entry()})
    file.add({"b": entry()})
    assert len(tries) == 1
    assert file.read() == {}
