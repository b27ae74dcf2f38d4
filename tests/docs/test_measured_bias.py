"""The page of the bias study shows the committed measurements, and says where they agree with earlier ones."""

from __future__ import annotations

import math
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
        assert table.startswith("|") or (name, table) == ("bias_single", _measured_bias.NONE), name


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
