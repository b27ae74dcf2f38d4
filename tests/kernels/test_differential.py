"""The random differential test of benchmarks/soak: a short run of it, and that it would notice."""

from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SOAK = Path(__file__).resolve().parents[2] / "benchmarks" / "soak"


@pytest.fixture
def differential(monkeypatch):
    monkeypatch.syspath_prepend(str(SOAK))
    yield importlib.import_module("differential")
    for name in [name for name in sys.modules if name == "differential" or name.split(".")[0] == "problems"]:
        del sys.modules[name]


def test_random_problems_of_all_kinds_equal_float64_on_every_instruction_set():
    command = [sys.executable, SOAK / "differential.py", "--cases", "60", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr
    assert " 0 mismatches" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("kind", ["conv2d", "linear", "inference", "norm", "pool", "pairs", "merging", "transposed"])
def test_one_wrong_value_is_a_mismatch(differential, kind, each_isa):
    for seed in range(50):
        _, problem, threads = differential.draw_problem(seed, kind)
        name = max(problem.answers, key=lambda n: problem.answers[n].exact.numel())
        if problem.answers[name].exact.numel():
            break

    def wrong() -> dict[str, torch.Tensor]:
        results = problem.compute()
        spoilt = results[name].clone()
        flat = spoilt.view(-1) if spoilt.is_contiguous() else spoilt.reshape(-1)
        flat[-1] += max(1, abs(flat[-1].item()) / 100)
        return {**results, name: flat.reshape(spoilt.shape)}

    tallies = differential.Tallies()
    assert not list(differential.examine(kind, problem, each_isa, threads, tallies))
    found = list(differential.examine(kind, dataclasses.replace(problem, compute=wrong), each_isa, threads, tallies))
    assert found
    assert all(f"{name}[" in line or "bits" in line for line in found)


def test_a_seed_draws_the_same_problem_again(differential):
    first, second = (differential.draw_problem(11)[1] for _ in range(2))
    assert first.text == second.text
    assert all(torch.equal(first.answers[name].exact, second.answers[name].exact) for name in first.answers)


def test_a_changed_number_of_threads_must_not_change_a_bit(differential, each_isa):
    _, problem, threads = differential.draw_problem(3, "linear")
    calls = []

    def drifting() -> dict[str, torch.Tensor]:
        results = problem.compute()
        calls.append(1)
        if len(calls) == 2:  # the call with several threads
            results["y"] = torch.nextafter(results["y"], torch.tensor(float("inf")))
        return results

    drifting_problem = dataclasses.replace(problem, compute=drifting)
    found = list(differential.examine("linear", drifting_problem, each_isa, threads, differential.Tallies()))
    assert any("y differs in its bits" in line for line in found)
