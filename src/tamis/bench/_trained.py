"""A training step in three stages, as contestants run it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STAGES = ("forward", "backward", "optimizer")


class Step:
    """SGD with momentum on one batch; ``call`` computes with the parameters of ``module``."""

    def __init__(self, call: Callable[[Tensor], Tensor], module: nn.Module, inputs: Tensor, labels: Tensor) -> None:
        self.call, self.module, self.inputs, self.labels = call, module, inputs, labels
        self.optimizer = torch.optim.SGD(module.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)
        self._loss: Tensor | None = None

    def forward(self) -> None:
        """The network and the loss."""
        self._loss = F.cross_entropy(self.call(self.inputs), self.labels)

    def backward(self) -> None:
        """Gradients of all parameters."""
        assert self._loss is not None
        self._loss.backward()
        self._loss = None

    def update(self) -> None:
        """The optimizer's step; gradients are dropped."""
        self.optimizer.step()
        self.optimizer.zero_grad()

    def run(self) -> None:
        """All three."""
        self.forward()
        self.backward()
        self.update()

    def forget(self) -> None:
        """Drop gradients and the graph of an unfinished step."""
        self._loss = None
        self.optimizer.zero_grad()

    @property
    def stages(self) -> dict[str, Callable[[], None]]:
        """By name, in order."""
        return dict(zip(STAGES, (self.forward, self.backward, self.update), strict=True))
