"""What the ledger charges dynamic sparse training."""

from __future__ import annotations

import pytest
import torch
from method_runs import attached, convnet, train

from tamis.methods import GMP, SET, SNFS, RigL, SRigL, Static, measure_layer_costs
from tamis.sparsity import forward_fraction, rigl_cost


@pytest.mark.parametrize("packed", [True, False])
def test_the_ledger_charges_updates_of_rigl_with_dense_gradients(packed):
    model = convnet()
    _, optimizer, sparsifier = attached(RigL(0.8, 40, every=4, end=0.5, packed=packed), model=model)
    train(model, optimizer, range(40), (2, 6, 6))
    example = torch.zeros(2, 2, 6, 6)
    costs = measure_layer_costs(model, example)
    sparse = forward_fraction(costs, {name: int(mask.sum()) for name, mask in sparsifier.masks.items()})
    rows = {(row["row"], row["count"]): row for row in sparsifier.ledger(example)}
    assert rows["forward", "mask"]["fraction"] == pytest.approx(sparse, rel=1e-12)
    updates = len(sparsifier.events) - 1
    assert updates == 4  # the fifth, at the end of the cosine, exchanges nothing
    exact = (40 * 3 * sparse + updates * (1 - sparse)) / (40 * 3)
    assert rows["training", "mask"]["fraction"] == pytest.approx(exact, rel=1e-12)
    assert rows["training", "published"]["fraction"] == pytest.approx(rigl_cost(sparse, 4, 0.5), rel=1e-12)
    assert rows["training", "nonzero"]["fraction"] <= exact + 1e-12


@pytest.mark.parametrize(
    ("make", "every_step_dense"),
    [(lambda: SET(0.8, 40, every=4), 0), (lambda: Static(0.8), 0), (lambda: SNFS(0.8, 40, every=4, end=0.9), 32)],
)
def test_the_ledger_of_static_masks_set_and_snfs(make, every_step_dense):
    model = convnet()
    _, optimizer, sparsifier = attached(make(), model=model)
    train(model, optimizer, range(40), (2, 6, 6))
    example = torch.zeros(2, 2, 6, 6)
    live = {name: int(mask.sum()) for name, mask in sparsifier.masks.items()}
    sparse = forward_fraction(measure_layer_costs(model, example), live)
    rows = {(row["row"], row["count"]): row["fraction"] for row in sparsifier.ledger(example)}
    exact = (40 * 3 * sparse + every_step_dense * (1 - sparse)) / (40 * 3)
    assert rows["training", "mask"] == pytest.approx(exact, rel=1e-12)
    published = (2 * sparse + 1) / 3 if every_step_dense else sparse
    assert rows["training", "published"] == pytest.approx(published, rel=1e-12)
    assert ("training", "published") not in {
        (row["row"], row["count"]) for row in attached(GMP(0.8, 40))[2].ledger(torch.zeros(1, 12))
    }


def test_published_rows_of_the_ledger_are_those_of_the_vectors(pruning_vectors):
    rows = pruning_vectors["train_flops_fraction"]["rows"]
    assert len(rows) == 6
    for row in rows:

        def cost(sparsifier, sparse=row["f_S"]):
            return sparsifier._published_cost({}, lambda live: sparse)

        assert cost(Static(0.9)) == cost(SET(0.9, 32_000)) == row["static_or_SET"]
        assert cost(SNFS(0.9, 32_000)) == pytest.approx(row["SNFS"], rel=1e-7)
        for make in (RigL, SRigL):
            assert cost(make(0.9, 32_000, end=1.0)) == pytest.approx(row["RigL_dT100_all_steps"], rel=1e-7)
            assert cost(make(0.9, 32_000, end=25_000)) == pytest.approx(row["RigL_dT100_stop_25k_of_32k"], rel=1e-7)
