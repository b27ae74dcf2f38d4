"""Published configurations and learning rates."""

from __future__ import annotations

import pytest

from tamis.errors import UsageError
from tamis.sparsity import PRESETS, preset, step_decay, warmup_cosine


def test_presets_carry_the_golden_builder_arguments(pruning_vectors):
    golden = {name: row["builder"] for name, row in pruning_vectors["acdc_phases"].items() if name != "_note"}
    ours = {name: [p.total, p.warmup, p.sparse, p.dense, p.last_dense, p.last_sparse] for name, p in PRESETS.items()}
    assert ours == golden
    for name, row in golden.items():
        phases = preset(name).phases()
        assert phases[-1].end == row[0]
        assert [[p.kind[0].upper(), p.start, p.end] for p in phases] == pruning_vectors["acdc_phases"][name]["phases"]


@pytest.mark.parametrize("total", [100, 200])
def test_warmup_cosine_reproduces_the_golden_values(pruning_vectors, total):
    golden = pruning_vectors["acdc_lr"]
    for epoch, rate in golden[f"E{total}"]:
        ours = warmup_cosine(epoch, total, golden["base"], golden["warmup_epochs"])
        assert ours == pytest.approx(rate, rel=1e-11)
        assert preset(f"imagenet_{total}").learning_rate(epoch) == ours


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("cifar100_step", "cifar100_200"),
        ("cifar100_step", "cifar100_dense13_225"),
        ("cifar10_memorisation_step", "cifar10_memorisation_200"),
    ],
)
def test_step_presets_fall_at_the_golden_epochs(pruning_vectors, key, name):
    golden, ours = pruning_vectors["acdc_lr"][key], preset(name)
    rates = [ours.learning_rate(epoch) for epoch in range(ours.total)]
    assert rates[0] == golden["base"]
    falls = [epoch for epoch in range(1, ours.total) if rates[epoch] != rates[epoch - 1]]
    assert falls == golden["first_epoch_with_reduced_lr"]
    for before, epoch in enumerate(falls):
        assert rates[epoch] == pytest.approx(golden["base"] * golden["factor"] ** (before + 1), rel=1e-14)


def test_step_decay_counts_the_named_epoch_as_before_the_fall():
    assert step_decay(75, 1.0, (75,)) == 1.0
    assert step_decay(76, 1.0, (75,), factor=0.5) == 0.5


@pytest.mark.parametrize(("total", "warmup"), [(5, 5), (3, 5), (10, -1)])
def test_a_run_within_its_warm_up_is_refused(total, warmup):
    with pytest.raises(UsageError, match="longer than its warm-up"):
        warmup_cosine(0, total, 0.1, warmup)


def test_no_warm_up_starts_at_the_base_rate():
    assert warmup_cosine(0, 10, 0.1, warmup=0) == 0.1


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(UsageError, match="imagenet_100, imagenet_150"):
        preset("imagenet_99")
