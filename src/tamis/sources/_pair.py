"""The estimates for one pair of sources, as a coroutine that asks both sources for sums over their rows.

Source: Iofinova, Konstantinov, Lampert, FLEA: Provably Robust Fair Multisource Learning from Unreliable Training Data
(TMLR 2022), section 4.1: discrepancy and disparity by logistic regression.  The signed disparity is this project's.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tamis.sources._bfgs import bfgs
from tamis.sources._merging import Floats
from tamis.sources._newton import Point, Solution, newton
from tamis.sources._packing import PairScaler, SourceSummary, pair_scaler
from tamis.sources._terms import Answer, Question, Term

TOLERANCE = 1e-6  # of the gradient, for the convex objectives that are means
SUM_TOLERANCE = 1e-7  # for the start of the published disparity, which is a sum over rows
SMOOTH = 1e-8  # |m| is smoothed to m^2 / sqrt(m^2 + SMOOTH)


@dataclass(frozen=True)
class Wanted:
    """Which estimates to make, and the limits of BFGS for the published disparity."""

    discrepancy: bool = True
    signed: bool = True
    published: bool = False
    gtol: float = 1e-4
    max_iter: int = 500


class Ask(NamedTuple):
    """A question to the first (0) or the second (1) source of a pair."""

    side: int
    question: Question


@dataclass(frozen=True)
class PairEstimate:
    """What was found for a pair; NaN where it was not wanted.

    Attributes:
        discrepancy: ``|R_first - R_second|`` in [0, 1].
        signed: ``|g_first - g_second|`` in [0, 2], g the signed demographic-parity gap.
        published: ``| |g_first| - |g_second| |`` in [0, 1] with the first source for the loss, and with the second.
        not_converged: number of fits that hit a limit.
    """

    discrepancy: float = np.nan
    signed: float = np.nan
    published: tuple[float, float] = (np.nan, np.nan)
    not_converged: int = 0


Asking = Generator[list[Ask], list[Answer], "PairEstimate"]


def estimate_pair(first: SourceSummary, second: SourceSummary, wanted: Wanted) -> Asking:
    """Ask until all wanted estimates of the pair are known."""
    sides = (first, second)
    scaler = pair_scaler(first, second)
    found: dict[str, float] = {}
    failed = 0
    if wanted.discrepancy:
        solution = yield from solve_convex(scaler, (Term.LABEL, Term.LABEL_FLIPPED))
        failed += not solution.converged
        answers = yield [_ask(side, Term.DECISIONS, scaler, solution.theta) for side in (0, 1)]
        errors = [a.value / side.size for a, side in zip(answers, sides, strict=True)]
        found["discrepancy"] = abs(errors[0] - errors[1])
    if wanted.signed:
        solution = yield from solve_convex(scaler, (Term.GROUP, Term.GROUP_FLIPPED))
        failed += not solution.converged
        gaps = yield from _gaps(scaler, sides, solution.theta)
        found["signed"] = abs(gaps[0] - gaps[1])
    published = [np.nan, np.nan]
    for loss in (0, 1) if wanted.published else ():
        start = yield from solve_start(scaler, loss)
        solution = yield from solve_published(scaler, loss, start.theta, wanted.gtol, wanted.max_iter)
        failed += (not start.converged) + (not solution.converged)
        gaps = yield from _gaps(scaler, sides, solution.theta)
        published[loss] = abs(abs(gaps[0]) - abs(gaps[1]))
    return PairEstimate(**found, published=(published[0], published[1]), not_converged=failed)


def solve_convex(scaler: PairScaler, terms: tuple[Term, Term]) -> Generator[list[Ask], list[Answer], Solution]:
    """Unpenalised logistic regression over both sources, one term each."""
    solver = newton(len(scaler.scale) + 1, TOLERANCE)
    theta = next(solver)
    while True:
        answers = yield [_ask(side, terms[side], scaler, theta, hessian=True) for side in (0, 1)]
        parts = [_scaled(a, scaler, side) for side, a in enumerate(answers)]
        assert parts[0].hessian is not None
        assert parts[1].hessian is not None
        value, gradient = parts[0].value + parts[1].value, parts[0].gradient + parts[1].gradient
        try:
            theta = solver.send(Point(value, gradient, parts[0].hessian + parts[1].hessian))
        except StopIteration as end:
            return end.value


def solve_start(scaler: PairScaler, loss: int) -> Generator[list[Ask], list[Answer], Solution]:
    """Ridge logistic regression (C = 1, intercept free) of 1[a = 0] on the loss source alone."""
    solver = newton(len(scaler.scale) + 1, SUM_TOLERANCE)
    theta = next(solver)
    while True:
        (reply,) = yield [_ask(loss, Term.GROUP_SUM, scaler, theta, hessian=True)]
        part = _scaled(reply, scaler, loss)
        assert part.hessian is not None
        free = np.concatenate([[0.0], theta[1:]])
        ridge = np.diag(np.concatenate([[0.0], np.ones(len(theta) - 1)]))
        try:
            theta = solver.send(
                Point(part.value + 0.5 * float(free @ free), part.gradient + free, part.hessian + ridge)
            )
        except StopIteration as end:
            return end.value


def solve_published(
    scaler: PairScaler, loss: int, start: Floats, gtol: float, max_iter: int
) -> Generator[list[Ask], list[Answer], Solution]:
    """The published objective: balanced cross-entropy on one source, small gap on the other.  Not convex."""
    solver = bfgs(start, gtol, max_iter)
    theta = next(solver)
    while True:
        replies = yield [_ask(loss, Term.GROUP_CLIPPED, scaler, theta), _ask(1 - loss, Term.GAP, scaler, theta)]
        entropy, gap = _scaled(replies[0], scaler, loss), _scaled(replies[1], scaler, 1 - loss)
        m, root = gap.value, float(np.sqrt(gap.value**2 + SMOOTH))
        slope = m * (m * m + 2 * SMOOTH) / root**3
        try:
            theta = solver.send(Point(entropy.value + m * m / root, entropy.gradient + slope * gap.gradient))
        except StopIteration as end:
            return end.value


def _gaps(
    scaler: PairScaler, sides: tuple[SourceSummary, SourceSummary], theta: Floats
) -> Generator[list[Ask], list[Answer], list[float]]:
    """The signed demographic-parity gap of hard predictions on both sources."""
    answers = yield [_ask(side, Term.DECISIONS, scaler, theta) for side in (0, 1)]
    sizes = [side.group_sizes for side in sides]
    return [float(a.gradient[0] / n[0] - a.gradient[1] / n[1]) for a, n in zip(answers, sizes, strict=True)]


def _ask(side: int, term: Term, scaler: PairScaler, theta: Floats, hessian: bool = False) -> Ask:
    """The question in the source's own coordinates: the scaler is folded into the coefficients, no data is copied."""
    slopes = theta[1:] / scaler.scale
    intercept = theta[0] - scaler.shifts[side] @ slopes
    return Ask(side, Question(term, np.concatenate([[intercept], slopes]), hessian))


def _scaled(answer: Answer, scaler: PairScaler, side: int) -> Point:
    """Value and derivatives with respect to the scaled coordinates."""
    shift, scale = scaler.shifts[side], scaler.scale
    gradient = answer.gradient.copy()
    gradient[1:] = (gradient[1:] - shift * gradient[0]) / scale
    if answer.hessian is None:
        return Point(answer.value, gradient)
    hessian = answer.hessian.copy()
    hessian[1:, :] = (hessian[1:, :] - shift[:, None] * hessian[0]) / scale[:, None]
    hessian[:, 1:] = (hessian[:, 1:] - shift * hessian[:, :1]) / scale
    return Point(answer.value, gradient, hessian)
