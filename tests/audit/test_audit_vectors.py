"""Every golden vector of the audit through the function that it names."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tamis import audit
from tamis.audit import TrainCounts, Value
from tamis.audit._counts import group_table, table_of_cells
from tamis.errors import UsageError
from tamis.sparsity import gmp_events

VECTORS = json.loads((Path(__file__).parents[1] / "golden" / "audit.json").read_text())["vectors"]


def plain(thing: Any) -> Any:
    """Values, tuples and arrays as lists and numbers."""
    if isinstance(thing, Value):
        return thing.value
    if isinstance(thing, np.ndarray):
        return thing.tolist()
    if isinstance(thing, dict):
        return {str(key): plain(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [plain(part) for part in thing]
    return thing


def check(found: Any, expected: Any, tol: float) -> None:
    found = plain(found)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            check(found[key], value, tol)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            check(a, b, tol)
    elif expected in ("nan", "inf", "-inf") or isinstance(expected, float):
        assert found == pytest.approx(float(expected), abs=tol, nan_ok=True)
    else:
        assert found == expected


def arrays(inputs: dict[str, Any]) -> dict[str, Any]:
    return {key: np.array(value) if isinstance(value, list) else value for key, value in inputs.items()}


def train_counts(given: dict[str, Any]) -> TrainCounts:
    if "train_counts" in given:
        return TrainCounts(*given["train_counts"]["group1"], *given["train_counts"]["group0"])
    one, zero = (Fraction(str(given[f"train_rate_group{group}"])) for group in (1, 0))
    return TrainCounts(one.numerator, one.denominator, zero.numerator, zero.denominator)


def bias_amplification(given: dict[str, Any]) -> tuple[Any, list[str]]:
    found = audit.bias_amplification(table_of_cells(given["cells"]), train_counts(given))
    return found.value, [found.reason]


def backdoor_ba(given: dict[str, Any]) -> tuple[Any, list[str]]:
    given = arrays(given)
    found = audit.backdoor_ba(group_table(given["backdoored"], given["y_true"], given["y_pred"]))
    return found, [found.reason]


def ba_bounds(given: dict[str, Any]) -> tuple[Any, list[str]]:
    given = arrays(given)
    table = group_table(given["group"], given["y_true"], given["y_true"])
    return dict(zip(("lower", "upper"), audit.ba_bounds(table, int(given["toward_group1"])), strict=True)), []


def biasamp_directional(given: dict[str, Any]) -> tuple[Any, list[str]]:
    given = arrays(given)
    columns = [given.pop(name) for name in ("T", "T_pred", "A", "A_pred")]
    found = audit.biasamp_directional(*columns, **given)
    return {"A->T": found.a_to_t, "T->A": found.t_to_a}, []


def group_report(given: dict[str, Any]) -> tuple[Any, list[str]]:
    given = arrays(given)
    found = audit.group_report(group_table(given["group"], given["y_true"], given["y_pred"]))
    short = {"accuracy": "acc"}
    out: dict[str, Any] = {f"{short.get(name, name)}_diff": gap for name, gap in found.differences.items()}
    for key, group in (("pos", 1), ("neg", 0)):
        out[key] = {"n": found.n[group], **{short.get(k, k): v[group] for k, v in found.rates.items()}}
    return out, []


def excess_loss(given: dict[str, Any]) -> tuple[Any, list[str]]:
    given = arrays(given)
    found, disparity = audit.excess_loss_disparity(given["loss_dense"], given["loss_sparse"], given["group"])
    return {"R": found, "disparity": disparity}, []


def accuracy_gap(given: dict[str, Any]) -> tuple[Any, list[str]]:
    given = arrays(given)
    return audit.disparate_accuracy_gap(given["correct_dense"], given["correct_sparse"], given["group"]), []


def recall_change(given: dict[str, Any]) -> tuple[Any, list[str]]:
    found = audit.normalised_recall_change(
        given["recall_dense"], given["acc_dense"], given["recall_sparse"], given["acc_sparse"]
    )
    return {"delta": found.delta, "t": found.t}, []


def cev_sde(given: dict[str, Any]) -> tuple[Any, list[str]]:
    found = audit.cev_sde(given["fpr0"], given["fnr0"], given["fpr1"], given["fnr1"])
    return dict(zip(("cev", "sde"), found, strict=True)), []


def exemplars(given: dict[str, Any]) -> tuple[Any, list[str]]:
    return audit.cie(np.array(given["dense_runs"]), np.array(given["sparse_runs"])), []


def override(given: dict[str, Any]) -> tuple[Any, list[str]]:
    given = arrays(given)
    found = audit.override(given["sparse_pred"], given["dense_prob"], given["reference"], given["half_width"])
    return {"pred": found.predictions, "overridden": found.asked}, []


def cascade(given: dict[str, Any]) -> tuple[Any, list[str]]:
    found = audit.cascade(**arrays(given))
    return {"pred": found.predictions, "asked": found.asked, "fraction": found.fraction}, []


def paired_delta_ba(given: dict[str, Any]) -> tuple[Any, list[str]]:
    found = audit.paired_delta_ba(
        np.array(given["cells16"]), toward=int(given["toward_group1"]), n_boot=given["n_boot"], ci=given["ci"]
    )
    assert found.interval is not None
    assert [found.interval.lo, found.interval.hi] == pytest.approx([0.0639, 0.1142], abs=0.004)
    return {"ba_dense": found.dense, "ba_compressed": found.compressed, "delta": found.delta}, []


def seed_interval(given: dict[str, Any]) -> tuple[Any, list[str]]:
    found = audit.seed_interval(given["dense"], given["compressed"], ci=given["ci"])
    assert found.interval is not None
    return {"mean": found.mean, "lo": found.interval.lo, "hi": found.interval.hi}, []


def aggregate(given: dict[str, Any]) -> tuple[Any, list[str]]:
    values = {
        name: [Value(math.nan, "never_predicted") if v == "nan" else Value(v) for v in row]
        for name, row in given["values"].items()
    }
    found = audit.aggregate(given["pairs"], values, given["support"])
    out = {name: mean.value for name, mean in found.means.items()}
    return out | ({"lost": {k: v[0] for k, v in found.lost.items()}} if given["support"] == "common" else {}), []


def multilabel_agreement(given: dict[str, Any]) -> tuple[Any, list[str]]:
    rho = audit.multilabel_agreement(**arrays(given)).rho
    return {"rho": rho}, ["constant_row"] if np.isnan(rho).any() else []


def intersection(given: dict[str, Any]) -> tuple[Any, list[str]]:
    sizes, small = audit.intersection(arrays(given["groups"]), given["min_cell"])
    assert small == ["Male=0,Young=1", "Male=1,Young=0"]
    return sizes, ["small_cell"]


def threshold_report(given: dict[str, Any]) -> tuple[Any, list[str]]:
    return vars(audit.calibrate_threshold_report(**arrays(given))), []


def gmp_schedule(given: dict[str, Any]) -> tuple[Any, list[str]]:
    """The published schedule, rebuilt; ours with the same settings ends on the target."""
    target, initial = given["target"], given["initial"]
    events = range(given["start"], given["end_exclusive"], given["every"])
    span = given["end_exclusive"] - given["start"]
    published = [[e, target + (initial - target) * (1 - (e - given["start"]) / span) ** 3] for e in events]
    assert published[-1][1] < target
    assert gmp_events(given["start"], given["end_exclusive"], given["every"], initial, target)[-1].sparsity == target
    return published, []


def policy_rule(given: dict[str, Any]) -> tuple[Any, list[str]]:
    given = dict(given)
    lo, hi = map(float, given.pop("ci"))
    value = float(given.pop("value"))
    return audit.policy_rule(value, (lo, hi), **given), []


def reasoned(function: Callable[..., Any]) -> Callable[[dict[str, Any]], tuple[Any, list[str]]]:
    def call(given: dict[str, Any]) -> tuple[Any, list[str]]:
        found = function(**arrays(given))
        values = found if isinstance(found, list) else [found]
        return found, [value.reason for value in values if isinstance(value, Value)]

    return call


CALLS: dict[str, Callable[[dict[str, Any]], tuple[Any, list[str]]]] = {
    "bias_amplification": bias_amplification,
    "backdoor_ba": backdoor_ba,
    "ba_bounds": ba_bounds,
    "biasamp_directional": biasamp_directional,
    "group_report": group_report,
    "excess_loss_disparity": excess_loss,
    "disparate_accuracy_gap": accuracy_gap,
    "normalised_recall_change": recall_change,
    "cev_sde": cev_sde,
    "cie": exemplars,
    "override": override,
    "cascade": cascade,
    "paired_delta_ba": paired_delta_ba,
    "seed_interval": seed_interval,
    "aggregate": aggregate,
    "multilabel_agreement": multilabel_agreement,
    "intersection": intersection,
    "calibrate_threshold_report": threshold_report,
    "gmp_schedule": gmp_schedule,
    "policy_rule": policy_rule,
    "bh_adjust": lambda given: (audit.bh_adjust(given["p"]), []),
    "exit_code": lambda given: (audit.exit_code(**given), []),
    "escape_csv": lambda given: (audit.escape_csv(given["value"]), []),
    **{
        name: reasoned(getattr(audit, name))
        for name in (
            "zhao2017_mean_ba",
            "uncertainty",
            "uncertainty_logits",
            "tcb_ratio",
            "tcb",
            "tcb_smoothed",
            "binned_ece",
            "interdependence",
            "auc",
            "calibrate_threshold",
            "calibrate_threshold_published",
        )
    },
}
# functions of other rooms and files, tested where they live
ELSEWHERE = {"plant_square_side", "plant_counts", "escape_json", "escape_text"}


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["metric"] not in ELSEWHERE], ids=lambda v: v["name"])
def test_a_golden_vector_holds(vector):
    found, reasons = CALLS[vector["metric"]](vector["inputs"])
    if vector["metric"] == "gmp_schedule":
        found = found[-len(vector["expected"]) :]
        expected = [[float(e), s] for e, s in vector["expected"]]
        found = [[float(e), s] for e, s in found]
    elif vector["metric"] == "paired_delta_ba":
        expected = {key: value for key, value in vector["expected"].items() if key != "ci"}
    else:
        expected = vector["expected"]
    check(found, expected, vector["tol"])
    if "reason" in vector:
        assert vector["reason"] in reasons


def test_every_vector_is_tested_somewhere():
    assert {v["metric"] for v in VECTORS} == CALLS.keys() | ELSEWHERE
    assert len(VECTORS) == 80


def test_an_unknown_support_is_refused():
    with pytest.raises(UsageError, match="expected 'common' or 'each'"):
        audit.aggregate(["p"], {"dense": [Value(0.1)]}, "some")
