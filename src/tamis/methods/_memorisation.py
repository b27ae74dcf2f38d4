"""The memorisation probe: do dense phases learn random labels by heart, and do sparse phases forget them?

A diagnostic of Peste et al., "AC/DC" (NeurIPS 2021), whose code gives R = 1000 training samples random labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tamis.errors import UsageError


@dataclass(frozen=True, eq=False)
class MemorisationProbe:
    """A few training samples with random labels; draw one with :meth:`draw`.

    Use it in any loop::

        probe = MemorisationProbe.draw(train_labels, classes=10, samples=1000, seed=0)
        train_labels = probe.relabel(train_labels)          # train on these; no augmentation where probe.holds(index)
        ...                                                 # once an epoch:
        row = probe.measure(model, train_inputs)

    Attributes:
        indices: int64 ``(R,)``, positions in the training set, ascending.
        random_labels: int64 ``(R,)``, drawn uniformly from all classes (one may equal the truth by chance).
        true_labels: int64 ``(R,)``.
    """

    indices: Tensor
    random_labels: Tensor
    true_labels: Tensor

    @classmethod
    def draw(cls, labels: Tensor, classes: int, samples: int = 1000, seed: int = 0) -> MemorisationProbe:
        """Choose samples and their random labels.

        Args:
            labels: integer ``(N,)``, the true labels of the training set.
            classes: number of classes, at least 2.
            samples: R, from 1 to N.
            seed: the draw depends on nothing else, so a resumed run draws the same probe.

        Raises:
            UsageError: a number is out of range.
        """
        if not 1 <= samples <= len(labels) or classes < 2:
            raise UsageError(
                f"expected 1 to {len(labels)} samples and at least 2 classes; got {samples} samples, {classes} classes"
            )
        generator = torch.Generator().manual_seed(seed)
        indices = torch.randperm(len(labels), generator=generator)[:samples].sort().values
        random_labels = torch.randint(classes, (samples,), generator=generator)
        return cls(indices, random_labels, labels[indices].to(torch.int64).clone())

    def relabel(self, labels: Tensor) -> Tensor:
        """A copy of the training labels ``(N,)`` with the probe's random labels in place."""
        changed = labels.clone()
        changed[self.indices] = self.random_labels.to(labels.dtype)
        return changed

    def holds(self, indices: Tensor) -> Tensor:
        """Bool of the shape of ``indices`` (int64): which training samples are in the probe, never to be augmented."""
        return torch.isin(indices, self.indices)

    @torch.no_grad()
    def measure(self, model: nn.Module, inputs: Tensor, batch_size: int = 256) -> dict[str, float]:
        """Loss and accuracy on the probe, against both kinds of labels, in evaluation mode.

        Args:
            model: maps inputs ``(B, ...)`` to logits ``(B, classes)``; its mode is restored.
            inputs: the whole training set ``(N, ...)`` without augmentation.
            batch_size: samples per forward pass.

        Returns:
            ``random_loss``, ``random_accuracy`` (memorised), ``true_loss``, ``true_accuracy`` (generalised), losses in
            nats, accuracies as fractions.
        """
        modes = {module: module.training for module in model.modules()}
        model.eval()
        try:
            logits = torch.cat([model(inputs[chosen]) for chosen in self.indices.split(batch_size)])
        finally:
            for module, training in modes.items():
                module.training = training
        row: dict[str, float] = {}
        for kind, labels in (("random", self.random_labels), ("true", self.true_labels)):
            labels = labels.to(logits.device)
            row[f"{kind}_loss"] = float(F.cross_entropy(logits, labels))
            row[f"{kind}_accuracy"] = float((logits.argmax(dim=1) == labels).float().mean())
        return row
