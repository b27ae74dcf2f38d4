"""torch.compile sees whole graphs, in training too, and no stale pattern."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tamis.kernels import choices
from tamis.nn import SparseConv1d, SparseConv2d, SparseLinear, compute_sparsely, sparsify

# torch's own tracing raises these while it inspects code.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


LAYERS = {
    "linear": (lambda: SparseLinear(9, 7, torch.rand(7, 9) > 0.5), (4, 9)),
    "conv1d": (lambda: SparseConv1d(4, 6, 3, mask=torch.rand(6, 4, 3) > 0.5, stride=2, padding="valid"), (3, 4, 11)),
    "conv2d": (lambda: SparseConv2d(4, 6, 3, mask=torch.rand(6, 2, 3, 3) > 0.5, padding=1, groups=2), (3, 4, 8, 7)),
    "circular": (
        lambda: SparseConv2d(4, 6, 3, mask=torch.rand(6, 4, 3, 3) > 0.5, padding=1, padding_mode="circular"),
        (3, 4, 8, 7),
    ),
}


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize(("build", "shape"), LAYERS.values(), ids=LAYERS)
def test_a_compiled_layer_is_one_graph_and_equals_eager(build, shape, backend):
    layer = build()
    compiled = torch.compile(layer, fullgraph=True, backend=backend)
    x = torch.randn(shape, requires_grad=True)
    y = compiled(x)
    y.square().sum().backward()
    got = (y.detach(), x.grad, layer.weight.grad, layer.bias.grad)
    x.grad = layer.weight.grad = layer.bias.grad = None
    y = layer(x)
    y.square().sum().backward()
    for one, other in zip(got, (y.detach(), x.grad, layer.weight.grad, layer.bias.grad), strict=True):
        assert torch.equal(one, other)


def small_net():
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.Flatten(),
                        nn.Linear(8 * 9, 5))  # fmt: skip
    return sparsify(net, {name: torch.rand_like(net.get_submodule(name).weight) > 0.7 for name in "024"})


def test_a_compiled_training_run_equals_the_eager_one():
    losses = []
    for compiled in (False, True):
        net = small_net()
        run = torch.compile(net, fullgraph=True, backend="aot_eager") if compiled else net
        optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
        torch.manual_seed(4)
        losses.append([])
        for _ in range(4):
            x, target = torch.randn(6, 3, 8, 8), torch.randint(5, (6,))
            loss = nn.functional.cross_entropy(run(x), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    assert losses[0] == losses[1]


def test_a_compiled_layer_follows_a_new_mask_of_the_same_size():
    torch.manual_seed(0)
    layer = SparseLinear(8, 6, torch.arange(48).reshape(6, 8) % 2 == 0, bias=False)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    compiled(torch.randn(2, 8, requires_grad=True)).sum().backward()
    other = SparseLinear(8, 6, torch.arange(48).reshape(6, 8) % 2 == 1, bias=False)
    layer.load_state_dict(other.state_dict())
    x = torch.randn(2, 8, requires_grad=True)
    y = compiled(x)
    y.sum().backward()
    weight = other.dense_weight().detach()
    torch.testing.assert_close(y, x.detach() @ weight.T, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(x.grad, weight.sum(0).expand(2, 8), rtol=1e-6, atol=1e-6)


def test_a_compiled_layer_serves_other_batch_sizes():
    layer = SparseConv2d(4, 6, 3, mask=torch.rand(6, 4, 3, 3) > 0.5, padding=1)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
    for images in (2, 5, 17):
        x = torch.randn(images, 4, 6, 6)
        assert torch.equal(compiled(x), layer(x))


@pytest.mark.parametrize("make", [lambda: nn.Linear(12, 8), lambda: nn.Conv2d(3, 8, (2, 2))])
def test_a_dense_layer_that_computes_sparsely_is_one_graph_for_every_mask(make):
    layer = make()
    x = torch.randn(4, 12) if isinstance(layer, nn.Linear) else torch.randn(4, 3, 5, 5)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for share in (0.3, 0.6, 0.5):
        compute_sparsely(layer, torch.rand(layer.weight.shape) < share)
        results = []
        for run in (compiled, layer):
            layer.zero_grad()
            y = run(x)
            y.square().sum().backward()
            results.append((y.detach(), layer.weight.grad.clone(), layer.bias.grad.clone()))
        assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


class Shortcut(nn.Module):
    """Two convolutions with norms; the second one adds the input, the third one adds one number per channel."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular"), nn.BatchNorm2d(8)
        self.conv3, self.bn3 = nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)
        self.shift = nn.Parameter(torch.randn(8, 1, 1))

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)) + x)
        return self.bn3(self.conv3(y)) + self.shift


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("mode", ["sparse", "dense", "measure"])
@pytest.mark.parametrize("batch", [3, 16])
def test_a_compiled_fused_model_in_inference_is_one_graph_that_follows_every_change(context, mode, batch, monkeypatch):
    monkeypatch.setattr(choices, "mode", mode)
    net = Shortcut()
    names = ("conv1", "conv2", "conv3")
    sparsify(net, {name: torch.rand(net.get_submodule(name).weight.shape) < 0.4 for name in names})
    net.eval()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    x = torch.randn(batch, 8, 7, 6)

    def check():
        with context():
            torch.testing.assert_close(compiled(x), net(x), rtol=1e-5, atol=1e-5)

    check()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.5)
        net.bn1.running_var.mul_(2)
    check()
    net.conv1.weight.data.mul_(2)  # nothing counts this; a graph has folded nothing that it could keep
    net.bn1.weight.data.add_(0)
    with torch.enable_grad():
        net(x)
    check()
    other = sparsify(Shortcut(), {"conv1": torch.rand(8, 8, 3, 3) < 0.4})
    net.conv1, net.bn1 = other.conv1.eval(), other.bn1.eval()
    check()
