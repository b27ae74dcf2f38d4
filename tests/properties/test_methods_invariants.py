"""Rules that hold for any weights, sparsity, method, optimizer and moment of interruption."""

from __future__ import annotations

import copy
import json
from functools import partial

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn, optim
from torch.nn import functional as F

from tamis.errors import UsageError
from tamis.methods import (
    ACDC,
    CAP,
    DPF,
    GMP,
    LRR,
    MFAC,
    OBERT,
    SET,
    SNFS,
    STE,
    Examples,
    FisherPruning,
    LotteryTicket,
    OneShot,
    PowerPropagation,
    Ramp,
    ReturnAtRandom,
    RigL,
    SparseGPT,
    TopKAST,
    Wanda,
    WoodFisher,
)
from tamis.methods._bitmap import from_bitmap, to_bitmap
from tamis.sparsity import ERK, NM, Global, Phase, Uniform, acdc_phases, keep_count, mask_hash

EXAMPLES = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
STEPS = 16
DYNAMIC = {"set": SET, "rigl": RigL, "snfs": SNFS}
SIZES = {"0": 48, "2": 64, "4": 24}

optimizers = st.sampled_from(
    [
        partial(optim.SGD, lr=0.1, momentum=0.9, weight_decay=1e-2),
        partial(optim.SGD, lr=0.1),
        partial(optim.Adam, lr=1e-2),
        partial(optim.AdamW, lr=1e-2, weight_decay=0.5),
        partial(optim.RMSprop, lr=1e-2, momentum=0.5),
        partial(optim.Rprop, lr=1e-2),
    ]
)
distributions = st.sampled_from([Global(), Global(floor=1.0), Global(normalise="l2"), Uniform(), ERK()])
sparsities = st.floats(0.0, 0.9)


def network(seed: int, levels: int) -> nn.Sequential:
    """A small network; with few ``levels`` its weights are full of ties and zeros of both signs."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    if levels:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_((parameter * levels).round() / levels)
    return model


def step(model: nn.Module, optimizer: optim.Optimizer, number: int) -> None:
    """One step on a batch that depends on ``number`` alone."""
    generator = torch.Generator().manual_seed(number)
    inputs, labels = torch.randn(8, 6, generator=generator), torch.randint(3, (8,), generator=generator)
    optimizer.zero_grad()
    F.cross_entropy(model(inputs), labels).backward()
    optimizer.step()


def looks() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The same two batches at every look."""
    generator = torch.Generator().manual_seed(7)
    return [(torch.randn(8, 6, generator=generator), torch.randint(3, (8,), generator=generator)) for _ in range(2)]


LOOKS = Examples(looks)


