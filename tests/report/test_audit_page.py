"""The audit's page as text: what it says of a report."""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path

import pytest
from audit_content import REASONS, SMALL, simulated
from html_check import Page, data_of

from tamis.report.audit import render_audit_report

pytestmark = pytest.mark.usefixtures("quick_charts")
ROOT = Path(__file__).resolve().parents[2]


def unpacked(text: str) -> list[int]:
    """LEB128 read with shifts, independent of the writer."""
    counts, value, shift = [], 0, 0
    for byte in base64.b64decode(text):
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 128:
            counts.append(value)
            value, shift = 0, 0
    return counts


@pytest.mark.parametrize(
    "words",
    [
        "Policy not met",
        "Compares 5 compressed conditions with 3 dense models on the same 1,444 samples: 10 attributes, 2 identities.",
        "A rule fails only if the whole interval lies beyond the limit",
        "Share of changed predictions, mean : gmp, 98 % sparse The whole interval lies above the limit.",
        "0.089 0.081 to 0.097 ≤ 0.050",
        "Threshold calibration against dense, mean",
        "Checks: 2 failed, 32 with a warning, 70 passed.",
        REASONS["too_few_positives"],
        "Levels are measured, not taken from a configuration.",
        "tamis audit run --dense dense.npz --compressed gmp.npz --labels test.npz --policy policy.toml",
        "b" * 64,
        "agrees with the measured changes for gmp, 97 % sparse (\u03c1 = 0.60, p = 0.004), gmp, 98 % sparse",
        "for the others it says nothing sure",
        "This is a ranking and not a probability.",
        "override, a person answers (bound)",
        "Pairs left out of all means",
        "Bias amplification of VerySlanted by Warm (everywhere)",
        "No pictures are embedded.",
        "at most the 200 with the largest change of probability",
    ],
)
def test_the_page_says(audit_page, words):
    assert words in audit_page.text


@pytest.mark.parametrize(
    ("state", "title"),
    [("pass", "Policy met"), ("warn", "Policy met, with warnings"), ("fail", "Policy not met"), ("none", "No verdict")],
)
def test_every_verdict_has_its_banner(state, title):
    page = Page(render_audit_report(simulated(**SMALL, state=state)))
    assert page.problems == []
    (banner,) = [a for a in page.all("div") if (a.get("class") or "").startswith("banner")]
    assert banner["class"] == f"banner {state}"
    assert f" {title} " in page.text
    assert ("Without a policy this page measures and does not judge" in page.text) is (state == "none")


def test_the_histograms_of_the_page_are_those_of_the_report(audit_html, audit_content):
    data = data_of(audit_html)
    assert len(data["histograms"]) == len(audit_content["histograms"]) == 6 * 10 * 2
    for entry in audit_content["histograms"][::7]:
        place = [c["id"] for c in audit_content["conditions"]].index(entry["condition"])
        attribute = audit_content["attributes"].index(entry["attribute"])
        key = f"{place},{attribute},{audit_content['identities'].index(entry['identity'])}"
        flat = [n for group in entry["counts"] for label in group for n in label]
        assert unpacked(data["histograms"][key]) == flat


def test_the_cells_of_the_heat_map_are_the_changes_of_the_report(audit_page, audit_content):
    cells = [a for a in audit_page.all("td") if "data-words" in a]
    assert len(cells) == len(audit_content["pairs"]) == 5 * 10 * 2
    for cell, pair in zip(cells, audit_content["pairs"], strict=True):
        change = pair["change"]["mean"]
        if pair["reason"]:
            assert cell["class"] == "none"
            assert REASONS[pair["reason"]] in cell["data-words"]
        else:
            assert f"{abs(change):.3f}" in cell["data-words"]
            size = sum(abs(change) >= end for end in (0.01, 0.03, 0.06, 0.1))
            assert cell["class"] == ("z" if size == 0 else f"{'u' if change > 0 else 'd'}{size}")


def test_a_report_object_gives_the_page_of_its_content():
    class Report:
        content = simulated(**SMALL)

    assert render_audit_report(Report()) == render_audit_report(Report.content)


def test_the_page_of_the_example_of_the_format_shows_its_numbers():
    content = json.loads((ROOT / "docs" / "audit_example.json").read_text(encoding="utf-8"))
    page = Page(render_audit_report(content))
    assert page.problems == []
    worst = content["policy"]["rows"][0]
    ends = f"{worst['value']:.3f} {worst['lo']:.3f} to {worst['hi']:.3f} \u2264 0.030"
    assert f"Rise of bias amplification : {worst['attribute']} by {worst['identity']}, gmp, 95 % sparse" in page.text
    assert ends in page.text
    cells = [a for a in page.all("td") if "data-words" in a]
    assert [cell["class"] == "none" for cell in cells] == [bool(pair["reason"]) for pair in content["pairs"]]
    labels = [row["value"] for row in content["reference"]["interdependence"] if row["value"] is not None]
    assert f"true labels {sum(labels) / len(labels):.3f}" in page.text
    top = max((row for row in content["group_values"] if row["psi"]), key=lambda row: row["psi"]["mean"] or -9)
    assert f"{top['n']:,} +{top['psi']['mean']:.3f}" in page.text


