"""What is no plain file, or has no possible name, is refused at once by every reader: nothing waits for a pipe."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from tests.malformed.readers import READERS

from tamis.errors import TamisError

# these get bytes that the tests read for them, or choose files of a folder that they have seen to be plain
OF_BYTES = {"choices", "cifar", "message", "picture", "run_metrics", "run_summary"}
NAMES = sorted(READERS.keys() - OF_BYTES)


def _pipe(place: Path) -> Path:
    os.mkfifo(place)
    return place


def _device(place: Path) -> Path:
    place.symlink_to("/dev/zero")
    return place


def _folder(place: Path) -> Path:
    place.mkdir()
    return place


def _loop(place: Path) -> Path:
    place.symlink_to(place)
    return place


def _long(place: Path) -> Path:
    return place.with_name("x" * 300 + place.suffix)


def _zero_byte(place: Path) -> Path:
    return place.with_name("a\0b" + place.suffix)


def _waits(*_: object) -> None:
    raise AssertionError("it waits for the other end of a pipe, or reads a device for ever")


@pytest.mark.parametrize("make", [_pipe, _device, _folder, _loop, _long, _zero_byte])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_plain_file_is_refused_at_once(name, make, tmp_path):
    place = make(tmp_path / f"given{READERS[name].suffix}")
    before = signal.signal(signal.SIGALRM, _waits)
    signal.alarm(20)
    try:
        with pytest.raises(TamisError):
            READERS[name].read(place)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
