"""Distances and scores as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamis.errors import UsageError

KEPT, REJECTED = "#2f62b5", "#bf5012"


def plot_sources(
    names: NDArray[Any], distances: NDArray[np.float64], scores: NDArray[np.float64], kept: NDArray[np.bool_]
) -> Any:
    """A matplotlib ``Figure``: heat map of the distances, and scores as bars, sources ordered by score."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("plot() needs matplotlib; install it with pip install tamis[report]") from None
    order = np.argsort(scores, kind="stable")
    labels = [str(name) for name in names[order].tolist()]
    height = min(max(0.28 * len(labels) + 1.2, 3.2), 12.0)
    figure = Figure(figsize=(2 * height + 1.5, height), layout="constrained")
    left, right = figure.subplots(1, 2)
    image = left.imshow(distances[np.ix_(order, order)], cmap="viridis")
    figure.colorbar(image, ax=left, label="distance")
    colours = [KEPT if keep else REJECTED for keep in kept[order].tolist()]
    right.barh(np.arange(len(labels)), scores[order], color=colours)
    right.invert_yaxis()
    right.set_xlabel("score (small: agrees with many)")
    right.set_title("kept in blue, rejected in orange")
    left.set_title("distances, best source first")
    places = np.arange(len(labels)) if len(labels) <= 60 else np.arange(0, len(labels), len(labels) // 30)
    for axes in (left, right):
        axes.set_yticks(places, [labels[i] for i in places])
    left.set_xticks(places, [labels[i] for i in places], rotation=90)
    return figure
