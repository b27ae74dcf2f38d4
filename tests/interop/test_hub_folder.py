"""A model as a folder for the Hub."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.pruned_networks import pruned_convolutions
from torch import nn

import tamis
from tamis.errors import FileError, UsageError
from tamis.interop import MODEL_FILE, load_folder, save_folder
from tamis.models import create_model

ARCHITECTURE = {"name": "resnet8_digits", "num_classes": 3, "in_channels": 1, "widths": [4, 8, 8]}


@pytest.fixture
def pruned():
    """A network in eval mode whose convolutions are 80 % zeros."""
    return pruned_convolutions(create_model(**ARCHITECTURE).eval())


@pytest.mark.parametrize("form", ["dense", "packed"])
def test_a_folder_gives_back_the_model_that_was_saved(tmp_path, pruned, form):
    images = torch.randn(2, 1, 8, 8)
    expected = pruned(images)
    model = tamis.sparsify(copy.deepcopy(pruned)) if form == "packed" else pruned
    again, header = load_folder(save_folder(model, tmp_path / "out", architecture=ARCHITECTURE, method="acdc"))
    assert torch.equal(again(images), expected)
    assert header["method"] == "acdc"
    assert {file.name for file in (tmp_path / "out").iterdir()} == {MODEL_FILE, "README.md"}


def test_a_network_that_tamis_does_not_know_is_filled(tmp_path):
    model, other = (nn.Sequential(nn.Linear(80, 80), nn.ReLU(), nn.Linear(80, 2)) for _ in range(2))
    tamis.OneShot(sparsity=0.9, packed=False).attach(model, torch.optim.SGD(model.parameters(), lr=0.1)).finalize()
    save_folder(model, tmp_path)
    with pytest.raises(FileError, match="which network"):
        load_folder(tmp_path)
    filled, _ = load_folder(tmp_path, other)
    assert filled is other
    assert torch.equal(other[0].weight, model[0].weight)
    with pytest.raises(FileError, match="shape"):
        load_folder(tmp_path, nn.Sequential(nn.Linear(80, 81), nn.ReLU(), nn.Linear(81, 2)))
    with pytest.raises(UsageError, match=r"expected a torch\.nn\.Module"):
        load_folder(tmp_path, "resnet18")


def test_a_network_that_repeats_a_layer_is_filled(tmp_path):
    model, other = (nn.Sequential(*[nn.Linear(80, 80)] * 3) for _ in range(2))
    model[0].weight.data.mul_(torch.rand(80, 80) < 0.1)
    load_folder(save_folder(model, tmp_path), other)
    assert torch.equal(other[2].weight, model[0].weight)


def test_the_card_counts_live_weights_and_escapes_what_it_is_given(tmp_path):
    model = nn.Sequential(nn.Linear(10, 10))
    with torch.no_grad():
        model[0].weight.fill_(1)
        model[0].weight[:9] = 0
    save_folder(model, tmp_path, method="my\n- method: x", measured={"a | <b>": "1\n2"}, licence="mit\nlicense: other")
    card = (tmp_path / "README.md").read_text()
    assert "10 of 100 weights of linear and convolutional layers live (90.00% zeros)" in card
    assert "| 0 | 100 | 10 |" in card
    assert r"| a \| &lt;b&gt; | 1 2 |" in card
    head = card.split("---")[1]
    assert '- "my\\n- method: x"' in head
    assert 'license: "mit\\nlicense: other"' in head


def test_a_card_that_somebody_edited_is_kept(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    save_folder(nn.Linear(2, 2), tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_damaged_model_file_is_refused_by_name(tmp_path, pruned):
    save_folder(pruned, tmp_path, architecture=ARCHITECTURE)
    file = tmp_path / MODEL_FILE
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(FileError, match=r"model\.safetensors"):
        load_folder(tmp_path)


def test_the_example_saves_and_loads(example, capsys):
    example("hub_folder")
    assert capsys.readouterr().out == "oneshot (2, 10)\n"
