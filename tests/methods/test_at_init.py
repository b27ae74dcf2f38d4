"""SNIP and GraSP score as published, and scoring leaves everything as it was."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from at_init_runs import flat, vector_net
from method_runs import OPTIMIZERS, attached, batch, mlp
from torch import nn
from torch.nn import functional as F

from tamis.methods import SNIP, Examples, GraSP, SynFlow
from tamis.sparsity import keep_count


def recording(method):
    """A subclass that keeps the scores that it ranks."""

    class Recording(method):
        scores: dict

        def _choose(self, scores, sparsity, within):
            self.scores = {name: score.clone() for name, score in scores.items()}
            return super()._choose(scores, sparsity, within)

    return Recording


class Awkward(nn.Module):
    """Everything that scoring could disturb: dropout, batch norm, a frozen layer, buffers, modes that differ."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.body = nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5))
        self.frozen = nn.Linear(16, 8)
        self.frozen.weight.requires_grad_(False)
        self.norm = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, 4)
        self.register_buffer("flags", torch.tensor([True, False]))
        self.register_buffer("unsaved", torch.tensor([-1.0, 2.0]), persistent=False)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.frozen(self.body(x)))))


def disturbing():
    """A stream that draws from every generator."""
    for step in range(8):
        inputs, labels = batch(step)
        random.random()
        np.random.rand()  # noqa: NPY002 - the legacy state is what must come back
        yield inputs + torch.randn(inputs.shape), labels


def test_snip_keeps_the_weights_of_the_vector(pruning_vectors):
    golden = pruning_vectors["init_scores"]
    model, examples = vector_net(golden)
    make = recording(SNIP)(0.5, samples=4, examples=examples, packed=False)
    _, _, sparsifier = attached(make, model=model)
    assert (flat(make.scores.values()) / 4).tolist() == pytest.approx(golden["snip_abs_gw"], rel=1e-10)
    assert flat(sparsifier.masks.values()).int().tolist() == golden["snip_mask_s0.5"]


@pytest.mark.parametrize("temperature", [1, 200])
def test_grasp_removes_the_weights_of_the_vector(pruning_vectors, temperature):
    golden = pruning_vectors["init_scores"]
    expected = golden[f"grasp_T{temperature}"]
    model, examples = vector_net(golden)
    make = recording(GraSP)(0.5, samples_per_class=2, temperature=temperature, examples=examples, packed=False)
    _, _, sparsifier = attached(make, model=model)
    assert (-flat(make.scores.values())).tolist() == pytest.approx(expected["score_minus_w_Hg"], rel=1e-7)
    assert flat(sparsifier.masks.values()).int().tolist() == expected["mask_s0.5_remove_largest"]


def test_the_hessian_gradient_product_is_that_of_autograd():
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 4)).double()
    stream = [(inputs.double(), labels) for inputs, labels in (batch(step) for step in range(8))]
    make = recording(GraSP)(0.5, samples_per_class=9, temperature=3.0, examples=Examples(lambda: stream))
    start = [model[0].weight.detach().clone(), model[2].weight.detach().clone()]
    taken = [[], []]
    missing = [9] * 4
    for inputs, labels in stream:
        for x, y in zip(inputs, labels, strict=True):
            if missing[int(y)]:
                missing[int(y)] -= 1
                taken[0].append(x)
                taken[1].append(y)
    inputs, labels = torch.stack(taken[0]), torch.stack(taken[1])
    assert len(labels) == 36 > len(stream[0][1])  # more than one batch

    def loss(first, second):
        hidden = torch.tanh(inputs @ first.T + model[0].bias)
        return F.cross_entropy((hidden @ second.T + model[2].bias) / 3.0, labels)

    gradient = torch.autograd.functional.jacobian(loss, tuple(start))
    _, product = torch.autograd.functional.hvp(loss, tuple(start), gradient)
    attached(make, model=model)
    expected = flat([w * hg for w, hg in zip(start, product, strict=True)])
    torch.testing.assert_close(flat(make.scores.values()), expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("classes", "wanted"), [(4, 25), (100, 10)])
