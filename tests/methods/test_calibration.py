"""Wanda and SparseGPT on models: inputs, order, counts, patterns."""

from __future__ import annotations

import pytest
import torch
from method_runs import OPTIMIZERS, convnet, examples, mlp, train
from torch import nn, optim
from torch.nn import functional as F

from tamis.errors import UsageError
from tamis.methods import Examples, SparseGPT, Wanda
from tamis.methods._calibration import input_columns
from tamis.sparsity import ERK, NM, Block, FanIn, Global, Uniform, keep_count, row_balanced_mask, sparsegpt_prune

METHODS = {"wanda": Wanda, "sparsegpt": SparseGPT}


def pruned(make, model, shape=(12,), **options):
    sparsifier = make(examples=examples(shape), packed=False, **{"sparsity": 0.5, **options})
    return sparsifier.attach(model, OPTIMIZERS["momentum"](model.parameters()))


def dilated(conv):
    """Changed after it was made, as DeepLab does to the layers of a ResNet."""
    conv.dilation = conv.padding = (2, 2)
    return conv


@pytest.mark.parametrize(
    "layer",
    [
        dilated(nn.Conv2d(4, 6, 3, padding=1, bias=False)),
        nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), bias=False),
        nn.Conv2d(4, 6, 3, groups=2, padding="same", padding_mode="reflect", bias=False),
        nn.Conv2d(4, 4, 3, groups=4, bias=False),
        nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2, bias=False),
    ],
)
def test_a_convolution_is_a_linear_layer_on_its_unfolded_inputs(layer):
    torch.manual_seed(0)
    inputs = torch.randn(3, 4, 7, 6) if layer.weight.dim() == 4 else torch.randn(3, 4, 9)
    columns = input_columns(layer, inputs)
    rows = layer.weight.detach().reshape(layer.groups, -1, layer.weight[0].numel())
    products = torch.bmm(columns, rows.transpose(1, 2))  # (groups, N * positions, out / groups)
    found = products.permute(0, 2, 1).reshape(layer.weight.shape[0], 3, -1).transpose(0, 1)
    expected = layer(inputs).detach().flatten(2)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_wanda_ranks_by_the_inputs_that_the_pruned_layers_before_produce():
    for sequential in (True, False):
        model, dense = mlp(), mlp()
        sparsifier = pruned(Wanda, model, samples=64, sequential=sequential)
        inputs = torch.cat([x for x, _ in examples().take(64)])
        seen = model.eval() if sequential else dense.eval()
        middle = F.relu(seen[1](seen[0](inputs)))
        scores = dense[3].weight.abs().double() * middle.double().square().sum(dim=0).sqrt()
        assert torch.equal(sparsifier.masks["3"], row_balanced_mask(scores, keep_count(24 * 16, 0.5)))
        assert torch.equal(model[3].weight, dense[3].weight * sparsifier.masks["3"])


