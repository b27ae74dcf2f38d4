"""The gallery scripts run and draw something."""

from __future__ import annotations

import runpy
from pathlib import Path

import matplotlib as mpl
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "examples").glob("plot_*.py"))


@pytest.fixture
def figures():
    """Numbers of the open figures; drawn without a display, closed afterwards."""
    mpl.use("Agg")
    from matplotlib import pyplot

    threads = torch.get_num_threads()
    yield pyplot.get_fignums
    pyplot.close("all")
    torch.set_num_threads(threads)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_gallery_script_runs_and_draws(script, figures, capsys):
    runpy.run_path(str(script), run_name="__main__")
    assert figures()
    assert capsys.readouterr().out


def test_the_gallery_is_not_empty():
    assert len(SCRIPTS) >= 3
