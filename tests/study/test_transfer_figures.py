"""Figures of transfer results: which interval the bars show."""

from __future__ import annotations

import pytest

from tamis.study import transfer_figures, transfer_statistics
from tamis.transfer import Row

ACCURACIES = {"a": (0.50, 0.55), "b": (0.60, 0.62), "c": (0.80, 0.75)}


def bars(seeds):
    """What the lines over the bars span, in percent, the label of the axis, and the verdict they stand for."""
    figures = pytest.importorskip("matplotlib.figure")
    rows = [
        Row("net", "linear", method, sparsity, task, str(seed), values[place] + 0.01 * seed * (-1) ** place)
        for place, (method, sparsity) in enumerate((("dense", 0.0), ("acdc", 0.8)))
        for task, values in ACCURACIES.items()
        for seed in range(seeds)
    ]
    found = transfer_statistics(rows, resamples=200)
    drawn = next(figure for figure in transfer_figures(found) if figure.key.startswith("score"))
    canvas = figures.Figure()
    drawn.draw(canvas, False)
    (panel,) = canvas.axes
    spans = [tuple(line.get_xdata()) for line in panel.lines if len(set(line.get_xdata())) == 2]
    return spans, panel.get_xlabel(), found.verdicts[0]


def test_bars_of_one_seed_show_students_interval_over_tasks_and_say_so():
    spans, label, verdict = bars(seeds=1)
    assert spans == [pytest.approx((100 * verdict.score.t_low, 100 * verdict.score.t_high))]
    assert "Student's t" in label
    assert "seeds" not in label


def test_bars_of_several_seeds_show_both_intervals():
    spans, label, verdict = bars(seeds=3)
    wanted = [(100 * interval.low, 100 * interval.high) for interval in (verdict.both, verdict.seeds)]
    assert spans == [pytest.approx(span) for span in wanted]
    assert "Thick: new seeds; thin: new tasks and seeds" in label
