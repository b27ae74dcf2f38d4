"""Batch norm with residual and activation in one operation, against torch's three."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from tamis.errors import UsageError
from tamis.kernels import format_of, in_format, norm_act

FORMATS = {"NCHW": 0, "batch-last": 1, "channels_last": 2}
ACTIVATIONS = {"none": lambda z: z, "relu": F.relu, "relu6": F.relu6}
SHAPES = [(2, 3, 4, 5), (1, 5, 3, 3), (64, 4, 7, 7), (17, 3, 1, 1), (3, 1, 1, 33), (16, 2, 32, 32)]


class Case:
    """Operands of one call, in a memory format, and the same in float64 for torch."""

    def __init__(self, shape, format, *, residual=True, affine=True, shift=0.0, seed=0):
        g = torch.Generator().manual_seed(seed)
        channels = shape[1]

        def leaf(*size, scale=1.0, offset=0.0):
            return torch.randn(*size, generator=g) * scale + offset

        def image():
            return in_format(leaf(*shape, offset=shift), FORMATS[format]).requires_grad_()

        self.y = image()
        self.residual = image() if residual else None
        self.weight = leaf(channels, offset=1.0).requires_grad_() if affine else None
        self.bias = leaf(channels, scale=0.3).requires_grad_() if affine else None
        self.mean, self.var = leaf(channels), leaf(channels).abs() + 0.5
        self.grad = in_format(leaf(*shape), FORMATS[format])

    def leaves(self):
        return [t for t in (self.y, self.residual, self.weight, self.bias) if t is not None]

    def ours(self, activation, training):
        mean, var = self.mean.clone(), self.var.clone()
        z = norm_act(
            self.y, weight=self.weight, bias=self.bias, running_mean=mean, running_var=var, training=training,
            momentum=0.2, residual=self.residual, activation=activation,
        )  # fmt: skip
        return z, mean, var, torch.autograd.grad(z, self.leaves(), self.grad)

    def exact(self, activation, training):
        twin = {name: None if t is None else t.detach().double().requires_grad_() for name, t in vars(self).items()}
        mean, var = twin["mean"].detach().clone(), twin["var"].detach().clone()
        z = F.batch_norm(twin["y"], mean, var, twin["weight"], twin["bias"], training, 0.2)
        z = ACTIVATIONS[activation](z if twin["residual"] is None else z + twin["residual"])
        leaves = [t for name, t in twin.items() if name in ("y", "residual", "weight", "bias") and t is not None]
        return z, mean, var, torch.autograd.grad(z, leaves, twin["grad"].detach())


def close(got, exact, relative):
    got, exact = got.detach(), exact.detach()
    scale = max(float(exact.abs().max()), 1e-3) if exact.numel() else 1.0
    assert got.shape == exact.shape
    assert not got.numel() or float((got.double() - exact).abs().max()) <= relative * scale


def compare(case, activation, training, relative=1e-5, relative_gradients=1e-4):
    z, mean, var, gradients = case.ours(activation, training)
    exact = case.exact(activation, training)
    assert z.dtype == torch.float32
    assert format_of(z) == format_of(case.y)
    close(z, exact[0], relative)
    close(mean, exact[1], relative)
    close(var, exact[2], relative)
    for got, wanted in zip(gradients, exact[3], strict=True):
        close(got, wanted, relative_gradients)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("residual", [False, True], ids=["alone", "residual"])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_three_operations_of_torch(each_isa, shape, format, residual, activation):
    for training in (True, False):
        compare(Case(shape, format, residual=residual), activation, training)


@pytest.mark.parametrize("format", FORMATS)
def test_without_scale_and_shift(each_isa, format):
    compare(Case((5, 3, 4, 4), format, affine=False), "relu", True)


@pytest.mark.parametrize("format", FORMATS)
def test_a_large_mean_does_not_eat_the_variance(each_isa, format):
    # What float32 sums of squares would lose: values near 1000 with a spread of 1.
    case = Case((16, 3, 9, 9), format, residual=False, shift=1000.0)
    z, _, _, _ = case.ours("none", True)
    wanted = F.batch_norm(case.y.detach().double(), None, None, case.weight.double(), case.bias.double(), True)
    close(z, wanted, 1e-4)  # the inputs themselves are rounded to 6e-5 of their spread


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 40), c=st.integers(1, 6), h=st.integers(1, 9), w=st.integers(1, 9),
    format=st.sampled_from(list(FORMATS)), residual=st.booleans(), activation=st.sampled_from(list(ACTIVATIONS)),
    training=st.booleans(), seed=st.integers(0, 1000),
)  # fmt: skip
def test_any_shape(n, c, h, w, format, residual, activation, training, seed):
    if training and n * h * w < 4:  # two values have a gradient of pure cancellation
        return
    compare(Case((n, c, h, w), format, residual=residual, seed=seed), activation, training, 2e-5, 5e-4)


def test_strides_that_are_no_format_are_copied():
    case = Case((4, 6, 5, 5), "NCHW")
    y = case.y.detach()[:, ::2].requires_grad_()
    z = norm_act(y, training=True, activation="relu")
    close(z, F.relu(F.batch_norm(y.double(), None, None, training=True)), 1e-5)
    (gradient,) = torch.autograd.grad(z.sum(), [y])  # an expanded gradient
    assert gradient.shape == y.shape


def test_results_do_not_depend_on_threads():
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(Case((7, 5, 33, 31), "NCHW").ours("relu", True))
    for other in found[1:]:
        assert torch.equal(found[0][0], other[0])
        assert all(torch.equal(a, b) for a, b in zip(found[0][3], other[3], strict=True))


def test_a_single_value_per_channel_is_an_error_as_in_torch():
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        norm_act(torch.ones(1, 3, 1, 1), training=True)


def test_wrong_arguments_are_named():
    y = torch.ones(2, 3, 2, 2)
    with pytest.raises(UsageError, match="gelu"):
        norm_act(y, activation="gelu")
    with pytest.raises(UsageError, match="weight"):
        norm_act(y, weight=torch.ones(4))
    with pytest.raises(UsageError, match="residual"):
        norm_act(y, residual=torch.ones(2, 3, 2, 1))
    with pytest.raises(UsageError, match="running_mean"):
        norm_act(y, training=False)
    with pytest.raises(UsageError, match="shape"):
        norm_act(torch.ones(2, 3))


def test_changing_a_saved_tensor_is_noticed_and_a_second_derivative_refused():
    case = Case((2, 3, 4, 4), "NCHW")
    y = case.y * 1
    z = norm_act(y, residual=case.residual, activation="relu")
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()
    z = norm_act(case.y, activation="relu")
    (gradient,) = torch.autograd.grad(z.square().sum(), [case.y], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_an_empty_batch_and_other_types_go_through_torch():
    empty = norm_act(torch.ones(0, 3, 2, 2), running_mean=torch.zeros(3), running_var=torch.ones(3), training=False)
    assert empty.shape == (0, 3, 2, 2)
    assert norm_act(torch.randn(2, 3, 2, 2, dtype=torch.float64)).dtype == torch.float64
