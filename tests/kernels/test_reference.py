"""The dense twin by itself: what it asks of PyTorch."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from tamis.kernels import reference
from tamis.kernels._geometry import ConvGeometry


class Strides(TorchDispatchMode):
    """Strides of the convolutions whose gradients PyTorch computes inside the block."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution_backward.default:
            self.found.append(tuple(args[4]))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "geometry",
    [
        ConvGeometry(size=(6, 18), stride=(1, 3)),
        ConvGeometry(size=(4, 17), stride=(1, 3), padding=(1, 1, 0, 1)),
        ConvGeometry(size=(7, 8), stride=(2, 2), padding=(0, 1, 2, 0), groups=2),
        ConvGeometry(size=(2, 2), stride=(3, 3)),
    ],
    ids=str,
)
def test_weight_gradients_of_one_tap_with_strides_are_those_of_the_picked_pixels(geometry, memory_format):
    # asked with strides, the oneDNN of PyTorch 2.13 corrupts memory: channels_last, 4 or 8 channels, several threads
    x = torch.randn(5, 4, *geometry.size).to(memory_format=memory_format)
    grad = torch.randn(5, 6, *geometry.output_size).to(memory_format=memory_format)
    shape = (6, 4 // geometry.groups, 1, 1)
    with Strides() as asked:
        found = reference.conv2d_grad_weight(grad, x, shape, geometry)
    assert asked.found == [(1, 1)]

    weight = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    top, bottom, left, right = geometry.padding
    padded = F.pad(x.double(), (left, right, top, bottom))
    y = F.conv2d(padded, weight, None, geometry.stride, groups=geometry.groups)
    (exact,) = torch.autograd.grad(y, weight, grad.double())
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5)