@st.composite
def methods(draw):
    """A maker of sparsifiers; the maker takes ``packed``."""
    sparsity, distribution = draw(sparsities), draw(distributions)
    options = {"sparsity": sparsity, "distribution": distribution, "on_collapse": "warn"}
    kinds = ["acdc", "ramp", "random", "gmp", "revive", "oneshot", "topkast", "set", "rigl", "snfs", "ste", "dpf"]
    kinds += ["ticket", "lrr", "fisher", "calibration"]
    kind = draw(st.sampled_from(kinds))
    if kind == "topkast":
        backward = draw(st.floats(0.0, 1.0)) * sparsity
        return partial(TopKAST, backward_sparsity=backward, every=draw(st.integers(1, 6)), strength=0.1, **options)
    if kind in DYNAMIC:
        schedule = {"every": draw(st.integers(1, 6)), "alpha": draw(st.floats(0.0, 1.0)), "end": draw(st.floats(0, 1))}
        start = {"anneal": draw(st.sampled_from(["cosine", "constant"]))}
        if kind != "snfs":  # has no mean of gradients at step 0
            start["first_update_at_zero"] = draw(st.booleans())
        return partial(DYNAMIC[kind], total_steps=STEPS, **schedule, **start, **options)
    if kind in ("ste", "dpf"):
        start = draw(st.floats(0.0, 0.5))
        times = {"start": start, "end": draw(st.floats(start, 1.0)), "initial": draw(st.floats(0.0, 1.0)) * sparsity}
        extra = {"every": draw(st.integers(2, 6))} if kind == "dpf" else {"record_every": draw(st.integers(1, 6))}
        if kind == "dpf":
            return partial(DPF, total_steps=STEPS, **times, **extra, **options)
        make = partial(STE, total_steps=STEPS, **times, **extra, **options)
        return lambda packed: make()
    if kind in ("gmp", "oneshot") and draw(st.booleans()):
        options["reparameterise"] = PowerPropagation(draw(st.sampled_from([1.0, 1.5, 2.0])))
    if kind == "fisher":
        method = draw(st.sampled_from([WoodFisher, MFAC, OBERT, CAP]))
        extra = {"events": draw(st.integers(2, 4)), "recomputations": draw(st.integers(1, 2))}
        extra |= {"block": draw(st.integers(1, 50)), "gradients": draw(st.integers(1, 12)), "damping": 1e-3}
        return partial(method, total_steps=STEPS, examples=LOOKS, **extra, **options)
    if kind == "calibration":
        if isinstance(distribution, Global):
            options["distribution"] = Uniform()
        method, at_step = draw(st.sampled_from([Wanda, SparseGPT])), draw(st.integers(0, 5))
        return partial(method, at_step=at_step, sequential=draw(st.booleans()), examples=LOOKS, **options)
    if kind == "oneshot":
        return partial(OneShot, at_step=draw(st.integers(0, 5)), **options)
    if kind in ("ticket", "lrr"):
        times = {"steps_per_level": draw(st.integers(2, 4)), "first_steps": draw(st.integers(2, 4))}
        more = {"rewind_step": draw(st.integers(0, 1)), "fraction": draw(st.floats(0.6, 0.95))}
        return partial({"ticket": LotteryTicket, "lrr": LRR}[kind], **times, **more, **options)
    if kind in ("gmp", "revive"):
        start = draw(st.integers(0, 8))
        end = draw(st.integers(start, STEPS))
        every = draw(st.integers(1, 6))
        initial = draw(st.floats(0.0, 1.0)) * sparsity
        return partial(
            GMP.at_steps, start=start, end=end, every=every, initial=initial, revive=kind == "revive", **options
        )
    phases = (
        acdc_phases(STEPS, 2, 3, 2, 2, 4) if draw(st.booleans()) else [Phase("sparse", 0, 9), Phase("dense", 9, 16)]
    )
    extra = {"ramp": {"ramp": Ramp(1.0, 2)}, "random": {"returning": ReturnAtRandom(0.01)}}.get(kind, {})
    return partial(ACDC, total_steps=STEPS, schedule=phases, **extra, **options)


@pytest.mark.filterwarnings("ignore::tamis.methods.CollapseWarning")
@EXAMPLES
@given(
    make=methods(),
    optimizer=optimizers,
    packed=st.booleans(),
    seed=st.integers(0, 99),
    levels=st.sampled_from([0, 2, 5]),
)
def test_pruned_weights_are_zero_and_counts_exact_after_every_step(make, optimizer, packed, seed, levels):
    model = network(seed, levels)
    keys = list(model.state_dict())
    optimizer = optimizer(model.parameters())
    sparsifier = make(packed=packed).attach(model, optimizer)
    for number in range(STEPS):
        step(model, optimizer, number)
        state = model.state_dict()
        assert list(state) == keys
        for name, mask in sparsifier.masks.items():
            assert not state[f"{name}.weight"][~mask].any()
    for event in sparsifier.events:
        live = {name: row["live"] for name, row in event["layers"].items()}
        if event["event"] == "decompress":
            assert live == SIZES
        elif isinstance(sparsifier.distribution, Global):
            assert sum(live.values()) == keep_count(136, event["target"])
        elif isinstance(sparsifier.distribution, Uniform):
            assert live == {name: keep_count(size, event["target"]) for name, size in SIZES.items()}
        else:
            assert 0 <= sum(live.values()) - keep_count(136, event["target"]) < 2 * len(SIZES)
    if type(sparsifier) in DYNAMIC.values():  # updates keep every layer's count
        kept = [{name: row["live"] for name, row in event["layers"].items()} for event in sparsifier.events]
        assert all(counts == kept[0] for counts in kept)
    pruned = [event for event in sparsifier.events if event["event"] != "decompress"]
    if isinstance(sparsifier, (GMP, OneShot, LotteryTicket, LRR, FisherPruning)) and pruned:
        assert pruned[-1]["target"] == sparsifier.sparsity


