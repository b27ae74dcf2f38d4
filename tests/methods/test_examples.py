"""The data that a method looks at by itself."""

from __future__ import annotations

import pytest
import torch

from tamis.errors import UsageError
from tamis.methods import Examples

INPUTS, TARGETS = torch.arange(10.0).unsqueeze(1), torch.arange(10)


def batches():
    return zip(INPUTS.split(4), TARGETS.split(4), strict=True)


def test_exactly_the_wanted_samples_come_in_order():
    taken = list(Examples(batches).take(6))
    assert [len(inputs) for inputs, _ in taken] == [4, 2]
    assert torch.equal(torch.cat([targets for _, targets in taken]), TARGETS[:6])


def test_a_short_stream_ends_early_and_can_be_taken_again():
    examples = Examples(batches)
    assert [sum(len(inputs) for inputs, _ in examples.take(99)) for _ in range(2)] == [10, 10]


@pytest.mark.parametrize(
    ("samples", "skip", "expected"),
    [
        (3, 2, [2, 3, 4]),
        (4, 8, [8, 9, 0, 1]),  # the ring goes on at its beginning
        (3, 10, [0, 1, 2]),
        (3, 29, [9, 0, 1]),
        (99, 7, [7, 8, 9, 0, 1, 2, 3, 4, 5, 6]),  # each sample once
        (10, 13, [3, 4, 5, 6, 7, 8, 9, 0, 1, 2]),
    ],
)
def test_a_later_draw_goes_on_where_the_earlier_ended(samples, skip, expected):
    taken = list(Examples(batches).take(samples, skip))
    assert torch.cat([targets for _, targets in taken]).tolist() == expected
    assert torch.cat([inputs for inputs, _ in taken]).flatten().tolist() == expected


def test_an_endless_stream_is_never_read_to_its_end():
    def endless():
        while True:
            yield from batches()

    assert torch.cat([targets for _, targets in Examples(endless).take(3, 24)]).tolist() == [4, 5, 6]


def test_an_empty_stream_is_refused():
    with pytest.raises(UsageError, match="examples are empty"):
        list(Examples(lambda: []).take(1))
    with pytest.raises(UsageError, match="examples are empty"):
        list(Examples(lambda: []).take(1, 5))


@pytest.mark.parametrize("batch", [INPUTS, (INPUTS,), (INPUTS, TARGETS[:3]), ("a", "b")])
def test_a_batch_that_is_no_pair_of_tensors_of_one_length_is_refused(batch):
    with pytest.raises(UsageError, match="pair of tensors"):
        list(Examples(lambda: [batch]).take(1))
