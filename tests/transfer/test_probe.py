"""Linear probes: against scikit-learn, by the published schedule, and without a look at the test labels."""

import pytest
import torch

from tamis.errors import UsageError
from tamis.transfer import GRID, LbfgsOptions, SgdOptions, fit_lbfgs, fit_sgd, rate_of_epoch
from tamis.transfer._probe_lbfgs import fit_logistic


def blobs(count=150, width=6, classes=3, noise=1.5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, width, generator=torch.Generator().manual_seed(9))
    labels = torch.arange(count) % classes
    return centres[labels] + noise * torch.randn(count, width, generator=generator), labels


def every_fifth(labels):
    held_out = torch.zeros_like(labels, dtype=torch.bool)
    for label in labels.unique():
        held_out[(labels == label).nonzero()[4::5, 0]] = True
    return held_out


def test_the_grid_is_that_of_the_protocol():
    assert len(GRID) == 45
    assert GRID[0] == pytest.approx(1e-6)
    assert GRID[-1] == pytest.approx(1e5)
    assert GRID[4] == pytest.approx(1e-5)


@pytest.mark.parametrize("c", [1e-3, 1.0, 100.0])
def test_each_fit_has_the_solution_of_scikit_learn(c):
    linear_model = pytest.importorskip("sklearn.linear_model")
    features, labels = blobs()
    found = fit_logistic(features.double(), labels, 3, c, LbfgsOptions(gradient_tolerance=1e-9))
    oracle = linear_model.LogisticRegression(C=c, tol=1e-9, max_iter=5000).fit(
        features.double().numpy(), labels.numpy()
    )
    assert torch.allclose(found.weight, torch.from_numpy(oracle.coef_), atol=2e-4)
    differences = found.bias - found.bias.mean()  # a constant added to every bias changes nothing
    expected = torch.from_numpy(oracle.intercept_)
    assert torch.allclose(differences, expected - expected.mean(), atol=2e-4)
    assert found.converged


def test_the_chosen_probe_scores_as_scikit_learn_does_with_the_same_protocol():
    linear_model = pytest.importorskip("sklearn.linear_model")
    train_x, train_y = blobs(200)
    test_x, test_y = blobs(400, seed=1)
    held_out, grid = every_fifth(train_y), GRID[8:36:4]
    found = fit_lbfgs(train_x, train_y, test_x, test_y, 3, held_out, options=LbfgsOptions(grid=grid))

    def fitted(rows, c):
        model = linear_model.LogisticRegression(C=c, tol=1e-8, max_iter=5000)
        return model.fit(train_x[rows].double().numpy(), train_y[rows].numpy())

    scores = [fitted(~held_out, c).score(train_x[held_out].double().numpy(), train_y[held_out].numpy()) for c in grid]
    best = grid[scores.index(max(scores))]
    assert found.chosen["C"] == best
    oracle = fitted(torch.ones_like(held_out), best).score(test_x.double().numpy(), test_y.numpy())
    assert found.test.top1 == pytest.approx(oracle, abs=0.003)


def test_the_head_of_a_probe_computes_its_logits():
    train_x, train_y = blobs()
    for standardise in (False, True):
        options = LbfgsOptions(grid=(0.1, 1.0), standardise=standardise)
        found = fit_lbfgs(
            train_x * 30 + 5, train_y, train_x * 30 + 5, train_y, 3, every_fifth(train_y), options=options
        )
        assert torch.allclose(found.head()(train_x * 30 + 5), found.logits, atol=1e-3)
        assert found.selection == "best_val"


def test_ties_go_to_the_smallest_c_and_a_grid_end_is_told():
    train_x, train_y = blobs(noise=0.01)  # every C is right everywhere
    found = fit_lbfgs(
        train_x, train_y, train_x, train_y, 3, every_fifth(train_y), options=LbfgsOptions(grid=(1.0, 10.0, 100.0))
    )
    assert found.chosen["C"] == 1.0
    assert any("end of the grid" in text for text in found.warnings)


