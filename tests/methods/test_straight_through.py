"""STE, DPF and SR-STE: masks over latent weights, against golden traces."""

from __future__ import annotations

import pytest
import torch
from method_runs import OPTIMIZERS, assert_same_state, convnet, mlp, train
from torch import nn, optim

from tamis.errors import UsageError
from tamis.kernels import native_available
from tamis.methods import ACDC, DPF, GMP, SRSTE, STE, OneShot
from tamis.nn import computes_sparsely
from tamis.sparsity import NM, Global, keep_count, select_masks

ROWS = Global(floor=0.0)


def one_row(values):
    """A model whose only weight is one row of float64 numbers."""
    model = nn.Sequential(nn.Linear(len(values), 1, bias=False, dtype=torch.float64))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([values], dtype=torch.float64))
    return model


@pytest.mark.parametrize(("method", "every"), [(DPF, 1), (DPF, 2), (STE, 1)])
def test_masks_and_latent_weights_follow_the_golden_trace(pruning_vectors, method, every):
    golden = pruning_vectors["dpf_micro_trace"]
    a, b = (torch.tensor([golden[key]], dtype=torch.float64) for key in "ab")
    model = one_row(golden["w0"])
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    timing = {"every": every, "end": 0.0} if method is DPF else {}
    sparsifier = method(golden["sparsity"], 4, distribution=ROWS, **timing).attach(model, optimizer)
    for row in golden[f"mask_every_{every}"]:
        assert sparsifier.masks["0"].int().tolist() == [row["mask"]]
        optimizer.zero_grad()
        (0.5 * a * (model[0].weight - b) ** 2).sum().backward()
        optimizer.step()
        assert sparsifier.latent_weights()["0"][0].tolist() == pytest.approx(row["w_dense"], rel=1e-12)


def test_sr_ste_steps_by_the_golden_gradient(pruning_vectors):
    golden = pruning_vectors["sr_ste"]
    model = one_row(golden["w"])
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    pattern = NM(golden["N"], golden["M"])
    sparsifier = SRSTE(0.5, 1, strength=golden["lambda"], pattern=pattern).attach(model, optimizer)
    assert sparsifier.masks["0"].int().tolist() == [golden["mask"]]
    model[0].weight.grad = torch.tensor([golden["upstream"]], dtype=torch.float64)
    optimizer.step()
    moved = [w - g for w, g in zip(golden["w"], golden["grad_to_dense_w"], strict=True)]
    assert sparsifier.latent_weights()["0"][0].tolist() == pytest.approx(moved, rel=1e-12)


def test_sr_ste_without_strength_is_ste_bit_for_bit():
    models = []
    for make in (SRSTE(0.5, 8, strength=0.0), STE(0.5, 8, pattern=NM(2, 4))):
        model = mlp()
        optimizer = OPTIMIZERS["adamw"](model.parameters())
        make.attach(model, optimizer)
        train(model, optimizer, range(8))
        models.append(model)
    assert_same_state(*models)


def test_the_pull_shrinks_weights_outside_the_mask_alone():
    model = one_row([1.0, 0.5, -0.25, 2.0])
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    sparsifier = SRSTE(0.5, 4, strength=0.5).attach(model, optimizer)
    model[0].weight.grad = torch.zeros(1, 4, dtype=torch.float64)
    optimizer.step()
    assert sparsifier.latent_weights()["0"].tolist() == [[1.0, 0.25, -0.125, 2.0]]
    assert model[0].weight.tolist() == [[1.0, 0.0, 0.0, 2.0]]


def test_a_weight_that_was_pruned_too_early_comes_back():
    model = one_row([1.0, 0.9, 0.1, 0.2])
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    sparsifier = DPF(0.5, 8, every=2, end=0.0, distribution=ROWS).attach(model, optimizer)
    for _ in range(2):
        assert model[0].weight.tolist() == [[1.0, 0.9, 0.0, 0.0]]
        model[0].weight.grad = torch.tensor([[0.0, 0.0, 0.0, -0.5]], dtype=torch.float64)
        optimizer.step()
    assert model[0].weight.tolist() == [[1.0, 0.0, 0.0, 1.2]]
    assert sparsifier.latent_weights()["0"].tolist() == [[1.0, 0.9, 0.1, 1.2]]
    assert sparsifier.events[-1]["regrown_share"] == 0.5


def test_dpf_masks_rest_between_updates_and_reach_the_target_exactly():
    model = mlp()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = DPF(0.9, 40, every=6, start=0.1, end=0.5, initial=0.3).attach(model, optimizer)
    assert sparsifier.phase == "dense"
    changes = []
    last = {}

    def check(step):
        if any(not torch.equal(mask, last.get(name, ~mask)) for name, mask in sparsifier.masks.items()):
            changes.append(sparsifier.step)
            last.update({name: mask.clone() for name, mask in sparsifier.masks.items()})

    train(model, optimizer, range(40), after=check)
    assert changes == [4, 10, 16, 20, 22, 28, 34, 40]
    targets = [event["target"] for event in sparsifier.events]
    assert targets == pytest.approx([0.3, 0.9 - 0.6 * 0.625**3, 0.9 - 0.6 * 0.25**3, *[0.9] * 5], rel=1e-12)
    assert targets[3:] == [0.9] * 5
    for event in sparsifier.events:
        assert sum(row["live"] for row in event["layers"].values()) == keep_count(736, event["target"])


