"""The page of the bias study shows the committed measurements, and says where they agree with earlier ones."""

from __future__ import annotations

import itertools
import math
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))

import _measured_bias  # noqa: E402


def test_every_table_of_the_page_is_made_from_the_committed_files() -> None:
    page, metrics = (
        (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("bias_study.md", "audit_metrics.md")
    )
    for name, table in _measured_bias.bias_substitutions().items():
        assert f"{{{{ {name} }}}}" in (metrics if name in _measured_bias.RECORD else page)
        if name in _measured_bias.RECORD:
            assert table.count(" to ") == 1
            continue
        of_real_images = name.removeprefix("bias_").removesuffix("_evidence") in _measured_bias.REAL
        assert table.startswith("|") or (of_real_images and table in ("No run is committed.", "")), name


def test_the_committed_study_is_whole() -> None:
    text = (ROOT / "benchmarks" / "results" / "bias_tinted_digits.csv").read_text(encoding="utf-8")
    assert "# networks: 81\n# without_a_result: 0\n" in text


def test_what_the_pages_say_of_the_criteria_is_what_was_measured() -> None:
    from tamis.study import read_bias_rows

    rows = read_bias_rows(ROOT / "benchmarks" / "results" / "bias_tinted_digits_conditions.csv")
    joint = [row for row in rows if row["setup"] == "joint"]
    pruned = [row for row in joint if not row["condition"].startswith("bits@")]
    assert len(pruned) == 7
    for row in pruned:
        assert row["rho_u"] >= row["rho_cu"] > 0, "uncertainty alone foretold at least as well"
        assert row["top_risen_u"] >= row["top_risen_cu"]
        assert row["p_c"] > 0.05, "correlation alone is not sure"
    for row in joint:
        if row["condition"].startswith("bits@"):
            assert min(row["p_cu"], row["p_u"], row["p_c"], row["p_ce"], row["p_e"]) > 0.05, "nothing was foretold"


def test_the_trends_of_the_page_are_those_of_the_numbers() -> None:
    from tamis.study import read_bias_rows

    rows = read_bias_rows(ROOT / "benchmarks" / "results" / "bias_tinted_digits.csv")

    def mean(method: str, level: float, metric: str) -> float:
        found = [
            row[metric]
            for row in rows
            if (row["setup"], row["method"], row["requested"]) == ("joint", method, level)
            and math.isfinite(row[metric])
        ]
        assert len(found) == 3
        return sum(found) / 3

    for metric, sign in (("uncertainty", 1), ("ba", 1), ("tcb", -1), ("accuracy", -1)):
        assert (
            sign * mean("gmp_ri", 0.98, metric) > sign * mean("gmp_ri", 0.95, metric) > sign * mean("dense", 0, metric)
        )
        assert sign * mean("gmp_pt", 0.98, metric) > sign * mean("dense", 0, metric)
    assert mean("gmp_ri", 0.98, "ba_calibrated") < mean("gmp_ri", 0.98, "ba")
    assert mean("gmp_ri", 0.98, "cascade_0.3_ba") < mean("gmp_ri", 0.98, "ba")
    assert mean("gmp_ri", 0.98, "cascade_0.3_accuracy") > mean("gmp_ri", 0.98, "accuracy")


def test_what_the_page_says_of_single_and_combined_networks_is_what_was_measured() -> None:
    from tamis.study import read_bias_rows

    rows = read_bias_rows(ROOT / "benchmarks" / "results" / "bias_tinted_digits_pairs.csv")
    found = {
        (row["setup"], row["attribute"], row["identity"]): row
        for row in rows
        if row["condition"].endswith("ri@sparsity=0.98")
        if row["setup"] in ("joint", "single", "combined")
    }

    def both(setup: str, attribute: str, identity: str) -> list[float]:
        return [round(found[setup, attribute, identity][side], 3) for side in ("dense", "compressed")]

    assert both("single", "Thick", "Warm") == [0.004, 0.030]
    assert both("joint", "Thick", "Warm") == [0.045, 0.093]
    assert both("combined", "Thick", "Warm") == [-0.009, 0.049]
    assert found["single", "Thick", "Warm"]["lo_clusters"] > 0
    for identity in ("Warm", "Striped"):
        row = found["single", "TopHeavy", identity]
        assert row["lo_clusters"] < 0 < row["hi_clusters"]
    assert (
        found["combined", "TopHeavy", "Warm"]["hi_clusters"]
        < 0
        < found["combined", "TopHeavy", "Striped"]["lo_clusters"]
    )
    for (setup, attribute, identity), row in found.items():
        if setup == "single" and identity == "Warm":
            assert row["compressed"] < found["joint", attribute, identity]["compressed"]


def test_what_the_page_says_of_other_recipes_is_what_was_measured() -> None:
    rows = {}
    for row in _measured_bias._csv(ROOT / "benchmarks" / "results" / "bias_sensitivity.csv"):
        numbers = {name: float(row[name]) for name in ("accuracy", "uncertainty", "ece", "ba")}
        rows.setdefault((row["variant"], float(row["requested"])), []).append(numbers)

    def mean(variant: str, metric: str, level: float = 0.98) -> float:
        return sum(row[metric] for row in rows[variant, level]) / len(rows[variant, level])

    study = "as in the study"
    assert all(0.385 < row["uncertainty"] < 0.425 for row in rows[study, 0.98])
    assert len(rows[study, 0.98]) == 3
    for same in ("data of seed 0", "torch's initial weights"):
        assert abs(mean(same, "uncertainty") - mean(study, "uncertainty")) < 0.03
        assert abs(mean(same, "accuracy") - mean(study, "accuracy")) < 0.005
    twins = {
        "mean pooling, torch's initial weights": "torch's initial weights",
        "mean pooling, data of seed 0": "data of seed 0",
        "learning rate 0.01": study,
        "learning rate 0.005": study,
    }
    for other, twin in twins.items():
        for metric, sign in (("uncertainty", 1), ("ece", 1), ("ba", 1), ("accuracy", -1)):
            assert sign * mean(other, metric) > sign * mean(twin, metric), (other, metric)
    assert mean("learning rate 0.01", "uncertainty") > 0.645
    fell = []
    for variant in {name for name, _ in rows}:
        assert mean(variant, "uncertainty") > mean(variant, "uncertainty", 0.0)
        assert mean(variant, "accuracy") < mean(variant, "accuracy", 0.0)
        if mean(variant, "ba") < mean(variant, "ba", 0.0):
            fell.append(variant)
    assert fell == ["data of seed 0"]


def test_what_the_page_says_of_mnist_is_what_was_measured() -> None:
    from tamis.study import read_bias_rows

    results = ROOT / "benchmarks" / "results"
    rows = read_bias_rows(results / "bias_mnist_groups.csv")

    def values(method: str, level: float, metric: str) -> list[float]:
        found = [row[metric] for row in rows if (row["method"], row["requested"]) == (method, level)]
        assert len(found) == 3
        return found

    def mean(method: str, level: float, metric: str) -> float:
        return sum(values(method, level, metric)) / 3

    doubt = [values(*which, "uncertainty") for which in (("dense", 0), *(("gmp_ri", x) for x in (0.9, 0.95, 0.98)))]
    assert all(max(low) < min(high) for low, high in itertools.pairwise(doubt)), (
        "at every level, beyond how seeds differ"
    )
    assert all(mean("gmp_ri", level, "tcb") < mean("dense", 0, "tcb") for level in (0.9, 0.95, 0.98))
    assert mean("gmp_ri", 0.98, "tcb_calibrated") == pytest.approx(1.01, abs=0.005)
    assert min(values("gmp_ri", 0.9, "accuracy")) > max(values("dense", 0, "accuracy"))
    assert mean("gmp_ri", 0.98, "ba") == pytest.approx(0.012, abs=0.0005)
    assert mean("gmp_ri", 0.98, "ba_calibrated") < mean("dense", 0, "ba_calibrated")
    assert mean("gmp_ri", 0.98, "cascade_0.3_fraction") == pytest.approx(0.31, abs=0.005)
    assert mean("gmp_ri", 0.98, "cascade_0.3_accuracy") == pytest.approx(0.925, abs=0.0005)
    assert mean("gmp_ri", 0.98, "cascade_0.3_ba") == pytest.approx(0.002, abs=0.0005)
    pairs = {
        row["attribute"]: row
        for row in read_bias_rows(results / "bias_mnist_groups_pairs.csv")
        if row["condition"] == "gmp_ri@sparsity=0.98"
    }
    found = {name: [round(pairs[name][key], 3) for key in ("change", "lo_clusters", "hi_clusters")] for name in pairs}
    assert found["Dark"] == [0.015, 0.008, 0.022]
    assert found["Wide"] == [0.014, 0.003, 0.025]
    assert {name for name, row in pairs.items() if row["reason"] == "no_train_gap"} == {
        "Loop",
        "Even",
        "Big",
        "Straight",
    }
    assert pairs["VerySlanted"]["reason"] == "never_predicted"


def test_what_the_page_says_of_animals_is_what_was_measured() -> None:
    from tamis.study import read_bias_rows

    results = ROOT / "benchmarks" / "results"
    rows = read_bias_rows(results / "bias_animals.csv")

    def mean(level: float, metric: str, method: str = "gmp_ri") -> float:
        found = [
            row[metric] for row in rows if (row["method"], row["requested"]) == (method if level else "dense", level)
        ]
        assert len(found) == 3
        return sum(found) / 3

    levels = (0.0, 0.9, 0.95, 0.98)
    for metric, sign in (("uncertainty", 1), ("tcb", -1), ("ba", -1), ("ece", -1), ("interdependence", -1)):
        means = [sign * mean(level, metric) for level in levels]
        assert means == sorted(means), metric
        assert sign * mean(0.98, metric, "gmp_pt") > means[0]
    assert mean(0.0, "accuracy") == pytest.approx(0.72, abs=0.005)
    assert [round(mean(level, "tcb"), 2) for level in (0.0, 0.98)] == [0.66, 0.44]
    assert mean(0.98, "tcb_calibrated") == pytest.approx(0.97, abs=0.005)
    assert abs(mean(0.98, "ba_calibrated") - mean(0.98, "ba")) < 0.005
    assert mean(0.98, "cascade_0.3_fraction") == pytest.approx(0.87, abs=0.005)
    pairs = [
        row for row in read_bias_rows(results / "bias_animals_pairs.csv") if row["condition"] == "gmp_ri@sparsity=0.98"
    ]
    defined = [row for row in pairs if not row["reason"]]
    assert len(defined) == 71
    assert sum(row["hi_clusters"] < 0 for row in defined) == 30
    assert sum(row["lo_clusters"] > 0 for row in defined) == 6
    assert sum(row["reason"] == "never_predicted" for row in pairs) == 19
    conditions = read_bias_rows(results / "bias_animals_conditions.csv")
    pruned = [row for row in conditions if not row["condition"].startswith("bits@")]
    assert len(pruned) == 4
    assert min(row[key] for row in pruned for key in row if key.startswith("p_")) > 0.08


def test_a_large_audit_was_measured_within_its_limits() -> None:
    """200,000 samples, 40 attributes, 4 groups, 5 seeds and 2,000 draws in less than 30 s and 2 GB."""
    (row,) = _measured_bias._csv(ROOT / "benchmarks" / "results" / "audit_large.csv")
    assert [int(row[key]) for key in ("samples", "attributes", "groups", "seeds", "draws")] == [200_000, 40, 4, 5, 2000]
    assert float(row["wall_s"]) < 30
    assert float(row["peak_mb"]) < 2000


def test_the_reason_codes_of_the_page_are_those_of_the_code() -> None:
    from tamis.audit import REASONS

    page = (ROOT / "docs" / "audit_metrics.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page.partition("## Reason codes")[2], re.MULTILINE)) == REASONS


@pytest.mark.parametrize(
    ("here", "earlier", "same"),
    [
        ([0.10, 0.10], (0.114, 0.0), True),  # within 15 %
        ([0.10, 0.10], (0.12, 0.0), False),
        ([0.10, 0.10], (0.12, 0.01), True),  # within two standard deviations of theirs
        ([0.08, 0.12], (0.15, 0.0), True),  # ... or of ours
        ([0.1], (0.2, 0.01), False),
    ],
)
def test_agreement_is_two_deviations_or_fifteen_percent(
    here: list[float], earlier: tuple[float, float], same: bool
) -> None:
    assert _measured_bias.agrees(here, earlier) is same


@pytest.mark.parametrize(
    ("name", "clusters", "defined", "unsure"),
    [
        ("tinted_digits", {"Warm": 280, "Striped": 298, "Planted": 333}, 216, []),
        ("mnist_groups", {"Student": 48}, 31, [("gmp_ri@sparsity=0.9", "Thick")]),
        (
            "animals",
            {"domestic": 250, "bipedal": 100, "furry": 100},
            508,
            [
                ("bits@bits=8", "black"),
                ("gmp_pt@sparsity=0.98", "big"),
                ("gmp_ri@sparsity=0.9", "fast"),
                ("gmp_ri@sparsity=0.98", "timid"),
            ],
        ),
    ],
)
def test_the_page_counts_the_pairs_whose_wider_intervals_over_clusters_would_reach_zero(
    name, clusters, defined, unsure
):
    """Those of the committed files are plain percentiles; Student's quantile and C/(C - 1) move their ends outward."""
    from tamis.audit._student import quantile
    from tamis.study import read_bias_rows

    rows = read_bias_rows(ROOT / "benchmarks" / "results" / f"bias_{name}_pairs.csv")
    rows = [row for row in rows if not row["reason"]]
    assert len(rows) == defined
    found = []
    for row in rows:
        c, low, high = clusters[row["identity"]], row["lo_clusters"], row["hi_clusters"]
        wider = quantile(0.975, c - 1) * math.sqrt(c / (c - 1)) / quantile(0.975, 10**6)
        ends = [row["change"] + wider * (end - row["change"]) for end in (low, high)]
        if (low > 0 or high < 0) and ends[0] <= 0 <= ends[1]:
            found.append((row["condition"], row["attribute"]))
    assert sorted(found) == unsure
