"""The pictures of a sieved table: scores as bars, distances as heat maps, sources ordered by score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tamis.report._svg import LIGHT, Chart, render_chart

MOST_NAMES = 40  # labels on an axis before only some are written
LONGEST_NAME = 18


def sieve_charts(record: Mapping[str, Any]) -> dict[str, Chart]:
    """Charts by key: ``scores``, ``components`` and ``distance``; none for a single source."""
    if len(record["sources"]) < 2:
        return {}
    charts = (_scores(record), _components(record), _heat_map(record))
    return {chart.key: chart for chart in charts}


def _scores(record: Mapping[str, Any]) -> Chart:
    sources = record["sources"]
    scores = [source["score"] for source in sources]
    kept = [source["kept"] for source in sources]

    def draw(figure: Any, narrow: bool) -> None:
        axes = figure.subplots()
        places = np.arange(len(sources))
        for keep, colour, label, hatch in ((True, "dense", "kept", None), (False, "sparse", "rejected", "///")):
            some = [place for place in places if kept[place] == keep]
            if some:
                values = [scores[place] for place in some]
                axes.barh(
                    some, values, color=LIGHT[colour], label=label, hatch=hatch, edgecolor=LIGHT["panel"], height=0.75
                )
        axes.grid(axis="x", visible=True)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("score" if narrow else "score: small for sources that agree with many")
        axes.set_ylim(len(sources) - 0.4, -0.6)
        _name(axes, sources, "y")
        figure.legend(loc="outside upper right", ncols=2)

    worst = sources[-1]
    alt = (
        f"Scores of {len(sources)} sources, from {scores[0]:.3f} ({sources[0]['name']}) to {scores[-1]:.3f} "
        f"({worst['name']}); {sum(kept)} are kept."
    )
    caption = (
        "Small scores are those of sources that agree with many: the score of a source is its K-th smallest distance, "
        "that to itself included."
    )
    heights = (min(max(0.24 * len(sources) + 1.0, 2.2), 11.0), min(max(0.24 * len(sources) + 1.0, 2.6), 11.0))
    return render_chart("scores", "Scores", alt, caption, heights, draw)


def _components(record: Mapping[str, Any]) -> Chart:
    sources, names = record["sources"], list(record["usual"])

    def draw(figure: Any, narrow: bool) -> None:
        panels = np.atleast_1d(
            figure.subplots(len(names), 1) if narrow else figure.subplots(1, len(names), sharey=True)
        )
        places = np.arange(len(sources))
        for axes, name in zip(panels, names, strict=True):
            values = [source["components"][name] for source in sources]
            usual = record["usual"][name]
            for keep, colour, marker in ((True, "dense", "o"), (False, "sparse", "s")):
                some = [p for p in places if sources[p]["kept"] == keep and values[p] is not None]
                axes.plot([values[p] for p in some], some, marker, color=LIGHT[colour], markersize=5)
            if usual is not None:
                axes.axvline(usual, color=LIGHT["muted"], linestyle=(0, (4, 2)), linewidth=1)
            axes.set_title(name)
            axes.set_xlim(left=min(0, *(v for v in values if v is not None)) - 0.02)
            axes.set_ylim(len(sources) - 0.4, -0.6)
            axes.grid(axis="x", visible=True)
        for axes in panels if narrow else panels[:1]:
            _name(axes, sources, "y")

    parts = []
    for name in names:
        known = [s for s in sources if s["components"][name] is not None]
        most = max(known, key=lambda s: s["components"][name])
        parts.append(f"{name} is largest for {most['name']} ({most['components'][name]:.3f})")
    alt = f"Median distance of every source to the kept ones by component: {'; '.join(parts)}."
    caption = (
        "Blue circles are kept sources, orange squares rejected ones; the dashed line is the usual value of a kept one."
    )
    tall = min(max(0.24 * len(sources) + 0.9, 2.2), 11.0)
    return render_chart(
        "components", "What sets sources apart", alt, caption, (tall, min(tall * len(names), 20.0)), draw
    )


def _heat_map(record: Mapping[str, Any]) -> Chart:
    sources = record["sources"]
    order = [record["order"].index(source["name"]) for source in sources]
    matrix = np.array(
        [[np.nan if v is None else v for v in row] for row in record["matrices"]["distance"]], dtype=float
    )
    ordered = matrix[np.ix_(order, order)]
    kept = sum(source["kept"] for source in sources)

    def draw(figure: Any, narrow: bool) -> None:
        axes = figure.subplots()
        image = axes.imshow(ordered, cmap="cividis", vmin=0, interpolation="nearest")
        axes.grid(visible=False)
        figure.colorbar(image, ax=axes, label="distance", shrink=0.85)
        if [source["kept"] for source in sources] == sorted((s["kept"] for s in sources), reverse=True) and kept < len(
            order
        ):
            axes.axhline(kept - 0.5, color=LIGHT["sparse"], linewidth=1.5)
            axes.axvline(kept - 0.5, color=LIGHT["sparse"], linewidth=1.5)
        _name(axes, sources, "y")
        _name(axes, sources, "x")

    inside = _median(
        [ordered[i, j] for i in range(len(order)) for j in range(i) if sources[i]["kept"] and sources[j]["kept"]]
    )
    across = _median(
        [ordered[i, j] for i in range(len(order)) for j in range(len(order)) if sources[i]["kept"] > sources[j]["kept"]]
    )
    alt = f"Distances between {len(order)} sources. The median is {inside:.3f} among kept sources"
    alt += f" and {across:.3f} between kept and rejected ones." if kept < len(order) else "."
    caption = (
        "Sources are ordered by score; dark pairs agree, bright ones do not. Lines separate kept from rejected sources."
    )
    tall = min(max(0.2 * len(sources) + 1.5, 3.6), 9.0)
    return render_chart("distance", "Distances", alt, caption, (tall, 3.6), draw)


def _name(axes: Any, sources: Any, axis: str) -> None:
    step = -(-len(sources) // MOST_NAMES)
    places = np.arange(0, len(sources), step)
    labels = [_short(sources[place]["name"]) for place in places]
    if axis == "y":
        axes.set_yticks(places, labels)
    else:
        axes.set_xticks(places, labels, rotation=90)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _median(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.median(known)) if known else float("nan")
