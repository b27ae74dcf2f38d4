"""The line search of Moré and Thuente for the strong Wolfe conditions, as a coroutine.

Source: Moré and Thuente, Line search algorithms with guaranteed sufficient decrease, ACM TOMS 20 (1994), in the form
of MINPACK-2 (safeguards, modified function of the first stage) that SciPy's BFGS uses too.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

DECREASE = 1e-4  # c1 of the Wolfe conditions
CURVATURE = 0.9  # c2
SHORTEST, LONGEST = 1e-100, 1e100
NARROWEST = 1e-14  # relative width of the bracket below which rounding decides
MOST_STEPS = 100


@dataclass
class _Bracket:
    """The best step so far (x), the other end (y) and whether a minimum lies between them."""

    x: float
    f_x: float
    g_x: float
    y: float
    f_y: float
    g_y: float
    closed: bool = False


def more_thuente(
    value: float, slope: float, first: float
) -> Generator[float, tuple[float, float], tuple[float, float] | None]:
    """Find a step length; yields lengths and expects (value, slope) there.

    Args:
        value: of the objective at length 0.
        slope: derivative there, negative.
        first: the first length to try.

    Returns:
        (length, value there), or None if rounding errors forbid an answer.
    """
    test_slope = DECREASE * slope
    width, width_before = LONGEST - SHORTEST, 2 * (LONGEST - SHORTEST)
    bracket = _Bracket(0.0, value, slope, 0.0, value, slope)
    step, low, high, first_stage = first, 0.0, 5 * first, True
    for _ in range(MOST_STEPS):
        f, g = yield step
        bound = value + step * test_slope
        if first_stage and f <= bound and g >= 0:
            first_stage = False
        if f <= bound and abs(g) <= CURVATURE * -slope:
            return step, f
        if not (math.isfinite(f) and math.isfinite(g)):
            return None
        if bracket.closed and (step <= low or step >= high or high - low <= NARROWEST * high):
            return None
        if (step == LONGEST and f <= bound and g <= test_slope) or (
            step == SHORTEST and (f > bound or g >= test_slope)
        ):
            return None
        if first_stage and f <= bracket.f_x and f > bound:
            # The decrease does not suffice yet: search on the function minus the required decrease.
            _tilt(bracket, -test_slope)
            step = _next_step(bracket, step, f - step * test_slope, g - test_slope, low, high)
            _tilt(bracket, test_slope)
        else:
            step = _next_step(bracket, step, f, g, low, high)
        if bracket.closed:
            if abs(bracket.y - bracket.x) >= 0.66 * width_before:
                step = bracket.x + 0.5 * (bracket.y - bracket.x)
            width_before, width = width, abs(bracket.y - bracket.x)
            low, high = min(bracket.x, bracket.y), max(bracket.x, bracket.y)
        else:
            low, high = step + 1.1 * (step - bracket.x), step + 4.0 * (step - bracket.x)
        step = min(max(step, SHORTEST), LONGEST)
        if bracket.closed and (step <= low or step >= high or high - low <= NARROWEST * high):
            step = bracket.x
    return None


def _tilt(b: _Bracket, slope: float) -> None:
    """Add a linear function to all that the bracket remembers.  The ends keep their place."""
    b.f_x, b.g_x, b.f_y, b.g_y = b.f_x + b.x * slope, b.g_x + slope, b.f_y + b.y * slope, b.g_y + slope


def _next_step(b: _Bracket, step: float, f: float, g: float, low: float, high: float) -> float:
    """The next trial from cubic and quadratic interpolation, and the bracket brought up to date."""
    opposite = g * math.copysign(1.0, b.g_x) < 0
    if f > b.f_x:  # higher: the minimum lies between
        theta = 3 * (b.f_x - f) / (step - b.x) + b.g_x + g
        gamma = _gamma(theta, b.g_x, g, step < b.x)
        r = ((gamma - b.g_x) + theta) / (((gamma - b.g_x) + gamma) + g)
        cubic = b.x + r * (step - b.x)
        quadratic = b.x + ((b.g_x / ((b.f_x - f) / (step - b.x) + b.g_x)) / 2) * (step - b.x)
        best = cubic if abs(cubic - b.x) <= abs(quadratic - b.x) else cubic + (quadratic - cubic) / 2
        b.closed = True
    elif opposite:  # lower, slopes of opposite sign: the minimum lies between
        theta = 3 * (b.f_x - f) / (step - b.x) + b.g_x + g
        gamma = _gamma(theta, b.g_x, g, step > b.x)
        r = ((gamma - g) + theta) / (((gamma - g) + gamma) + b.g_x)
        cubic = step + r * (b.x - step)
        secant = step + (g / (g - b.g_x)) * (b.x - step)
        best = cubic if abs(cubic - step) > abs(secant - step) else secant
        b.closed = True
    elif abs(g) < abs(b.g_x):  # lower, same sign, flatter
        theta = 3 * (b.f_x - f) / (step - b.x) + b.g_x + g
        gamma = _gamma(theta, b.g_x, g, step > b.x, clip=True)
        r = ((gamma - g) + theta) / ((gamma + (b.g_x - g)) + gamma)
        cubic = step + r * (b.x - step) if r < 0 and gamma != 0 else (high if step > b.x else low)
        secant = step + (g / (g - b.g_x)) * (b.x - step)
        if b.closed:
            best = cubic if abs(cubic - step) < abs(secant - step) else secant
            limit = step + 0.66 * (b.y - step)
            best = min(limit, best) if step > b.x else max(limit, best)
        else:
            best = cubic if abs(cubic - step) > abs(secant - step) else secant
            best = min(max(best, low), high)
    elif b.closed:  # lower, same sign, not flatter
        theta = 3 * (f - b.f_y) / (b.y - step) + b.g_y + g
        gamma = _gamma(theta, b.g_y, g, step > b.y)
        r = ((gamma - g) + theta) / (((gamma - g) + gamma) + b.g_y)
        best = step + r * (b.y - step)
    else:
        best = high if step > b.x else low
    if f > b.f_x:
        b.y, b.f_y, b.g_y = step, f, g
    else:
        if opposite:
            b.y, b.f_y, b.g_y = b.x, b.f_x, b.g_x
        b.x, b.f_x, b.g_x = step, f, g
    return best


def _gamma(theta: float, g_one: float, g_two: float, negative: bool, clip: bool = False) -> float:
    size = max(abs(theta), abs(g_one), abs(g_two))
    if size == 0:
        return 0.0
    inside = (theta / size) ** 2 - (g_one / size) * (g_two / size)
    gamma = size * math.sqrt(max(inside, 0.0) if clip else inside)
    return -gamma if negative else gamma