def test_a_drop_that_counts_as_positive_is_drawn_and_told_below_the_dense_model(audit_page, audit_content):
    curve = next(curve for curve in audit_content["curves"] if curve["metric"] == "accuracy")
    dense, last = curve["points"][0]["mean"], curve["points"][-1]
    assert last["change"]["mean"] == pytest.approx(dense - last["mean"])
    low, high = (-100 * last["change"]["interval"][end] for end in ("hi", "lo"))
    change = f"\u2212{100 * (dense - last['mean']):.1f} points"
    assert f"{change} (95 % interval \u2212{-low:.1f} to \u2212{-high:.1f} points)" in audit_page.text


@pytest.mark.parametrize(
    ("value", "lo", "hi", "side", "words"),
    [
        (0.05, 0.04, 0.06, "max", "The whole interval lies above the limit."),
        (0.05, 0.02, 0.06, "max", "Lies above the limit, but the interval reaches back to it."),
        (0.05, None, None, "max", "Lies above the limit; there is no interval."),
        (0.02, 0.01, 0.06, "max", "The value keeps the limit, its interval reaches above it."),
        (0.02, 0.01, 0.025, "max", "Keeps the limit."),
        (0.02, 0.01, 0.025, "min", "The whole interval lies below the limit."),
        (0.02, 0.01, 0.04, "min", "Lies below the limit, but the interval reaches back to it."),
        (0.05, 0.02, 0.06, "min", "The value keeps the limit, its interval reaches below it."),
        (None, None, None, "max", REASONS["never_predicted"]),
    ],
)
def test_every_outcome_of_a_rule_is_told_in_words(value, lo, hi, side, words):
    content = simulated(**SMALL)
    changed = {
        "value": value,
        "lo": lo,
        "hi": hi,
        "side": side,
        "limit": 0.03,
        "reason": "" if value else "never_predicted",
    }
    content["policy"]["rows"] = [{**content["policy"]["rows"][0], **changed}]
    assert f" {words} " in Page(render_audit_report(content)).text


def test_one_attribute_one_identity_one_seed_and_no_seed_intervals_are_enough():
    page = Page(render_audit_report(simulated(("Only",), ("Group",), (0.5,), 200, 1)))
    assert page.problems == []
    assert "Compares 1 compressed condition with 1 dense model" in page.text


def test_bits_and_several_methods_have_axes_and_lines_of_their_own():
    content = simulated(**SMALL)
    extra = copy.deepcopy(simulated(**SMALL))
    bits = {"id": "int4", "axis": "bits", "level": 4, "method": "int4"}
    content["conditions"].append({**extra["conditions"][1], **bits})
    for curve, more in zip(content["curves"], extra["curves"], strict=True):
        curve["points"].append({**more["points"][-1], "condition": "int4"})
    content["pairs"] += [{**pair, "condition": "int4"} for pair in extra["pairs"]]
    page = Page(render_audit_report(content))
    assert page.problems == []
    alts = [a["alt"] for a in page.all("img")]
    assert sum("by sparsity" in alt for alt in alts) == sum("by bits per weight" in alt for alt in alts) == 2
    assert "int4, 4 bits" in page.text


def test_two_networks_with_one_method_and_level_have_titles_of_their_own():
    content = simulated(**SMALL)
    content["conditions"].append({**content["conditions"][1], "id": "other", "model": "wide"})
    for curve in content["curves"]:
        curve["points"].append({**curve["points"][-1], "condition": "other"})
    content["pairs"] += [{**pair, "condition": "other"} for pair in content["pairs"]]
    options = Page(render_audit_report(content)).text
    assert "three conv, gmp, 90 % sparse" in options
    assert "wide, gmp, 90 % sparse" in options


def test_a_report_without_compressed_models_says_so_and_has_a_page():
    content = simulated(**SMALL, state="none")
    for key in ("pairs", "exemplars", "undefined", "lost", "histograms"):
        content[key] = []
    content["conditions"] = content["conditions"][:1]
    for curve in content["curves"]:
        curve["points"] = curve["points"][:1]
    content["criteria"]["evidence"] = content["criteria"]["samples"] = []
    content["countermeasures"] = {"calibration": [], "override": [], "cascade": []}
    page = Page(render_audit_report(content))
    assert page.problems == []
    assert "No compressed model was measured here, so nothing says how far to trust this ranking." in page.text


def test_other_definitions_of_bias_are_tables_with_differences_and_intervals():
    from tests.audit.worlds import world

    import tamis

    content = tamis.audit(**world(n=300, seeds=1, levels=(0.98,))).content
    page = Page(render_audit_report(content))
    curves = {c["metric"]: c for c in content["curves"]}
    change = curves["a_to_t"]["points"][1]["change"]
    for words in (
        "By other definitions",
        curves["recall_gap"]["title"],
        curves["cev"]["title"],
        f"{change['mean']:+.3f} {change['interval']['lo']:+.3f} to {change['interval']['hi']:+.3f}".replace(
            "-", "\u2212"
        ),
        content["reasons"]["no_predicted_group"],
        "Pairs with the largest directional changes",
    ):
        assert words in page.text, words
    older = {**content, "curves": [c for c in content["curves"] if c["metric"] in ("accuracy", "ba")]}
    older["pairs"] = [
        {key: value for key, value in pair.items() if key not in ("a_to_t", "t_to_a", "cev", "sde")}
        for pair in content["pairs"]
    ]
    assert "By other definitions" not in Page(render_audit_report(older)).text