def test_grasp_takes_as_many_samples_of_each_class_as_published(classes, wanted):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, classes))
    labels = torch.arange(40 * classes) % classes
    stream = [(torch.randn(len(part), 12), part) for part in labels.split(64)]
    seen = []

    def loss(logits, targets):
        seen.append(targets)
        return F.cross_entropy(logits, targets)

    attached(GraSP(0.5, examples=Examples(lambda: stream, loss)), model=model)
    counts = torch.cat(seen).bincount(minlength=classes)
    assert counts.tolist() == [2 * wanted] * classes  # once for the gradient, once for the product
    assert max(len(part) for part in seen) == 64


def test_an_endless_stream_without_one_class_comes_to_an_end():
    def endless():
        while True:
            yield torch.randn(50, 12), torch.randint(3, (50,))

    _, _, sparsifier = attached(GraSP(0.5, samples_per_class=2, examples=Examples(endless)))
    assert sparsifier.report()["sparsity"] == 0.5


def test_snip_averages_over_small_batches_and_cuts_the_last():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 4)).double()
    inputs, labels = (torch.cat(parts) for parts in zip(*(batch(step) for step in range(6)), strict=True))
    inputs = inputs.double()
    small = Examples(lambda: zip(inputs.split(24), labels.split(24), strict=True))
    whole = Examples(lambda: [(inputs[:128], labels[:128])])
    found = []
    for examples in (small, whole):
        make = recording(SNIP)(0.5, examples=examples)
        attached(make, model=copy.deepcopy(model))
        found.append(flat(make.scores.values()))
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("method", ["snip", "grasp", "grasp drawn anew", "synflow"])
@pytest.mark.parametrize("from_zeros", [False, True])
def test_scoring_leaves_everything_as_it_was(method, from_zeros):
    examples = Examples(disturbing)
    make = {
        "snip": SNIP(0.5, examples=examples, from_zeros=from_zeros, packed=False),
        "grasp": GraSP(0.5, examples=examples, from_zeros=from_zeros, packed=False),
        "grasp drawn anew": GraSP(0.5, reinitialise=True, examples=examples, from_zeros=from_zeros, packed=False),
        "synflow": SynFlow(0.5, examples=examples, rounds=3, from_zeros=from_zeros, packed=False),
    }[method]
    model = Awkward()
    model.norm.eval()
    optimizer = OPTIMIZERS["momentum"](p for p in model.parameters() if p.requires_grad)
    F.cross_entropy(model(batch(0)[0]), batch(0)[1]).backward()
    optimizer.step()
    torch.manual_seed(11)
    random.seed(11)
    np.random.seed(11)  # noqa: NPY002 - as above

    def picture():
        return {
            **{f"value {name}": p.detach().clone() for name, p in model.named_parameters()},
            **{f"buffer {name}": b.clone() for name, b in model.named_buffers()},
            **{f"gradient {name}": p.grad.clone() for name, p in model.named_parameters() if p.grad is not None},
            "torch": torch.get_rng_state(),
        }

    def plain():
        return (
            [module.training for module in model.modules()],
            [p.requires_grad for p in model.parameters()],
            [p.dtype for p in model.parameters()],
            [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
            [id(p) for p in model.parameters()],
            copy.deepcopy(optimizer.state_dict()["param_groups"]),
            random.getstate(),
            np.random.get_state()[2],  # noqa: NPY002 - as above
            np.random.get_state()[1].tolist(),  # noqa: NPY002 - as above
        )

    tensors, others = picture(), plain()
    momentum = copy.deepcopy(optimizer.state_dict()["state"])
    sparsifier = make.attach(model, optimizer)
    for name, mask in sparsifier.masks.items():  # what pruning itself changes
        tensors[f"value {name}.weight"] *= mask
    after = picture()
    assert tensors.keys() == after.keys()
    assert all(torch.equal(tensors[key], after[key]) for key in tensors)
    assert plain() == others
    for position, values in optimizer.state_dict()["state"].items():
        assert torch.equal(values["momentum_buffer"], momentum[position]["momentum_buffer"])
    assert sum(int(mask.sum()) for mask in sparsifier.masks.values()) == keep_count(192 + 128 + 32, 0.5)


def test_random_states_come_back_after_an_error_too():
    def broken():
        torch.randn(3)
        random.random()
        raise OSError("the disk is gone")
        yield

    torch.manual_seed(1)
    random.seed(1)
    before = torch.get_rng_state(), random.getstate()
    model = mlp()
    torch.set_rng_state(before[0])
    with pytest.raises(OSError, match="disk"):
        attached(SNIP(0.5, examples=Examples(broken)), model=model)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
