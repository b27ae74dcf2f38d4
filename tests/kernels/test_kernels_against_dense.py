"""Every operation x shape x instruction set x panel layout x memory format, against the dense float64 twin."""

from __future__ import annotations

import pytest
import torch

from kernels.dense_twin import Case, NativeCalls, check
from tamis.kernels import choices

CASES = {
    "odd sizes": Case(3, 5, 7, (9, 11)),
    "one image": Case(1, 6, 9, (13, 10)),
    "one pixel": Case(9, 8, 12, (1, 1), (1, 1), padding=(0, 0, 0, 0)),
    "one pixel of one image": Case(1, 80, 37, (1, 1), (1, 1), padding=(0, 0, 0, 0), sparsity=0.8),
    "one pixel of one image, grouped": Case(1, 80, 36, (1, 1), (1, 1), padding=(0, 0, 0, 0), groups=4),
    "one pixel of two images": Case(2, 80, 37, (1, 1), (1, 1), padding=(0, 0, 0, 0), sparsity=0.8),
    "one channel": Case(4, 1, 1, (6, 6)),
    "1x1": Case(17, 33, 20, (7, 7), (1, 1), padding=(0, 0, 0, 0)),
    "1x1 stride 2": Case(5, 8, 8, (14, 14), (1, 1), (2, 2), (0, 0, 0, 0)),
    "3x3 many images": Case(33, 16, 24, (4, 4)),
    "many channels in blocks": Case(8, 300, 40, (4, 4), sparsity=0.9),
    "wider than one register tile": Case(2, 3, 4, (5, 300)),
    "stem 7x7 stride 2": Case(2, 3, 8, (30, 31), (7, 7), (2, 2), (3, 3, 3, 3)),
    "stride 3 and 4": Case(4, 4, 5, (14, 17), (3, 3), (3, 4)),
    "stride beyond the kernel": Case(3, 4, 4, (17, 16), (2, 1), (5, 3), (0, 0, 0, 0)),
    "non-square everything": Case(3, 4, 6, (8, 15), (5, 2), (2, 1), (2, 1, 0, 3), (1, 2)),
    "dilation": Case(2, 4, 6, (15, 15), (3, 3), (1, 1), (2, 2, 3, 3), (2, 3)),
    "padding beyond the picture": Case(2, 3, 4, (2, 3), (3, 3), (1, 1), (4, 4, 5, 5)),
    "grouped": Case(6, 12, 8, (6, 7), groups=4),
    "depthwise": Case(4, 10, 10, (9, 9), groups=10, sparsity=0.3),
    "depthwise with multiplier": Case(4, 5, 15, (8, 8), groups=5, stride=(2, 2)),
    "no live weight": Case(5, 6, 7, (5, 6), sparsity=1.0),
    "every weight alive": Case(5, 6, 7, (5, 6), sparsity=0.0),
    "empty batch": Case(0, 3, 4, (6, 6)),
    "one row": Case(6, 7, 8, (1, 37), (1, 5), (1, 2), (0, 0, 2, 2)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_forward_and_gradients_equal_the_dense_twin(case, each_isa, each_layout, each_format):
    check(case, case.input().contiguous(memory_format=each_format))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_dense_side_of_the_choice_equals_the_dense_twin(case):
    choices.mode = "dense"
    with NativeCalls() as calls:
        check(case, case.input())
    assert not [name for name in calls.names if name.startswith("conv")]


def test_the_native_kernels_ran():
    with NativeCalls() as calls:
        check(CASES["odd sizes"], CASES["odd sizes"].input())
    assert calls.names == ["conv_forward", "transpose_pattern", "conv_gradients"]


@pytest.mark.parametrize("grad_format", [torch.contiguous_format, torch.channels_last], ids=["NCHW", "channels_last"])
def test_a_gradient_in_another_format_than_the_input(each_isa, each_layout, each_format, grad_format):
    case = Case(18, 6, 5, (7, 6))
    grad = torch.randn(18, 5, 7, 6).contiguous(memory_format=grad_format)
    check(case, case.input().contiguous(memory_format=each_format), grad=grad)


@pytest.mark.parametrize("images", [2, 20])
def test_expanded_gradients(images, each_isa, each_layout):
    case = Case(images, 6, 5, (7, 6))
    check(case, case.input(), grad=torch.ones(()).expand(images, 5, 7, 6))
    check(case, case.input(), grad=torch.randn(images, 5, 1, 1).expand(images, 5, 7, 6))


@pytest.mark.parametrize("images", [2, 20])
def test_transposed_offset_and_strided_views(images, each_isa, each_layout):
    case = Case(images, 6, 5, (7, 6))
    check(case, torch.randn(6, images, 7, 6).transpose(0, 1))
    check(case, torch.randn(images, 6, 6, 7).transpose(2, 3))
    check(case, torch.randn(7, 6, 6, images).permute(3, 2, 0, 1))
    check(case, torch.randn(images + 1, 8, 9, 9)[1:, 2:, 1:8, 3:])
    check(case, torch.randn(images, 6, 14, 18)[:, :, ::2, ::3])
    check(case, torch.randn(1, 6, 7, 6).expand(images, 6, 7, 6))
    check(case, torch.randn(images, 1, 7, 1).expand(images, 6, 7, 6))


def test_more_than_32767_live_weights_in_one_output_channel(each_isa, each_layout):
    case = Case(2, 4100, 2, (4, 3), sparsity=0.0)
    assert case.mask()[0].sum() > 32767
    check(case, case.input())


def test_a_layer_with_one_live_weight_per_group_end(each_isa, each_layout):
    case = Case(19, 12, 6, (5, 5), groups=3)
    mask = torch.zeros(case.weight_shape, dtype=torch.bool)
    mask[::2, -1, -1, -1] = True
    check(case, case.input(), mask=mask)
