"""AC/DC: the published trace, the phases, the distributions, and what happens when a layer collapses."""

from __future__ import annotations

import warnings
from itertools import groupby, pairwise

import pytest
import torch
from method_runs import OPTIMIZERS, convnet, mlp, train
from torch import nn

from tamis.errors import CollapseError, UsageError
from tamis.methods import ACDC, CollapseWarning, Ramp, ReturnAsSaved, ReturnAtRandom
from tamis.sparsity import ERK, NM, Budget, Global, Phase, Uniform, keep_count


class Quadratic(nn.Module):
    """Six weights in one linear layer, and the loss of the published micro trace."""

    def __init__(self, start):
        super().__init__()
        self.layer = nn.Linear(6, 1, bias=False).double()
        self.layer.weight.data = torch.tensor([start], dtype=torch.float64)

    def loss(self, a, b):
        return 0.5 * (a * (self.layer.weight[0] - b) ** 2).sum()


def phases_of(kinds):
    position, phases = 0, []
    for kind, group in groupby(kinds):
        length = len(list(group))
        phases.append(Phase("dense" if kind == "D" else "sparse", position, position + length))
        position += length
    return phases


@pytest.mark.parametrize("reset", [True, False])
def test_the_micro_trace_is_reproduced_with_and_without_momentum_reset(pruning_vectors, reset):
    trace = pruning_vectors["acdc_micro_trace"]
    kinds = trace["kinds"].split(",")[0]
    model = Quadratic(trace["w0"])
    a, b = (torch.tensor(trace[key], dtype=torch.float64) for key in "ab")
    options = trace["optimizer"]
    optimizer = torch.optim.SGD(
        model.parameters(), lr=options["lr"], momentum=options["momentum"], weight_decay=options["weight_decay"]
    )
    sparsifier = ACDC(
        trace["sparsity"], len(kinds), schedule=phases_of(kinds), distribution=Global(floor=0), reset_momentum=reset
    ).attach(model, optimizer)
    at_phase_end = []
    sparsifier.before_change(lambda s: at_phase_end.append(model.layer.weight.detach()[0].clone()))
    rows = trace["with_momentum_reset" if reset else "without_momentum_reset"]
    assert len(rows) == len(kinds)
    for row in rows:
        mask = sparsifier.masks.get("layer", torch.ones(1, 6))
        assert sparsifier.phase[0].upper() == row["kind"]
        assert mask[0].int().tolist() == row["mask"]
        optimizer.zero_grad()
        model.loss(a, b).backward()
        at_phase_end.clear()
        optimizer.step()
        # The step that ends a phase also enters the next one; the vector shows the weights before that.
        weights = at_phase_end[0] if at_phase_end else model.layer.weight.detach()[0]
        torch.testing.assert_close(weights, torch.tensor(row["w"], dtype=torch.float64), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["imagenet_100", "imagenet_150", "cifar100_200", "cifar100_dense13_225"])
