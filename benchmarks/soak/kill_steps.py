"""A training of single steps whose every checkpoint can be compared, for works that are killed while they write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from tamis.train import save_checkpoint


class Steps:
    """A small network that learns from batches that depend on the step alone."""

    def __init__(self, method: Any) -> None:
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 8))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.sparsifier = method(0.9, total_steps=400).attach(self.model, self.optimizer)
        self.done = 0

    def step(self) -> None:
        """One step on the batch of this step's number."""
        draw = torch.Generator().manual_seed(self.done)
        x, y = torch.randn(16, 64, generator=draw), torch.randint(8, (16,), generator=draw)
        self.optimizer.zero_grad()
        F.cross_entropy(self.model(x), y).backward()
        self.optimizer.step()
        self.done += 1

    def bytes(self) -> list[bytes]:
        """All weights."""
        return [tensor.detach().numpy().tobytes() for tensor in self.model.state_dict().values()]


def write_checkpoints(method: Any, file: Path) -> int:
    torch.set_num_threads(1)
    run = Steps(method)
    while run.done < 390:
        run.step()
        save_checkpoint(file, run.model, run.optimizer, run.sparsifier, progress={"step": run.done})
    return 0
