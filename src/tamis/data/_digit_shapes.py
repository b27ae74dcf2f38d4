"""What can be measured on the picture of a digit: stroke, slant, width, balance and ink."""

from __future__ import annotations

import numpy as np

ON = 0.35  # ink above which a pixel belongs to the figure


def enlarge(images: np.ndarray, size: int) -> np.ndarray:
    """Bilinear ``(N, H, W)`` -> ``(N, size, size)``; the centres of the corner pixels stay at the corners."""
    rows, columns = (_weights(side, size) for side in images.shape[1:])
    return rows @ images @ columns.T


def _weights(old: int, new: int) -> np.ndarray:
    places = np.arange(new) * ((old - 1) / (new - 1))
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(old)))


def shapes_of(ink: np.ndarray) -> dict[str, np.ndarray]:
    """Measures of ``(N, H, W)`` pictures with ink in [0, 1] (1 = black), each float64 ``(N,)``.

    thickness: pixels of the figure over pixels on its outline (those with one of four neighbours outside).
    slant: ``-s_xy / s_yy`` of the ink, x to the right and y down; above 0 leans to the right.
    width: width over height of the box around the figure.
    skewness: third standardised moment of the ink's height above its mean; above 0 has a long tail upwards.
    ink: sum of the ink.
    """
    figure = ink > ON
    padded = np.pad(figure, ((0, 0), (1, 1), (1, 1)))
    inner = padded[:, :-2, 1:-1] & padded[:, 2:, 1:-1] & padded[:, 1:-1, :-2] & padded[:, 1:-1, 2:]
    outline = (figure & ~inner).sum((1, 2))
    total = ink.sum((1, 2))
    down, right = np.arange(ink.shape[1])[:, None], np.arange(ink.shape[2])[None]

    def mean(values: np.ndarray) -> np.ndarray:
        return (ink * values).sum((1, 2)) / total

    dy = down - mean(down)[:, None, None]
    dx = right - mean(right)[:, None, None]
    variance = mean(dy**2)
    return {
        "thickness": figure.sum((1, 2)) / outline,
        "slant": -mean(dx * dy) / variance,
        "width": _extent(figure.any(1)) / _extent(figure.any(2)),
        "skewness": -mean(dy**3) / variance**1.5,
        "ink": total,
    }


def _extent(line: np.ndarray) -> np.ndarray:
    """Distance from the first to behind the last True of each row of ``(N, L)``."""
    return line.shape[1] - line[:, ::-1].argmax(1) - line.argmax(1)
