"""Training states that are kept in memory, of models and optimizers that hold more than tensors."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from method_runs import SHORT, train
from torch import nn, optim

from tamis.errors import FileError
from tamis.methods import ACDC, LotteryTicket
from tamis.methods._snapshot import Snapshot
from tamis.methods._tree import flatten, unflatten


class Counted(nn.Linear):
    """A layer whose state_dict holds a dict beside the tensors."""

    calls = 0

    def get_extra_state(self):
        return {"calls": [self.calls], "scale": torch.tensor(2.0)}

    def set_extra_state(self, state):
        self.calls = state["calls"][0]


def counted_mlp():
    torch.manual_seed(0)
    return nn.Sequential(Counted(12, 24), nn.ReLU(), nn.Linear(24, 4))


@pytest.mark.parametrize("make", [lambda: ACDC(0.5, 16, schedule=SHORT), lambda: LotteryTicket(0.5, 16)])
def test_methods_with_snapshots_run_on_models_whose_state_is_more_than_tensors(make):
    model = counted_mlp()
    optimizer = optim.SGD(model.parameters(), 0.1, momentum=0.9)
    sparsifier = make().attach(model, optimizer)
    train(model, optimizer, range(8))
    state = sparsifier.state_dict()
    again = counted_mlp()
    other = optim.SGD(again.parameters(), 0.1, momentum=0.9)
    resumed = make().attach(again, other)
    resumed.load_state_dict({"tensors": state["tensors"], "json": json.loads(json.dumps(state["json"]))})
    again.load_state_dict(model.state_dict())
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for steps, pair in ((model, optimizer), (again, other)):
        train(steps, pair, range(8, 16))
    assert torch.equal(model[0].weight, again[0].weight)


def test_a_snapshot_is_a_copy_of_extra_state_too():
    model = counted_mlp()
    model[0].calls = 3
    snapshot = Snapshot.take(0, model)
    twin = snapshot.clone()
    twin.model["0._extra_state"]["calls"][0] = 4
    model[0].calls = 5
    assert snapshot.model["0._extra_state"]["calls"] == [3]
    snapshot.restore(model)
    assert model[0].calls == 3


def test_learning_rates_of_numpy_are_stored_as_numbers():
    tree = {"lr": np.float32(0.1), "step": np.int64(7), "flag": np.bool_(True), "betas": (np.float64(0.5), 0.9)}
    tensors, picture = flatten(tree, "x")
    assert not tensors
    rebuilt = unflatten(tensors, json.loads(json.dumps(picture)))
    assert rebuilt == {"lr": float(np.float32(0.1)), "step": 7, "flag": True, "betas": (0.5, 0.9)}
    assert type(rebuilt["lr"]) is float
    with pytest.raises(FileError, match="cannot store x/rates"):
        flatten({"rates": np.ones(2)}, "x")
