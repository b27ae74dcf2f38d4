"""Clusters of test rows: too few have no interval and no p, and those that have one cover as often as they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.audit.worlds import world

import tamis
from tamis.audit import Policy, Rule
from tamis.audit._delta import delta_intervals
from tamis.audit._intervals import MIN_CLUSTERS, bootstrap_p, percentile_interval

RUNS = 2000


def clustered(clusters, n=600):
    """The audit of a small world whose rows come from as many clusters, in turn."""
    given = world(n=n, seeds=1, levels=(0.98,))
    given["labels"] = replace(given["labels"], cluster=np.arange(n) % clusters)
    return tamis.audit(**given)


def defined_pairs(report):
    return [pair for pair in report.content["pairs"] if not pair["reason"]]


@pytest.mark.parametrize("clusters", [1, 2, MIN_CLUSTERS - 1])
def test_few_clusters_have_no_interval_no_p_and_a_reason(clusters):
    report = clustered(clusters)
    for pair in defined_pairs(report):
        assert (pair["p"], pair["q"]) == (None, None)
        assert [interval["kind"] for interval in pair["intervals"]] == ["rows", "clusters"]
        for found in (pair["change"]["interval"], pair["a_to_t"]["change"]["interval"]):
            assert (found["kind"], found["lo"], found["hi"]) == ("clusters", None, None)
            assert found["notes"] == ["too_few_clusters"]
    assert "too_few_clusters" in report.content["reasons"]
    for found in report.content["means"]["gmp@sparsity=0.98"].values():
        assert found["interval"] is None or found["interval"]["lo"] is None
    assert not any(row["risen"] for row in report.content["criteria"]["evidence"])


def test_enough_clusters_have_an_interval_and_p():
    for pair in defined_pairs(clustered(MIN_CLUSTERS)):
        assert 0 < pair["p"] <= pair["q"] <= 1
        assert all(interval["lo"] < interval["hi"] for interval in pair["intervals"])


def test_one_group_in_few_clusters_is_too_few_for_their_difference():
    given = world(n=600, seeds=1, levels=(0.98,))
    labels = given["labels"]
    male = labels.values[:, labels.names.index("Male")]
    crowded = np.where(male == 1, np.arange(600) % 5, 5 + np.arange(600) % 100)
    report = tamis.audit(**given | {"labels": replace(labels, cluster=crowded), "groups": ("Male",)})
    assert {pair["p"] for pair in defined_pairs(report)} == {None}
    means = report.content["means"]["gmp@sparsity=0.98"]
    assert means["ba_change"]["interval"]["lo"] is None
    assert means["accuracy_drop"]["interval"]["lo"] is not None  # of all rows, which come from 105 clusters


def test_without_a_cluster_interval_nothing_passes_or_fails_for_sure():
    report = clustered(5)
    loose = report.check(Policy((Rule("accuracy_drop", max=-1.0, over="mean"),)))
    strict = report.check(Policy((Rule("accuracy_drop", max=1.0, over="mean"),), strict=True))
    assert [gate.rows[0]["state"] for gate in (loose, strict)] == ["warn", "fail"]
    for gate in (loose, strict):
        assert (gate.rows[0]["lo"], gate.rows[0]["reason"]) == (None, "too_few_clusters")
    assert r"| too\_few\_clusters |  |" in report.to_markdown()
    page = report.with_policy(Policy((Rule("psi", max=-1.0),))).to_html()
    assert "Fewer than 20 clusters tell about the value" in page
    assert "too few clusters" in page


@pytest.mark.parametrize("clusters", [MIN_CLUSTERS, 60])
def test_bootstrap_of_clusters_covers_and_rejects_as_often_as_it_says(clusters):
    rng = np.random.default_rng(clusters)
    covered = rejected = 0
    for _ in range(RUNS):
        values = rng.normal(size=clusters)
        draws = values[rng.integers(0, clusters, (400, clusters))].mean(axis=1)
        interval = percentile_interval(draws, 0.95, "clusters", clusters)
        covered += interval.lo <= 0 <= interval.hi
        rejected += bootstrap_p(draws, clusters) < 0.05
    assert covered / RUNS == pytest.approx(0.95, abs=0.012)
    assert rejected / RUNS == pytest.approx(0.05, abs=0.012)


@pytest.mark.parametrize("clusters", [MIN_CLUSTERS, 60])
def test_delta_intervals_of_clusters_cover_as_often_as_they_say(clusters):
    rng = np.random.default_rng(clusters)
    covered = 0
    for _ in range(RUNS):
        values = rng.normal(size=clusters) / clusters
        mean = values.sum()
        sums = values - mean / clusters
        interval = delta_intervals(mean, 0.0, 0.0, sums, clusters, 0.95)[1]
        covered += interval.lo <= 0 <= interval.hi
    assert covered / RUNS == pytest.approx(0.95, abs=0.01)
