"""The layers as a user meets them: torch's own layer with zeros, computed sparsely."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tamis.errors import UsageError
from tamis.nn import SparseConv1d, SparseConv2d, SparseLinear, compute_sparsely, pack_module, sparsify

CONV2D = {
    "plain": {"kernel_size": 3},
    "same": {"kernel_size": 3, "padding": "same"},
    "same, even kernel": {"kernel_size": (4, 2), "padding": "same", "dilation": (1, 3)},
    "valid": {"kernel_size": (3, 1), "padding": "valid", "stride": 3},
    "uneven": {"kernel_size": (3, 2), "padding": (2, 1), "stride": (1, 4), "dilation": (2, 1)},
    "reflect": {"kernel_size": 3, "padding": (2, 1), "padding_mode": "reflect"},
    "replicate": {"kernel_size": 3, "padding": 2, "padding_mode": "replicate", "stride": 2},
    "circular": {"kernel_size": (3, 5), "padding": "same", "padding_mode": "circular"},
    "grouped": {"kernel_size": 3, "groups": 2, "padding": 1},
    "depthwise": {"kernel_size": 3, "groups": 6, "padding": 1},
    "no bias": {"kernel_size": 1, "bias": False},
}


def assert_same_layer(dense, x):
    """Forward, gradient of input, weight and bias of ``dense`` with zeros, before and after packing."""
    mask = torch.rand_like(dense.weight) > 0.6
    with torch.no_grad():
        dense.weight.mul_(mask)
    sparse = copy.deepcopy(dense)
    pattern = pack_module(sparse, mask)
    results = []
    for layer in (dense, sparse):
        leaf = x.detach().requires_grad_()
        y = layer(leaf)
        y.square().sum().backward()
        results.append((y.detach(), leaf.grad, layer.weight.grad, None if layer.bias is None else layer.bias.grad))
    (y, grad_x, grad_w, grad_b), (sparse_y, sparse_grad_x, grad_values, sparse_grad_b) = results
    for got, expected in ((sparse_y, y), (sparse_grad_x, grad_x), (grad_values, pattern.pack(grad_w)),
                          (sparse_grad_b, grad_b)):  # fmt: skip
        if expected is not None:
            size = float(expected.abs().max()) if expected.numel() else 0.0
            torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5 * max(1.0, size))


# Even kernels with padding="same": torch itself warns that it pads a copy.
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("options", CONV2D.values(), ids=CONV2D)
@pytest.mark.parametrize("format", [torch.contiguous_format, torch.channels_last], ids=["NCHW", "channels_last"])
def test_conv2d_equals_torch(options, format):
    assert_same_layer(nn.Conv2d(6, 12, **options), torch.randn(3, 6, 9, 11).contiguous(memory_format=format))


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize(("kernel", "padding", "stride"), [(3, 1, 1), (4, "same", 1), (5, 3, 2), (1, "valid", 3)])
def test_conv1d_equals_torch(mode, kernel, padding, stride):
    assert_same_layer(nn.Conv1d(4, 6, kernel, stride, padding, groups=2, padding_mode=mode), torch.randn(3, 4, 13))


CHANGED = {
    "dilated as DeepLab does": ({"padding": 1}, {"padding": (2, 2), "dilation": (2, 2)}),
    "ints for pairs": ({"padding": 1}, {"padding": 2, "dilation": 2, "stride": 2}),
    "lists of one": ({}, {"padding": [1], "dilation": [2], "stride": [3]}),
    "from same to valid": ({"padding": "same"}, {"padding": "valid"}),
    "to same, dilated": ({"padding": "valid"}, {"padding": "same", "dilation": (1, 2)}),
    "reflected as it was made": ({"padding": 1, "padding_mode": "reflect"}, {"padding": (2, 2)}),
}


@pytest.mark.parametrize(("options", "changes"), CHANGED.values(), ids=CHANGED)
@pytest.mark.parametrize("cls", [nn.Conv1d, nn.Conv2d])
@pytest.mark.parametrize("before", [True, False], ids=["before packing", "after packing"])
def test_options_that_change_after_a_layer_was_made_are_followed(cls, options, changes, before):
    axes = 1 if cls is nn.Conv1d else 2
    changes = {key: value[:axes] if isinstance(value, tuple) else value for key, value in changes.items()}
    dense = cls(6, 8, 3, **options)
    mask = torch.rand_like(dense.weight) > 0.5
    dense.weight.data.mul_(mask)
    sparse = copy.deepcopy(dense)
    if not before:
        pack_module(sparse, mask)
    for layer in (dense, sparse):
        for key, value in changes.items():
            setattr(layer, key, value)
    if before:
        pack_module(sparse, mask)
    x = torch.randn(2, 6, *(9, 11)[:axes])
    torch.testing.assert_close(sparse(x), dense(x), rtol=1e-5, atol=1e-5)


def test_inference_follows_options_that_change_between_two_calls():
    net = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()).eval()
    net[0].weight.data.mul_(torch.rand_like(net[0].weight) > 0.8)
    packed = sparsify(copy.deepcopy(net))
    x = torch.randn(2, 4, 9, 9)
    with torch.no_grad():
        torch.testing.assert_close(packed(x), net(x), rtol=1e-5, atol=1e-5)
        for model in (net, packed):
            model[0].dilation = model[0].padding = (2, 2)
        torch.testing.assert_close(packed(x), net(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("change", [{"stride": (2, 2)}, {"dilation": (1, 1, 1)}], ids=["stride of same", "three axes"])
def test_options_that_do_not_fit_are_one_clear_error(change):
    layer = SparseConv2d(2, 3, 3, mask=torch.ones(3, 2, 3, 3) > 0, padding="same")
    vars(layer).update(change)
    with pytest.raises(UsageError, match="expected"):
        layer(torch.randn(1, 2, 5, 5))


@pytest.mark.parametrize("shape", [(4, 9), (2, 3, 9), (9,), (0, 9)], ids=str)
def test_linear_equals_torch(shape):
    assert_same_layer(nn.Linear(9, 7), torch.randn(shape))


def test_convolutions_take_single_pictures_as_torch_does():
    assert_same_layer(nn.Conv2d(4, 6, 3), torch.randn(4, 8, 8))
    assert_same_layer(nn.Conv1d(4, 6, 3), torch.randn(4, 8))


def test_the_result_follows_the_memory_format_of_the_input():
    layer = SparseConv2d(4, 6, 3, mask=torch.rand(6, 4, 3, 3) > 0.5)
    x = torch.randn(2, 4, 8, 8)
    assert layer(x).is_contiguous()
    assert layer(x.contiguous(memory_format=torch.channels_last)).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: SparseConv2d(4, 6, 3, mask=torch.ones(6, 4, 3, 3) > 0), (2, 5, 8, 8)),
        (lambda: SparseConv2d(4, 6, 3, mask=torch.ones(6, 4, 3, 3) > 0), (8, 8)),
        (lambda: SparseConv2d(4, 6, 3, mask=torch.ones(6, 4, 3, 3) > 0), (2, 4, 2, 8)),
        (lambda: SparseConv1d(4, 6, 3, mask=torch.ones(6, 4, 3) > 0), (2, 5, 8)),
        (lambda: SparseConv1d(4, 6, 3, mask=torch.ones(6, 4, 3) > 0), (1, 2, 4, 8)),
        (lambda: SparseLinear(4, 6, torch.ones(6, 4) > 0), (3, 5)),
    ],
)
def test_a_wrong_input_is_one_clear_error(layer, shape):
    with pytest.raises(UsageError, match=r"expected|does not fit"):
        layer()(torch.randn(shape))


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(UsageError, match="shape"):
        SparseLinear(4, 6, torch.ones(4, 6) > 0)


def test_the_description_says_how_many_weights_live():
    text = repr(SparseLinear(4, 2, torch.eye(2, 4) > 0))
    assert "SparseLinear(in_features=4, out_features=2, bias=True, live=2/8, sparsity=0.7500)" in text


def test_packed_layers_are_instances_of_the_dense_classes():
    assert isinstance(SparseLinear(4, 2, torch.eye(2, 4) > 0), nn.Linear)
    assert isinstance(SparseConv2d(1, 1, 1, mask=torch.ones(1, 1, 1, 1) > 0), nn.Conv2d)
    assert isinstance(SparseConv1d(1, 1, 1, mask=torch.ones(1, 1, 1) > 0), nn.Conv1d)


def test_re_initialising_a_packed_layer_is_refused():
    with pytest.raises(UsageError, match="cannot be re-initialised"):
        SparseLinear(4, 2, torch.eye(2, 4) > 0).reset_parameters()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_layer_moved_to_another_dtype_keeps_working(dtype):
    layer = SparseConv2d(4, 6, 3, mask=torch.rand(6, 4, 3, 3) > 0.5, padding=1).to(dtype)
    x = torch.randn(2, 4, 5, 5, dtype=dtype, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    expected = nn.functional.conv2d(x, layer.dense_weight(), layer.bias, padding=1)
    assert y.dtype == x.grad.dtype == layer.weight.grad.dtype == dtype
    torch.testing.assert_close(y, expected, rtol=0, atol=0)


def test_a_transformer_encoder_runs_its_packed_layers_in_inference():
    """torch's fused encoder would hand the packed weight to dense kernels."""
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2, enable_nested_tensor=False
    ).eval()
    with torch.no_grad():
        for layer in encoder.layers:
            layer.linear1.weight.mul_(torch.rand_like(layer.linear1.weight) > 0.8)
    x = torch.randn(2, 5, 16)
    with torch.no_grad():
        expected = encoder(x)
        sparsify(encoder)
        assert isinstance(encoder.layers[0].linear1, SparseLinear)
        torch.testing.assert_close(encoder(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_transformer_encoder_runs_its_packed_layers_on_padded_sequences():
    """In inference torch turns a padded batch into a nested tensor, and returns zeros where it was padded."""
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2).eval()
    for layer in encoder.layers:
        layer.linear1.weight.data.mul_(torch.rand_like(layer.linear1.weight) > 0.8)
    packed = sparsify(copy.deepcopy(encoder))
    assert isinstance(packed.layers[0].linear1, SparseLinear)
    x, padding = torch.randn(3, 5, 16), torch.zeros(3, 5, dtype=torch.bool)
    padding[0, 3:] = True
    with torch.no_grad():
        expected = encoder(x, src_key_padding_mask=padding)
        torch.testing.assert_close(packed(x, src_key_padding_mask=padding), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged], ids=["strided", "jagged"])
@pytest.mark.parametrize("convert", [pack_module, compute_sparsely], ids=["packed", "sparse forward"])
def test_a_linear_layer_takes_nested_tensors_as_torch_does(layout, convert):
    dense = nn.Linear(8, 4)
    mask = torch.rand_like(dense.weight) > 0.5
    dense.weight.data.mul_(mask)
    sparse = copy.deepcopy(dense)
    convert(sparse, mask)
    results = []
    for layer in (dense, sparse):
        parts = [torch.ones(2, 8), torch.arange(40.0).reshape(5, 8) / 40]
        nested = torch.nested.nested_tensor(parts, layout=layout, requires_grad=True)
        y = layer(nested)
        assert y.is_nested
        assert y.layout == layout
        torch.cat(y.unbind()).square().sum().backward()
        results.append((torch.cat(y.unbind()), torch.cat(nested.grad.unbind())))
    torch.testing.assert_close(results[1], results[0], rtol=1e-5, atol=1e-5)
