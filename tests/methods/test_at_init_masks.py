"""What the masks of methods that prune at initialisation promise, and what these methods refuse."""

from __future__ import annotations

import pytest
import torch
from at_init_runs import METHODS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from method_runs import OPTIMIZERS, Tied, attached, batch, mlp, train
from torch import optim

from tamis.errors import UsageError
from tamis.methods import SNIP, Examples, GraSP, SynFlow
from tamis.models import create_model
from tamis.nn import fuse, is_packed
from tamis.sparsity import ERK, Block, Global, Uniform, keep_count


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_the_mask_rests_from_the_first_step_on(method, packed):
    model, optimizer, sparsifier = attached(METHODS[method](0.75, packed=packed))
    assert [is_packed(model[i]) for i in (0, 3, 5)] == [packed] * 3
    masks = sparsifier.masks
    zero = []

    def check(step):
        state = model.state_dict()
        zero.append(all(not state[f"{name}.weight"][~mask].any() for name, mask in masks.items()))

    train(model, optimizer, range(6), after=check)
    assert zero == [True] * 6
    assert all(torch.equal(mask, sparsifier.masks[name]) for name, mask in masks.items())
    assert [event["step"] for event in sparsifier.events] == [0]
    assert sum(int(mask.sum()) for mask in masks.values()) == keep_count(736, 0.75)


@pytest.mark.filterwarnings("ignore::tamis.methods.CollapseWarning")
@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    sparsity=st.floats(0.0, 0.9),
    distribution=st.sampled_from([Global(floor=0.0), Global(), Uniform(first_dense=True), ERK()]),
    zeros=st.floats(0.0, 0.4),
    seed=st.integers(0, 99),
)
def test_counts_are_exact_and_zeros_stay(method, sparsity, distribution, zeros, seed):
    model = mlp(seed)
    with torch.no_grad():
        for i in (0, 3, 5):
            model[i].weight[torch.rand(model[i].weight.shape) < zeros] = -0.0
    alive = {str(i): model[i].weight.detach() != 0 for i in (0, 3, 5)}
    make = METHODS[method](sparsity, distribution=distribution, from_zeros=True, on_collapse="warn", packed=False)
    _, _, sparsifier = attached(make, model=model)
    masks = sparsifier.masks
    assert not any(bool((masks[name] & ~alive[name]).any()) for name in masks)
    if isinstance(distribution, Global):
        live = sum(int(mask.sum()) for mask in alive.values())
        total = sum(int(mask.sum()) for mask in masks.values())
        wanted = min(live, keep_count(736, sparsity))
        # a floor may grant a layer more than it has alive, and the difference is nobody's
        assert total <= wanted if distribution.floor else total == wanted
    elif isinstance(distribution, Uniform):
        for name in ("3", "5"):
            expected = min(int(alive[name].sum()), keep_count(alive[name].numel(), sparsity))
            assert int(masks[name].sum()) == expected
        assert torch.equal(masks["0"], alive["0"])


@pytest.mark.parametrize("method", METHODS)
def test_blocks_live_or_die_together(method):
    _, _, sparsifier = attached(METHODS[method](0.5, pattern=Block(2, 2), distribution=Uniform(), packed=False))
    for mask in sparsifier.masks.values():
        blocks = mask.reshape(mask.shape[0] // 2, 2, -1, 2).sum(dim=(1, 3))
        assert set(blocks.unique().tolist()) <= {0, 4}
        assert int(mask.sum()) == mask.numel() // 2


def test_tied_weights_count_once():
    for method, make in METHODS.items():
        torch.manual_seed(0)
        model, _, sparsifier = attached(make(0.5), model=Tied())
        assert list(sparsifier.masks) == ["encode", "head"], method
        assert sum(int(mask.sum()) for mask in sparsifier.masks.values()) == keep_count(192, 0.5)
        assert model.decode.weight is model.encode.weight


def test_a_resumed_run_does_not_look_at_examples_again():
    model, _, first = attached(METHODS["snip"](0.5))
    saved = first.state_dict()

    def refuse():
        raise AssertionError("the examples were read again")

    twin = mlp(seed=2)
    second = SNIP(0.5, examples=Examples(refuse))
    second.load_state_dict(saved)
    second.attach(twin, OPTIMIZERS["momentum"](twin.parameters()))
    assert all(torch.equal(mask, second.masks[name]) for name, mask in first.masks.items())
    twin.load_state_dict(model.state_dict())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SNIP(0.5, samples=0), "samples must be at least 1"),
        (lambda: GraSP(0.5, samples_per_class=0), "samples_per_class >= 1"),
        (lambda: GraSP(0.5, temperature=0.0), "temperature > 0"),
        (lambda: SynFlow(0.5, rounds=0), "at least one round"),
        (lambda: attached(SNIP(0.5)), "give it examples="),
        (lambda: attached(GraSP(0.5)), "give it examples="),
        (lambda: attached(SynFlow(0.5)), "give input_shape"),
        (lambda: attached(SNIP(0.5, examples=Examples(list))), "examples are empty"),
        (lambda: attached(GraSP(0.5, examples=Examples(list))), "examples are empty"),
        (
            lambda: attached(GraSP(0.5, examples=Examples(lambda: [(torch.ones(2, 12), torch.ones(2, 4))]))),
            r"float32 targets of shape \(2, 4\)",
        ),
        (
            lambda: attached(SynFlow(0.5, examples=Examples(lambda: [(torch.ones(2, 12).long(), torch.ones(2))]))),
            "takes torch.int64 inputs",
        ),
        (
            lambda: attached(SNIP(0.5, examples=Examples(lambda: [batch(0)], lambda out, y: 0.0 * out.sum()))),
            "all scores of SNIP are zero",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_do(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_a_refused_attachment_leaves_the_model_free():
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(UsageError, match="give input_shape"):
        SynFlow(0.5).attach(model, optimizer)
    attached(METHODS["synflow"](0.5), model=model)


@pytest.mark.parametrize("method", ["snip", "grasp", "synflow"])
def test_a_fused_model_is_scored_by_torch_itself(method):
    data = [(torch.randn(16, 3, 8, 8), torch.randint(4, (16,))) for _ in range(4)]
    make = {
        "snip": lambda: SNIP(0.5, examples=Examples(lambda: data), packed=False),
        "grasp": lambda: GraSP(0.5, samples_per_class=4, examples=Examples(lambda: data), packed=False),
        "synflow": lambda: SynFlow(0.5, rounds=3, input_shape=(3, 8, 8), packed=False),
    }[method]
    found = []
    for prepare in (lambda model: model, fuse):
        torch.manual_seed(0)
        model = create_model("resnet20", num_classes=4)
        prepare(model)
        _, _, sparsifier = attached(make(), model=model)
        assert ("fused" in repr(model)) == (prepare is fuse)
        found.append(sparsifier.masks)
    assert all(torch.equal(mask, found[1][name]) for name, mask in found[0].items())
