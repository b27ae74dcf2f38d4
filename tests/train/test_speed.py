import time

import pytest
import torch

from tamis.models import create_model
from tamis.train import Optimizer, measure_step
from tamis.train._timing import StepClock


def test_measuring_leaves_the_model_alone():
    model = create_model("mlp.plain", num_classes=3, in_channels=1, image_size=(4, 4), hidden=(8,))
    masks = {"fc1": torch.rand(8, 16) > 0.8, "fc": torch.rand(3, 8) > 0.5}
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_submodule(name).weight.mul_(mask)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    images, labels = torch.randn(6, 1, 4, 4), torch.randint(3, (6,))
    speed = measure_step(model, masks, images, labels, Optimizer(), steps=3, warmup=1)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert (speed.batch_size, speed.steps) == (6, 3)
    assert min(speed.dense_cpu_ms, speed.sparse_cpu_ms, speed.dense_wall_ms, speed.sparse_wall_ms) > 0
    assert speed.row()["kind"] == "speed"


def test_a_clock_takes_medians_and_does_not_count_pauses(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(time, "process_time", lambda: now[0] / 2)
    clock = StepClock()
    assert clock.median_cpu_ms is None
    for seconds in (1.0, 2.0, 4.0):
        with clock.step():
            now[0] += seconds
            with clock.paused():
                now[0] += 100.0
    assert (clock.steps, clock.median_wall_ms, clock.median_cpu_ms) == (3, 2000.0, 1000.0)
    assert (clock.wall_s, clock.cpu_s) == (7.0, 3.5)


def test_a_failed_step_is_not_counted():
    clock = StepClock()
    with pytest.raises(RuntimeError), clock.step():
        raise RuntimeError
    assert clock.median_wall_ms is None
