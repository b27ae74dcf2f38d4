"""The linear probe of the product: multinomial logistic regression by L-BFGS, its regularisation chosen on validation.

The objective is scikit-learn's ``LogisticRegression`` with the same C,

    J(W, b) = mean_i CE(W f_i + b, y_i) + ||W||^2 / (2 C n),

with b free.  C is chosen among 45 values from 1e-6 to 1e5 (Kornblith, Shlens and Le, CVPR 2019; the grid of DINOv2),
on validation images only; then the classifier is fitted anew on all training images and meets the test images once.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from tamis.errors import UsageError
from tamis.transfer._probe import ProbeResult, check_features, predict, primary, scored

GRID = tuple(10 ** (-6 + 11 * j / 44) for j in range(45))
"""C_j = 10^(-6 + 11 j / 44), j = 0..44."""


@dataclass(frozen=True)
class LbfgsOptions:
    """Choices of the solver; the defaults are the protocol's.

    ``grid`` holds the candidates for C in ascending order.  ``standardise`` divides features by their standard
    deviation over the *training* part, after subtracting their mean.
    """

    grid: tuple[float, ...] = GRID
    standardise: bool = False
    history: int = 10
    max_iterations: int = 1000
    gradient_tolerance: float = 1e-5
    change_tolerance: float = 1e-9

    def __post_init__(self) -> None:
        if not self.grid or any(c <= 0 for c in self.grid) or list(self.grid) != sorted(set(self.grid)):
            raise UsageError(f"grid {self.grid}: expected positive values of C, ascending")
        if self.max_iterations < 1 or self.history < 1:
            raise UsageError("max_iterations and history: expected whole numbers of at least 1")


@dataclass(frozen=True, eq=False)
class Solution:
    """One fit: float64 weight (K, d), bias (K,), J there, and whether the solver stopped because it was done."""

    weight: Tensor
    bias: Tensor
    objective: float
    converged: bool
    iterations: int


def fit_logistic(
    features: Tensor,
    labels: Tensor,
    num_classes: int,
    c: float,
    options: LbfgsOptions = LbfgsOptions(),
    start: Solution | None = None,
) -> Solution:
    """Minimise J for one C.

    Args:
        features: float64 (n, d).
        labels: int64 (n,).
        num_classes: K.
        c: inverse regularisation.
        options: of the solver.
        start: where to begin; zeros if None.
    """
    count, width = features.shape
    parameters = torch.zeros(num_classes, width + 1, dtype=features.dtype)  # the last column is the bias
    if start is not None:
        parameters[:, :-1], parameters[:, -1] = start.weight, start.bias
    parameters.requires_grad_()
    targets = labels[:, None]
    optimizer = torch.optim.LBFGS(
        [parameters],
        max_iter=options.max_iterations,
        max_eval=options.max_iterations * 5 // 4,
        tolerance_grad=options.gradient_tolerance,
        tolerance_change=options.change_tolerance,
        history_size=options.history,
        line_search_fn="strong_wolfe",
    )

    @torch.no_grad()
    def objective() -> float:
        # the gradient in closed form takes half the time of autograd
        weight = parameters[:, :-1]
        logs = torch.log_softmax(predict(features, weight, parameters[:, -1]), 1)
        loss = float(-logs.gather(1, targets).mean() + weight.square().sum() / (2 * c * count))
        residual = logs.exp_()
        residual.scatter_add_(1, targets, torch.full_like(targets, -1, dtype=residual.dtype))
        residual /= count
        slope = torch.addmm(weight, residual.T, features, beta=1 / (c * count))
        parameters.grad = torch.cat([slope, residual.sum(0)[:, None]], 1)
        return loss

    optimizer.step(objective)
    state = optimizer.state[parameters]
    converged = state["n_iter"] < options.max_iterations and state["func_evals"] < options.max_iterations * 5 // 4
    final = parameters.detach()
    return Solution(final[:, :-1].clone(), final[:, -1].clone(), objective(), converged, int(state["n_iter"]))


def fit_lbfgs(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    num_classes: int,
    validation: Tensor,
    *,
    metric: str = "top1",
    options: LbfgsOptions = LbfgsOptions(),
) -> ProbeResult:
    """Choose C on validation, refit on all training features, score the test features once.  No seed enters.

    For C ascending: warm start from the solution before, fit on the part that is not held out, score the held-out
    part with ``metric``.  The best score wins, ties go to the smallest C; the refit starts from zeros.

    Args:
        train_x: float (n, d) features; computed in float64.
        train_y: int64 (n,).
        test_x: float (m, d).
        test_y: int64 (m,); not looked at before the classifier is final.
        num_classes: K.
        validation: bool (n,), True where a training sample is held out (:meth:`Task.validation`).
        metric: ``top1`` or ``mean_per_class``, which chooses.
        options: grid and solver.

    Returns:
        ``selection`` is ``best_val``; warnings say if C lies at an end of the grid or a solver did not converge.

    Raises:
        UsageError: shapes do not fit, or nothing is held out or left.
    """
    check_features(train_x, train_y, num_classes, "training features")
    check_features(test_x, test_y, num_classes, "test features")
    if validation.dtype != torch.bool or validation.shape != train_y.shape or validation.all() or not validation.any():
        raise UsageError("validation: expected a bool for each training sample, some True and some False")
    fit_x, fit_y, val_x, val_y = (
        train_x[~validation].double(), train_y[~validation], train_x[validation].double(), train_y[validation],
    )  # fmt: skip
    shift, scale = _standardisation(fit_x, options.standardise)
    fit_x, val_x = (fit_x - shift) / scale, (val_x - shift) / scale
    rows: list[dict[str, Any]] = []
    solution: Solution | None = None
    for c in tqdm(options.grid, desc="C", unit="fit", disable=None):
        solution = fit_logistic(fit_x, fit_y, num_classes, c, options, solution)
        seen = scored_quietly(val_y, predict(val_x, solution.weight, solution.bias), num_classes)
        rows.append(
            {"C": c, "score": primary(seen, metric), "converged": solution.converged, "iterations": solution.iterations}
        )
    best = max(rows, key=lambda row: (row["score"], -row["C"]))
    all_x = train_x.double()
    shift, scale = _standardisation(all_x, options.standardise)
    final = fit_logistic((all_x - shift) / scale, train_y, num_classes, best["C"], options)
    weight = final.weight / scale
    bias = final.bias - weight @ shift
    logits = predict(test_x.double(), weight, bias)
    return ProbeResult(
        weight=weight.float(),
        bias=bias.float(),
        test=scored(test_y, logits, num_classes),
        predictions=logits.argmax(1),
        logits=logits.float(),
        selection="best_val",
        chosen={"C": best["C"]},
        validation=tuple(rows),
        warnings=tuple(_warnings(best, rows, final, options.grid)),
    )


def _warnings(
    best: dict[str, Any], rows: Sequence[dict[str, Any]], final: Solution, grid: Sequence[float]
) -> list[str]:
    found = []
    if len(grid) > 1 and best["C"] in (grid[0], grid[-1]):
        found.append(f"the chosen C = {best['C']:.3g} lies at an end of the grid; a wider grid may be better")
    unfinished = [row["C"] for row in rows if not row["converged"]]
    if unfinished:
        found.append(f"the solver did not converge for {len(unfinished)} of {len(rows)} values of C")
    if not final.converged:
        found.append("the final fit did not converge")
    return found


def scored_quietly(labels: Tensor, logits: Tensor, num_classes: int) -> Any:
    """Both accuracies without the warning about absent classes: a held-out part often lacks rare ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return scored(labels, logits, num_classes)


def _standardisation(features: Tensor, wanted: bool) -> tuple[Tensor, Tensor]:
    width = features.shape[1]
    if not wanted:
        return torch.zeros(width, dtype=features.dtype), torch.ones(width, dtype=features.dtype)
    std = features.std(0, correction=0)
    return features.mean(0), torch.where(std > 0, std, 1.0)
