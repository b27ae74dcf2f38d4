"""PackedPattern: literal pictures, exact round trips, and refusal of damaged arrays."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from tamis.errors import FileError, UsageError
from tamis.kernels import PackedPattern

MASK = torch.tensor([[True, False, True, False], [False] * 4, [False, True, True, True]])


def test_eight_weights_literally():
    pattern = PackedPattern.from_mask(MASK)
    assert pattern.row_ptr.tolist() == [0, 2, 2, 5]
    assert pattern.indices.tolist() == [0, 2, 1, 2, 3]
    assert (pattern.nnz, pattern.total, pattern.row_length, pattern.shape) == (5, 12, 4, (3, 4))
    assert pattern.sparsity == 1 - 5 / 12
    dense = torch.arange(12.0).reshape(3, 4)
    assert pattern.pack(dense).tolist() == [0, 2, 9, 10, 11]
    assert pattern.unpack(torch.arange(1.0, 6)).tolist() == [[1, 0, 2, 0], [0, 0, 0, 0], [0, 3, 4, 5]]
    assert torch.equal(pattern.mask(), MASK)


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 5), (3, 2, 5, 2), (0, 4), (3, 0), (3, 0, 2, 2)])
def test_pack_and_unpack_are_exact(shape):
    mask = torch.rand(shape) > 0.5
    pattern = PackedPattern.from_mask(mask)
    dense = torch.randn(shape)
    assert torch.equal(pattern.unpack(pattern.pack(dense)), torch.where(mask, dense, 0.0))
    assert torch.equal(pattern.mask(), mask)


def test_pack_and_unpack_are_differentiable():
    pattern = PackedPattern.from_mask(MASK)
    values = torch.randn(5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pattern.unpack, values)
    assert torch.autograd.gradcheck(pattern.pack, torch.randn(3, 4, dtype=torch.float64, requires_grad=True))


def test_masks_of_other_types_and_tensors_of_other_shapes_are_refused():
    for mask in (torch.ones(3, 4), torch.ones(3, dtype=torch.bool), torch.ones(1, 1, 1, 1, 1, dtype=torch.bool)):
        with pytest.raises(UsageError, match="must be a bool tensor"):
            PackedPattern.from_mask(mask)
    with pytest.raises(UsageError, match=r"2\*\*31"):
        PackedPattern.from_mask(torch.ones(1, dtype=torch.bool).expand(1, 2**31))
    pattern = PackedPattern.from_mask(MASK)
    with pytest.raises(UsageError, match="cannot pack"):
        pattern.pack(torch.ones(4, 3))
    with pytest.raises(UsageError, match="expected 5 packed values"):
        pattern.unpack(torch.ones(6))


GOOD = {"shape": (3, 4), "row_ptr": torch.tensor([0, 2, 2, 5]), "indices": torch.tensor([0, 2, 1, 2, 3])}
DAMAGE = {
    "float indices": {"indices": GOOD["indices"].float()},
    "bool row_ptr": {"row_ptr": torch.ones(4, dtype=torch.bool)},
    "short row_ptr": {"row_ptr": torch.tensor([0, 2, 5])},
    "no row_ptr": {"row_ptr": torch.tensor([], dtype=torch.int64)},
    "square indices": {"indices": GOOD["indices"][:, None]},
    "starts late": {"row_ptr": torch.tensor([1, 2, 2, 5])},
    "falls": {"row_ptr": torch.tensor([0, 3, 2, 5])},
    "ends early": {"row_ptr": torch.tensor([0, 2, 2, 4])},
    "ends late": {"row_ptr": torch.tensor([0, 2, 2, 6])},
    "index too large": {"indices": torch.tensor([0, 4, 1, 2, 3])},
    "index negative": {"indices": torch.tensor([-1, 2, 1, 2, 3])},
    "index beyond int32": {"indices": torch.tensor([0, 2**32 + 2, 1, 2, 3])},
    "descending": {"indices": torch.tensor([2, 0, 1, 2, 3])},
    "twice the same": {"indices": torch.tensor([0, 2, 1, 1, 3])},
    "negative shape": {"shape": (3, -4)},
    "one dimension": {"shape": (12,)},
    "not tensors": {"indices": [0, 2, 1, 2, 3]},
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_arrays_are_refused(damage):
    assert torch.equal(PackedPattern.from_arrays(**GOOD).mask(), MASK)
    with pytest.raises(FileError, match="damaged or from another model"):
        PackedPattern.from_arrays(**{**GOOD, **damage})


def test_an_index_may_fall_where_a_row_ends():
    pattern = PackedPattern.from_arrays((3, 4), torch.tensor([0, 1, 1, 2]), torch.tensor([3, 0]))
    assert pattern.mask().nonzero().tolist() == [[0, 3], [2, 0]]


def test_stored_arrays_are_copied():
    indices = GOOD["indices"].to(torch.int32)
    pattern = PackedPattern.from_arrays((3, 4), GOOD["row_ptr"], indices)
    indices.zero_()
    assert pattern.indices.tolist() == [0, 2, 1, 2, 3]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_are_equal_and_share_no_memory(duplicate):
    pattern = PackedPattern.from_mask(MASK)
    pattern.flat_positions()
    other = duplicate(pattern)
    assert torch.equal(other.mask(), MASK)
    assert other.indices.data_ptr() != pattern.indices.data_ptr(), "safetensors refuses shared memory"
    assert other.row_ptr.data_ptr() != pattern.row_ptr.data_ptr()


def test_what_inference_mode_makes_first_serves_training():
    pattern = PackedPattern.from_mask(MASK)
    with torch.inference_mode():
        pattern.flat_positions()
    values = torch.randn(5, requires_grad=True)
    pattern.unpack(values).sum().backward()
    assert values.grad.tolist() == [1.0] * 5
