"""What tests of fused and of folded networks share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tamis.models import create_model


def network(name: str) -> nn.Module:
    """One of the project's networks, in training mode."""
    torch.manual_seed(0)
    return create_model(name, num_classes=7, in_channels=3).train()


def error(got: Tensor, exact: Tensor) -> float:
    """The largest difference over the largest value."""
    got, exact = got.detach(), exact.detach()
    return float((got.double() - exact.double()).abs().max() / exact.double().abs().max().clamp(min=1e-12))
