"""The dense/sparse pair of one run, its records, and the dense twin."""

from __future__ import annotations

import copy

import pytest
import torch
from method_runs import OPTIMIZERS, assert_same_state, batch, mlp, train
from torch import nn

from tamis.errors import UsageError
from tamis.methods import ACDC, DensePair
from tamis.sparsity import pair_metrics


def finished(packed=False, steps=40):
    model = mlp()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = ACDC(0.8, steps, packed=packed).attach(model, optimizer)
    dense_ends = []
    sparsifier.before_change(
        lambda s: dense_ends.append((s.step, copy.deepcopy(model))) if s.phase == "dense" else None
    )
    train(model, optimizer, range(steps))
    return model, optimizer, sparsifier, dense_ends


@pytest.mark.parametrize("packed", [True, False])
def test_the_pair_is_the_end_of_the_last_dense_phase_and_the_final_sparse_model(packed):
    model, _, sparsifier, dense_ends = finished(packed)
    dense, sparse = sparsifier.pair()
    step, expected = dense_ends[-1]
    assert step == sparsifier.phases[-1].start
    assert_same_state(dense, expected)
    assert_same_state(sparse, model)
    assert type(sparse[3]) is type(dense[3]) is nn.Linear
    assert all(not sparse.get_submodule(n).weight[~mask].any() for n, mask in sparsifier.masks.items())
    assert sum(int(sparse.get_submodule(n).weight.count_nonzero()) for n in "035") <= 148
    for twin in (dense, sparse):
        assert not twin._load_state_dict_pre_hooks
        assert not any(module._state_dict_hooks for module in twin.modules())
    frozen = [copy.deepcopy(twin.state_dict()) for twin in (dense, sparse)]
    sparsifier.finalize()
    with torch.no_grad():
        model[0].weight.fill_(7.0)
    assert all(
        torch.equal(state[key], twin.state_dict()[key])
        for state, twin in zip(frozen, (dense, sparse), strict=True)
        for key in state
    )


def test_the_pair_can_still_be_had_after_finalize():
    _, _, sparsifier, _ = finished(packed=True)
    before = sparsifier.pair()
    sparsifier.finalize(keep_packed=True)
    after = sparsifier.pair()
    assert_same_state(before.dense, after.dense)
    assert_same_state(before.sparse, after.sparse)


def test_there_is_no_pair_before_a_dense_phase_has_ended():
    model = mlp()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = ACDC(0.8, 40).attach(model, optimizer)
    with pytest.raises(UsageError, match="no last dense model after 0 steps"):
        sparsifier.pair()
    train(model, optimizer, range(11))
    assert sparsifier.phase == "dense" or sparsifier.step < sparsifier.phases[3].start
    with pytest.raises(UsageError, match=r"no last dense|in a dense phase"):
        sparsifier.pair()


def test_the_pair_metrics_are_those_of_the_vectors(pruning_vectors):
    vector = pruning_vectors["pair_metrics"]

    class Fixed(nn.Module):
        def __init__(self, logits):
            super().__init__()
            self.logits = torch.tensor(logits, dtype=torch.float64)

        def forward(self, rows):
            return self.logits[rows]

    pair = DensePair(Fixed(vector["logits_dense"]), Fixed(vector["logits_sparse"]))
    metrics = pair.metrics(torch.arange(3), batch_size=2)
    assert metrics.top1_agreement == pytest.approx(vector["top1_agreement"], rel=1e-9)
    assert metrics.mean_kl == pytest.approx(vector["mean_KL_dense_to_sparse"], rel=1e-9)
    assert metrics.mean_cross_entropy == pytest.approx(vector["mean_cross_entropy_dense_to_sparse"], rel=1e-9)


def test_the_pair_is_compared_in_evaluation_mode_and_keeps_its_mode():
    _, _, sparsifier, _ = finished()
    pair = sparsifier.pair()
    pair.dense.train()
    pair.sparse.eval()
    inputs, _ = batch(99)
    metrics = pair.metrics(inputs, batch_size=5)
    assert pair.dense.training
    assert not pair.sparse.training
    pair.dense.eval()
    with torch.no_grad():
        expected = pair_metrics(pair.dense(inputs), pair.sparse(inputs))
    assert metrics.top1_agreement == expected.top1_agreement
    assert metrics.mean_kl == pytest.approx(expected.mean_kl, rel=1e-4)  # batches of 5 round otherwise than one of 32


def test_the_best_of_each_kind_is_kept_and_no_warm_up_model_wins():
    model = mlp()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = ACDC(0.8, 40).attach(model, optimizer)
    scores = {step: 1.0 - abs(step - 15) / 100 for step in range(41)}
    scores |= dict.fromkeys(range(5), 5.0)  # a splendid warm-up
    kept = {}

    def observe(step):
        sparsifier.observe(scores[sparsifier.step])
        kept[sparsifier.step] = (sparsifier.phase, {k: v.clone() for k, v in model.state_dict().items()})

    train(model, optimizer, range(40), after=observe)
    for kind in ("dense", "sparse"):
        steps = [step for step, (phase, _) in kept.items() if phase == kind and step >= sparsifier.phases[0].end]
        best = max(steps, key=lambda step: scores[step])
        snapshot = sparsifier.snapshots[f"best_{kind}"]
        assert (snapshot.step, snapshot.score) == (best, scores[best])
        assert all(torch.equal(snapshot.model[key], value) for key, value in kept[best][1].items())
    pair = sparsifier.best_pair()
    assert torch.equal(pair.dense[0].weight, sparsifier.snapshots["best_dense"].model["0.weight"])
    assert sparsifier.dense_twin_state().step == sparsifier.snapshots["best_dense"].step


def test_the_dense_twin_resumes_with_its_optimizer_and_is_not_pruned():
    model = mlp()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = ACDC(0.8, 40).attach(model, optimizer)
    frozen = {}

    def keep(s):
        if s.phase == "dense":
            frozen["state"] = copy.deepcopy((model.state_dict(), optimizer.state_dict()))

    sparsifier.before_change(keep)
    train(model, optimizer, range(40))
    twin_state = sparsifier.dense_twin_state()
    twin = mlp(seed=5)
    own = OPTIMIZERS["momentum"](twin.parameters())
    first_step = twin_state.restore(twin, own)
    assert first_step == sparsifier.phases[-1].start
    train(twin, own, range(first_step, 40))

    expected = mlp(seed=6)
    plain = OPTIMIZERS["momentum"](expected.parameters())
    expected.load_state_dict(frozen["state"][0])
    plain.load_state_dict(frozen["state"][1])
    train(expected, plain, range(first_step, 40))
    assert_same_state(twin, expected)
    assert sum(int(twin.get_submodule(n).weight.count_nonzero()) for n in "035") > 2 * 148  # far above the budget
    again = sparsifier.dense_twin_state()
    assert torch.equal(again.model["0.weight"], frozen["state"][0]["0.weight"])  # the training left it alone