def test_dpf_with_a_mask_at_every_step_is_ste():
    models = []
    for make in (DPF(0.8, 10, every=1, end=0.0), STE(0.8, 10)):
        model = mlp()
        optimizer = OPTIMIZERS["momentum"](model.parameters())
        make.attach(model, optimizer)
        train(model, optimizer, range(10))
        models.append(model)
    assert_same_state(*models)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DPF(0.9, 10, every=0), "every must be a whole number"),
        (lambda: DPF(0.9, 10, start=0.8, end=0.5), "0 <= start <= end <= 1"),
        (lambda: DPF(0.9, 10, initial=0.95), "above the target"),
        (lambda: DPF(0.5, 10, pattern=NM(2, 4)), "has one sparsity, so it cannot grow"),
        (lambda: SRSTE(0.9, 10), "2:4 fixes the sparsity at 0.5"),
        (lambda: SRSTE(0.5, 10, strength=-1.0), "strength must be"),
        (lambda: STE(1.0, 10), "sparsity must be in"),
    ],
)
def test_choices_that_do_not_fit_are_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()


NM_METHODS = {
    "acdc": lambda pattern: ACDC(0.5, 20, pattern=pattern),
    "gmp": lambda pattern: GMP(0.5, 20, start=0.3, end=0.3, events=1, pattern=pattern),
    "one shot": lambda pattern: OneShot(0.5, at_step=5, pattern=pattern),
    "ste": lambda pattern: STE(0.5, 20, pattern=pattern),
    "dpf": lambda pattern: DPF(0.5, 20, every=4, start=0.2, end=0.2, pattern=pattern),
    "sr_ste": lambda pattern: SRSTE(0.5, 20, pattern=pattern),
}


@pytest.mark.parametrize("method", NM_METHODS)
def test_every_magnitude_method_trains_two_of_four_along_the_input_inside_a_row(method):
    model = convnet()  # rows of 2 * 9, 8 * 9 and 72 weights: the first cannot be cut into fours
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    refused = NM_METHODS[method](NM(2, 4))

    def adopt_and_train():
        refused.attach(model, optimizer)
        train(model, optimizer, range(20), (2, 6, 6))

    with pytest.raises(
        UsageError, match=r"layer '0' with rows of 18\. To leave them dense, exclude them or write NM\(2, 4, skip"
    ):
        adopt_and_train()
    model = convnet()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = NM_METHODS[method](NM(2, 4, skip=("0",))).attach(model, optimizer)
    train(model, optimizer, range(20), (2, 6, 6))
    masks = sparsifier.masks
    assert bool(masks["0"].all())
    for name in ("3", "6"):
        groups = masks[name].movedim(1, -1).reshape(-1, 4)  # convolutions are read as (out, kernel, in)
        assert groups.sum(dim=1).tolist() == [2] * len(groups)
    assert sparsifier.events[-1]["sparsity_over_pruned"] == 0.5
    state = model.state_dict()
    assert all(not state[f"{name}.weight"][~mask].any() for name, mask in masks.items())


def test_two_of_four_keeps_the_two_largest_of_each_group_of_the_latent_weights():
    model = mlp()
    optimizer = OPTIMIZERS["adamw"](model.parameters())
    sparsifier = SRSTE(0.5, 6).attach(model, optimizer)

    def check(step):
        scores = {name: latent.abs() for name, latent in sparsifier.latent_weights().items()}
        expected = select_masks(scores, 0.5, pattern=NM(2, 4))
        assert all(torch.equal(mask, expected[name]) for name, mask in sparsifier.masks.items())

    train(model, optimizer, range(6), after=check)


@pytest.mark.parametrize(("network", "shape"), [(mlp, (12,)), (convnet, (2, 6, 6))])
def test_dpf_on_the_sparse_kernels_trains_as_masked(network, shape):
    models = []
    for packed in (True, False):
        model = network()
        optimizer = OPTIMIZERS["momentum"](model.parameters())
        sparsifier = DPF(0.7, 16, every=4, end=0.25, packed=packed).attach(model, optimizer)
        names = list(sparsifier.masks)

        def check(step, model=model, sparsifier=sparsifier, names=names, packed=packed):
            assert [name for name in names if computes_sparsely(model.get_submodule(name))] == names * packed
            assert all(tuple(model.get_submodule(n).weight.shape) == tuple(sparsifier.masks[n].shape) for n in names)

        train(model, optimizer, range(16), shape, after=check)
        assert sparsifier.events[-1]["packed"] == names * packed
        models.append(model)
        sparsifier.finalize()
        assert not any(computes_sparsely(module) for module in model.modules())
    assert_same_state(*models, rtol=1e-3, atol=1e-4)  # float32 sums in another order over 16 steps


def test_dpf_packs_by_itself_what_is_worth_it():
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 4))
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = DPF(0.9, 16, end=0.0).attach(model, optimizer)
    assert sparsifier.events[-1]["packed"] == (["0"] if native_available() else [])
    with pytest.raises(UsageError, match="may change at every step"):
        DPF(0.9, 16, every=1, packed=True)
    shared = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    shared[1].weight = shared[0].weight
    with pytest.raises(UsageError, match="no layer is a float32 CPU Linear or Conv2d that shares no weight"):
        DPF(0.5, 16, packed=True).attach(shared, OPTIMIZERS["sgd"](shared.parameters()))