def test_presets_run_in_steps_of_whole_epochs(pruning_vectors, name):
    vector = pruning_vectors["acdc_phases"][name]
    sparsifier = ACDC(0.9, schedule=name, steps_per_epoch=7)
    assert [[p.kind[0].upper(), p.start // 7, p.end // 7] for p in sparsifier.phases] == vector["phases"]
    assert all(p.start % 7 == 0 for p in sparsifier.phases)
    assert sparsifier.total_steps == 7 * vector["builder"][0]


def test_events_happen_at_the_boundaries_of_the_phases():
    model, steps = mlp(), 60
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = ACDC(0.8, steps).attach(model, optimizer)
    seen = [sparsifier.phase]
    train(model, optimizer, range(steps), after=lambda step: seen.append(sparsifier.phase))
    expected = [phase.kind for phase in sparsifier.phases for _ in range(phase.length)]
    assert seen[:-1] == expected
    assert seen[-1] == "sparse"
    changes = [phase for phase in sparsifier.phases if phase.start]
    assert [event["step"] for event in sparsifier.events] == [phase.start for phase in changes]
    assert [event["event"] for event in sparsifier.events] == [
        "compress" if phase.kind == "sparse" else "decompress" for phase in changes
    ]


@pytest.mark.parametrize(
    "distribution",
    [
        Global(), Global(floor=0), Global(normalise="l2"), Uniform(), Uniform(first_dense=True), ERK(),
        Budget({"0": 0.5, "3": 0.9, "5": 0.5}),
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("packed", [True, False])
def test_every_distribution_keeps_its_exact_counts_in_every_sparse_phase(distribution, packed):
    model = mlp()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsity = distribution.overall({"0": 288, "3": 384, "5": 64}) if isinstance(distribution, Budget) else 0.75
    sparsifier = ACDC(sparsity, 20, distribution=distribution, packed=packed).attach(model, optimizer)

    def check(step):
        if sparsifier.phase == "sparse":
            masks, weights = sparsifier.masks, {n: model.get_submodule(n) for n in "035"}
            expected = distribution.keep_counts({n: m.float() for n, m in masks.items()}, sparsity)
            if not isinstance(distribution, Global):
                assert {n: int(m.sum()) for n, m in masks.items()} == expected
            else:
                assert sum(int(m.sum()) for m in masks.values()) == keep_count(736, sparsity)
            state = model.state_dict()
            for name in weights:
                assert not state[f"{name}.weight"][~masks[name]].any()

    train(model, optimizer, range(20), after=check)


def test_two_of_four_keeps_two_of_every_four_inputs():
    model = convnet()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = ACDC(0.5, 20, pattern=NM(2, 4, skip=("0",)), packed=True).attach(model, optimizer)
    train(model, optimizer, range(20), (2, 6, 6))
    weight = sparsifier.masks["3"].permute(0, 2, 3, 1).reshape(-1, 4)
    assert (weight.sum(dim=1) == 2).all()
    assert sparsifier.masks["0"].all()
    assert sparsifier.report()["sparsity_over_pruned"] == 0.5


def test_layers_can_be_left_out_by_name():
    model = mlp()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = ACDC(0.9, 20, exclude=("0", "5")).attach(model, optimizer)
    train(model, optimizer, range(20))
    assert list(sparsifier.masks) == ["3"]
    assert bool(model[0].weight.all())
    event = sparsifier.events[-1]
    assert event["sparsity"] == pytest.approx(0.9, abs=1 / 384)
    assert event["sparsity_over_all"] == pytest.approx(0.9 * 384 / 736, abs=1 / 384)


def test_momentum_of_all_parameters_is_cleared_before_the_first_step_of_a_dense_phase():
    for name, keys in {
        "momentum": {"momentum_buffer"},
        "adam": {"exp_avg", "exp_avg_sq", "step"},
        "amsgrad": {"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"},
    }.items():
        model = mlp()
        optimizer = OPTIMIZERS[name](model.parameters())
        sparsifier = ACDC(0.8, 20).attach(model, optimizer)
        train(model, optimizer, range(sparsifier.phases[1].end))
        assert sparsifier.events[-1]["event"] == "decompress"
        for parameter in model.parameters():
            state = optimizer.state[parameter]
            assert keys <= set(state)
            assert not any(state[key].any() for key in keys), name


def test_the_product_of_momenta_of_nadam_restarts_at_one():
    model = mlp()
    optimizer = OPTIMIZERS["nadam"](model.parameters())
    sparsifier = ACDC(0.8, 20).attach(model, optimizer)
    train(model, optimizer, range(sparsifier.phases[1].end))
    assert all(float(optimizer.state[p]["mu_product"]) == 1.0 for p in model.parameters())


@pytest.mark.parametrize("packed", [True, False])
def test_a_ramp_grows_nested_masks_to_the_exact_target(packed):
    model = mlp()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    schedule = [Phase("dense", 0, 5), Phase("sparse", 5, 25), Phase("dense", 25, 30), Phase("sparse", 30, 40)]
    sparsifier = ACDC(0.9, 40, schedule=schedule, ramp=Ramp(share=0.5, updates=4), packed=packed)
    sparsifier.attach(model, optimizer)
    masks: list[dict[str, torch.Tensor]] = []
    train(model, optimizer, range(24), after=lambda step: masks.append(sparsifier.masks))
    ramp = [event for event in sparsifier.events if event["event"] == "compress"]
    assert [event["step"] for event in ramp] == [5, 8, 10, 13, 15]
    assert [event["target"] for event in ramp][::4] == [0.0, 0.9]
    assert sum(layer["live"] for layer in ramp[-1]["layers"].values()) == keep_count(736, 0.9)
    for before, after in pairwise(masks[4:]):
        assert all(bool((after[name] <= before[name]).all()) for name in after)


@pytest.mark.parametrize("packed", [True, False])
def test_pruned_weights_can_return_with_their_saved_values(packed):
    model = mlp()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = ACDC(0.8, 20, returning=ReturnAsSaved(), packed=packed)
    sparsifier.attach(model, optimizer)
    kept = {}
    sparsifier.before_change(
        lambda s: kept.setdefault(s.phase, ({k: v.clone() for k, v in model.state_dict().items()}, s.masks))
    )
    train(model, optimizer, range(sparsifier.phases[1].end))
    (dense, _), (sparse, masks) = kept["dense"], kept["sparse"]
    for name, mask in masks.items():
        expected = torch.where(mask, sparse[f"{name}.weight"], dense[f"{name}.weight"])
        assert torch.equal(model.get_submodule(name).weight, expected)


def test_pruned_weights_can_return_at_random_and_no_unit_stays_dead():
    model = mlp()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = ACDC(0.8, 20, returning=ReturnAtRandom(std=1e-3, seed=3)).attach(model, optimizer)
    masks = {}
    sparsifier.before_change(lambda s: masks.update(s.masks))
    train(model, optimizer, range(sparsifier.phases[1].end))
    returned = torch.cat([model.get_submodule(n).weight.detach()[~mask] for n, mask in masks.items()])
    assert bool(returned.all())
    assert float(returned.std()) == pytest.approx(1e-3, rel=0.15)  # 589 numbers: three standard errors are 9 %


def test_a_layer_without_a_live_weight_is_an_error_that_leaves_the_weights_alone():
    model = mlp()
    with torch.no_grad():
        model[5].weight *= 1e-6
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    schedule = [Phase("sparse", 0, 10)]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CollapseError, match=r"no weight survives in 3, 5 .*Global\(floor=0.2\)"):
        ACDC(0.9, 10, schedule=schedule, distribution=Global(floor=0)).attach(model, optimizer)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not optimizer._optimizer_step_post_hooks

    sparsifier = ACDC(0.9, 10, schedule=schedule, distribution=Global(floor=0), on_collapse="warn", packed=True)
    with pytest.warns(CollapseWarning, match=r"5 \(0 of 64\)"):
        sparsifier.attach(model, optimizer)
    train(model, optimizer, range(3))
    assert not model.state_dict()["5.weight"].any()


def test_the_default_floor_keeps_the_same_layer_alive_in_silence():
    model = mlp()
    with torch.no_grad():
        model[5].weight *= 1e-6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sparsifier = ACDC(0.9, 10, schedule=[Phase("sparse", 0, 10)])
        sparsifier.attach(model, OPTIMIZERS["sgd"](model.parameters()))
    assert int(sparsifier.masks["5"].sum()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sparsity": 1.0, "total_steps": 100}, r"\[0, 1\)"),
        ({"sparsity": 90, "total_steps": 100}, "write 0.9"),
        ({"sparsity": 0.9}, "total_steps"),
        ({"sparsity": 0.9, "total_steps": 5}, "too short"),
        ({"sparsity": 0.9, "total_steps": 100.0}, "whole number"),
        ({"sparsity": 0.9, "total_steps": 100, "schedule": "imagenet_90"}, "imagenet_100"),
        ({"sparsity": 0.9, "total_steps": 100, "pattern": NM(2, 4)}, "0.5"),
        ({"sparsity": 0.5, "total_steps": 100, "pattern": NM(2, 4), "ramp": Ramp()}, "fixes the sparsity"),
        ({"sparsity": 0.9, "total_steps": 100, "packed": True, "reset_momentum": False}, "reset_momentum"),
        ({"sparsity": 0.9, "total_steps": 100, "packed": "always"}, "'auto', True or False"),
        ({"sparsity": 0.9, "total_steps": 100, "on_collapse": "ignore"}, "on_collapse"),
        ({"sparsity": 0.9, "schedule": "imagenet_100", "steps_per_epoch": 0}, "steps_per_epoch"),
    ],
)
def test_choices_that_do_not_fit_are_refused_with_advice(arguments, message):
    with pytest.raises(UsageError, match=message):
        ACDC(**arguments)
