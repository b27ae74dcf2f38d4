"""WoodFisher, M-FAC, oBERT and CAP: targets, distributions, patterns, cuts, examples, and choices that do not fit."""

from __future__ import annotations

import pytest
import torch
from fisher_runs import ALL, LAYERS, SMALL, pruned
from method_runs import OPTIMIZERS, assert_same_state, convnet, examples, mlp, train

from tamis.errors import UsageError
from tamis.methods import CAP, MFAC, OBERT, Examples, WoodFisher
from tamis.sparsity import (
    ERK,
    NM,
    Block,
    FanIn,
    Global,
    Uniform,
    keep_count,
    select_masks,
)


@pytest.mark.parametrize("method", ALL.values(), ids=ALL)
def test_gradual_runs_reach_every_target_exactly_and_masks_nest(method):
    model = mlp()
    sparsifier, optimizer = pruned(method, model, 0.9, 20, events=4, initial=0.3, block=16, recomputations=2)
    dead: dict[str, torch.Tensor] = {}

    def check(step):
        for name, mask in sparsifier.masks.items():
            assert not (mask & dead.get(name, torch.zeros_like(mask))).any()
            dead[name] = ~mask

    train(model, optimizer, range(20), after=check)
    assert [event["step"] for event in sparsifier.events] == [4, 8, 12, 16]
    assert sparsifier.events[0]["target"] == pytest.approx(0.3, rel=1e-12)
    assert sparsifier.events[-1]["target"] == 0.9
    for event in sparsifier.events:
        assert sum(row["live"] for row in event["layers"].values()) == keep_count(736, event["target"])


@pytest.mark.parametrize("method", ALL.values(), ids=ALL)
@pytest.mark.parametrize(
    "options",
    [{"distribution": Uniform(last_dense=True)}, {"distribution": ERK()}, {"distribution": Global(floor=0.5)},
     {"pattern": FanIn(), "distribution": Uniform()}],
)  # fmt: skip
def test_counts_are_those_of_the_distribution(method, options):
    model = mlp()
    sparsifier, _ = pruned(method, model, 0.75, block=16, **options)
    masks = select_masks({n: torch.rand(model.get_submodule(n).weight.shape) for n in LAYERS}, 0.75, **options)
    if isinstance(options["distribution"], Global):
        assert sum(int(m.sum()) for m in sparsifier.masks.values()) == sum(int(m.sum()) for m in masks.values())
    else:
        assert [int(m.sum()) for m in sparsifier.masks.values()] == [int(m.sum()) for m in masks.values()]
    if options["distribution"] == Uniform(last_dense=True):
        assert torch.equal(model[5].weight, mlp()[5].weight)  # what is left dense is left alone


@pytest.mark.parametrize("method", ALL.values(), ids=ALL)
def test_two_of_four_holds_in_every_row(method):
    model = convnet()
    sparsifier, _ = pruned(method, model, 0.5, shape=(2, 6, 6), block=24, pattern=NM(2, 4, skip=("0",)))
    for name in ("3", "6"):
        groups = sparsifier.masks[name].movedim(1, -1).reshape(-1, 4)
        assert (groups.sum(dim=1) == 2).all()


@pytest.mark.parametrize("method", ALL.values(), ids=ALL)
@pytest.mark.parametrize("packed", [True, False])
def test_a_sparse_start_keeps_its_zeros(method, packed):
    model = mlp()
    with torch.no_grad():
        for i in (0, 3, 5):
            model[i].weight[:, ::2] = 0.0
    sparsifier, optimizer = pruned(
        method, model, 0.8, 12, events=3, block=16, from_zeros=True, packed=packed, recomputations=3
    )
    train(model, optimizer, range(12))
    state = model.state_dict()
    assert all(not state[f"{i}.weight"][:, ::2].any() for i in (0, 3, 5))
    assert sum(int(mask.sum()) for mask in sparsifier.masks.values()) == keep_count(736, 0.8)


def test_flops_aware_ranking_spares_layers_with_few_output_positions():
    live = {}
    for power in (0.0, 2.0):
        model = convnet()
        sparsifier, _ = pruned(WoodFisher, model, 0.5, shape=(2, 6, 6), flops_power=power)
        live[power] = {name: int(mask.sum()) for name, mask in sparsifier.masks.items()}
    assert live[2.0]["0"] < live[0.0]["0"]  # 36 positions
    assert live[2.0]["6"] > live[0.0]["6"]  # 1 position
    assert sum(live[2.0].values()) == sum(live[0.0].values())


def test_sixteen_cuts_shrink_the_live_share_by_equal_factors(monkeypatch):
    cuts = []
    original = MFAC._cut
    monkeypatch.setattr(
        MFAC, "_cut", lambda self, target, masks, draw: (cuts.append(target), original(self, target, masks, draw))[1]
    )
    sparsifier, _ = pruned(MFAC, mlp(), 0.9, recomputations=16)
    assert cuts[-1] == 0.9
    assert [round(1 - c, 9) for c in cuts] == [round(0.1 ** (i / 16), 9) for i in range(1, 17)]
    assert len(sparsifier.events) == 1


