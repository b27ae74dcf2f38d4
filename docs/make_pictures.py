"""Write the drawn pictures of the explanations: docs/_static/how_*.svg.

Schedules, intervals, bias and distances are computed by tamis, not drawn by hand.  Run from the repository's root:
``python docs/make_pictures.py``; tests/docs/test_pictures.py notices when a picture is out of date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
INK, PALE, BLUE, GOLD, RED = "#333333", "#dddddd", "#3b7ea1", "#c98b2b", "#a13b3b"


def text(x: float, y: float, words: str, size: int = 12, anchor: str = "start", colour: str = INK) -> str:
    """One line of text whose baseline begins, ends or is centred at (x, y)."""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, fill: str, opacity: float = 1, edge: str = "none") -> str:
    """A rectangle."""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{fill}" '
        f'fill-opacity="{opacity:g}" stroke="{edge}"/>'
    )


def line(points: Iterable[tuple[float, float]], colour: str = INK, width: float = 1.5, dashes: str = "") -> str:
    """A line through points."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dashed}/>'


def dot(x: float, y: float, colour: str = BLUE, radius: float = 3) -> str:
    """A filled circle."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{colour}"/>'


def svg(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    """The whole picture on white ground, with a title for those who hear it."""
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="sans-serif">\n<title>{escape(title)}</title>\n{box(0, 0, width, height, "white")}\n'
        f"{body}\n</svg>\n"
    )


def acdc_phases() -> str:
    """Phases of the 100-epoch schedule, sparsity and what the optimizer forgets."""
    from tamis.sparsity import PRESETS

    phases = PRESETS["imagenet_100"].phases()
    left, top, width, height = 60, 40, 620, 110
    to_x, to_y = width / phases[-1].end, {"dense": top + height, "sparse": top + height * 0.1}
    parts, path = [text(left, 24, "AC/DC, 100 epochs, 90 % zeros: dense (white) and sparse (shaded) phases", 13)], []
    returns = []
    for phase in phases:
        x, w = left + phase.start * to_x, (phase.end - phase.start) * to_x
        if phase.kind == "sparse":
            parts.append(box(x, top, w, height, BLUE, 0.18))
        elif phase.start:
            returns.append(line([(x, top - 10), (x, top + height)], GOLD, 2, "4 3"))
        path += [(x, to_y[phase.kind]), (x + w, to_y[phase.kind])]
    parts += [line(path, BLUE, 2), *returns, line([(left, top), (left, top + height), (left + width, top + height)])]
    parts += [text(left - 8, to_y[k] + 4, label, 12, "end") for k, label in (("dense", "0 %"), ("sparse", "90 %"))]
    for epoch in range(0, 101, 10):
        parts.append(text(left + epoch * to_x, top + height + 16, str(epoch), 11, "middle"))
    parts.append(text(left + width / 2, top + height + 34, "epoch", 12, "middle"))
    parts.append(
        text(
            left, top + height + 56, "Each edge into a shaded phase: keep the k largest weights, set the rest to zero."
        )
    )
    parts.append(
        text(
            left,
            top + height + 74,
            "Each dashed edge: pruned weights return as zeros, first moments are cleared.",
            12,
            "start",
            GOLD,
        )
    )
    return svg(720, 240, "Phases of AC/DC", parts)


def kernel_panel() -> str:
    """From an input tile to a register tile: what one live weight does."""
    cell, parts = 17, []
    parts.append(
        text(
            20,
            24,
            "Forward pass of one output channel: for each live weight, one broadcast and one multiply-add per vector",
            13,
        )
    )
    parts.append(text(20, 58, "panel: the input tile in cache, padded with zeros"))
    for channel in range(4):
        y = 70 + channel * (cell + 6)
        parts.append(text(20, y + 13, f"channel {channel}", 11))
        for column in range(18):
            halo = column in (0, 17)
            parts.append(box(85 + column * cell, y, cell, cell, PALE if halo else BLUE, 0.6 if halo else 0.12, INK))
    # the stretch that the weight at (channel 2, tap +1) reads
    parts.append(box(85 + 2 * cell, 70 + 2 * (cell + 6), 8 * cell, cell, GOLD, 0.75, INK))
    parts.append(text(20, 190, "packed row of the weight: values and places, ascending"))
    for k, (value, place) in enumerate((("0.7", "c0, -1"), ("-1.2", "c0, +1"), ("0.4", "c2, +1"), ("0.9", "c3, 0"))):
        x, now = 85 + k * 76, k == 2
        parts.append(box(x, 200, 76, 38, GOLD if now else "white", 0.75 if now else 1, INK))
        parts += [text(x + 38, 216, value, 12, "middle"), text(x + 38, 232, place, 10, "middle")]
    parts.append(text(440, 58, "registers: a tile of 8 outputs"))
    for column in range(8):
        parts.append(box(440 + column * cell * 1.4, 70, cell * 1.4, cell * 1.4, RED, 0.15, INK))
    parts.append(text(440, 130, "tile += 0.4 * panel[offset(c2, +1) : + 8]", 12, "start", INK))
    parts.append(text(440, 150, "stored once, after all live weights of its block", 11))
    parts.append(line([(85 + 10 * cell, 70 + 2.5 * cell + 12), (432, 84)], GOLD, 1.5, "4 3"))
    parts.append(text(440, 190, "loop nest", 12))
    nest = ("for each tile of images, rows, columns", "  for each block of input channels: fill the panel",
            "    for each output channel, register tile", "      for each live weight: multiply-add")  # fmt: skip
    for k, words in enumerate(nest):
        parts.append(text(440 + 12 * (len(words) - len(words.lstrip())) / 2, 208 + 16 * k, words.strip(), 11))
    return svg(760, 270, "Panel, packed row and register tile of the kernels", parts)


def two_intervals() -> str:
    """Eight tasks with three seeds each: the interval for new seeds, and that for new tasks too."""
    from tamis.study import transfer_statistics
    from tamis.transfer import Row

    shifts = (0.012, -0.006, 0.020, 0.002, -0.010, 0.016, 0.006, 0.010)
    noise = np.random.default_rng(0).normal(0, 0.002, (2, 8, 3))
    rows = [
        Row("net", "linear", method, sparsity, f"task {t + 1}", str(s), 0.8 - (shifts[t] if m else 0) + noise[m, t, s])
        for m, (method, sparsity) in enumerate((("dense", 0.0), ("sparse", 0.9)))
        for t in range(8)
        for s in range(3)
    ]
    [verdict] = transfer_statistics(rows, resamples=2000).verdicts
    values = np.array([row.value for row in rows]).reshape(2, 8, 3)
    dense = 1 - values[0].mean(axis=1)
    change = ((1 - values[1]) - dense[:, None]) / dense[:, None]

    def at(value: float) -> float:
        return 330 + 2400 * value

    parts = [text(20, 24, "Relative error increase of a sparse model, eight tasks, three seeds (simulated)", 13)]
    parts.append(line([(at(0), 40), (at(0), 290)], PALE, 1.5))
    for task in range(8):
        y = 56 + 22 * task
        parts.append(text(20, y + 4, f"task {task + 1}"))
        parts += [dot(at(value), y) for value in change[task]]
    bounds = (("new seeds, same tasks", verdict.seeds, 250, BLUE), ("new tasks and seeds", verdict.both, 276, GOLD))
    for label, interval, y, colour in bounds:
        parts += [text(20, y + 4, label), line([(at(interval.low), y), (at(interval.high), y)], colour, 4)]
        parts.append(dot(at(verdict.score.mean), y, INK, 4))
    for value in (-0.1, -0.05, 0, 0.05, 0.1):
        parts.append(text(at(value), 306, f"{value:+.0%}" if value else "0", 11, "middle"))
    return svg(640, 320, "Two intervals answer two questions", parts)


def bias_amplification() -> str:
    """Shares of the group g* among true and predicted positives, from counts."""
    # n[g, y, y^] of 1000 samples: g* has 300 true positives, the other group 100; predictions of both models
    true = (300, 100)
    dense, compressed = (306, 94), (330, 60)
    parts = [text(20, 24, "Bias amplification: who is predicted positive, less who is", 13)]
    share_true = true[0] / sum(true)
    for k, (label, counts) in enumerate(
        (("true positives", true), ("predicted, dense", dense), ("predicted, sparse", compressed))
    ):
        y, share = 50 + 46 * k, counts[0] / sum(counts)
        parts += [
            text(20, y + 18, label),
            box(150, y, 400 * share, 26, BLUE, 0.75),
            box(150 + 400 * share, y, 400 * (1 - share), 26, PALE),
        ]
        parts.append(text(160, y + 18, f"{counts[0]} of {sum(counts)} are in g*: {share:.3f}", 12, "start", "white"))
        if k:
            parts.append(text(560, y + 18, f"BA = {share - share_true:+.3f}"))
    x = 150 + 400 * share_true
    parts.append(line([(x, 44), (x, 186)], RED, 1.5, "4 3"))
    change = compressed[0] / sum(compressed) - dense[0] / sum(dense)
    parts.append(
        text(
            150,
            208,
            f"b = {share_true:.3f} (dashed), change {change:+.3f}, headroom 1 - b = {1 - share_true:.3f}",
        )
    )
    return svg(680, 224, "Bias amplification from counts", parts)


def flea_distances() -> str:
    """Eight sources, two of them manipulated: the matrix of distances, scores, and what is kept."""
    from tamis.sources import FLEA

    rng = np.random.default_rng(0)
    source = np.repeat(list("ABCDEFGH"), 1000)
    group = (rng.random(8000) < 0.5).astype(int)
    features = rng.normal(size=(8000, 4)) + 0.5 * group[:, None]
    label = (features[:, 0] + 0.5 * rng.normal(size=8000) > 0.25).astype(int)
    label[source == "C"] = 1 - label[source == "C"]
    group[source == "F"] = 1 - group[source == "F"]
    sieve = FLEA(n_clean="auto").fit(features, label, sensitive_features=group, sources=source)
    matrix, kept = sieve.distances_, sieve.support_
    parts = [text(20, 24, "FLEA: distances of eight sources; C swapped its labels, F its groups", 13)]
    steps = matrix / matrix.max()
    for i in range(8):
        parts += [
            text(40 + 28 * i + 14, 54, "ABCDEFGH"[i], 12, "middle"),
            text(32, 60 + 28 * i + 18, "ABCDEFGH"[i], 12, "end"),
        ]
        parts += [box(40 + 28 * j, 60 + 28 * i, 28, 28, RED, round(float(steps[i, j]), 2), PALE) for j in range(8)]
    parts.append(text(310, 54, f"score: the {8 // 2 + 1}th smallest entry of the row"))
    for i, score in enumerate(sieve.scores_):
        y = 60 + 28 * i
        parts.append(
            box(
                310,
                y + 5,
                round(200 * float(score / sieve.scores_.max()), 1),
                18,
                BLUE if kept[i] else RED,
                0.75,
            )
        )
        parts.append(text(520, y + 19, "kept" if kept[i] else "not kept", 12, "start", BLUE if kept[i] else RED))
    parts.append(text(310, 306, "dark: far apart; a clean row has many light cells", 11))
    return svg(620, 320, "Distances and scores of FLEA", parts)


PICTURES: dict[str, Callable[[], str]] = {
    "how_acdc_phases.svg": acdc_phases,
    "how_kernel_panel.svg": kernel_panel,
    "how_two_intervals.svg": two_intervals,
    "how_bias_amplification.svg": bias_amplification,
    "how_flea_distances.svg": flea_distances,
}


def main() -> None:
    """Draw them all."""
    for name, draw in PICTURES.items():
        (HERE / "_static" / name).write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
