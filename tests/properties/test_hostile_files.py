"""Mutations of whole files: every reader reads them, or refuses them with one sentence that names them.

A small, fixed number of them for the suite; benchmarks/soak/fuzz.py runs the same for as long as one likes.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.malformed.mutate import mutated
from tests.malformed.readers import READERS, outcome
from tests.malformed.whole import checkpoints

from tamis.errors import FileError
from tamis.train import load_container

FILES = 40  # of each reader


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused_by_its_name(name, tmp_path):
    reader, draw = READERS[name], random.Random(name)
    wholes = reader.whole()
    for number in range(FILES):
        path = tmp_path / f"fuzzed_{number}{reader.suffix}"
        path.write_bytes(mutated(draw.choice(wholes), draw))
        outcome(reader, path)


WHOLE = checkpoints()[0]


@settings(deadline=None, max_examples=150)
@given(place=st.integers(0, len(WHOLE) - 1), change=st.integers(1, 255))
def test_no_changed_byte_of_a_checkpoint_is_taken_for_its_content(tmp_path_factory, place, change):
    path = tmp_path_factory.getbasetemp() / "changed.safetensors"
    content = bytearray(WHOLE)
    content[place] ^= change
    path.write_bytes(WHOLE)
    tensors, header = load_container(path)
    path.write_bytes(bytes(content))
    try:
        found, seen = load_container(path)
    except FileError:
        return
    # a blank of the header became another blank
    assert seen == header
    assert found.keys() == tensors.keys()
    assert all(found[key].numpy().tobytes() == tensors[key].numpy().tobytes() for key in tensors)


@settings(deadline=None, max_examples=60)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_refused_as_a_checkpoint(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    path.write_bytes(data)
    with pytest.raises(FileError, match=r"any\.safetensors"):
        load_container(path)
