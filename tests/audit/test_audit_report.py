"""The report against brute force over rows: changes, means, curves, exemplars, criteria and losses."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score
from tests.audit.worlds import ATTRIBUTES

import tamis
from tamis.audit import Labels, Outputs
from tamis.audit._track_record import track_record


def amplification(y, predicted, member, toward):
    favoured = member == toward
    return (predicted & favoured).sum() / predicted.sum() - (y & favoured).sum() / y.sum()


def test_every_change_is_what_counting_rows_gives(given, report):
    y = given["labels"].values.astype(bool)
    checked = 0
    for pair in report.content["pairs"]:
        if pair["reason"] or "=" in pair["identity"]:
            continue
        k, g = ATTRIBUTES.index(pair["attribute"]), 3 + ("Male", "Young").index(pair["identity"])
        sides = {}
        for side, models in (("dense", given["dense"]), ("compressed", given["compressed"])):
            chosen = [m for m in models if side == "dense" or f"gmp@sparsity={m.level:g}" == pair["condition"]]
            sides[side] = [amplification(y[:, k], m.logits[:, k] > 0, y[:, g], pair["toward"]) for m in chosen]
            assert pair[side]["mean"] == pytest.approx(np.mean(sides[side]))
        assert pair["change"]["mean"] == pytest.approx(np.mean(sides["compressed"]) - np.mean(sides["dense"]))
        assert pair["change"]["interval"]["lo"] < pair["change"]["mean"] < pair["change"]["interval"]["hi"]
        checked += 1
    assert checked >= 6


def test_the_interval_of_the_mean_is_that_of_resampled_rows(given, report):
    """The delta interval of the mean over pairs against a bootstrap of rows, which all pairs share."""
    condition = "gmp@sparsity=0.98"
    mean = report.content["means"][condition]["ba_change"]
    lost = {(row["attribute"], row["identity"]) for row in report.content["lost"]}
    pairs = [p for p in report.content["pairs"] if p["condition"] == condition and not p["reason"]]
    pairs = [p for p in pairs if (p["attribute"], p["identity"]) not in lost and "=" not in p["identity"]]
    plain = tamis.audit(**given).content["means"][condition]["ba_change"]
    y = given["labels"].values.astype(bool)
    compressed = [m for m in given["compressed"] if m.level == 0.98]
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(400):
        rows = rng.integers(0, 500, 500)
        values = []
        for pair in pairs:
            k, g = ATTRIBUTES.index(pair["attribute"]), 3 + ("Male", "Young").index(pair["identity"])
            side = [
                np.mean([amplification(y[rows, k], m.logits[rows, k] > 0, y[rows, g], pair["toward"]) for m in models])
                for models in (given["dense"], compressed)
            ]
            values.append(side[1] - side[0])
        draws.append(np.mean(values))
    half = (plain["interval"]["hi"] - plain["interval"]["lo"]) / 2
    assert half == pytest.approx(1.96 * np.std(draws), rel=0.15)
    assert mean["interval"] is not None


def test_curves_of_override_and_cascade_are_what_asking_gives(given, report):
    y = given["labels"].values[:, :3].astype(bool)
    compressed = [m for m in given["compressed"] if m.level == 0.98]
    curves = report.content["countermeasures"]
    for curve in [*curves["override"], *curves["cascade"]]:
        if curve["condition"] != "gmp@sparsity=0.98":
            continue
        for point in curve["points"]:
            accuracy, fraction = [], []
            for dense, model in zip(given["dense"], compressed, strict=True):
                gate = dense if curve["gate"] == "dense" else model
                asked = np.abs(1 / (1 + np.exp(-gate.logits.astype(float))) - 0.5) < point["half_width"]
                reference = dense.logits > 0 if curve["reference"] == "dense" else y
                accuracy.append((np.where(asked, reference, model.logits > 0) == y).mean())
                fraction.append(asked.mean())
            assert point["accuracy"]["mean"] == pytest.approx(np.mean(accuracy))
            assert point["fraction"]["mean"] == pytest.approx(np.mean(fraction))
        assert curve["points"][0]["fraction"]["mean"] == 0
        assert curve["points"][-1]["fraction"]["mean"] == 1
    cascade = next(c for c in curves["cascade"] if c["condition"] == "gmp@sparsity=0.98")["points"]
    ba = {p["condition"]: p["mean"] for p in next(c for c in report.content["curves"] if c["metric"] == "ba")["points"]}
    assert cascade[0]["ba"]["mean"] == pytest.approx(ba["gmp@sparsity=0.98"])
    assert cascade[-1]["ba"]["mean"] == pytest.approx(ba["dense"])


def test_sample_criteria_are_scikit_learns_auroc_of_doubt_for_flips(given, report):
    compressed = [m for m in given["compressed"] if m.level == 0.98]
    rows = [r for r in report.content["criteria"]["samples"] if r["condition"] == "gmp@sparsity=0.98"]
    for row in rows:
        columns = slice(None) if not row["attribute"] else [ATTRIBUTES.index(row["attribute"])]
        found, flagged = [], []
        for dense, model in zip(given["dense"], compressed, strict=True):
            z = dense.logits[:, columns].ravel()
            flip = (z > 0) != (model.logits[:, columns].ravel() > 0)
            found.append(roc_auc_score(flip, -np.abs(z)))
            flagged.append((np.abs(z[flip]) < np.log(9)).mean())
        assert row["auroc"] == pytest.approx(np.mean(found))
        assert row["flagged"] == pytest.approx(np.mean(flagged))


def test_exemplars_are_the_samples_whose_majority_changed(given, report):
    for level, found in zip((0.9, 0.98), report.content["exemplars"], strict=True):
        runs = [
            np.stack([m.logits > 0 for m in models])
            for models in (given["dense"], [m for m in given["compressed"] if m.level == level])
        ]
        changed = (2 * runs[0].sum(axis=0) > 3) != (2 * runs[1].sum(axis=0) > 3)
        assert found["rows_total"] == changed.sum()
        assert [row["count"] for row in found["attributes"]] == changed.sum(axis=0).tolist()
        assert len(found["rows"]) == min(200, changed.sum())
        sizes = [abs(row["compressed"] - row["dense"]) for row in found["rows"]]
        assert sizes == sorted(sizes, reverse=True)
        ids = given["labels"].ids.tolist()
        assert all(changed[ids.index(row["id"]), ATTRIBUTES.index(row["attribute"])] for row in found["rows"])


def test_histograms_hold_every_sample_and_every_seed(report):
    for row in report.content["histograms"]:
        if "=" not in row["identity"]:
            assert np.sum(row["counts"]) == 3 * 500


def test_small_cells_of_intersections_are_listed_and_not_compared(given):
    report = tamis.audit(**given, intersections=[("Male", "Young")], min_cell=10_000)
    cells = [p for p in report.content["pairs"] if "=" in p["identity"]]
    assert {p["reason"] for p in cells} == {"small_cell"}
    assert report.content["identities"][2:] == [f"Male={a},Young={b}" for a in (0, 1) for b in (0, 1)]


def test_hits_are_the_surely_risen_pairs_among_the_quarter_ranked_highest(report):
    evidence = report.content["criteria"]["evidence"]
    ranked = [(r["attribute"], r["identity"]) for r in report.content["criteria"]["attributes"]]
    lost = {(row["attribute"], row["identity"]) for row in report.content["lost"]}
    checked = 0
    for row in (row for row in evidence if row["criterion"] == "cu"):
        rose = {
            (pair["attribute"], pair["identity"])
            for pair in report.content["pairs"]
            if pair["condition"] == row["condition"] and not pair["reason"] and pair["change"]["interval"]["lo"] > 0
        }
        kept = [pair for pair in ranked if pair not in lost]
        assert row["n"] == len(kept)
        assert row["top"] == max(1, round(len(kept) / 4))
        assert row["risen"] == sum(pair in rose for pair in kept)
        assert row["top_risen"] == sum(pair in rose for pair in kept[: row["top"]])
        checked += row["risen"]
    assert checked > 0  # otherwise all of this holds of nothing


def test_the_track_record_of_the_criteria_is_what_the_committed_study_measured():
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "bias_tinted_digits_conditions.csv"
    with path.open(newline="", encoding="utf-8") as file:
        study = {
            row["condition"]: row
            for row in csv.DictReader(line for line in file if not line.startswith("#"))
            if row["setup"] == "joint"
        }
    record = track_record()["rows"]
    assert {row["condition"] for row in record} == study.keys()
    names = {"n": "pairs", "auroc": "sample_auroc", "flagged": "sample_flagged", "base": "sample_base"}
    for row in record:
        for name, value in row.items():
            if name != "condition":
                column = names.get(name, name.replace("spearman", "rho"))
                assert value == pytest.approx(float(study[row["condition"]][column]), abs=5.1e-4), (row, name)


def test_names_that_look_like_two_joined_do_not_mix_pairs(given):
    """Joined by " x ", an undefined pair (a, b x c) would take the defined pair (a x b, c) out of the means."""
    new = ("a", "a x b", "Rare", "c", "b x c")

    def renamed(labels):
        return Labels(labels.values, labels.ids, new, labels.cluster)

    def model(one):
        return replace(one, names=new[:3])

    found = tamis.audit(
        dense=[model(one) for one in given["dense"]],
        compressed=[model(one) for one in given["compressed"]],
        labels=renamed(given["labels"]),
        train_labels=renamed(given["train_labels"]),
        groups=new[3:],
        attributes=new[:3],
    ).content
    plain = tamis.audit(**given).content
    undefined = {(pair["attribute"], pair["identity"]) for pair in found["pairs"] if pair["reason"]}
    assert ("a", "b x c") in undefined
    assert ("a x b", "c") not in undefined
    assert found["means"] == plain["means"]
    assert len(found["lost"]) == len(plain["lost"])


def test_losses_by_group_are_scikit_learns_and_their_change_is_the_excess_loss(given, report):
    y = given["labels"].values.astype(bool)
    rows = [
        r for r in report.content["group_values"] if r["condition"] == "gmp@sparsity=0.98" and r["identity"] == "Male"
    ]
    assert len(rows) == 2 * len(ATTRIBUTES)
    compressed = [m for m in given["compressed"] if m.level == 0.98]
    found = {}
    for row in rows:
        k, inside = ATTRIBUTES.index(row["attribute"]), y[:, 3] == bool(row["group"])
        sides = [
            [log_loss(y[inside, k], 1 / (1 + np.exp(-m.logits[inside, k].astype(float)))) for m in models]
            for models in (given["dense"], compressed)
        ]
        assert row["loss"]["mean"] == pytest.approx(np.mean(sides[1]))
        assert row["excess_loss"]["mean"] == pytest.approx(np.mean(sides[1]) - np.mean(sides[0]))
        found[k, row["group"]] = row["excess_loss"]["mean"]
    for k in range(len(ATTRIBUTES)):
        losses = [
            np.mean([np.logaddexp(0, np.where(y[:, k], -m.logits[:, k], m.logits[:, k])) for m in models], axis=0)
            for models in (given["dense"], compressed)
        ]
        by_group, disparity = tamis.audit.excess_loss_disparity(*losses, y[:, 3].astype(int))
        assert by_group == pytest.approx({0: found[k, 0], 1: found[k, 1]}, rel=1e-5)
        assert disparity.value == pytest.approx(abs(found[k, 1] - found[k, 0]), rel=1e-4, abs=1e-7)
    assert all(r["excess_loss"] is None for r in report.content["group_values"] if r["condition"] == "dense")


def test_a_loss_of_a_certain_and_wrong_answer_is_large_and_finite():
    ids = np.arange(4)
    labels = Labels(np.array([[0, 0], [1, 1], [0, 1], [1, 0]]), ids, ("t", "g"))
    logits = np.array([[2000.0], [-2000.0], [-2000.0], [2000.0]])
    dense, wrong = Outputs(-logits * 0, ids, ("t",), "net", "dense"), Outputs(logits, ids, ("t",), "net", "gmp", 0.9)
    content = tamis.audit(dense=[dense], compressed=[wrong], labels=labels, train_labels=labels, groups=["g"]).content
    losses = {r["group"]: r["loss"]["mean"] for r in content["group_values"] if r["condition"] != "dense"}
    assert losses == {0: 1000.0, 1: 1000.0}
