"""Where another definition of bias has no value it has a reason: unpredicted groups, small cells, unknown labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.audit.identity_world import LEVEL, with_identities
from tests.audit.worlds import ATTRIBUTES, IDENTITIES, labels_of, world

import tamis
from tamis.audit import (
    Outputs,
    TrainCounts,
    zhao2017_mean_ba,
)
from tamis.audit._directional import a_to_t, t_to_a
from tamis.audit._markdown import markdown
from tamis.audit._reasons import REASONS


def test_identities_that_nobody_predicts_have_a_reason_and_not_a_number(people):
    content = tamis.audit(**(people | {"attributes": ATTRIBUTES})).content
    for pair in content["pairs"]:
        assert pair["t_to_a"]["change"]["reason"] == "no_predicted_group"
        assert pair["a_to_t"]["change"]["mean"] is not None
    assert {row["zhao_ba"]["reason"] for row in content["identity_values"]} == {"no_predicted_group"}
    assert content["reasons"]["no_predicted_group"] == REASONS["no_predicted_group"]
    assert [row["identity"] for row in content["undefined"] if row["metric"] == "zhao_ba"][:2] == list(IDENTITIES)
    assert "zhao\\_ba" in markdown(content)
    assert "no\\_predicted\\_group" in markdown(content)


def test_an_attribute_is_not_compared_with_itself(people_content):
    same = [p for p in people_content["pairs"] if p["attribute"] == p["identity"]]
    assert len(same) == 4
    for pair in same:
        reasons = {pair[key]["change"]["reason"] for key in ("a_to_t", "t_to_a")} | {pair["cev"]["reason"]}
        assert reasons == {"same_attribute"}


def test_small_cells_empty_groups_and_perfect_dense_models_have_reasons(people):
    cells = tamis.audit(**people, intersections=[("Male", "Young")], min_cell=10_000).content["pairs"]
    assert {
        p["a_to_t"]["change"]["reason"] for p in cells if "=" in p["identity"] and p["attribute"] in ATTRIBUTES
    } == {"small_cell"}
    labels = people["labels"]
    alone = replace(labels, values=np.hstack([labels.values[:, :4], np.ones((500, 1), np.uint8)]))
    empty = tamis.audit(**(people | {"labels": alone})).content
    rows = [p for p in empty["pairs"] if p["identity"] == "Young" and p["attribute"] in ATTRIBUTES]
    assert {p["a_to_t"]["change"]["reason"] for p in rows} == {"empty_group"}
    perfect = [
        Outputs(20.0 * labels.values[:, :3] - 10, labels.ids, ATTRIBUTES, method="dense", seed=seed)
        for seed in range(5)
    ]
    only = [replace(m, logits=m.logits[:, :3], names=ATTRIBUTES) for m in people["compressed"]]
    right = tamis.audit(**(people | {"dense": perfect, "compressed": only, "attributes": ATTRIBUTES})).content
    assert right["means"][LEVEL]["cev"]["reason"] == "zero_base_rate"
    assert {p["sde"]["reason"] for p in right["pairs"]} == {"zero_base_rate"}


def test_independence_in_training_is_no_direction_and_empty_tables_have_reasons():
    table = np.array([[[4, 2], [1, 3]], [[2, 4], [1, 3]]])
    assert a_to_t(table, TrainCounts(5, 10, 10, 20)).value == 0.0
    assert a_to_t(table, TrainCounts(6, 10, 10, 20)).value == pytest.approx(((7 - 4) / 10 - (5 - 4) / 10) / 2)
    assert a_to_t(table, TrainCounts(4, 10, 10, 20)).value == pytest.approx(-((7 - 4) / 10 - (5 - 4) / 10) / 2)
    assert a_to_t(table, TrainCounts(0, 0, 10, 20)).reason == "empty_train_group"
    joint = np.zeros((2, 2, 2, 2), int)
    assert t_to_a(joint, TrainCounts(6, 10, 10, 20)).reason == "empty_group"
    assert t_to_a(joint, TrainCounts(0, 0, 10, 20)).reason == "empty_train_group"


def test_unknown_labels_are_left_out_of_every_table():
    labels = labels_of(300, 5)
    values = labels.values.copy()
    values[::7, 0] = 255
    values[::11, 3] = 255
    missing = replace(labels, values=values)
    kept = (values[:, 0] < 2) & (values[:, 3] < 2)
    found = world(n=300, seeds=1, levels=(0.98,))
    models = {
        side: [with_identities(replace(m, ids=labels.ids), labels, 2.0) for m in found[side]]
        for side in ("dense", "compressed")
    }
    content = tamis.audit(
        **models, labels=missing, train_labels=found["train_labels"], groups=("Male",), attributes=("Smiling", "Male")
    ).content
    row = next(r for r in content["identity_values"] if r["condition"] == "dense")
    said = (models["dense"][0].logits > 0).astype(int)[kept]
    y = values[kept].astype(int)
    assert row["zhao_ba"]["mean"] == pytest.approx(zhao2017_mean_ba(y[:, [0]], said[:, [0]], y[:, 3], said[:, 3]).value)