def test_a_solver_that_may_not_finish_says_so():
    train_x, train_y = blobs()
    options = LbfgsOptions(grid=(1.0, 100.0), max_iterations=2)
    found = fit_lbfgs(train_x, train_y, train_x, train_y, 3, every_fifth(train_y), options=options)
    assert any("did not converge for 2 of 2" in text for text in found.warnings)
    assert any("final fit" in text for text in found.warnings)


def test_the_metric_of_the_task_chooses():
    # one rare class: little regularisation finds it (per class), much ignores it (top-1 is as good)
    generator = torch.Generator().manual_seed(3)
    labels = torch.tensor([0] * 100 + [1] * 20)
    features = torch.randn(120, 2, generator=generator) + 1.2 * labels[:, None]
    seen = {
        metric: fit_lbfgs(
            features,
            labels,
            features,
            labels,
            2,
            every_fifth(labels),
            metric=metric,
            options=LbfgsOptions(grid=GRID[::4]),
        )
        for metric in ("top1", "mean_per_class")
    }
    for metric, found in seen.items():
        rows = {row["C"]: row["score"] for row in found.validation}
        assert rows[found.chosen["C"]] == max(rows.values()), metric
    assert seen["top1"].validation[0]["score"] > seen["mean_per_class"].validation[0]["score"]


def test_nothing_held_out_or_everything_is_refused():
    features, labels = blobs()
    for held_out in (torch.zeros(150, dtype=torch.bool), torch.ones(150, dtype=torch.bool)):
        with pytest.raises(UsageError, match="validation"):
            fit_lbfgs(features, labels, features, labels, 3, held_out)


@pytest.mark.parametrize(("shape", "key"), [("paper", "paper_lr_schedule"), ("thirds", "lr_schedule_plain")])
def test_learning_rates_are_those_of_the_vectors(transfer_vectors, shape, key):
    case = transfer_vectors[key]
    expected = [rate for rate, epochs in case["runs"] for _ in range(epochs)]
    found = [rate_of_epoch(shape, case["base_lr"], epoch, case["epochs"]) for epoch in range(case["epochs"])]
    assert found == pytest.approx(expected)


def test_short_schedules_still_drop_twice():
    assert [rate_of_epoch("thirds", 1.0, epoch, 5) for epoch in range(5)] == [1.0, 1.0, 0.1, 0.1, 0.01]
    with pytest.raises(UsageError, match="epoch 5 of 5"):
        rate_of_epoch("thirds", 1.0, 5, 5)


def test_sgd_reports_last_best_on_validation_and_the_labelled_best_on_test():
    train_x, train_y = blobs()
    test_x, test_y = blobs(90, seed=2)
    options = SgdOptions(epochs=6)
    results = fit_sgd(
        train_x, train_y, test_x, test_y, 3,
        seed=1, validation=every_fifth(train_y), options=options, paper_best_test=True,
    )  # fmt: skip
    assert [result.selection for result in results] == ["last", "best_val", "paper_best_test"]
    assert results[0].chosen == {"epoch": 5}
    assert results[2].test.top1 >= max(results[0].test.top1, results[1].test.top1)
    scores = [row["score"] for row in results[1].validation]
    assert results[1].chosen["epoch"] == scores.index(max(scores))


def test_sgd_depends_on_the_seed_and_not_on_what_ran_before():
    features, labels = blobs()

    def weights(seed):
        (result,) = fit_sgd(features, labels, features, labels, 3, seed=seed, options=SgdOptions(epochs=2))
        return result.weight

    first = weights(1)
    torch.randn(100)
    state = torch.random.get_rng_state()
    assert torch.equal(first, weights(1))
    assert torch.equal(state, torch.random.get_rng_state())
    assert not torch.equal(first, weights(2))
