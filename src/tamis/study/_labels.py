"""Where labels go so that none covers another: pure geometry, in any unit."""

from __future__ import annotations

import math
from collections.abc import Sequence

DIRECTIONS = tuple(math.radians(angle) for angle in (0, 180, 90, 270, 30, 330, 150, 210, 60, 300, 120, 240))
RINGS, FAR = 14, 0.03  # rings of places around a point; share of the label's area that one ring farther costs
Box = tuple[float, float, float, float]  # left, bottom, right, top


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near the wanted ones, in the same order, at least ``gap`` apart and within [low, high].

    Where all of them do not fit, they share the range evenly.

    >>> spread([5.0, 5.0, 1.0], 2.0, 0.0, 10.0)
    [4.0, 6.0, 1.0]
    """
    if len(wanted) > 1:
        gap = min(gap, (high - low) / (len(wanted) - 1))
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    # Groups of touching labels, each [sum of (wanted - own offset), count]: least squares by pooling neighbours.
    groups: list[list[float]] = []
    for rank, place in enumerate(order):
        groups.append([wanted[place] - rank * gap, 1])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] >= groups[-1][0] / groups[-1][1]:
            total, count = groups.pop()
            groups[-1][0] += total
            groups[-1][1] += count
    free = [total / count for total, count in groups for _ in range(int(count))]
    last = high - (len(order) - 1) * gap
    found = [0.0] * len(order)
    for rank, place in enumerate(order):
        found[place] = min(max(free[rank], low), last) + rank * gap
    return found


def beside(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    frame: Box,
    gap: float,
    avoid: Sequence[Box] = (),
) -> list[Box]:
    """A box of the given (width, height) near each point, inside the frame, off points, other boxes and ``avoid``.

    Tried in rings around the point, to its right first.  Each place costs the area that it covers, and a little for
    the way to it, so that a thin line is crossed rather than walked around at any price; the cheapest place is taken.
    """
    placed: list[Box] = []
    marks = [(x - gap / 2, y - gap / 2, x + gap / 2, y + gap / 2) for x, y in points]
    for (x, y), (width, height) in zip(points, sizes, strict=True):
        best: tuple[float, Box] | None = None
        for ring in range(RINGS):
            far = ring * FAR * width * height
            if best is not None and best[0] <= far:
                break
            reach = gap * (1 + 1.2 * ring)
            for angle in DIRECTIONS:
                cosine, sine = math.cos(angle), math.sin(angle)
                middle = (x + cosine * (reach + width / 2), y + sine * (reach + height / 2))
                box = (middle[0] - width / 2, middle[1] - height / 2, middle[0] + width / 2, middle[1] + height / 2)
                if box[0] < frame[0] or box[1] < frame[1] or box[2] > frame[2] or box[3] > frame[3]:
                    continue
                cost = far + sum(overlap(box, other) for other in (*placed, *marks, *avoid))
                if best is None or cost < best[0]:
                    best = (cost, box)
        placed.append(best[1] if best is not None else (x + gap, y - height / 2, x + gap + width, y + height / 2))
    return placed


def overlap(a: Box, b: Box) -> float:
    """The area that two boxes share."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0
