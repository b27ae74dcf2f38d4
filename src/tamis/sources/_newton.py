"""Damped Newton for convex objectives, as a coroutine that yields the points at which it needs values."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from tamis.sources._merging import Floats

LONGEST_STEP = 25.0
MOST_ITERATIONS = 60
MOST_HALVINGS = 40
SUFFICIENT_DECREASE = 1e-4
RIDGE = 1e-9  # of the largest diagonal element: a constant column makes the Hessian singular
ROUNDING = 1e-12  # of the value: differences below that are no increase


@dataclass(frozen=True)
class Point:
    """An objective at one place: value, gradient ``(p,)``, and for Newton the Hessian ``(p, p)``."""

    value: float
    gradient: Floats
    hessian: Floats | None = None


@dataclass(frozen=True)
class Solution:
    """Where a solver stopped, and whether it met its tolerance."""

    theta: Floats
    point: Point
    converged: bool


def newton(size: int, tolerance: float) -> Generator[Floats, Point, Solution]:
    """Minimise from 0 until no element of the gradient exceeds ``tolerance``.

    On a separable pair the solution lies at infinity; the cap on steps and iterations then leaves a point with the same
    hard predictions.
    """
    theta = np.zeros(size)
    here = yield theta
    for _ in range(MOST_ITERATIONS):
        if np.abs(here.gradient).max() <= tolerance:
            return Solution(theta, here, True)
        step = _direction(here)
        if step is None:
            break
        slope, length = float(here.gradient @ step), 1.0
        for _ in range(MOST_HALVINGS):
            trial = theta + length * step
            there = yield trial
            if there.value <= here.value + SUFFICIENT_DECREASE * length * slope + ROUNDING * abs(here.value):
                break
            length /= 2
        else:
            break
        theta, here = trial, there
    return Solution(theta, here, bool(np.abs(here.gradient).max() <= tolerance))


def _direction(here: Point) -> Floats | None:
    assert here.hessian is not None
    largest = here.hessian.diagonal().max()
    if not largest > 0:
        return None
    try:
        lower = np.linalg.cholesky(here.hessian + RIDGE * largest * np.eye(len(here.gradient)))
    except np.linalg.LinAlgError:
        return None
    step = -np.linalg.solve(lower.T, np.linalg.solve(lower, here.gradient))
    norm = float(np.linalg.norm(step))
    return step * (LONGEST_STEP / norm) if norm > LONGEST_STEP else step
