"""State that belongs to single weights, for every torch optimizer."""

from __future__ import annotations

import warnings

import pytest
import torch
from method_runs import OPTIMIZERS, SHORT, mlp, train
from torch import nn, optim
from torch.nn import functional as F

from tamis.methods import ACDC, GMP, STR, UnknownStateWarning
from tamis.methods._optimizer_state import (
    clear_moments,
    drop_spanning_state,
    is_elementwise,
    per_weight_state,
    reset_regrown_state,
)

KEYS = {
    "sgd": set(),
    "momentum": {"momentum_buffer"},
    "adam": {"exp_avg", "exp_avg_sq"},
    "amsgrad": {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"},
    "nadam": {"exp_avg", "exp_avg_sq"},
    "radam": {"exp_avg", "exp_avg_sq"},
    "adamax": {"exp_avg", "exp_inf"},
    "adadelta": {"square_avg", "acc_delta"},
    "rmsprop": {"square_avg", "grad_avg", "momentum_buffer"},
    "adagrad": {"sum"},
    "asgd": {"ax"},
    "rprop": {"prev", "step_size"},
}


@pytest.mark.parametrize("name", KEYS)
def test_every_state_tensor_of_the_weights_shape_is_found_and_reset_where_asked(name):
    model = mlp()
    optimizer = OPTIMIZERS[name](model.parameters())
    assert is_elementwise(optimizer)
    if name != "adagrad":  # which keeps state from its birth
        assert per_weight_state(optimizer, model[3].weight) == {}
        assert model[3].weight not in optimizer.state  # asking leaves no trace
    train(model, optimizer, range(3))
    state = per_weight_state(optimizer, model[3].weight)
    assert set(state) == KEYS[name]
    regrown = torch.rand(16, 24) < 0.5
    before = {key: value.clone() for key, value in state.items()}
    reset_regrown_state(optimizer, model[3].weight, regrown)
    initial = {"sum": 0.1, "step_size": 1e-3}
    for key, value in state.items():
        assert torch.equal(value[~regrown], before[key][~regrown])
        assert (value[regrown] == torch.tensor(initial.get(key, 0.0))).all()


def test_clearing_moments_touches_what_it_knows_and_nothing_else():
    model = mlp()
    optimizer = OPTIMIZERS["rmsprop"](model.parameters())
    train(model, optimizer, range(3))
    weight = model[3].weight
    squares, step = optimizer.state[weight]["square_avg"].clone(), float(optimizer.state[weight]["step"])
    clear_moments(optimizer)
    assert not optimizer.state[weight]["momentum_buffer"].any()
    assert not optimizer.state[weight]["grad_avg"].any()
    assert torch.equal(optimizer.state[weight]["square_avg"], squares)
    assert float(optimizer.state[weight]["step"]) == step == 3


def test_a_foreign_optimizer_with_a_plain_step_counter_is_cleared_too():
    class Foreign(optim.Optimizer):
        def __init__(self, parameters):
            super().__init__(parameters, {})

        def step(self):
            for p in self.param_groups[0]["params"]:
                self.state[p] = {"exp_avg": torch.ones_like(p), "step": 7, "note": "kept", "momentum_buffer": None}

    model = nn.Linear(3, 2)
    optimizer = Foreign(model.parameters())
    assert not is_elementwise(optimizer)
    optimizer.step()
    clear_moments(optimizer)
    state = optimizer.state[model.weight]
    assert (state["step"], state["note"], state["momentum_buffer"]) == (0, "kept", None)
    assert not state["exp_avg"].any()


class Velocity(optim.Optimizer):
    """SGD with momentum under a name of its own, and a mean of squares."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.05})

    @torch.no_grad()
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            state = self.state[p]
            state["velocity"] = p.grad + 0.9 * state.get("velocity", 0.0)
            state["squares"] = p.grad.square() + 0.9 * state.get("squares", 0.0)
            p.sub_(state["velocity"], alpha=self.param_groups[0]["lr"])


def test_momentum_under_an_unknown_name_is_named_where_a_dense_phase_would_clear_it():
    model = mlp()
    optimizer = Velocity(model.parameters())
    ACDC(0.5, 16, schedule=SHORT).attach(model, optimizer)
    train(model, optimizer, range(4))
    with pytest.warns(UnknownStateWarning, match=r"Velocity keeps \['velocity'\] .* before_change") as caught:
        train(model, optimizer, range(4, 5))
    assert len(caught) == 1
    assert optimizer.state[model[3].weight]["velocity"].any()


def test_momentum_that_a_callback_clears_gives_no_warning():
    model = mlp()
    optimizer = Velocity(model.parameters())
    sparsifier = ACDC(0.5, 16, schedule=SHORT).attach(model, optimizer)
    cleared = []

    def clear(changing):
        if changing.phase == "sparse":
            cleared.append(changing.step)
            for state in optimizer.state.values():
                state["velocity"].zero_()

    sparsifier.before_change(clear)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(model, optimizer, range(16))
    assert cleared == [5, 10]


@pytest.mark.parametrize("name", KEYS)
def test_clearing_moments_of_torch_optimizers_gives_no_warning(name):
    model = mlp()
    optimizer = OPTIMIZERS[name](model.parameters())
    train(model, optimizer, range(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clear_moments(optimizer)


def test_only_an_optimizer_without_any_matching_state_gives_a_warning():
    model = nn.Linear(6, 4, bias=False)
    regrown = torch.ones(4, 6, dtype=torch.bool)
    adafactor = optim.Adafactor(model.parameters())
    muon = optim.Muon(model.parameters())
    for optimizer in (adafactor, muon):
        model(torch.randn(5, 6)).sum().backward()
        optimizer.step()
    with pytest.warns(UnknownStateWarning, match=r"Adafactor keeps \['row_var', 'col_var'\]"):
        reset_regrown_state(adafactor, model.weight, regrown)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reset_regrown_state(muon, model.weight, regrown)
        reset_regrown_state(optim.SGD(model.parameters(), 0.1), model.weight, regrown)
    assert not muon.state[model.weight]["momentum_buffer"].any()


def lbfgs_run(sparsifier, steps, seed=0, **options):
    """Full-batch training on random labels; the loss after it, and the steps after which the history was empty."""
    torch.manual_seed(seed)
    inputs, labels = torch.randn(64, 64), torch.randint(4, (64,))
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 4))
    optimizer = optim.LBFGS(model.parameters(), 0.5, max_iter=5, tolerance_grad=0, tolerance_change=0, **options)
    sparsifier.attach(model, optimizer)
    emptied = []

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), labels)
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
        if not optimizer.state:
            emptied.append(sparsifier.step)
    return closure().item(), emptied


@pytest.mark.parametrize("options", [{}, {"line_search_fn": "strong_wolfe"}])
@pytest.mark.parametrize("make", [lambda: GMP(0.9, 40), lambda: ACDC(0.8, 40)])
def test_lbfgs_forgets_its_history_where_masks_change_and_only_there(make, options):
    sparsifier = make()
    loss, emptied = lbfgs_run(sparsifier, 40, seed=1, **options)
    assert emptied == [event["step"] for event in sparsifier.events if event["step"] > 0]
    assert loss < 1e-2  # with the history of other masks: 1e5 and more, or 2e3 with a line search


def test_lbfgs_keeps_its_history_where_all_weights_are_trained_through_the_mask():
    _, emptied = lbfgs_run(STR(0.5, 8, initial_logit=-3.0), 8)
    assert not emptied


def test_only_state_that_spans_parameters_is_dropped():
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 1, bias=False))
    kept = [optim.Adafactor(model.parameters()), optim.Muon([model[0].weight]), optim.Adagrad(model.parameters())]
    model(torch.randn(5, 6)).sum().backward()
    for optimizer in kept:
        optimizer.step()
        before = dict(optimizer.state)
        assert before
        drop_spanning_state(optimizer)
        assert optimizer.state == before
    foreign = optim.LBFGS(model.parameters())
    foreign.state["global_state"] = {"old_dirs": [torch.ones(33)]}
    foreign.state["counters"] = {"calls": 3, "loss": torch.tensor(0.5)}
    drop_spanning_state(foreign)
    assert list(foreign.state) == ["counters"]
