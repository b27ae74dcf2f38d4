"""Fused or not, a model computes and does the same: what a trace does not show is left alone."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import random
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import save_on_cpu
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from tamis.nn import fuse, is_fused, sparsify, unfuse

CALLS: list[int] = []
ACTIVATION = F.relu
OPTIONS = {"slope": 1.0}


class Block(nn.Module):
    """A convolution and its norm; subclasses say what is done with them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.bn = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)

    def forward(self, x):
        return self.block(x)

    def block(self, x):
        return torch.relu(self.bn(self.conv(x)))


def images(batch: int = 4) -> Tensor:
    return torch.randn(batch, 8, 6, 6, generator=torch.Generator().manual_seed(1))


def runs_fused(model: nn.Module, *args, **kwargs) -> bool:
    """Whether the fused code of this very module is used for a call."""
    return is_fused(model) and model._fused.code_for(args, kwargs) is not None


def alike(fused: nn.Module, plain: nn.Module, *args) -> None:
    torch.testing.assert_close(fused(*args), plain(*args), rtol=1e-4, atol=1e-5)


class NoGrad(Block):
    def forward(self, x):
        with torch.no_grad():
            y = self.block(x)
        return y * self.conv.weight.sum()


class NoGradHelper(Block):
    block = torch.no_grad()(Block.block)


class NoGradByHand(Block):
    def forward(self, x):
        before = torch.is_grad_enabled()
        torch.set_grad_enabled(False)
        y = self.block(x)
        torch.set_grad_enabled(before)
        return y


class AsksForGrad(Block):
    def forward(self, x):
        return self.block(x) if torch.is_grad_enabled() else self.block(-x)


class Autocast(Block):
    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = x @ x
        return self.block(x) + y


class AutocastHelper(Block):
    block = torch.autocast("cpu", dtype=torch.bfloat16)(Block.block)


class Checkpointed(Block):
    def forward(self, x):
        return checkpoint(self.block, x, use_reentrant=False)


class CheckpointedReentrantly(Block):
    def forward(self, x):
        return checkpoint(self.block, x, use_reentrant=True)


class SavesElsewhere(Block):
    def forward(self, x):
        with save_on_cpu():
            return self.block(x)


class Forks(Block):
    def forward(self, x):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return F.dropout(self.block(x), 0.5)


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1.0

    @staticmethod
    def backward(ctx, grad):
        return -grad


class OwnGradient(Block):
    def forward(self, x):
        return Reversed.apply(self.block(x))


class CatchesErrors(Block):
    def forward(self, x):
        try:
            pixels = int(x.shape[-1])
        except TypeError:
            pixels = 0
        return self.block(x) * pixels


class ShapeAsKey(Block):
    def forward(self, x):
        return self.block(x) * {8: 2.0}.get(x.shape[1], 1.0)


class ShapeInText(Block):
    def forward(self, x):
        return self.block(x) * {"8": 2.0}.get(f"{x.shape[1]}", 1.0)


class AsksForNumber(Block):
    def forward(self, x):
        return self.block(x) * (2.0 if isinstance(x.shape[0], int) else 1.0)


class AsksForType(Block):
    def forward(self, x):
        return self.block(x) * (2.0 if type(x) is Tensor else 1.0)


class OrderedOutput(Block):
    def forward(self, x):
        return OrderedDict(out=self.block(x))["out"] if x is None else OrderedDict(out=self.block(x))


class DecidedByBuffer(Block):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("warm", torch.zeros(()))

    def forward(self, x):
        return self.block(x) if self.warm > 0 else x


class DecidedByParameters(Block):
    def forward(self, x):
        return self.block(x.to(next(self.parameters()).dtype))


class DropsByNumpy(Block):
    def forward(self, x):
        return x if self.training and np.random.rand() < 0.5 else x + self.bn(self.conv(x))  # noqa: NPY002


class DropsByPython(Block):
    def forward(self, x):
        return x if self.training and random.random() < 0.5 else x + self.bn(self.conv(x))


class DropsByTorch(Block):
    def forward(self, x):
        return x if self.training and torch.rand(()) < 0.5 else x + self.bn(self.conv(x))


class DropsByOwnGenerator(Block):
    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(3)

    def forward(self, x):
        return x if torch.rand((), generator=self.generator) < 0.5 else x + self.bn(self.conv(x))