@pytest.mark.filterwarnings("ignore::tamis.methods.CollapseWarning")
@EXAMPLES
@given(
    make=methods(), optimizer=optimizers, packed=st.booleans(), stop=st.integers(0, STEPS), seed=st.integers(0, 99)
)  # fmt: skip
def test_an_interruption_at_any_step_changes_nothing(make, optimizer, packed, stop, seed):
    model = network(seed, 0)
    own = optimizer(model.parameters())
    whole = make(packed=packed).attach(model, own)
    for number in range(STEPS):
        if number == stop:
            saved = copy.deepcopy((whole.state_dict(), model.state_dict(), own.state_dict()))
        step(model, own, number)
    if stop == STEPS:
        saved = copy.deepcopy((whole.state_dict(), model.state_dict(), own.state_dict()))
    twin = network(seed + 1, 0)
    other = optimizer(twin.parameters())
    resumed = make(packed=packed).attach(twin, other)
    resumed.load_state_dict({"tensors": saved[0]["tensors"], "json": json.loads(json.dumps(saved[0]["json"]))})
    twin.load_state_dict(saved[1])
    other.load_state_dict(saved[2])
    for number in range(stop, STEPS):
        step(twin, other, number)
    assert all(torch.equal(value, twin.state_dict()[key]) for key, value in model.state_dict().items())
    assert whole.events == resumed.events
    assert whole.report() == resumed.report()


@pytest.mark.filterwarnings("ignore::tamis.methods.CollapseWarning")
@EXAMPLES
@given(make=methods(), seed=st.integers(0, 99))
def test_masks_do_not_depend_on_the_number_of_threads(make, seed):
    hashes = []
    threads = torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            model = network(seed, 3)
            sparsifier = make(packed=False).attach(model, optim.SGD(model.parameters(), lr=0.0))
            for number in range(STEPS):
                step(model, sparsifier._optimizer, number)
            hashes.append([event.get("hash") for event in sparsifier.events])
    finally:
        torch.set_num_threads(threads)
    assert hashes[0] == hashes[1]


@EXAMPLES
@given(zeros=st.floats(0.0, 0.8), sparsity=st.floats(0.0, 0.9), events=st.integers(2, 6), seed=st.integers(0, 99))
def test_gradual_pruning_of_a_sparse_model_never_revives_a_zero(zeros, sparsity, events, seed):
    model = network(seed, 0)
    with torch.no_grad():
        for i in (0, 2, 4):
            model[i].weight[torch.rand(model[i].weight.shape) < zeros] = -0.0
    dead = {str(i): model[i].weight.detach() == 0 for i in (0, 2, 4)}
    assume(all(not bool(mask.all()) for mask in dead.values()))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sparsifier = GMP(sparsity, STEPS, start=0.0, events=events, from_zeros=True, on_collapse="warn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *a, **k: None)
        sparsifier.attach(model, optimizer)
        for number in range(STEPS):
            step(model, optimizer, number)
            state = model.state_dict()
            assert all(not state[f"{name}.weight"][mask].any() for name, mask in dead.items())
    live = sum(int(mask.sum()) for mask in sparsifier.masks.values())
    assert live <= keep_count(136, sparsity)


@EXAMPLES
@given(seed=st.integers(0, 99), packed=st.booleans())
def test_two_of_four_holds_in_every_row_of_every_sparse_phase(seed, packed):
    model = network(seed, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    pattern = NM(2, 4, skip=("0",))
    sparsifier = ACDC(0.5, STEPS, schedule=acdc_phases(STEPS, 2, 3, 2, 2, 4), pattern=pattern, packed=packed)
    sparsifier.attach(model, optimizer)
    for number in range(STEPS):
        step(model, optimizer, number)
        for name in ("2", "4"):
            if sparsifier.masks:
                assert (sparsifier.masks[name].reshape(-1, 4).sum(dim=1) == 2).all()


@EXAMPLES
@given(sparsity=st.floats(1.0, 200.0) | st.floats(-5.0, -1e-9))
def test_a_sparsity_outside_its_range_is_always_refused(sparsity):
    for make in (partial(ACDC, total_steps=100), partial(GMP, total_steps=100), OneShot):
        with pytest.raises(UsageError, match=r"\[0, 1\)"):
            make(sparsity)


@EXAMPLES
@given(bits=st.lists(st.booleans(), min_size=1, max_size=70))
def test_bitmaps_bring_every_mask_back(bits):
    mask = torch.tensor(bits).reshape(1, -1)
    stored = to_bitmap(mask)
    assert stored.numel() == -(-len(bits) // 8)
    assert torch.equal(from_bitmap(stored, mask.shape), mask)
    assert mask_hash({"w": from_bitmap(stored, mask.shape)}) == mask_hash({"w": mask})
