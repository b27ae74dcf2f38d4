"""Wherever a run stops, going on gives the weights of the run that did not stop."""

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.data import load_data
from tamis.train import (
    OPTIONS,
    Interrupted,
    MethodOptions,
    MetricsLog,
    Model,
    Optimizer,
    Recipe,
    Train,
    load_checkpoint,
)
from tamis.train._interrupt import StopRequest
from tamis.train._loop import train
from tamis.train._run import Run

pytestmark = pytest.mark.usefixtures("one_thread", "sparse_side")
STEPS = 35
ACDC = Recipe(
    method="acdc",
    sparsity=0.8,
    model=Model("mlp.bn", {"hidden": (12,)}),
    options=OPTIONS["acdc"](1, 1, 1, 1, 2),
    optimizer=Optimizer(lr=0.02),
    train=Train(epochs=7, batch_size=16, packed="always"),
)
RECIPES = {
    "acdc": ACDC,
    "acdc, ramp": replace(ACDC, options=replace(ACDC.options, ramp=True)),
    "gmp": replace(ACDC, method="gmp", options=MethodOptions()),
    "oneshot, adam": replace(ACDC, method="oneshot", options=MethodOptions(), optimizer=Optimizer("adam", lr=0.005)),
}


class StopAfter(StopRequest):
    """A request that comes true after so many looks, one look per step."""

    def __init__(self, steps: float) -> None:
        self.steps = steps

    @property
    def requested(self) -> bool:
        return self.steps <= 0


@cache
def data():
    return load_data("synthetic", train_images=70, test_images=10, num_classes=3, image_size=(8, 8))


def run_until(recipe: Recipe, folder: Path, steps: float = float("inf"), checkpoint=None) -> Run:
    run, stop = Run(recipe, data()), StopAfter(steps)
    if checkpoint is not None:
        run.restore(load_checkpoint(checkpoint))
    run.optimizer.register_step_post_hook(lambda *_: setattr(stop, "steps", stop.steps - 1))
    with MetricsLog(folder / "m.jsonl", keep=run.progress.log_bytes) as log:
        train(run, log, folder, stop)
    return run


@cache
def uninterrupted(name: str) -> dict[str, torch.Tensor]:
    with tempfile.TemporaryDirectory() as folder:
        return run_until(RECIPES[name], Path(folder)).model.state_dict()


@settings(deadline=None, max_examples=12)
@given(name=st.sampled_from(sorted(RECIPES)), step=st.integers(1, STEPS - 1))
def test_resume_equals_uninterrupted_wherever_it_stops(name, step):
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        with pytest.raises(Interrupted):
            run_until(RECIPES[name], folder, step)
        run = run_until(RECIPES[name], folder, checkpoint=folder / "last.safetensors")
    expected, found = uninterrupted(name), run.model.state_dict()
    assert run.progress.step == STEPS
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []
