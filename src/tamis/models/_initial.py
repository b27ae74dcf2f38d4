"""Initial weights of the convolutional networks."""

from __future__ import annotations

from torch import nn


def initialise_convolutions(model: nn.Module) -> None:
    """Set convolutions and batch norms of ``model`` in place, as torchvision does for its residual networks.

    Convolutions: normal with variance 2 / fan_out (He et al. 2015, arXiv:1502.01852, eq. 14), biases zero.  Batch
    norms: weight 1, bias 0.  Linear layers keep torch's default.  Draws from torch's global generator in the order
    of ``model.modules()``, so a seed fixes every weight.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
