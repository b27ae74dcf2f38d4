"""The gradients and blocks behind WoodFisher, M-FAC, oBERT and CAP."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from method_runs import convnet, examples, mlp
from torch import nn
from torch.nn import functional as F

from tamis.errors import UsageError
from tamis.methods import Examples
from tamis.methods._fisher_blocks import BlockLayout, GradientSource, block_groups, measure_blocks, undisturbed


def source_of(model, names, data, gradients, batch=1, masks=None):
    weights = {name: model.get_submodule(name).weight for name in names}
    return GradientSource(model, weights, masks or {}, data, gradients, batch)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4), block=st.none() | st.integers(1, 6),
    cut=st.integers(1, 5),
)  # fmt: skip
def test_blocks_hold_every_weight_once_and_bring_it_back(sizes, block, cut):
    layout = BlockLayout({str(i): (n,) for i, n in enumerate(sizes)}, block)
    tensors = {str(i): torch.arange(1.0, n + 1) + 100 * i for i, n in enumerate(sizes)}
    parts = [
        layout.gather(tensors, a, min(a + cut, layout.blocks), torch.float64) for a in range(0, layout.blocks, cut)
    ]
    assert all(part.shape[1] == layout.length for part in parts)
    assert sum(int((part != 0).sum()) for part in parts) == sum(sizes)
    back = layout.scatter(parts)
    assert all(torch.equal(back[name], tensors[name].double()) for name in tensors)
    assert layout.layers(0, layout.blocks) == list(tensors)


def test_a_block_never_holds_weights_of_two_layers_unless_it_holds_all():
    layout = BlockLayout({"a": (2, 2), "b": (3,)}, 3)
    tensors = {"a": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "b": torch.tensor([5.0, 6.0, 7.0])}
    assert layout.gather(tensors, 0, 3, torch.float64).tolist() == [[1, 2, 3], [4, 0, 0], [5, 6, 7]]
    whole = BlockLayout({"a": (2, 2), "b": (3,)}, None)
    assert whole.gather(tensors, 0, 1, torch.float64).tolist() == [[1, 2, 3, 4, 5, 6, 7]]


@pytest.mark.parametrize(("batch", "gradients"), [(1, 5), (3, 4), (40, 3), (5, 25)])
@pytest.mark.parametrize("explicit", [True, False])
def test_all_gradients_enter_and_each_is_the_mean_of_its_batch(batch, gradients, explicit):
    model, data = mlp(), examples()
    inputs, targets = (torch.cat(parts) for parts in zip(*data.batches(), strict=True))
    model.eval()
    wanted = []
    for i in range(gradients):
        part = slice(i * batch, (i + 1) * batch)
        loss = F.cross_entropy(model(inputs[part]), targets[part])
        wanted.append(torch.autograd.grad(loss, model[5].weight)[0].flatten())
    wanted = torch.stack(wanted).double()
    layout = BlockLayout({"5": (4, 16)}, 16)
    sums = measure_blocks(layout, (1, 3), source_of(model, ["5"], data, gradients, batch), explicit)
    assert sums.samples == gradients
    for i, block in enumerate((1, 2)):
        expected = wanted[:, 16 * block : 16 * block + 16]
        if explicit:
            torch.testing.assert_close(sums.products[i], expected.T @ expected, rtol=1e-5, atol=1e-9)
        else:
            torch.testing.assert_close(sums.gradients[i], expected, rtol=1e-5, atol=1e-7)


def test_more_gradients_than_the_buffer_holds_are_summed_in_several_products():
    model, data = mlp(), examples(batches=5)
    layout = BlockLayout({"5": (4, 16)}, 4)
    source = source_of(model, ["5"], data, 150)  # the buffer holds 64
    products = measure_blocks(layout, (0, 16), source, True).products
    rows = measure_blocks(layout, (0, 16), source, False).gradients
    assert rows.shape == (16, 150, 4)
    torch.testing.assert_close(products, rows.transpose(1, 2) @ rows, rtol=1e-12, atol=1e-15)


def test_a_short_stream_gives_the_whole_batches_that_it_has():
    model, layout = mlp(), BlockLayout({"5": (4, 16)}, 64)
    for batch, expected in ((1, 32), (10, 3), (33, 1)):
        source = source_of(model, ["5"], examples(batches=1), 400, batch)
        assert measure_blocks(layout, (0, 1), source, True).samples == expected


def test_looking_at_gradients_leaves_the_model_as_it_was():
    model = convnet()
    model.insert(3, nn.Dropout(0.5))
    model.train()
    model[1].eval()
    model[0].weight.requires_grad_(False)
    model[4].weight.grad = torch.ones_like(model[4].weight)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(3)
    state = torch.get_rng_state()
    data = Examples(lambda: ((torch.randn(4, 2, 6, 6), torch.randint(4, (4,))) for _ in range(3)))
    source = source_of(model, ["0", "4"], data, 12)
    with torch.no_grad():
        first, second = (list(source.stream(["0", "4"])) for _ in range(2))
        assert not torch.is_grad_enabled()
    assert len(first) == 12
    assert all(torch.equal(a[n], b[n]) for a, b in zip(first, second, strict=True) for n in a)  # shuffled alike
    assert bool(first[0]["0"].any())
    assert torch.equal(torch.get_rng_state(), state)
    assert [m.training for m in model] == [True, False, *[True] * 6]
    assert not model[0].weight.requires_grad
    assert model[0].weight.grad is None
    assert torch.equal(model[4].weight.grad, torch.ones_like(model[4].weight))
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_the_state_is_restored_when_a_batch_fails():
    model = mlp().train()
    with pytest.raises(RuntimeError, match="mat1 and mat2"), undisturbed(model):
        model(torch.zeros(2, 5))
    assert all(m.training for m in model.modules())
    with undisturbed(model):
        assert not any(m.training for m in model.modules())


def test_pruned_weights_and_unreached_layers_have_no_gradient():
    model = mlp()
    mask = torch.rand(4, 16) < 0.5
    source = source_of(model, ["5"], examples(), 2, masks={"5": mask})
    for gradient in source.stream(["5"]):
        assert not gradient["5"][~mask].any()
        assert bool(gradient["5"][mask].any())
    idle = nn.ModuleDict({"used": nn.Linear(12, 4), "idle": nn.Linear(3, 3)})
    idle.forward = lambda x: idle["used"](x)
    for gradient in source_of(idle, ["used", "idle"], examples(), 2).stream(["used", "idle"]):
        assert not gradient["idle"].any()


def test_groups_fit_the_memory_that_is_granted():
    layout = BlockLayout({"a": (1000, 1000)}, 50)
    assert block_groups(layout, 1024, True, 4096) == [(0, 20000)]
    groups = block_groups(layout, 1024, True, 64)
    size = groups[0][1]
    assert size * 8 * 50 * (2 * 50 + 64) <= 64 * 2**20 < (size + 1) * 8 * 50 * (2 * 50 + 64)
    assert [a for a, _ in groups] == [b for _, b in [(0, 0), *groups[:-1]]]
    assert groups[-1][1] == 20000
    with pytest.raises(UsageError, match="one block of 1000000 weights with 64 gradients needs 977 MiB"):
        block_groups(BlockLayout({"a": (1000, 1000)}, None), 64, False, 512)
