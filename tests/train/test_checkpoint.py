import json

import pytest
import safetensors
import safetensors.torch
import torch
from torch import nn

from tamis.errors import FileError, UsageError
from tamis.methods import OneShot, TopKAST
from tamis.nn import is_packed, sparsify
from tamis.train import load_checkpoint, load_weights, restore, save_checkpoint
from tamis.train._container import load_container, save_container


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 4 * 4, 3))


def trained(packed: bool | str = "auto", method=OneShot):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sparsifier = method(0.75, packed=packed).attach(model, optimizer)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(5, 2, 6, 6)).square().sum().backward()
        optimizer.step()
    return model, optimizer, sparsifier


@pytest.fixture
def packed_file(tmp_path):
    return save_checkpoint(tmp_path / "c.safetensors", *trained(True), method="oneshot", sparsity=0.75)


def test_a_packed_layer_is_stored_as_values_indices_and_row_pointers(packed_file):
    with safetensors.safe_open(packed_file, framework="pt") as file:
        names = set(file.keys())
        header = json.loads(file.metadata()["tamis"])
    assert {"0.values", "0.indices", "0.row_ptr"} <= names
    assert "0.weight" not in names
    assert header["shapes"]["0"] == [4, 2, 3, 3]
    assert (header["format_version"], header["method"], header["sparsity"]) == (1, "oneshot", 0.75)


def test_packed_and_dense_layers_read_back_as_the_same_dense_weights(packed_file):
    model, _, sparsifier = trained(True)
    stored = load_checkpoint(packed_file).model
    dense = model.state_dict()  # the sparsifier's hooks show dense weights
    assert stored.keys() == dense.keys()
    assert all(torch.equal(stored[key], dense[key]) for key in dense)
    sparsifier.detach()


def test_restoring_brings_back_every_part(packed_file):
    model, optimizer, _attached = trained(True)
    after = load_checkpoint(packed_file)
    torch.manual_seed(77)
    fresh = network()
    rule = torch.optim.SGD(fresh.parameters(), lr=9.0, momentum=0.9)
    again = OneShot(0.75, packed=True).attach(fresh, rule)
    restore(after, fresh, rule, again)
    assert is_packed(fresh[0])
    assert again.step == 3
    assert rule.param_groups[0]["lr"] == 0.1
    torch.set_rng_state(after.random["torch"])
    for net, opt in ((model, optimizer), (fresh, rule)):
        torch.set_rng_state(after.random["torch"])
        opt.zero_grad()
        net(torch.randn(5, 2, 6, 6)).square().sum().backward()
        opt.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), fresh.parameters(), strict=True))


def test_optimizer_scalars_come_back_with_their_types(tmp_path):
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.8, 0.95))
    model(torch.randn(5, 2, 6, 6)).sum().backward()
    optimizer.step()
    stored = load_checkpoint(save_checkpoint(tmp_path / "c.safetensors", model, optimizer)).optimizer
    own = optimizer.state_dict()
    assert stored["param_groups"] == own["param_groups"]
    assert stored["state"].keys() == own["state"].keys()
    assert all(torch.equal(stored["state"][0][key], own["state"][0][key]) for key in own["state"][0])


def test_weights_of_another_architecture_are_refused_and_nothing_is_loaded(packed_file):
    other = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 4 * 4, 5))
    before = {key: value.clone() for key, value in other.state_dict().items()}
    with pytest.raises(FileError, match=r"3\.bias has shape \(3,\), the model expects \(5,\)"):
        load_weights(other, load_checkpoint(packed_file))
    with pytest.raises(FileError, match="another architecture"):
        load_weights(nn.Linear(2, 2), load_checkpoint(packed_file))
    assert all(torch.equal(before[key], value) for key, value in other.state_dict().items())


def test_a_model_alone_cannot_be_resumed(tmp_path):
    model = network()
    checkpoint = load_checkpoint(save_checkpoint(tmp_path / "c.safetensors", model))
    with pytest.raises(FileError, match="no checkpoint of this kind of run"):
        restore(checkpoint, model, torch.optim.SGD(model.parameters(), lr=0.1))


def test_names_that_the_format_reserves_are_refused(tmp_path):
    model = nn.Module()
    model.register_buffer("rng:torch", torch.ones(1))
    with pytest.raises(UsageError, match="rng:torch"):
        save_checkpoint(tmp_path / "c.safetensors", model)
    assert list(tmp_path.iterdir()) == []


def rewritten(file, change):
    """The same file with changed tensors or header."""
    with safetensors.safe_open(file, framework="pt") as opened:
        tensors = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118
        header = json.loads(opened.metadata()["tamis"])
    header.pop("digest")  # as a file of an earlier version, so that the checks behind the SHA-256 are reached
    change(tensors, header)
    file.write_bytes(safetensors.torch.save(tensors, metadata={"tamis": json.dumps(header)}))
    return file