def test_sparsegpt_prunes_a_layer_as_the_pure_function_does():
    model, dense = mlp(), mlp()
    sparsifier = pruned(SparseGPT, model, samples=64, block=5)
    inputs = torch.cat([x for x, _ in examples().take(64)]).double()
    found, mask = sparsegpt_prune(dense[0].weight.detach().double(), inputs.T @ inputs, 144, block=5)
    assert torch.equal(sparsifier.masks["0"], mask)
    torch.testing.assert_close(model[0].weight.detach(), found.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("distribution", [Uniform(), Uniform(first_dense=True), ERK()])
@pytest.mark.parametrize("sparsity", [0.0, 0.37, 0.9])
def test_counts_are_those_of_the_distribution(make, distribution, sparsity):
    model = convnet()
    shapes = {name: model.get_submodule(name).weight for name in ("0", "3", "6")}
    counts = distribution.keep_counts({n: w.detach().abs() for n, w in shapes.items()}, sparsity)
    sparsifier = pruned(make, model, (2, 6, 6), distribution=distribution, sparsity=sparsity)
    assert {name: int(mask.sum()) for name, mask in sparsifier.masks.items()} == counts


@pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
def test_two_of_four_runs_along_the_input_channels_of_a_convolution(make):
    model = convnet()
    sparsifier = pruned(make, model, (2, 6, 6), pattern=NM(2, 4, skip=("0",)))
    assert bool(sparsifier.masks["0"].all())
    for name in ("3", "6"):
        groups = sparsifier.masks[name].movedim(1, -1).reshape(-1, 4)
        assert (groups.sum(dim=1) == 2).all()
        assert not model.get_submodule(name).weight[~sparsifier.masks[name]].any()


def test_wanda_keeps_a_constant_fan_in():
    sparsifier = pruned(Wanda, mlp(), pattern=FanIn(), sparsity=0.7)
    assert sparsifier.masks["3"].sum(dim=1).unique().tolist() == [-(-keep_count(384, 0.7) // 16)]


@pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
def test_the_outputs_suffer_less_than_from_random_masks_and_the_model_is_otherwise_untouched(make):
    model = convnet()
    model[1].running_mean.add_(0.3)
    model.train()
    model[4].eval()
    before = {key: value.clone() for key, value in model.state_dict().items() if "weight" not in key}
    inputs = torch.cat([x for x, _ in examples((2, 6, 6)).take(64)])
    torch.manual_seed(5)
    state = torch.get_rng_state()
    pruned(make, model, (2, 6, 6), samples=64)
    assert torch.equal(torch.get_rng_state(), state)
    assert [m.training for m in model] == [True, True, True, True, False, True, True]
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    assert not any(m._forward_pre_hooks for m in model)
    random, dense = convnet(), convnet()
    for net in (random, dense):
        net[1].running_mean.add_(0.3)
    for i in (0, 3, 6):
        with torch.no_grad():
            random[i].weight.mul_(
                row_balanced_mask(torch.rand_like(random[i].weight).flatten(1), random[i].weight.numel() // 2).reshape(
                    random[i].weight.shape
                )
            )
    wanted, ours, theirs = (net.eval()(inputs) for net in (dense, model, random))
    assert (ours - wanted).norm() < 0.8 * (theirs - wanted).norm()


@pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("packed", [True, False])
def test_the_zeros_of_a_sparse_model_stay(make, packed):
    model = mlp()
    with torch.no_grad():
        model[3].weight[:, ::2] = 0.0
    optimizer = OPTIMIZERS["adamw"](model.parameters())
    sparsifier = make(0.6, from_zeros=True, packed=packed, examples=examples()).attach(model, optimizer)
    train(model, optimizer, range(3))
    assert not sparsifier.masks["3"][:, ::2].any()
    assert not model.state_dict()["3.weight"][:, ::2].any()
    live = {name: int(mask.sum()) for name, mask in sparsifier.masks.items()}
    assert live == {"0": keep_count(288, 0.6), "3": keep_count(384, 0.6), "5": keep_count(64, 0.6)}


@pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
def test_the_pruning_happens_once_at_its_step(make):
    model = mlp()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = make(0.6, at_step=2, examples=examples()).attach(model, optimizer)
    phases = []
    train(model, optimizer, range(4), after=lambda step: phases.append(sparsifier.phase))
    assert phases == ["dense", "sparse", "sparse", "sparse"]
    assert [event["step"] for event in sparsifier.events] == [2]


@pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
def test_choices_that_do_not_fit_are_refused(make):
    data = {"examples": examples()}
    with pytest.raises(UsageError, match=r"cannot be compared between layers.*Uniform\(\)"):
        make(0.5, distribution=Global(), **data)
    with pytest.raises(UsageError, match="has no rule for Block"):
        make(0.5, pattern=Block(1, 4), **data)
    with pytest.raises(UsageError, match="samples >= 1"):
        make(0.5, samples=0, **data)
    with pytest.raises(UsageError, match="looks at training data"):
        make(0.5).attach(mlp(), OPTIMIZERS["sgd"](mlp().parameters()))
    model = nn.ModuleDict({"used": nn.Linear(4, 4), "idle": nn.Linear(4, 4)})
    model.forward = lambda x: model["used"](x)
    source = Examples(lambda: [(torch.randn(8, 4), torch.zeros(8))])
    with pytest.raises(UsageError, match="never reach idle"):
        make(0.5, examples=source).attach(model, OPTIMIZERS["sgd"](model.parameters()))


def test_sparsegpt_refuses_blocks_that_cut_groups_apart():
    with pytest.raises(UsageError, match="cuts groups of 4 apart"):
        SparseGPT(0.5, block=6, pattern=NM(2, 4), examples=examples())
    with pytest.raises(UsageError, match="damping > 0"):
        SparseGPT(0.5, damping=0.0, examples=examples())


@pytest.mark.parametrize(("dtype", "scale"), [(torch.bfloat16, 1.0), (torch.float16, 5.0)])
def test_sparsegpt_prunes_layers_of_half_precision_with_correlated_inputs(dtype, scale):
    for seed in range(3):
        torch.manual_seed(seed)
        inputs = (torch.randn(512, 8) @ torch.randn(8, 64) * scale).to(dtype)  # of rank 8: only the damping inverts it
        assert inputs.isfinite().all()
        model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)).to(dtype)
        data = Examples(lambda inputs=inputs: [(inputs, torch.zeros(512, dtype=torch.long))])
        sparsifier = SparseGPT(0.5, samples=512, examples=data).attach(model, optim.SGD(model.parameters(), 0.1))
        assert [int(mask.sum()) for mask in sparsifier.masks.values()] == [2048, 2048]
        assert all(bool(layer.weight.isfinite().all()) for layer in (model[0], model[2]))