class DropsByNumpyGenerator(Block):
    def __init__(self) -> None:
        super().__init__()
        self.generator = np.random.default_rng(3)

    def forward(self, x):
        return x if self.generator.random() < 0.5 else x + self.bn(self.conv(x))


class KeepsFeatures(Block):
    def __init__(self) -> None:
        super().__init__()
        self.features = None
        self.history: list[Tensor] = []
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        y = self.block(x)
        self.features = y
        self.history.append(y)
        self.seen += 1
        return y


class KeepsHistory(Block):
    def __init__(self) -> None:
        super().__init__()
        self.history: list[Tensor] = []

    def forward(self, x):
        y = self.block(x)
        self.history.append(y)
        return y


class CountsInside(Block):
    def __init__(self) -> None:
        super().__init__()
        self.state = SimpleNamespace(calls={"n": 0})

    def forward(self, x):
        self.state.calls["n"] += 1
        return self.block(x)


class CountsGlobally(Block):
    def forward(self, x):
        CALLS.append(1)
        return self.block(x)


class CountsInProperty(Block):
    @property
    def scale(self):
        try:
            return 1.0 + len(CALLS)
        finally:
            CALLS.append(1)

    def forward(self, x):
        return self.block(x) * self.scale


class KeepsAndDepends(KeepsFeatures):
    """Depends on data, so it is never fused, and yet tried."""

    def forward(self, x):
        y = super().forward(x)
        return y if y.sum() > 0 else -y


LEFT_ALONE = [
    NoGrad, NoGradHelper, NoGradByHand, AsksForGrad, Autocast, AutocastHelper, Checkpointed, CheckpointedReentrantly,
    SavesElsewhere, Forks, OwnGradient, CatchesErrors, ShapeAsKey, ShapeInText, AsksForNumber, AsksForType,
    OrderedOutput, DecidedByBuffer, DecidedByParameters, DropsByNumpy, DropsByPython, DropsByTorch,
    DropsByOwnGenerator, DropsByNumpyGenerator, KeepsFeatures, KeepsHistory, CountsInside, CountsGlobally,
    CountsInProperty, KeepsAndDepends,
]  # fmt: skip


def content(value):
    """What can be compared of a module's attributes before and after, tensors and modules by identity."""
    if isinstance(value, dict):
        return {key: content(item) for key, item in value.items()}
    if isinstance(value, SimpleNamespace):
        return content(vars(value))
    return [id(item) for item in value] if isinstance(value, list) else id(value)


@pytest.mark.parametrize("kind", LEFT_ALONE)
def test_a_forward_that_does_more_than_its_graph_says_is_left_alone(kind):
    assert not is_fused(fuse(kind()))


@pytest.mark.parametrize("kind", LEFT_ALONE)
def test_trying_to_fuse_changes_nothing(kind):
    block = kind()
    block.generator_state = None
    before = content(vars(block))
    torch_state, python_state, calls = torch.get_rng_state(), random.getstate(), len(CALLS)
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    fuse(block)
    assert content(vars(block)) == before
    assert torch.equal(torch_state, torch.get_rng_state())
    assert python_state == random.getstate()
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002
    assert torch.is_grad_enabled()
    assert len(CALLS) == calls
    assert "__getattribute__" not in vars(nn.Module)


def test_a_frozen_backbone_stays_frozen():
    model = NoGrad()
    with torch.no_grad():
        model.conv.weight.mul_(torch.rand_like(model.conv.weight) > 0.8)
    sparsify(model)
    model(images()).sum().backward()
    assert model.conv.bias.grad is None


class Unet(Block):
    def forward(self, x, skip=None, *, scale: float = 1.0, **rest):
        if skip is not None:
            x = x + skip
        return self.block(x) * scale


