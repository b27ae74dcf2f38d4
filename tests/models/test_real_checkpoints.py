"""Published CIFAR-10 checkpoints score what their folder's README says (measured there with other code)."""

import pytest
import torch

from tamis.data import load_data, ordered_batches
from tamis.models import create_model, load_pretrained

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "file", "correct"),
    [("resnet20", "akamaster_resnet20-12fca82f.th", 915), ("resnet56", "akamaster_resnet56-4bfd9763.th", 926)],
)
def test_the_first_1000_test_images_are_classified_as_published(shared_data, name, file, correct):
    data = load_data(shared_data / "cifar10_lossless5k.npz", mean=MEAN, std=STD)
    model = load_pretrained(create_model(name, data.num_classes), shared_data / "ckpt" / file).eval()
    with torch.inference_mode():
        hits = sum(int((model(x).argmax(1) == y).sum()) for x, y in ordered_batches(data, 250))
    assert hits == correct
