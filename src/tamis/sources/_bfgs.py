"""BFGS as a coroutine, with the first steps and the stopping rule of SciPy's."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from tamis.sources._line_search import more_thuente
from tamis.sources._merging import Floats
from tamis.sources._newton import Point, Solution


def bfgs(start: Floats, tolerance: float, max_iter: int) -> Generator[Floats, Point, Solution]:
    """Minimise from ``start`` until no element of the gradient exceeds ``tolerance``.

    Source: Nocedal and Wright, Numerical Optimization (2006), algorithm 6.1, first inverse Hessian 1.
    """
    theta = start
    here = yield theta
    inverse = np.eye(len(start))
    before = here.value + float(np.linalg.norm(here.gradient)) / 2
    for _ in range(max_iter):
        if np.abs(here.gradient).max() <= tolerance:
            break
        direction = -(inverse @ here.gradient)
        slope = float(here.gradient @ direction)
        if not slope < 0:
            break
        first = min(1.0, 2.02 * (here.value - before) / slope)
        search = more_thuente(here.value, slope, first if first > 0 else 1.0)
        try:
            length = next(search)
            while True:
                trial = theta + length * direction
                there = yield trial
                length = search.send((there.value, float(there.gradient @ direction)))
        except StopIteration as end:
            if end.value is None:
                break
        before = here.value
        step, change = trial - theta, there.gradient - here.gradient
        theta, here = trial, there
        curvature = float(change @ step)
        rho = 1 / curvature if curvature != 0 else 1000.0
        moved = inverse @ change
        inverse = (
            inverse
            - rho * (np.outer(step, moved) + np.outer(moved, step))
            + (rho * rho * float(change @ moved) + rho) * np.outer(step, step)
        )
    return Solution(theta, here, bool(np.abs(here.gradient).max() <= tolerance))
