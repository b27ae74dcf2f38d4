"""WoodFisher, M-FAC, oBERT and CAP against the slow formulas of one block."""

from __future__ import annotations

import pytest
import torch
from method_runs import OPTIMIZERS, convnet, examples, mlp, train
from torch.nn import functional as F

from tamis.errors import UsageError
from tamis.methods import CAP, MFAC, OBERT, Examples, WoodFisher
from tamis.sparsity import (
    ERK,
    NM,
    Block,
    FanIn,
    Global,
    Uniform,
    fisher_inverse,
    greedy_elimination,
    keep_count,
    obs_independent_update,
    obs_joint_update,
    obs_saliency,
    quadratic_loss_increase,
    select_masks,
)

SMALL = {"gradients": 24, "damping": 1e-4}
ALL = {"woodfisher": WoodFisher, "mfac": MFAC, "obert": OBERT, "cap": CAP}
LAYERS = ("0", "3", "5")


def pruned(method, model, sparsity=0.6, total_steps=None, shape=(12,), **options):
    options = {"packed": False, "recomputations": 1, **SMALL, **options}
    sparsifier = method(sparsity, total_steps, examples=examples(shape), **options)
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    return sparsifier.attach(model, optimizer), optimizer


def gradients_of(model, count, masks=None):
    """One gradient per sample of each layer, (count, n), float64."""
    inputs, targets = (torch.cat(parts) for parts in zip(*examples().batches(), strict=True))
    model.eval()
    weights = [model.get_submodule(name).weight for name in LAYERS]
    rows = []
    for i in range(count):
        loss = F.cross_entropy(model(inputs[i : i + 1]), targets[i : i + 1])
        rows.append([g.flatten().double() for g in torch.autograd.grad(loss, weights)])
    stacked = {name: torch.stack([row[i] for row in rows]) for i, name in enumerate(LAYERS)}
    return {name: g * masks[name].flatten() for name, g in stacked.items()} if masks else stacked


def blocks_of(length, block):
    return [slice(start, min(start + block, length)) for start in range(0, length, block)]


def reference(model, sparsity, block, update, score):
    """Masks and weights by the one-block formulas, block by block; the last block of a layer is shorter."""
    gradients = gradients_of(model, SMALL["gradients"])
    weights = {name: model.get_submodule(name).weight.detach().double() for name in LAYERS}
    inverses = {
        name: [fisher_inverse(g[:, part], SMALL["damping"])[0] for part in blocks_of(g.shape[1], block)]
        for name, g in gradients.items()
    }
    scores, after = {}, {}
    for name, weight in weights.items():
        parts = blocks_of(weight.numel(), block)
        pieces = [score(weight.flatten()[p], h) for p, h in zip(parts, inverses[name], strict=True)]
        scores[name] = torch.cat(pieces).reshape(weight.shape)
    masks = select_masks(scores, sparsity)
    for name, weight in weights.items():
        parts, gone = blocks_of(weight.numel(), block), ~masks[name].flatten()
        pieces = [update(weight.flatten()[p], h, gone[p]) for p, h in zip(parts, inverses[name], strict=True)]
        after[name] = torch.cat(pieces).reshape(weight.shape)
    return masks, after


def cumulative(weight, inverse):
    losses, total = torch.zeros_like(weight), 0.0
    for step in greedy_elimination(weight, inverse, len(weight)):
        total += step.loss_increase
        losses[step.index] = total
    return losses


@pytest.mark.parametrize(
    ("method", "options", "update", "score"),
    [
        (WoodFisher, {"block": 10}, obs_independent_update, obs_saliency),  # matrices: m >= B
        (WoodFisher, {"block": 60}, obs_independent_update, obs_saliency),  # gradients: m < B
        (MFAC, {"block": 10}, obs_independent_update, obs_saliency),
        (OBERT, {"block": 17}, obs_independent_update, obs_saliency),
        (CAP, {"block": 30}, obs_joint_update, cumulative),
        (CAP, {"block": 30, "update": "independent"}, obs_independent_update, obs_saliency),
    ],
)
def test_masks_and_weights_are_those_of_the_reference(method, options, update, score):
    model = mlp()
    masks, after = reference(mlp(), 0.6, options["block"], update, score)
    sparsifier, _ = pruned(method, model, **options)
    for name in LAYERS:
        assert torch.equal(sparsifier.masks[name], masks[name])
        torch.testing.assert_close(model.get_submodule(name).weight.detach(), after[name].float(), rtol=2e-4, atol=2e-5)


