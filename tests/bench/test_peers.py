"""Peers are measured where they are installed, and named where they are not, fail or are wrong."""

from __future__ import annotations

import dataclasses
import importlib.util

import pytest
import torch

from tamis import bench
from tamis.bench import LayerCase, StepCase
from tamis.bench._problem import Contestant, Problem, batch_last
from tamis.bench._threads import spread_threads
from tamis.bench.peers import PEERS, NotServed, Peer

LINEAR, CONV = LayerCase(16, 32, batch=4), LayerCase(8, 6, 5, 3, batch=4)
WIDE_CONV = LayerCase(8, 8, 8, 3, batch=8)  # SparseProp is wrong at times on images below its vectors


def test_a_peer_that_does_not_serve_or_fails_is_a_note_and_the_others_go_on(monkeypatch):
    def refuse(problem):
        raise NotServed("only on Tuesdays")

    def fail(problem):
        raise RuntimeError("broken\nbadly")

    monkeypatch.setitem(PEERS, "csr", Peer("csr", layer=refuse))
    monkeypatch.setitem(PEERS, "scipy", Peer("scipy", layer=fail))
    monkeypatch.setitem(PEERS, "sparselab", Peer("sparselab"))
    (result,) = bench.measure_layer(LINEAR, [0.5], repeats=1, peers=["csr", "scipy", "sparselab"])
    assert result.notes == {
        "csr": "only on Tuesdays",
        "scipy": "failed: RuntimeError: broken badly",
        "sparselab": "no single layers",
    }
    assert set(result.entries) == {"ours", "nchw"}


def test_a_peer_with_a_wrong_result_is_said_to_be_wrong(monkeypatch):
    def zero(problem):
        return {"csr": Contestant(lambda x: problem.dense(x, problem.weight) * 1.01, problem.x)}

    monkeypatch.setitem(PEERS, "csr", Peer("csr", layer=zero))
    (result,) = bench.measure_layer(LINEAR, [0.5], repeats=1, peers=["csr"])
    assert result.notes == {"csr": "wrong result (error 0.01)"}
    assert result.row()["csr_over_ours"] == ""


def test_a_peer_that_fails_while_it_is_timed_is_a_note_and_the_others_go_on(monkeypatch):
    def fragile(problem):
        weight, calls = problem.weight.clone().requires_grad_(), []

        def run(x):
            calls.append(x)
            if len(calls) > 3:
                raise IndexError("stale cache")
            return problem.dense(x, weight)

        return {"sparselab": Contestant(run, problem.x, run, problem.grad, weight)}

    monkeypatch.setitem(PEERS, "sparselab", Peer("sparselab", layer=fragile))
    (result,) = bench.measure_layer(LINEAR, [0.5], repeats=2, peers=["sparselab"])
    assert result.notes == {"sparselab": "failed: IndexError: stale cache"}
    assert set(result.entries) >= {"ours", "nchw"}
    assert "sparselab" not in result.entries


def test_a_fake_peer_is_measured_at_every_sparsity_with_its_error(monkeypatch):
    def exact(problem):
        weight = problem.weight.clone().requires_grad_()
        run = lambda x: problem.dense(x, weight)  # noqa: E731
        return {"sparseprop": Contestant(run, problem.x, run, problem.grad, weight)}

    monkeypatch.setitem(PEERS, "sparseprop", Peer("sparseprop", layer=exact))
    results = bench.measure_layer(CONV, [0.5, 0.9], repeats=1, peers=["sparseprop"])
    assert all(result.entries["sparseprop"].error < 1e-5 for result in results)
    assert all(result.speedup_over("sparseprop") > 0 for result in results)
    assert {mean["over"] for mean in bench.mean_speedups(results)} == {"dense", "sparseprop"}


def test_csr_of_torch_computes_the_forward_of_linear_layers_alone():
    (linear,) = bench.measure_layer(LINEAR, [0.5], repeats=1, peers=["csr"])
    assert linear.entries["csr"].both is None
    assert linear.entries["csr"].error_forward < 1e-5
    (conv,) = bench.measure_layer(CONV, [0.5], repeats=1, peers=["csr"])
    assert conv.notes == {"csr": "linear layers only"}


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")  # some peers serve no more
@pytest.mark.parametrize("name", ["scipy", "sparselab", "sparseprop", "onnxruntime"])
@pytest.mark.filterwarnings("default")
def test_an_installed_peer_agrees_with_float64(name):
    missing = [package for package in PEERS[name].packages if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    for case in (LINEAR, WIDE_CONV):
        for problem in Problem.several(case, [0.5, 0.9]):
            built, why = PEERS[name].build("layer", problem)
            assert built or why == "linear layers only"
            for contestant in built.values():
                forward, gradients = problem.errors(contestant)
                assert max(forward, gradients or 0.0) < 1e-4


def test_a_network_peer_that_cannot_train_is_named():
    (result,) = bench.measure_step(StepCase("resnet20", 8, 2, 10), [0.5], repeats=1, peers=["csr"])
    assert result.notes == {"csr": "no training"}


def test_a_peer_knows_what_is_missing():
    assert dataclasses.replace(PEERS["scipy"], packages=("torch", "no_such")).missing == "not installed (no_such)"
    assert PEERS["dense"].version is None
    assert Peer("torch", ("torch",)).version == torch.__version__


def test_batch_last_has_the_batch_innermost():
    x = torch.randn(16, 3, 4, 5)
    assert batch_last(x).stride() == (1, 4 * 5 * 16, 5 * 16, 16)
    assert torch.equal(batch_last(x), x)


def test_errors_are_those_of_the_whole_batch_size_and_of_both_gradients():
    (problem,) = Problem.several(LayerCase(8, 6, 5, 3, batch=20), [0.5])
    weight = problem.weight.clone().requires_grad_()
    seen = []

    def run(x):
        seen.append(len(x))
        return problem.dense(x, weight)

    good = Contestant(run, problem.x, run, problem.grad, weight)
    assert max(problem.errors(good)) < 1e-5
    assert seen == [20, 20]
    bad = dataclasses.replace(good, dense_gradient=lambda gradient: 2 * gradient)
    assert problem.errors(bad)[1] == pytest.approx(1.0, abs=1e-3)


def test_every_openmp_library_gets_the_threads():
    before = torch.get_num_threads()
    try:
        assert isinstance(spread_threads(before), list)
        assert torch.get_num_threads() == before
    finally:
        torch.set_num_threads(before)
