"""A small network with a layer that is worth packing, masks for it, and a small learnable task."""

import torch
from torch import nn

from tamis.transfer import PixelTransform, from_tensors


class TinyNet(nn.Module):
    """3 x 8 x 8 images; ``conv2`` has 4,608 weights, enough for the sparse kernels."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 64, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(64)
        self.fc = nn.Linear(64, num_classes)

    def forward(self, x):
        x = self.bn1(self.conv1(x)).relu()
        x = self.bn2(self.conv2(x)).relu()
        return self.fc(x.mean((2, 3)))


def tiny_network(share=0.1, seed=0):
    """The network and bool masks of its convolutions; pruned weights are zero."""
    torch.manual_seed(seed)
    model = TinyNet()
    masks = {name: torch.rand_like(model.get_submodule(name).weight) < share for name in ("conv1", "conv2")}
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_submodule(name).weight.masked_fill_(~mask, 0)
    return model.eval(), masks


def tiny_task(n_train=48, n_test=30, classes=3, name="tiny"):
    """Noise around one pattern per class, uint8."""
    generator = torch.Generator().manual_seed(5)
    patterns = torch.rand(classes, 3, 8, 8, generator=generator)

    def split(count):
        labels = torch.arange(count) % classes
        noise = 0.3 * torch.randn(count, 3, 8, 8, generator=generator)
        return ((patterns[labels] + noise).clamp(0, 1) * 255).to(torch.uint8), labels

    return from_tensors(name, split(n_train), split(n_test))


TRANSFORM = PixelTransform(8, padding=1, flip=True)
