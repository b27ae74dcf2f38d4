import math

import numpy as np
import pytest

from tamis.errors import UsageError
from tamis.transfer import Model, bootstrap, outcomes_of, verdicts

from .conftest import made_up

SPARSE = Model("net", "linear", "acdc", 0.8)
DENSE = {"a": [0.50, 0.52, 0.54], "b": [0.60, 0.61, 0.65], "c": [0.80, 0.79, 0.78]}
ACDC = {"a": [0.45, 0.47, 0.49], "b": [0.62, 0.60, 0.58], "c": [0.75, 0.76, 0.74]}


def outcomes(dense=DENSE, sparse=ACDC):
    return outcomes_of(made_up({("dense", 0.0): dense, ("acdc", 0.8): sparse}))


def test_the_seeds_interval_is_that_of_a_plain_loop():
    generator = np.random.default_rng(1)
    scores = []
    for _ in range(4000):
        r = []
        for task in DENSE:
            chosen = generator.integers(3, size=3)  # the same seeds of both sides: they share ids
            dense, sparse = np.array(DENSE[task])[chosen].mean(), np.array(ACDC[task])[chosen].mean()
            r.append((dense - sparse) / (1 - dense))
        scores.append(np.mean(r))
    low, high = np.quantile(scores, [0.025, 0.975])
    found = bootstrap(outcomes(), SPARSE, "seeds")
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05 * (high - low))


def test_the_both_interval_is_that_of_a_plain_loop():
    generator = np.random.default_rng(2)
    names = list(DENSE)
    scores = []
    for _ in range(4000):
        r = []
        for task in generator.choice(names, size=3):
            chosen = generator.integers(3, size=3)
            dense, sparse = np.array(DENSE[task])[chosen].mean(), np.array(ACDC[task])[chosen].mean()
            r.append((dense - sparse) / (1 - dense))
        scores.append(np.mean(r))
    low, high = np.quantile(scores, [0.025, 0.975])
    found = bootstrap(outcomes(), SPARSE, "both")
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05 * (high - low))


def test_pairs_of_equal_seeds_cancel_what_they_share():
    shift = {task: [value - 0.05 * (1 - value) for value in values] for task, values in DENSE.items()}
    found = bootstrap(outcomes(sparse=shift), SPARSE, "seeds")
    assert (found.low, found.high) == pytest.approx((0.05, 0.05))
    apart = bootstrap(outcomes(sparse=shift), SPARSE, "seeds", paired=False)
    assert apart.high - apart.low > 0.01


def test_one_seed_makes_the_interval_unavailable_never_of_zero_width():
    single = outcomes(sparse={task: values[:1] for task, values in ACDC.items()})
    for over in ("seeds", "both"):
        found = bootstrap(single, SPARSE, over)
        assert found.unavailable == "one seed on a, b, c"
        assert math.isnan(found.low)
    assert not bootstrap(single, SPARSE, "tasks").unavailable


def test_one_task_makes_the_tasks_interval_unavailable():
    one = outcomes({"a": DENSE["a"]}, {"a": ACDC["a"]})
    assert bootstrap(one, SPARSE, "both").unavailable == "one task"
    assert not bootstrap(one, SPARSE, "seeds").unavailable


def test_a_resampled_baseline_without_error_makes_it_unavailable():
    perfect = outcomes({**DENSE, "a": [1.0, 0.5, 0.5]})
    assert "no error" in bootstrap(perfect, SPARSE, "seeds").unavailable


def test_seeds_without_common_ids_cannot_be_paired_by_force():
    rows = made_up({("dense", 0.0): DENSE})
    rows += [type(row)(**{**vars(row), "seed": f"other{row.seed}"}) for row in made_up({("acdc", 0.8): ACDC})]
    found = outcomes_of(rows)
    assert not bootstrap(found, SPARSE, "seeds").unavailable
    with pytest.raises(UsageError, match="no pairs"):
        bootstrap(found, SPARSE, "seeds", paired=True)


def test_an_interval_asked_twice_is_the_same():
    assert bootstrap(outcomes(), SPARSE, "both") == bootstrap(outcomes(), SPARSE, "both")


def test_verdicts_leave_out_incomplete_models_which_missing_names():
    rows = made_up({("dense", 0.0): DENSE, ("acdc", 0.8): ACDC, ("gmp", 0.8): {"a": [0.4, 0.4]}})
    found = outcomes_of(rows)
    assert [verdict.score.model.method for verdict in verdicts(found, resamples=100)] == ["acdc"]
    assert found.missing() == ("net linear gmp 80 % on b", "net linear gmp 80 % on c")


def test_holm_corrects_for_all_models_of_a_kind():
    rows = made_up({("dense", 0.0): DENSE, ("acdc", 0.8): ACDC, ("gmp", 0.8): ACDC, ("gmp", 0.9): ACDC})
    for verdict in verdicts(outcomes_of(rows), resamples=100):
        assert verdict.holm_p == min(1.0, 3 * verdict.tests["log_error_ratio"].p)