def test_one_full_block_knows_the_correlations_between_layers():
    model, dense = mlp(), mlp()
    gradients = torch.cat(list(gradients_of(mlp(), 24).values()), dim=1)
    weight = torch.cat([dense.get_submodule(n).weight.detach().flatten() for n in LAYERS]).double()
    inverse = fisher_inverse(gradients, 1e-4)[0]
    sparsifier, _ = pruned(MFAC, model, block="full")
    gone = ~torch.cat([sparsifier.masks[n].flatten() for n in LAYERS])
    expected = obs_independent_update(weight, inverse, gone)
    found = torch.cat([model.get_submodule(n).weight.detach().flatten() for n in LAYERS]).double()
    torch.testing.assert_close(found, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("method", ALL.values(), ids=ALL)
def test_little_memory_gives_the_same_weights_in_several_passes(method, monkeypatch):
    monkeypatch.setattr(
        "tamis.methods._fisher_pruning.block_groups",
        lambda layout, *unused: [(i, min(i + 4, layout.blocks)) for i in range(0, layout.blocks, 4)],
    )
    model, whole = mlp(), mlp()
    few, _ = pruned(method, model, block=50)
    monkeypatch.undo()
    all_at_once, _ = pruned(method, whole, block=50)
    for name in LAYERS:
        assert torch.equal(few.masks[name], all_at_once.masks[name])
        ours, theirs = (net.get_submodule(name).weight.detach() for net in (model, whole))
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


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


def test_groups_of_four_live_or_die_together_by_their_joint_saliency():
    model = mlp()
    gradients = gradients_of(mlp(), 24)
    weights = {n: model.get_submodule(n).weight.detach().double().clone() for n in LAYERS}
    scores = {}
    for name, weight in weights.items():
        score = torch.empty(weight.numel(), dtype=torch.float64)
        for part in blocks_of(weight.numel(), 16):
            inverse = fisher_inverse(gradients[name][:, part], 1e-4)[0]
            for four in blocks_of(16, 4):
                w = weight.flatten()[part][four]
                score[part.start + four.start : part.start + four.stop] = w @ torch.linalg.inv(inverse[four, four]) @ w
        scores[name] = score.reshape(weight.shape)
    expected = select_masks(scores, 0.5, pattern=Block(1, 4))
    sparsifier, _ = pruned(OBERT, model, 0.5, block=16, pattern=Block(1, 4))
    for name in LAYERS:
        assert torch.equal(sparsifier.masks[name], expected[name])
        assert set(sparsifier.masks[name].reshape(-1, 4).sum(dim=1).tolist()) <= {0, 4}


def test_the_joint_update_costs_less_in_the_quadratic_model_than_zeroing_or_summed_updates():
    costs = {}
    gradients, before = gradients_of(mlp(), 24), mlp()
    for name, options in {"joint": {}, "summed": {"update": "independent"}}.items():
        model = mlp()
        sparsifier, _ = pruned(CAP, model, 0.6, block=48, **options)
        costs[name] = costs[f"{name}, zeroed"] = 0.0
        for layer in LAYERS:
            old, new = (net.get_submodule(layer).weight.detach().double().flatten() for net in (before, model))
            zeroed = old * sparsifier.masks[layer].flatten()
            for part in blocks_of(old.numel(), 48):
                g = gradients[layer][:, part]
                fisher = 1e-4 * torch.eye(g.shape[1], dtype=torch.float64) + g.T @ g / len(g)
                costs[name] += float(quadratic_loss_increase((new - old)[part], fisher))
                costs[f"{name}, zeroed"] += float(quadratic_loss_increase((zeroed - old)[part], fisher))
    assert costs["joint"] < costs["joint, zeroed"]
    assert costs["joint"] < costs["summed"]


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
