"""Whatever the sizes: an epoch is a permutation, and a resumed epoch is the rest of the whole one."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.data import Augmentation, batches, make_image_data, normalise

counts = st.integers(1, 40)


def numbered(count, size=(3, 2)):
    """``count`` images, each filled with its own number."""
    pixels = torch.arange(count, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(count, 2, *size).contiguous()
    split = pixels, torch.arange(count)
    return make_image_data(split, split, [str(label) for label in range(count)], "numbered", (0, 0), (1, 1))


@settings(deadline=None, max_examples=60)
@given(count=counts, batch_size=counts, seed=st.integers(0, 2**32 - 1))
def test_an_epoch_is_a_permutation_and_labels_follow_their_images(count, batch_size, seed):
    data = numbered(count)
    epoch = batches(data, batch_size, torch.Generator().manual_seed(seed))
    announced = len(epoch)
    parts = list(epoch)
    assert len(parts) == announced == -(-count // batch_size)
    images, labels = torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])
    assert sorted(labels.tolist()) == list(range(count))
    assert torch.equal(images, normalise(data.train_x, (0, 0), (1, 1))[labels])


@settings(deadline=None, max_examples=60)
@given(
    count=counts,
    batch_size=counts,
    done=st.integers(0, 45),
    padding=st.integers(0, 4),
    flip=st.booleans(),
    drop_last=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_resumed_epoch_is_the_rest_of_the_whole_one(count, batch_size, done, padding, flip, drop_last, seed):
    data = numbered(count)
    if drop_last:
        batch_size = min(batch_size, count)
    augmentation = Augmentation(padding, flip)

    def epoch(first_batch):
        source = torch.Generator().manual_seed(seed)
        return list(batches(data, batch_size, source, augmentation, drop_last=drop_last, first_batch=first_batch))

    whole, rest = epoch(0)[done:], epoch(done)
    assert len(whole) == len(rest)
    for first, second in zip(whole, rest, strict=True):
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[1], second[1])
