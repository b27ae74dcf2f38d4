"""Sparsity, change and identity of masks."""

from __future__ import annotations

import hashlib

import pytest
import torch

from tamis.errors import UsageError
from tamis.sparsity import (
    achieved_sparsity,
    live_counts,
    mask_change,
    mask_changes,
    mask_hash,
    masks_from_zeros,
    sparsity_of,
    uniform_shares,
    zero_share,
)


def mask_of(bits):
    return torch.tensor(bits, dtype=torch.bool)


def test_mask_change_reproduces_the_golden_diagnostics(pruning_vectors):
    golden = pruning_vectors["diagnostics"]
    change = mask_change({"a": mask_of(golden["prev_mask"])}, {"a": mask_of(golden["mask"])})
    assert change.hamming == golden["hamming"]
    assert change.zeros_added == golden["zeros_added"]
    assert change.percent == golden["mask_change_percent"]
    assert change.iou == golden["iou"]
    assert change.regrown_share == golden["regrown_fraction_of_new_mask"]


def test_equal_masks_have_not_changed():
    masks = {"a": mask_of([1, 0, 1])}
    change = mask_change(masks, masks)
    assert (change.hamming, change.percent, change.iou, change.regrown_share) == (0, 0.0, 1.0, 0.0)


def test_masks_without_any_live_weight_are_equal():
    empty = {"a": mask_of([0, 0])}
    change = mask_change(empty, empty)
    assert (change.iou, change.regrown_share) == (1.0, 0.0)


def test_pure_pruning_exchanges_nothing():
    change = mask_change({"a": mask_of([1, 1, 1, 1])}, {"a": mask_of([1, 0, 0, 0])})
    assert (change.hamming, change.zeros_added, change.percent) == (3, 3, 0.0)


def test_changes_are_counted_over_all_layers_and_in_each():
    before = {"a": mask_of([1, 0]), "b": mask_of([1, 0])}
    after = {"a": mask_of([0, 1]), "b": mask_of([1, 0])}
    assert mask_change(before, after).percent == 50.0
    assert {name: change.percent for name, change in mask_changes(before, after).items()} == {"a": 100.0, "b": 0.0}


def test_masks_of_different_layers_or_shapes_cannot_be_compared():
    with pytest.raises(UsageError, match=r"\['a', 'b'\]"):
        mask_change({"a": mask_of([1])}, {"b": mask_of([1])})
    with pytest.raises(UsageError, match=r"'a' differ in shape"):
        mask_changes({"a": mask_of([1])}, {"a": mask_of([1, 0])})


def test_sparsity_counts_all_masks_together():
    masks = {"a": mask_of([1, 0, 0, 0]), "b": mask_of([1, 1])}
    assert live_counts(masks) == {"a": 1, "b": 2}
    assert sparsity_of(masks) == 0.5
    assert sparsity_of({}) == 0.0


def test_both_sparsities_differ_when_a_layer_is_dense():
    achieved = achieved_sparsity({"a": 10, "b": 10}, {"a": 10, "b": 100}, dense=("a",))
    assert achieved.over_pruned == pytest.approx(0.9)
    assert achieved.over_all == pytest.approx(90 / 110)
    assert (achieved.live, achieved.total) == (20, 110)


def test_achieved_sparsity_needs_the_same_names():
    with pytest.raises(UsageError, match="same layers"):
        achieved_sparsity({"a": 1}, {"b": 1})


def test_uniform_shares_find_the_starved_layer():
    shares = uniform_shares({"a": 19, "b": 0, "c": 1}, {"a": 100, "b": 100, "c": 100}, 0.9)
    assert shares == pytest.approx({"a": 1.9, "b": 0.0, "c": 0.1})


def test_hash_sees_one_bit_one_name_one_shape_and_the_order():
    masks = {"a": mask_of([1, 0, 1, 0]), "b": mask_of([1, 1])}
    others = [
        {"a": mask_of([1, 0, 1, 1]), "b": mask_of([1, 1])},
        {"a": mask_of([1, 0, 1, 0]), "c": mask_of([1, 1])},
        {"a": mask_of([[1, 0], [1, 0]]), "b": mask_of([1, 1])},
        {"b": mask_of([1, 1]), "a": mask_of([1, 0, 1, 0])},
    ]
    assert len({mask_hash(m) for m in [masks, *others]}) == 5


def test_hash_is_the_same_on_every_machine_and_in_every_memory_format():
    mask = torch.arange(24).reshape(1, 2, 3, 4) % 3 == 0
    assert mask_hash({"a": mask}) == mask_hash({"a": mask.contiguous(memory_format=torch.channels_last)})
    assert (
        mask_hash({"a": mask})
        == hashlib.sha256(b"a:(1, 2, 3, 4);" + bytes([0b10010010, 0b01001001, 0b00100100])).hexdigest()
    )


def test_masks_from_zeros_count_negative_zero_as_zero():
    masks = masks_from_zeros({"a": torch.tensor([0.0, -0.0, 1e-45, -3.0])})
    assert masks["a"].tolist() == [False, False, True, True]


def test_masks_from_zeros_refuse_nan():
    with pytest.raises(UsageError, match="'a' contain NaN"):
        masks_from_zeros({"a": torch.tensor([float("nan")])})


def test_zero_share_counts_both_zeros():
    assert zero_share({"a": torch.tensor([0.0, -0.0, 2.0, 1.0])}) == 0.5
    assert zero_share({}) == 0.0