DEFECTS = {
    "values missing": lambda t, h: t.pop("0.values"),
    "values too short": lambda t, h: t.update({"0.values": t["0.values"][:-1].clone()}),
    "index out of range": lambda t, h: t["0.indices"].fill_(10_000),
    "negative index": lambda t, h: t["0.indices"].fill_(-1),
    "row pointers fall": lambda t, h: t.update({"0.row_ptr": t["0.row_ptr"].flip(0).clone()}),
    "row pointers of floats": lambda t, h: t.update({"0.row_ptr": t["0.row_ptr"].double()}),
    "shape of another layer": lambda t, h: h["shapes"].update({"0": [2, 2, 3, 3]}),
    "shape no list": lambda t, h: h["shapes"].update({"0": 7}),
    "negative shape": lambda t, h: h["shapes"].update({"0": [4, -2, 3, 3]}),
    "no shapes": lambda t, h: h.pop("shapes"),
    "shapes a list": lambda t, h: h.update({"shapes": [1]}),
    "no random state": lambda t, h: t.pop("rng:torch"),
    "optimizer damaged": lambda t, h: h.update({"optimizer": 5}),
    "optimizer without groups": lambda t, h: h["optimizer"].pop("groups"),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_inconsistent_parts_are_one_error_when_reading(packed_file, name):
    with pytest.raises(FileError, match=r"c\.safetensors"):
        load_checkpoint(rewritten(packed_file, DEFECTS[name]))


LATE_DEFECTS = {
    "mask missing": lambda t, h: [t.pop(key) for key in list(t) if key.startswith("method:mask")],
    "method state empty": lambda t, h: h.update({"method_state": {}}),
    "another method": lambda t, h: h["method_state"]["configuration"].update({"method": "gmp"}),
    "random state of another length": lambda t, h: t.update({"rng:torch": t["rng:torch"][:10].clone()}),
    "python's random state damaged": lambda t, h: h["random"].update({"python": [3, [1], None]}),
    "choices damaged": lambda t, h: h.update({"choices": {"format": 99}}),
    "more groups than the optimizer has": lambda t, h: h["optimizer"]["groups"].append({}),
}


@pytest.mark.parametrize("name", LATE_DEFECTS)
def test_parts_that_do_not_fit_the_run_are_one_error_when_restoring(packed_file, name):
    checkpoint = load_checkpoint(rewritten(packed_file, LATE_DEFECTS[name]))
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sparsifier = OneShot(0.75, packed=True).attach(model, optimizer)
    with pytest.raises(FileError, match=r"c\.safetensors"):
        restore(checkpoint, model, optimizer, sparsifier)


def test_a_sparsified_model_without_sparsifier_is_stored_packed(tmp_path):
    model = network()
    with torch.no_grad():
        model[0].weight[:, 0] = 0
    before = {key: value.clone() for key, value in model.state_dict().items()}
    file = save_checkpoint(tmp_path / "c.safetensors", sparsify(model))
    stored = load_checkpoint(file).model
    assert all(torch.equal(stored[key], before[key]) for key in before)


def test_a_layer_with_two_patterns_is_stored_as_its_forward_pass_sees_it(tmp_path):
    model, optimizer, sparsifier = trained(True, TopKAST)
    assert sparsifier.masks["0"].sum() < sparsifier.gradient_masks["0"].sum()
    shown = {key: value.clone() for key, value in model.state_dict().items()}
    file = save_checkpoint(tmp_path / "c.safetensors", model, optimizer, sparsifier, method="topkast", sparsity=0.75)
    checkpoint = load_checkpoint(file)
    assert torch.equal(checkpoint.model["0.weight"] != 0, sparsifier.masks["0"])
    assert all(torch.equal(checkpoint.model[key], shown[key]) for key in shown)
    again = network()
    fresh = torch.optim.SGD(again.parameters(), lr=0.1, momentum=0.9)
    second = TopKAST(0.75, packed=True).attach(again, fresh)
    restore(checkpoint, again, fresh, second)
    assert torch.equal(again[0].weight, model[0].weight)  # the latent weights too


class Shared(nn.Module):
    """One layer under three names."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.layers = nn.ModuleList([self.first] * 2)


def sparse_and_shared():
    model = Shared()
    model.first.weight.data.mul_(torch.rand(6, 6) < 0.3)
    return model, {key: value.clone() for key, value in model.state_dict().items()}


def test_a_layer_with_several_names_is_stored_and_read_under_all_of_them(tmp_path):
    model, before = sparse_and_shared()
    checkpoint = load_checkpoint(save_checkpoint(tmp_path / "c.safetensors", sparsify(model)))
    assert all(torch.equal(checkpoint.model[key], before[key]) for key in before)
    again = Shared()
    load_weights(again, checkpoint)
    assert torch.equal(again.layers[1].weight, before["first.weight"])


def test_a_file_with_one_shape_for_all_names_of_a_layer_is_read(tmp_path):
    model, before = sparse_and_shared()
    file = save_checkpoint(tmp_path / "c.safetensors", sparsify(model))
    tensors, header = load_container(file)
    old = {**header, "shapes": {"first": header["shapes"]["first"]}}
    stored = load_checkpoint(save_container(file, tensors, old)).model
    assert stored.keys() == before.keys()
    assert all(torch.equal(stored[key], before[key]) for key in before)


def test_a_run_whose_model_repeats_a_layer_goes_on_from_its_checkpoint(tmp_path):
    def started():
        torch.manual_seed(0)
        model = Shared()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        return model, optimizer, OneShot(0.75, packed=True).attach(model, optimizer)

    def step(model, optimizer):
        optimizer.zero_grad()
        model.layers[1](model.layers[0](torch.ones(2, 6))).square().sum().backward()
        optimizer.step()

    model, optimizer, sparsifier = started()
    step(model, optimizer)
    file = save_checkpoint(tmp_path / "c.safetensors", model, optimizer, sparsifier)
    again = started()
    restore(load_checkpoint(file), *again)
    for one in ((model, optimizer), again[:2]):
        step(*one)
    assert is_packed(again[0].layers[1])
    assert torch.equal(again[0].first.weight, model.first.weight)
