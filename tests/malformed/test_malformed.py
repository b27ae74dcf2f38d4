"""Every file of the folder is refused with one clear sentence, in little memory, and nothing in it is executed."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.malformed.damage import MARK
from tests.malformed.make import FILES, malformed
from tests.malformed.readers import READERS, outcome

MEMORY = 400 << 20  # of address space beyond what is in use: for files of at most 200 KB
PLACES = sorted(str(file.relative_to(FILES)) for file in FILES.rglob("*") if file.is_file())


@contextmanager
def little_memory() -> Iterator[None]:
    """Allocations beyond ``MEMORY`` fail meanwhile."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_the_folder_is_what_its_script_makes():
    assert sorted(malformed()) == PLACES
    assert {place.split("/")[0] for place in PLACES} == READERS.keys() - {"choices"}
    assert sum((FILES / place).stat().st_size for place in PLACES) < 6_000_000


@pytest.mark.parametrize("name", READERS)
def test_every_whole_file_is_read(name, tmp_path):
    for number, content in enumerate(READERS[name].whole()):
        path = tmp_path / f"whole_{number}{READERS[name].suffix}"
        path.write_bytes(content)
        assert outcome(READERS[name], path) == ""


@pytest.mark.parametrize("place", PLACES)
def test_a_malformed_file_is_refused_in_one_sentence_that_names_it(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reader = READERS[place.split("/")[0]]
    path = tmp_path / Path(place).name
    path.write_bytes((FILES / place).read_bytes())
    with little_memory():
        words = outcome(reader, path)
    assert words, f"{place} was read"
    assert "MemoryError" not in words
    assert "can't allocate" not in words
    assert not (tmp_path / MARK).exists(), "a pickle was executed"
