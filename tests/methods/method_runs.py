"""Small networks, optimizers and a training loop for the tests of the methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.nn import functional as F

from tamis.methods import CAP, MFAC, OBERT, Examples, SparseGPT, Sparsifier, Wanda, WoodFisher
from tamis.sparsity import acdc_phases

SHORT = acdc_phases(16, 2, 3, 2, 2, 4)  # D 0-2, S 2-5, D 5-7, S 7-10, D 10-12, S 12-16

OPTIMIZERS: dict[str, Callable[[Iterable[Tensor]], optim.Optimizer]] = {
    "sgd": lambda p: optim.SGD(p, lr=0.05, weight_decay=1e-2),
    "momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-2),
    "nesterov": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda p: optim.Adam(p, lr=1e-2, weight_decay=1e-2),
    "amsgrad": lambda p: optim.Adam(p, lr=1e-2, amsgrad=True),
    "adamw": lambda p: optim.AdamW(p, lr=1e-2, weight_decay=1e-1),
    "nadam": lambda p: optim.NAdam(p, lr=1e-2),
    "radam": lambda p: optim.RAdam(p, lr=1e-2),
    "adamax": lambda p: optim.Adamax(p, lr=1e-2),
    "adadelta": lambda p: optim.Adadelta(p, lr=1.0),
    "rmsprop": lambda p: optim.RMSprop(p, lr=1e-3, momentum=0.9, centered=True),
    "adagrad": lambda p: optim.Adagrad(p, lr=1e-2, initial_accumulator_value=0.1),
    "asgd": lambda p: optim.ASGD(p, lr=1e-2),
    "rprop": lambda p: optim.Rprop(p, lr=1e-3),
}


def mlp(seed: int = 0) -> nn.Sequential:
    """Three linear layers on 12 features and 4 classes, with batch norm."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(12, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 4)
    )


def convnet(seed: int = 0) -> nn.Sequential:
    """Two convolutions and a linear layer on (2, 6, 6) images and 4 classes."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(72, 4),
    )  # fmt: skip


def batch(step: int, shape: tuple[int, ...] = (12,)) -> tuple[Tensor, Tensor]:
    """Inputs (32, *shape) and labels (32,) that depend on the step alone."""
    generator = torch.Generator().manual_seed(1000 + step)
    return torch.randn(32, *shape, generator=generator), torch.randint(4, (32,), generator=generator)


def examples(shape: tuple[int, ...] = (12,), batches: int = 4) -> Examples:
    """The same few batches at every look, for methods that look at data by themselves."""
    return Examples(lambda: (batch(10_000 + i, shape) for i in range(batches)))


# name -> make(sparsity, total_steps, **options): the methods that prune by second-order or calibration data, small
SURGEONS: dict[str, Callable[..., Sparsifier]] = {
    "woodfisher": lambda s, n, **o: WoodFisher(
        s, n, **{"examples": examples(), "events": 4, "block": 8, "gradients": 12, "damping": 1e-3, **o}
    ),
    "mfac": lambda s, n, **o: MFAC(
        s,
        n,
        **{
            "examples": examples(),
            "events": 3,
            "block": "full",
            "gradients": 5,
            "recomputations": 3,
            "damping": 1e-3,
            **o,
        },
    ),
    "obert": lambda s, n, **o: OBERT(
        s,
        n,
        **{"examples": examples(), "events": 4, "block": 8, "gradients": 12, "damping": 1e-3, "from_zeros": True, **o},
    ),
    "cap": lambda s, n, **o: CAP(
        s, n, **{"examples": examples(), "events": 4, "block": 16, "gradients": 20, "damping": 1e-3, **o}
    ),
    "wanda": lambda s, n, **o: Wanda(s, **{"examples": examples(), "at_step": 3, **o}),
    "sparsegpt": lambda s, n, **o: SparseGPT(s, **{"examples": examples(), "at_step": 3, **o}),
}


def train(
    model: nn.Module,
    optimizer: optim.Optimizer,
    steps: Iterable[int],
    shape: tuple[int, ...] = (12,),
    after: Callable[[int], Any] = lambda step: None,
) -> None:
    """A plain loop that knows nothing of sparsifiers; ``after(step)`` runs behind each step."""
    for step in steps:
        inputs, labels = batch(step, shape)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        after(step)


def attached(
    sparsifier: Sparsifier, name: str = "momentum", model: nn.Module | None = None
) -> tuple[Any, optim.Optimizer, Sparsifier]:
    """The sparsifier in charge of a model (the small network, if none is given) with a fresh optimizer."""
    model = mlp() if model is None else model
    optimizer = OPTIMIZERS[name](model.parameters())
    return model, optimizer, sparsifier.attach(model, optimizer)


def live_counts(sparsifier: Sparsifier) -> list[int]:
    """Live weights of all layers together after each mask change."""
    return [sum(row["live"] for row in event["layers"].values()) for event in sparsifier.events]


def gradients_of(model: nn.Module, numbers: Iterable[int], divide: int = 1) -> None:
    """Backward passes over some batches, accumulated."""
    model.zero_grad()
    for number in numbers:
        inputs, labels = batch(number)
        (F.cross_entropy(model(inputs), labels) / divide).backward()


def assert_same_state(left: nn.Module, right: nn.Module, **tolerance: float) -> None:
    """The dense state_dicts have equal keys and values: to the bit, or within ``tolerance``."""
    ours, theirs = left.state_dict(), right.state_dict()
    assert list(ours) == list(theirs)
    for key in ours:
        if tolerance:
            torch.testing.assert_close(ours[key], theirs[key], msg=lambda text, key=key: f"{key}: {text}", **tolerance)
        else:
            assert torch.equal(ours[key], theirs[key]), key


class Tied(nn.Module):
    """Two layers with one weight, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(12, 12, bias=False)
        self.decode = nn.Linear(12, 12, bias=False)
        self.decode.weight = self.encode.weight
        self.head = nn.Linear(12, 4)

    def forward(self, x):
        return self.head(self.decode(torch.relu(self.encode(x))))