@pytest.mark.parametrize("method", ALL.values(), ids=ALL)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gradients": 0}, "gradients must be a whole number"),
        ({"block": 0}, "block must be"),
        ({"damping": 0.0}, "damping must be a positive number"),
        ({"initial": 0.95}, "above the target"),
        ({"total_steps": 10, "start": 0.9, "end": 0.1}, "0 <= start <= end <= 1"),
        ({"sparsity": 0.5, "pattern": NM(2, 4), "recomputations": 2}, "cannot be reached in 2 cuts"),
        ({"sparsity": 0.5, "total_steps": 10, "pattern": NM(2, 4)}, "fixes the sparsity"),
        ({"pattern": Block(4, 1)}, "OBERT"),
    ],
)
def test_choices_that_do_not_fit_are_refused(method, options, message):
    given = {"sparsity": 0.9, "examples": examples(), "recomputations": 1, **options}
    with pytest.raises(UsageError, match=message):
        method(**given)


def test_choices_of_single_methods_that_do_not_fit_are_refused():
    data = {"examples": examples()}
    with pytest.raises(UsageError, match="choose a multiple, such as block=48"):
        OBERT(0.9, pattern=Block(1, 4), **data)
    with pytest.raises(UsageError, match="or 'full'"):
        MFAC(0.9, block="half", **data)
    with pytest.raises(UsageError, match="'correlated' or 'independent'"):
        CAP(0.9, update="both", **data)
    with pytest.raises(UsageError, match="flops_power"):
        WoodFisher(0.9, flops_power=-1.0, **data)
    with pytest.raises(UsageError, match="has no saliency for Block"):
        CAP(0.9, pattern=Block(1, 4), **data)
    model = mlp()
    with pytest.raises(UsageError, match="raise memory_mb"):
        MFAC(0.5, block="full", gradients=4096, memory_mb=1, **data).attach(
            model, OPTIMIZERS["sgd"](model.parameters())
        )
    with pytest.raises(UsageError, match="looks at training data"):
        CAP(0.5).attach(model, OPTIMIZERS["sgd"](model.parameters()))


@pytest.mark.parametrize(("recomputations", "events"), [(1, 3), (2, 2)])
def test_each_estimate_sees_the_examples_after_those_of_the_one_before(monkeypatch, recomputations, events):
    draws = []
    take = Examples.take

    def noted(self, samples, skip=0):
        draws.append((samples, skip))
        return take(self, samples, skip)

    monkeypatch.setattr(Examples, "take", noted)
    model = mlp()
    sparsifier, optimizer = pruned(
        WoodFisher, model, 0.8, 10, start=0.2, end=0.8, events=events, initial=0.3, recomputations=recomputations,
        gradients=5, fisher_batch=2, block=8,
    )  # fmt: skip
    train(model, optimizer, range(10))
    assert draws == [(10, 10 * i) for i in range(events * recomputations)]
    assert sparsifier.events[-1]["sparsity_over_pruned"] == pytest.approx(0.8, abs=1 / 736)  # to a single weight


def watched(looks):
    """Examples that note every look at them."""
    batches = examples().batches

    def noted():
        looks.append(1)
        return batches()

    return Examples(noted)


def sparse_start(method, looks, **options):
    """Events at 0.3, 0.825 and 0.9 on a model of which 86 % are zero; how often it had looked after each step."""
    model = mlp()
    with torch.no_grad():
        for i in (0, 3, 5):
            model[i].weight.masked_fill_(torch.rand(model[i].weight.shape) < 0.86, 0.0)
    sparsifier = method(
        0.9, 12, start=0.25, end=0.75, events=3, initial=0.3, block=16, from_zeros=True, packed=False,
        examples=watched(looks), recomputations=1, **SMALL, **options,
    )  # fmt: skip
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier.attach(model, optimizer)
    seen = {}
    train(model, optimizer, range(12), after=lambda step: seen.update({step: len(looks)}))
    return model, sparsifier, seen


@pytest.mark.parametrize("method", ALL.values(), ids=ALL)
def test_an_event_that_prunes_nothing_looks_at_no_example(method):
    _, sparsifier, seen = sparse_start(method, looks := [])
    assert [event["step"] for event in sparsifier.events] == [0, 3, 6, 9]
    lives = [sum(row["live"] for row in event["layers"].values()) for event in sparsifier.events]
    assert lives[0] == lives[1] == lives[2] > lives[3]
    assert (seen[7], seen[8]) == (0, len(looks))
    assert looks


@pytest.mark.parametrize("method", ALL.values(), ids=ALL)
def test_leaving_such_an_estimate_out_changes_no_number(method, monkeypatch):
    model, sparsifier, _ = sparse_start(method, fewer := [])
    monkeypatch.setattr("tamis.methods._fisher_pruning.keeps_all", lambda *_: False)
    other, twin, _ = sparse_start(method, more := [])
    assert len(more) == 3 * len(fewer)
    assert_same_state(model, other)
    for name, mask in sparsifier.masks.items():
        assert torch.equal(mask, twin.masks[name])


@pytest.mark.parametrize("method", ALL.values(), ids=ALL)
def test_a_schedule_that_begins_dense_looks_at_no_example_at_its_first_event(method):
    model, looks = mlp(), []
    sparsifier = method(0.9, 8, start=0.0, end=0.5, events=2, block=16, examples=watched(looks), **SMALL)
    sparsifier.attach(model, OPTIMIZERS["momentum"](model.parameters()))
    assert all(mask.all() for mask in sparsifier.masks.values())
    assert not looks
