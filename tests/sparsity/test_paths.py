"""Dead units and effective weights."""

from __future__ import annotations

import pytest
import torch

from tamis.errors import UsageError
from tamis.sparsity import chain_paths, units_without_fan_in, units_without_fan_out


def test_chain_reproduces_the_golden_dead_units(pruning_vectors):
    golden = pruning_vectors["diagnostics"]["dead_units"]
    first, second = (torch.tensor(golden[key], dtype=torch.bool) for key in ("W1_mask (4x3)", "W2_mask (2x4)"))
    paths = chain_paths([first, second])
    assert list(paths.no_fan_in[0]) == golden["no_fan_in"]
    assert list(paths.no_fan_out[0]) == golden["no_fan_out"]
    assert paths.live == golden["mask_nnz"]
    assert paths.effective == golden["effective_nnz"]
    assert units_without_fan_in(first).nonzero().flatten().tolist() == golden["no_fan_in"]
    assert units_without_fan_out(second).nonzero().flatten().tolist() == golden["no_fan_out"]


def test_dense_masks_are_wholly_effective():
    paths = chain_paths([torch.ones(4, 3, dtype=torch.bool), torch.ones(2, 4, dtype=torch.bool)])
    assert (paths.live, paths.effective, paths.no_fan_in, paths.no_fan_out) == (20, 20, ((),), ((),))


def test_a_cut_chain_has_no_effective_weight():
    masks = [torch.ones(4, 3), torch.zeros(4, 4), torch.ones(2, 4)]
    paths = chain_paths([mask.bool() for mask in masks])
    assert (paths.live, paths.effective) == (20, 0)


def test_effectiveness_reaches_through_several_layers():
    eye = torch.eye(3, dtype=torch.bool)
    cut = eye.clone()
    cut[1, 1] = False
    assert chain_paths([eye, eye, cut]).effective == 6  # the path through unit 1 is useless in all three layers
    assert chain_paths([cut, eye, eye]).effective == 6


def test_channels_are_followed_into_a_flattened_linear_layer():
    conv = torch.zeros(2, 1, 3, 3, dtype=torch.bool)
    conv[0, 0, 1, 1] = conv[1, 0, 0, 0] = True
    linear = torch.zeros(3, 8, dtype=torch.bool)  # four positions per channel
    linear[0, 2] = True  # reads channel 0
    paths = chain_paths([conv, linear])
    assert paths.no_fan_out == ((1,),)
    assert (paths.live, paths.effective) == (3, 2)


@pytest.mark.parametrize(
    "shapes", [[], [(4,)], [(4, 3), (2, 5)]], ids=["no mask", "a vector", "neighbours that do not fit"]
)
def test_what_is_no_chain_is_refused(shapes):
    with pytest.raises(UsageError):
        chain_paths([torch.ones(shape, dtype=torch.bool) for shape in shapes])
