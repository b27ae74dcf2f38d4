"""What optimizers and modules keep beside plain tensors: stored, and resumed exactly, or refused in one sentence."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tamis.errors import FileError, UsageError
from tamis.methods import ACDC
from tamis.train import load_checkpoint, load_weights, restore, save_checkpoint
from tamis.train._container import load_container, save_container

OPTIMIZERS = {
    "lbfgs": lambda p: torch.optim.LBFGS(p, lr=0.5, max_iter=3, history_size=4, line_search_fn="strong_wolfe"),
    "lbfgs without a line search": lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=3, history_size=2),
    "adam with a tensor for a rate": lambda p: torch.optim.Adam(p, lr=torch.tensor(0.01)),
    "sgd with a tensor for a rate": lambda p: torch.optim.SGD(p, lr=torch.tensor(0.01), momentum=0.9),
    "rprop, with pairs": lambda p: torch.optim.Rprop(p, lr=0.01, etas=(0.4, 1.3)),
    "adam with tensors for betas": lambda p: torch.optim.Adam(
        p, lr=torch.tensor(0.01), betas=(torch.tensor(0.8), torch.tensor(0.95)), foreach=False
    ),
    "groups with their own rates": lambda p: torch.optim.AdamW(
        [{"params": [q], "lr": 0.01 * i} for i, q in enumerate(p)]
    ),
}


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))


def train(model, optimizer, steps):
    x = torch.linspace(-1, 1, 30).reshape(5, 6)

    def closure():
        optimizer.zero_grad()
        loss = (model(x) - x[:, :2].sin()).square().sum()
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_run_goes_on_exactly_whatever_its_optimizer_keeps(tmp_path, make):
    model = network()
    optimizer = make(model.parameters())
    train(model, optimizer, 3)
    checkpoint = load_checkpoint(save_checkpoint(tmp_path / "c.safetensors", model, optimizer))
    again = network()
    other = make(again.parameters())
    restore(checkpoint, again, other)
    for one, two in zip(optimizer.param_groups, other.param_groups, strict=True):
        settings = {key: value for key, value in one.items() if key != "params"}
        assert settings == {key: two[key] for key in settings}
        assert [type(value) for value in settings.values()] == [type(two[key]) for key in settings]
    train(model, optimizer, 3)
    train(again, other, 3)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_groups_that_share_a_rate_share_it_after_a_resume(tmp_path):
    model = network()
    rate = torch.tensor(0.1)
    optimizer = torch.optim.SGD([{"params": [p]} for p in model.parameters()], lr=rate)
    stored = load_checkpoint(save_checkpoint(tmp_path / "c.safetensors", model, optimizer)).optimizer
    rates = [group["lr"] for group in stored["param_groups"]]
    assert all(value is rates[0] for value in rates)
    assert torch.equal(rates[0], rate)


def test_betas_of_a_file_of_an_earlier_version_are_a_pair(tmp_path):
    model = network()
    file = save_checkpoint(tmp_path / "c.safetensors", model, torch.optim.Adam(model.parameters(), betas=(0.8, 0.95)))
    tensors, header = load_container(file)
    header["optimizer"]["groups"][0]["betas"] = [0.8, 0.95]
    stored = load_checkpoint(save_container(file, tensors, header)).optimizer
    assert stored["param_groups"][0]["betas"] == (0.8, 0.95)


class Keeper(torch.optim.SGD):
    """An optimizer that keeps something of its own in the state of its first parameter, and beside it."""

    def __init__(self, parameters, kept, key=None):
        super().__init__(parameters, lr=0.1)
        self.state[self.param_groups[0]["params"][0] if key is None else key] = kept


@pytest.mark.parametrize("value", [float("inf"), [1, (2.5, None)], {"a": torch.ones(2)}, "text"], ids=str)
def test_scalars_and_nested_values_come_back_as_they_were(tmp_path, value):
    model = network()
    file = save_checkpoint(tmp_path / "c.safetensors", model, Keeper(model.parameters(), {"kept": value}))
    assert str(load_checkpoint(file).optimizer["state"][0]["kept"]) == str(value)


def test_optimizer_state_that_cannot_be_stored_is_named(tmp_path):
    model, file = network(), tmp_path / "c.safetensors"
    with pytest.raises(FileError, match=r"cannot store state/0/kept, which is a object: expected tensors"):
        save_checkpoint(file, model, Keeper(model.parameters(), {"kept": object()}))
    with pytest.raises(UsageError, match=r"state 'seen' that belongs to no parameter"):
        save_checkpoint(file, model, Keeper(model.parameters(), 3, "seen"))
    assert not file.exists()


class Counting(nn.Linear):
    """A layer with extra state."""

    def __init__(self, extra):
        super().__init__(4, 4)
        self.extra = extra

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state):
        self.extra = state


@pytest.mark.parametrize(
    "extra",
    [{"epoch": 3, "means": torch.arange(3.0), "pair": (1, None)}, None, torch.ones(2)],
    ids=["dict", "None", "tensor"],
)
def test_extra_state_of_a_module_is_stored_and_given_back(tmp_path, extra):
    file = save_checkpoint(tmp_path / "c.safetensors", nn.Sequential(Counting(extra), nn.ReLU()))
    again = nn.Sequential(Counting("nothing"), nn.ReLU())
    if isinstance(extra, torch.Tensor):
        again[0].extra = torch.zeros(7)  # its form is the module's affair
    load_weights(again, load_checkpoint(file))
    assert str(again[0].extra) == str(extra)


def test_a_run_with_extra_state_goes_on_and_makes_its_pair(tmp_path):
    def started():
        model = nn.Sequential(Counting({"epoch": 0}), nn.Linear(4, 2))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        return model, optimizer, ACDC(0.5, 20).attach(model, optimizer)

    def steps(model, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            model(torch.ones(2, 4)).square().sum().backward()
            optimizer.step()
            model[0].extra["epoch"] += 1

    model, optimizer, sparsifier = started()
    steps(model, optimizer, 15)
    file = save_checkpoint(tmp_path / "c.safetensors", model, optimizer, sparsifier)
    again = started()
    restore(load_checkpoint(file), *again)
    assert again[0][0].extra == {"epoch": 15}
    for run in ((model, optimizer, sparsifier), again):
        steps(*run[:2], 5)
    pairs = [copy.deepcopy(s.pair()) for s in (sparsifier, again[2])]
    assert pairs[0][0][0].extra == pairs[1][0][0].extra


def test_extra_state_that_cannot_be_stored_is_named(tmp_path):
    with pytest.raises(FileError, match=r"cannot store extra:/0\._extra_state/rule, which is a set: expected tensors"):
        save_checkpoint(tmp_path / "c.safetensors", nn.Sequential(Counting({"rule": {1}})))
    assert list(tmp_path.iterdir()) == []
