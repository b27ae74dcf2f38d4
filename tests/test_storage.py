"""Atomic writes: the old file or the new one, and no litter."""

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tamis import storage
from tamis.storage import write_atomic


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_text_and_bytes_replace_what_was_there(tmp_path):
    file = write_atomic(tmp_path / "deep" / "a.txt", "é")
    assert file.read_bytes() == "é".encode()
    assert write_atomic(file, b"\x00").read_bytes() == b"\x00"
    assert names(file.parent) == ["a.txt"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_its_error_names_the_target(tmp_path, monkeypatch, call):
    file = write_atomic(tmp_path / "a.txt", "old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left") as error:
        write_atomic(file, "new")
    assert error.value.filename == str(file)
    assert file.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_ctrl_c_in_the_middle_leaves_the_old_file(tmp_path, monkeypatch):
    file = write_atomic(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_atomic(file, "new")
    assert (file.read_text(), names(tmp_path)) == ("old", ["a.txt"])


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    code = (
        "import os, signal, sys; from tamis import storage\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"storage.write_atomic({str(tmp_path / 'a.txt')!r}, 'half')"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    (left,) = names(tmp_path)
    assert left.startswith(".a.txt.")
    (tmp_path / ".other.txt.x.part").write_text("of another target")
    write_atomic(tmp_path / "a.txt", "whole")
    assert names(tmp_path) == [".other.txt.x.part", "a.txt"]


def test_writers_at_the_same_time_do_not_take_each_others_file_for_a_leftover(tmp_path):
    failures = []

    def write(number):
        try:
            for _ in range(50):
                write_atomic(tmp_path / "a.txt", str(number) * 1000)
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(set((tmp_path / "a.txt").read_text())) == 1
    assert names(tmp_path) == ["a.txt"]


def test_a_leftover_is_removed_while_a_file_that_only_looks_alike_stays(tmp_path):
    (tmp_path / ".a.0123abcd.part").write_text("half")
    for name in (".a.notes.part", ".a.txt.0123abcd.part"):
        (tmp_path / name).write_text("of somebody else")
    write_atomic(tmp_path / "a", "whole")
    assert names(tmp_path) == [".a.notes.part", ".a.txt.0123abcd.part", "a"]


def test_a_writer_that_loses_its_new_file_to_another_before_locking_it_takes_a_second_one(tmp_path, monkeypatch):
    lock, lost = storage.fcntl.flock, []

    def late(stream, operation):
        if not lost:
            lost.append(stream.name)
            Path(stream.name).unlink()
        lock(stream, operation)

    monkeypatch.setattr(storage.fcntl, "flock", late)
    assert write_atomic(tmp_path / "a.txt", "whole").read_text() == "whole"
    assert lost
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_new_file_is_as_readable_as_the_umask_says(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        file = write_atomic(tmp_path / "a.txt", "private")
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == mode
