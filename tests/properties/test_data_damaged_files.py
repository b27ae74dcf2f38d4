"""However a file is damaged, reading it either works or gives one FileError: never another exception."""

import io

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.data import ImageData, load_data
from tamis.errors import FileError
from tamis.models import load_foreign_checkpoint

damages = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=4)


def npz():
    stream = io.BytesIO()
    pixels = np.arange(90, dtype=np.uint8).reshape(3, 5, 6)
    labels = np.array([0, 1, 1])
    np.savez_compressed(
        stream, x_train=pixels, y_train=labels, x_test=pixels, y_test=labels, classes=np.array(["a", "b"])
    )
    return stream.getvalue()


def torch_file(zipped):
    stream = io.BytesIO()
    torch.save({"state_dict": {"a.weight": torch.ones(3, 4)}}, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def damaged(whole, flips, kept):
    content = bytearray(whole)
    for place, change in flips:
        content[int(place * len(content))] ^= change
    return bytes(content[: round(len(content) * kept)])


def outcome(read, path):
    """What ``read`` returns, or the text of its FileError; any other exception passes and fails the test."""
    try:
        return read(path)
    except FileError as error:
        return str(error)


@settings(deadline=None, max_examples=150)
@given(flips=damages, kept=st.one_of(st.just(1.0), st.floats(0, 1)))
def test_a_damaged_npz_is_read_or_refused_by_name(tmp_path_factory, flips, kept):
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(damaged(npz(), flips, kept))
    result = outcome(load_data, path)
    assert isinstance(result, ImageData) or (result.startswith(f"{path}: ") and "\n" not in result)


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
@settings(deadline=None, max_examples=100)
@given(flips=damages, kept=st.one_of(st.just(1.0), st.floats(0, 1)))
def test_a_damaged_checkpoint_is_read_or_refused_by_name(tmp_path_factory, form, flips, kept):
    state = {"a.weight": torch.ones(3, 4)}
    whole = safetensors.torch.save(state) if form == "safetensors" else torch_file(form == "zip")
    path = tmp_path_factory.getbasetemp() / "damaged.pth"
    path.write_bytes(damaged(whole, flips, kept))
    result = outcome(load_foreign_checkpoint, path)
    if isinstance(result, str):
        assert result.startswith(f"{path}: found ")
        assert "\n" not in result
    else:
        assert all(isinstance(value, torch.Tensor) for value in result.values())