def test_defaults_that_are_given_another_value_are_used():
    plain, x = Unet(), images()
    fused = fuse(copy.deepcopy(plain))
    assert runs_fused(fused, x)
    assert runs_fused(fused, x, None)
    assert runs_fused(fused, x=x, skip=None, scale=Unet.forward.__kwdefaults__["scale"])
    alike(fused, plain, x)
    alike(fused, plain, x, x)
    torch.testing.assert_close(fused(x, scale=3.0), plain(x, scale=3.0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fused(x, other=3.0), plain(x, other=3.0), rtol=1e-4, atol=1e-5)
    for wrong in [(), (x, None, x)]:
        with pytest.raises(TypeError):
            fused(*wrong)
    with pytest.raises(TypeError):
        fused(x, x=x)


class TakesLists(Block):
    def forward(self, x):
        if not isinstance(x, Tensor):
            x = torch.cat(x, 1)
        if hasattr(x, "tensors"):
            x = x.tensors
        return self.block(x)


def test_arguments_that_are_no_tensors_run_the_own_forward():
    plain = TakesLists()
    fused = fuse(copy.deepcopy(plain))
    x = images()
    assert runs_fused(fused, x)
    alike(fused, plain, x)
    alike(fused, plain, [x[:, :4], x[:, 4:]])


class Depends(Block):
    """Reads an attribute of every kind."""

    scale = 2.0

    def __init__(self) -> None:
        super().__init__()
        self.act, self._shift, self.sizes = F.relu, 1.0, [1, 2]
        self.config = SimpleNamespace(bias=0.5)
        self.extra, self.blocks = nn.ModuleList(), nn.ModuleList([nn.Identity()])
        self.last = None
        self.first = 0

    def forward(self, x):
        y = self.act(self.bn(self.conv(x))) * self.scale + self._shift + len(self.sizes) + self.config.bias
        y = self.blocks[self.first](y) + OPTIONS["slope"]
        for module in self.extra:
            y = module(y)
        for module in self.blocks:
            y = module(y)
        if self.last is not None:
            y = self.last(y)
        if isinstance(self.blocks[0], nn.Identity):
            y = y + 1
        return ACTIVATION(y) if self.norm_trains() else y - 1

    def norm_trains(self):
        return hasattr(self, "conv") and not hasattr(self, "skip")


CHANGES = {
    "a function in an attribute": lambda m: setattr(m, "act", F.gelu),
    "a class attribute": lambda m: setattr(m, "scale", 3.0),
    "a number of another type": lambda m: setattr(m, "first", False),
    "a private attribute": lambda m: setattr(m, "_shift", -1.0),
    "a list": lambda m: m.sizes.append(3),
    "a configuration": lambda m: setattr(m.config, "bias", -2.0),
    "an empty list of modules": lambda m: m.extra.append(nn.Tanh()),
    "a list of modules": lambda m: m.blocks.append(nn.Tanh()),
    "the class of a module": lambda m: m.blocks.__setitem__(0, nn.Tanh()),
    "an absent module": lambda m: setattr(m, "last", nn.Tanh()),
    "a missing attribute": lambda m: setattr(m, "skip", True),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_the_trace_has_read_may_change(change):
    plain, x = Depends(), images()
    fused = fuse(copy.deepcopy(plain))
    assert runs_fused(fused, x)
    alike(fused, plain, x)
    change(plain), change(fused)
    assert not runs_fused(fused, x)
    alike(fused, plain, x)


def test_global_names_that_the_trace_has_read_may_change(monkeypatch):
    plain, x = Depends(), images()
    fused = fuse(copy.deepcopy(plain))
    monkeypatch.setitem(globals(), "ACTIVATION", torch.tanh)
    alike(fused, plain, x)
    monkeypatch.undo()
    assert runs_fused(fused, x)
    monkeypatch.setitem(OPTIONS, "slope", 5.0)
    alike(fused, plain, x)
    monkeypatch.undo()
    monkeypatch.setattr(Depends, "norm_trains", lambda self: False)
    alike(fused, plain, x)
    monkeypatch.undo()
    monkeypatch.setattr(Depends, "forward", lambda self, x: self.block(x) * 7)
    alike(fused, plain, x)


class InPlace(Block):
    def forward(self, x):
        y = self.bn(self.conv(x))
        z = y
        z += x
        x = x * 1.0
        w = x.view(-1)
        x -= 1
        return F.relu(y) + z + w.view_as(x)


class NormOfView(Block):
    def forward(self, x):
        x = self.conv(x)
        y = self.bn(x.view_as(x))
        x += 1
        return F.relu(y + x)


class SharedNorm(Block):
    def forward(self, x):
        a, b = self.bn(self.conv(x)), self.bn(self.conv(x * 3 + 1))
        return F.relu(a + b.tanh())


class Drops(Block):
    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x, *rest, **more):
        n, c = x.shape[:2]
        return self.drop(self.block(x)).reshape(n, c, -1).transpose(1, 2)


class TrainsOtherwise(Block):
    def forward(self, x):
        return self.block(x) if self.training else self.block(x) * 2


@pytest.mark.parametrize("kind", [InPlace, NormOfView, SharedNorm, Drops, TrainsOtherwise])
@pytest.mark.parametrize("training", [True, False])
def test_other_code_computes_the_same(kind, training):
    plain = kind().train(training)
    fused = fuse(copy.deepcopy(plain))
    for batch in (4, 3):
        torch.manual_seed(0)
        y = plain(images(batch).requires_grad_())
        torch.manual_seed(0)
        torch.testing.assert_close(fused(images(batch).requires_grad_()), y, rtol=1e-4, atol=1e-5)
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(fused.state_dict()[key], value, rtol=1e-4, atol=1e-5)


def test_hooks_registered_after_fusing_are_called():
    block, seen = fuse(Block()), []
    block.register_forward_pre_hook(lambda *_: seen.append("block"))
    block.conv.register_forward_pre_hook(lambda *_: seen.append("conv"))
    block.bn.register_full_backward_hook(lambda *_: seen.append("bn"))
    block(images().requires_grad_()).sum().backward()
    assert seen == ["block", "conv", "bn"]


def test_global_backward_hooks_are_called():
    block, seen = fuse(Block()), []
    hook = nn.modules.module.register_module_full_backward_hook(lambda module, *_: seen.append(type(module)))
    try:
        block(images().requires_grad_()).sum().backward()
    finally:
        hook.remove()
    assert nn.BatchNorm2d in seen


def test_under_autocast_the_own_forward_runs():
    class Wide(Block):
        def forward(self, x):
            y = self.block(x).float()
            return y @ y

    plain = Wide().eval()
    fused = fuse(copy.deepcopy(plain))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert not runs_fused(fused, images())
        assert torch.equal(fused(images()), plain(images()))


def test_the_signature_of_forward_is_kept():
    fused = fuse(Unet())
    assert inspect.signature(fused.forward) == inspect.signature(Unet().forward)
    assert inspect.ismethod(fused.forward)
    assert fused.forward.__self__ is fused
    assert fused.forward.__code__ is not None


def test_a_fused_model_can_be_exported():
    model = Block().eval()
    with torch.no_grad():
        model.conv.weight.mul_(torch.rand_like(model.conv.weight) > 0.8)
    sparsify(model)
    assert is_fused(model)
    exported = torch.export.export(model, (images(),)).module()
    torch.testing.assert_close(exported(images()), model(images()), rtol=1e-4, atol=1e-5)


def test_copies_and_restored_models_are_fused_by_themselves():
    model, buffer = fuse(Unet()), io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    for twin in (copy.deepcopy(model), torch.load(buffer, weights_only=False)):
        assert repr(twin) == repr(model)
        assert runs_fused(twin, images())
        assert twin.forward.__self__ is twin
        with torch.no_grad():
            twin.bn.weight.zero_(), twin.bn.bias.zero_()
        assert float(twin(images()).detach().abs().max()) == 0.0
        assert set(vars(unfuse(twin))) == set(vars(Unet()))
    assert runs_fused(model, images())


def test_threads_fuse_a_restored_model_together():
    model = fuse(nn.Sequential(Block(), Block(), Block())).eval()
    wanted = model(images())
    for _ in range(5):
        twin = pickle.loads(pickle.dumps(model))
        with ThreadPoolExecutor(4) as pool:
            for y in pool.map(twin, [images()] * 4):
                torch.testing.assert_close(y, wanted)
        assert all(runs_fused(block, images()) for block in twin)


def test_a_forward_that_others_wrapped_is_kept():
    model = fuse(Block())
    inner = model.forward.__func__
    model.forward = lambda x: inner(model, x) + 1
    wanted = model(images())
    unfuse(model)
    torch.testing.assert_close(model(images()), wanted, rtol=1e-4, atol=1e-5)


def test_networks_are_fused_after_torch_compile_was_used():
    # from then on fx's way to trace lies in another frame
    torch.compile(nn.Linear(3, 3), backend="eager")(torch.randn(2, 3))
    assert "fused=(" in repr(fuse(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())))
