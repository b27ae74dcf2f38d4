"""The linear probe of the published study: SGD with fixed constants (Iofinova et al., CVPR 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from tamis.errors import UsageError
from tamis.transfer._probe import ProbeResult, check_features, predict, primary, scored
from tamis.transfer._probe_lbfgs import scored_quietly
from tamis.transfer._schedule import Shape, rate_of_epoch


@dataclass(frozen=True)
class SgdOptions:
    """Constants of the published recipe; weight decay acts on the bias too."""

    epochs: int = 150
    batch_size: int = 64
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Shape = "paper"

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1:
            raise UsageError(f"epochs {self.epochs}, batch_size {self.batch_size}: expected at least 1 of each")


def fit_sgd(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    num_classes: int,
    *,
    seed: int,
    validation: Tensor | None = None,
    metric: str = "top1",
    options: SgdOptions = SgdOptions(),
    paper_best_test: bool = False,
) -> tuple[ProbeResult, ...]:
    """Train ``Linear(d, K)`` with torch's default initial weights on frozen features, by index permutation in memory.

    Args:
        train_x: float32 (n, d) features.
        train_y: int64 (n,).
        test_x, test_y: the test part.
        num_classes: K.
        seed: of the initial weights and of the order (see :func:`derived_seed`).
        validation: bool (n,), samples that are held out to choose the best epoch by ``metric``; None trains on all.
        metric: ``top1`` or ``mean_per_class``.
        options: constants.
        paper_best_test: also return the epoch with the best *test* accuracy, as the original code reported; its
            ``selection`` says so, and default statistics leave such rows out.

    Returns:
        ``last``, then ``best_val`` if samples were held out, then ``paper_best_test`` if asked for.

    Raises:
        UsageError: every training sample is held out.
    """
    check_features(train_x, train_y, num_classes, "training features")
    check_features(test_x, test_y, num_classes, "test features")
    held_out = torch.zeros_like(train_y, dtype=torch.bool) if validation is None else validation
    fit_x, fit_y = train_x[~held_out].float(), train_y[~held_out]
    if not len(fit_y):
        raise UsageError("validation holds out every training sample; expected some to train on")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = nn.Linear(train_x.shape[1], num_classes)
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(
        layer.parameters(), lr=options.lr, momentum=options.momentum, weight_decay=options.weight_decay
    )
    kept: dict[str, tuple[float, int, Tensor, Tensor]] = {}
    history: list[dict[str, Any]] = []
    for epoch in tqdm(range(options.epochs), desc="probe", unit="epoch", disable=None):
        rate = rate_of_epoch(options.schedule, options.lr, epoch, options.epochs)
        optimizer.param_groups[0]["lr"] = rate
        for part in torch.randperm(len(fit_y), generator=order).split(options.batch_size):
            optimizer.zero_grad()
            F.cross_entropy(layer(fit_x[part]), fit_y[part]).backward()
            optimizer.step()
        weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
        scores = {}
        if validation is not None:
            seen = scored_quietly(train_y[held_out], predict(train_x[held_out].float(), weight, bias), num_classes)
            scores["best_val"] = primary(seen, metric)
            history.append({"epoch": epoch, "score": scores["best_val"], "lr": rate})
        if paper_best_test:
            seen = scored_quietly(test_y, predict(test_x.float(), weight, bias), num_classes)
            scores["paper_best_test"] = primary(seen, metric)
        for selection, value in scores.items():
            if selection not in kept or value > kept[selection][0]:
                kept[selection] = (value, epoch, weight, bias)
        kept["last"] = (0.0, epoch, weight, bias)
    results = []
    for selection in ("last", "best_val", "paper_best_test"):
        if selection in kept:
            _, epoch, weight, bias = kept[selection]
            logits = predict(test_x.float(), weight, bias)
            results.append(
                ProbeResult(
                    weight=weight,
                    bias=bias,
                    test=scored(test_y, logits, num_classes),
                    predictions=logits.argmax(1),
                    logits=logits,
                    selection=selection,
                    chosen={"epoch": epoch},
                    validation=tuple(history) if selection == "best_val" else (),
                )
            )
    return tuple(results)
