"""Student's t distribution with whole degrees of freedom, from finite sums.

The core has no SciPy; intervals of several rooms need this and nothing more of it.
"""

from __future__ import annotations

import math
from functools import lru_cache


def t_probability(t: float, freedom: int) -> float:
    """P(T <= t) of Student's t with a whole number of degrees of freedom.

    Abramowitz & Stegun (1964), 26.7.3 and 26.7.4: finite sums, exact up to rounding.
    """
    angle = math.atan2(t, math.sqrt(freedom))
    cosine, sine = math.cos(angle), math.sin(angle)
    if freedom % 2:
        term, total = cosine, 0.0
        for k in range(1, freedom - 1, 2):
            total += term
            term *= cosine * cosine * (k + 1) / (k + 2)
        within = (angle + sine * total) * 2 / math.pi
    else:
        term, total = 1.0, 0.0
        for k in range(0, freedom - 1, 2):
            total += term
            term *= cosine * cosine * (k + 1) / (k + 2)
        within = sine * total
    return 0.5 + within / 2


@lru_cache(maxsize=256)
def t_quantile(probability: float, freedom: int) -> float:
    """The t with ``t_probability(t, freedom) == probability``, by bisection; probability in [0.5, 1).

    >>> round(t_quantile(0.975, 2), 4)
    4.3027
    """
    low, high = 0.0, 1.0
    while t_probability(high, freedom) < probability:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if t_probability(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return high
