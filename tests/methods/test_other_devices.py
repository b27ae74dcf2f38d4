"""Methods and packed layers where the model computes: the kernels are for the CPU, masks must hold anywhere.

The cases of a GPU run where PyTorch finds one, and are skipped by name elsewhere.
"""

from __future__ import annotations

import copy

import pytest
import torch
from method_runs import OPTIMIZERS, batch, convnet, examples
from torch import nn
from torch.nn import functional as F

from tamis.methods import METHODS, Examples
from tamis.nn import densify, is_packed, prunable_modules, sparsify
from tamis.sparsity import NM, acdc_phases

STEPS, SHAPE = 16, (2, 6, 6)
LENGTH = {"total_steps": STEPS}
FISHER = {**LENGTH, "events": 3, "gradients": 12, "damping": 1e-3}
OPTIONS = {
    "acdc": {**LENGTH, "schedule": acdc_phases(STEPS, 2, 3, 2, 2, 4)},
    "oneshot": {}, "randompruning": {}, "static": {}, "snip": {}, "grasp": {}, "wanda": {}, "sparsegpt": {},
    "synflow": {"input_shape": SHAPE, "rounds": 5},
    "set": {**LENGTH, "every": 4}, "rigl": {**LENGTH, "every": 4}, "snfs": {**LENGTH, "every": 4},
    "srigl": {**LENGTH, "every": 4}, "topkast": {"every": 4}, "dpf": {**LENGTH, "every": 3},
    "str": {**LENGTH, "initial_logit": -3.0, "trim": True},
    "srste": {**LENGTH, "pattern": NM(1, 2)},
    "woodfisher": {**FISHER, "block": 8}, "mfac": {**FISHER, "block": 64}, "obert": {**FISHER, "block": 8},
    "cap": {**FISHER, "block": 8},
}  # fmt: skip


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("PyTorch finds no GPU here")
    return torch.device(request.param)


def built(method, device):
    data = examples(SHAPE)
    moved = Examples(lambda: ((x.to(device), y.to(device)) for x, y in data.batches()))
    sparsity = 0.5 if method in ("srste", "ltht", "lrr", "lotteryticket") else 0.6
    own = {} if method == "ltht" else {"exclude": ()}
    return METHODS[method](sparsity, examples=moved, packed=False, **own, **OPTIONS.get(method, LENGTH))


def build(method, device, model=None):
    model = convnet().to(device) if model is None else model
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = built(method, device)
    return model, optimizer, sparsifier.attach(model, optimizer)


def train(model, optimizer, steps, device):
    for step in steps:
        inputs, labels = (part.to(device) for part in batch(step, SHAPE))
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        yield step


@pytest.mark.parametrize("method", METHODS)
def test_masks_hold_and_a_resumed_run_has_the_same_ones_where_the_model_is(method, device):
    model, optimizer, sparsifier = build(method, device)
    layers = prunable_modules(model)
    for step in train(model, optimizer, range(STEPS), device):
        for name, mask in sparsifier.masks.items():
            assert mask.device.type == device.type == layers[name].weight.device.type
            assert not layers[name].weight[~mask].any()
        if step == 8:
            stored = [copy.deepcopy(part.state_dict()) for part in (sparsifier, model, optimizer)]
            kept = {name: mask.clone() for name, mask in sparsifier.masks.items()}
    again, other, resumed = build(method, device)
    for part, state in zip((resumed, again, other), stored, strict=True):
        part.load_state_dict(state)
    assert kept.keys() == resumed.masks.keys()
    assert all(torch.equal(kept[name], mask) for name, mask in resumed.masks.items())
    assert len(list(train(again, other, range(9, STEPS), device))) == STEPS - 9

    allowed = {name: int(mask.sum()) for name, mask in sparsifier.masks.items()}
    sizes = {name: layers[name].weight.numel() for name in allowed}
    neurons = sum(len(layers[name].weight) for name in allowed)  # a constant fan-in rounds in each
    most = (1 - sparsifier.sparsity) * sum(sizes.values()) + neurons
    assert method == "str" or sum(allowed.values()) <= most  # STR is cut off at its end
    sparsifier.finalize()
    live = {name: int(layers[name].weight.count_nonzero()) for name in allowed}
    assert all(live[name] <= allowed[name] for name in allowed)
    assert sum(live.values()) <= most


def test_packed_layers_that_are_moved_compute_as_dense_ones(device):
    model = convnet()
    with torch.no_grad():
        for layer in prunable_modules(model).values():
            layer.weight *= torch.rand(layer.weight.shape) > 0.8
    packed = sparsify(copy.deepcopy(model), {n: layer.weight != 0 for n, layer in prunable_modules(model).items()})
    assert all(is_packed(layer) for layer in prunable_modules(packed).values())
    model, packed = model.to(device), packed.to(device)
    x = batch(0, SHAPE)[0].to(device)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    out, expected = packed(ours), model(theirs)
    # cuDNN may convolve in TF32, whose ten bits bound the agreement on a GPU
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    (out**2).sum().backward()
    (expected**2).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-3)
    gradients = {name: layer.weight.grad for name, layer in prunable_modules(densify(packed)).items()}
    for name, layer in prunable_modules(model).items():
        torch.testing.assert_close(gradients[name], layer.weight.grad * (layer.weight != 0), rtol=1e-3, atol=1e-3)


def test_a_sparse_model_elsewhere_stays_dense_and_the_user_is_told(device):
    model = convnet().to(device)
    for layer in prunable_modules(model).values():
        nn.init.zeros_(layer.weight)
        nn.init.ones_(layer.weight[0])
    if device.type == "cpu":
        assert is_packed(sparsify(model)[0])
        return
    with pytest.warns(UserWarning, match="move the model there with model.cpu"):
        sparsify(model)
    assert not any(is_packed(module) for module in model.modules())


def test_a_model_that_a_gpu_trained_serves_packed_on_the_cpu(device):
    model, optimizer, sparsifier = build("gmp", device)
    list(train(model, optimizer, range(STEPS), device))
    plain = sparsifier.finalize().eval()
    x = batch(99, SHAPE)[0]
    expected = plain(x.to(device)).cpu()
    served = sparsify(plain.cpu())
    torch.testing.assert_close(served(x), expected, rtol=1e-3, atol=1e-4)
