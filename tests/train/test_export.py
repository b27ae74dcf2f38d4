import importlib.util

import pytest
import safetensors.torch
import torch
from tests.pruned_networks import pruned_convolutions

from tamis.errors import FileError, UsageError
from tamis.models import create_model
from tamis.nn import is_packed, sparsify
from tamis.train import export_model, load_model

ARCHITECTURE = {"name": "resnet8_digits", "num_classes": 3, "in_channels": 1, "image_size": [8, 8], "widths": [4, 4, 8]}
HEADER = {"architecture": ARCHITECTURE}


@pytest.fixture
def pruned():
    """A network whose convolutions are 80 % zeros."""
    return pruned_convolutions(create_model(**ARCHITECTURE).eval())


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_an_exported_model_answers_like_the_original(tmp_path, pruned, form):
    file = export_model(pruned, tmp_path / "m.safetensors", form, HEADER)
    again, header = load_model(file)
    images = torch.randn(2, 1, 8, 8)
    assert torch.equal(again(images), pruned(images))
    assert header["form"] == form
    assert not again.training


def test_a_packed_model_exports_dense_and_stays_packed(tmp_path, pruned):
    before = {key: value.clone() for key, value in pruned.state_dict().items()}
    sparsify(pruned)
    file = export_model(pruned, tmp_path / "m.safetensors", "dense", HEADER)
    stored = safetensors.torch.load_file(file)
    assert stored.keys() == before.keys()
    assert all(torch.equal(stored[key], before[key]) for key in before)
    assert is_packed(pruned.layer3[0].conv2)


def test_a_model_without_its_architecture_cannot_be_rebuilt(tmp_path, pruned):
    file = export_model(pruned, tmp_path / "m.safetensors", "dense", {})
    with pytest.raises(FileError, match="which network"):
        load_model(file)


def test_onnx_without_its_package_names_the_extra(tmp_path, pruned, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"tamis\[onnx\]"):
        export_model(pruned, tmp_path / "m.onnx", "onnx", HEADER)
    assert list(tmp_path.iterdir()) == []
