"""Policies: reading them, holding reports against them, exit codes, and what reviewers see."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from tests.audit.worlds import world

import tamis
from tamis.audit import DEFAULT_POLICY, Policy, Rule, check_content, junit, policy_rule, read_report
from tamis.errors import FileError, UsageError


@pytest.fixture(scope="module")
def report():
    return tamis.audit(**world(n=600, seeds=3, levels=(0.9, 0.98), clusters=150))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "policy without rules"),
        ("[[rule]\n", "no valid TOML"),
        ("rule = 3", r"begin with \[\[rule\]\]"),
        ("[[rule]]\nmax = 1", "rule 0 has no metric; expected one of ba_change"),
        ('[[rule]]\nmetric = "bias"\nmax = 1', "metric = 'bias': expected one of"),
        ('[[rule]]\nmetric = "psi"', "expected one number as max, or one as min"),
        ('[[rule]]\nmetric = "psi"\nmax = 1\nmin = 0', "one number as max, or one as min"),
        ('[[rule]]\nmetric = "psi"\nmax = "x"', "one number as max"),
        ('[[rule]]\nmetric = "psi"\nmax = true', "one number as max"),
        ('[[rule]]\nmetric = "psi"\nmax = inf', "expected a finite number"),
        ('[[rule]]\nmetric = "psi"\nmax = 1\nover = "all"', "over = 'all'"),
        ('[[rule]]\nmetric = "psi"\nmax = 1\nover = "mean"', "over = 'mean' exists for ba_change"),
        ('[[rule]]\nmetric = "psi"\nmaxx = 1', "rule 0: unknown key 'maxx'; did you mean max"),
        ('stict = true\n[[rule]]\nmetric = "psi"\nmax = 1', "unknown key 'stict'; did you mean strict"),
        ('strict = "False"\n[[rule]]\nmetric = "psi"\nmax = 1', "expected true or false"),
        ('on_undefined = "pass"\n[[rule]]\nmetric = "psi"\nmax = 1', "on_undefined = 'pass'"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(text, says):
    with pytest.raises(FileError, match=says):
        Policy.parse(text)


def test_a_policy_is_read_from_its_file(tmp_path):
    path = tmp_path / "policy.toml"
    path.write_text(
        'strict = true\n[[rule]]\nmetric = "tcb_relative"\nmin = 0.8\nover = "mean"\nseverity = "warning"\n'
    )
    assert Policy.load(path) == Policy((Rule("tcb_relative", min=0.8, over="mean", severity="warning"),), strict=True)
    with pytest.raises(FileError, match=r"none\.toml: cannot be read"):
        Policy.load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("value", "ci", "wanted"), [(0.9, (0.85, 0.95), "pass"), (0.75, (0.7, 0.82), "warn"), (0.7, (0.6, 0.79), "fail")]
)
def test_lower_limits_are_mirrored(value, ci, wanted):
    assert policy_rule(value, ci, min=0.8) == wanted
    assert policy_rule(value, ci, min=0.8, strict=True) == ("pass" if ci[0] >= 0.8 else "fail")


def test_undefined_is_never_a_silent_pass():
    nan = float("nan")
    for choice, state in (("warn", "warn"), ("fail", "fail"), ("ignore", "ignored")):
        assert policy_rule(nan, (nan, nan), max=1.0, on_undefined=choice) == state
    with pytest.raises(UsageError, match="neither max nor min"):
        policy_rule(0.1, (0, 1))


def test_a_value_without_interval_is_its_own_interval(report):
    gate = report.check(Policy((Rule("auc_drop", max=-1.0, over="worst"),)))
    assert {row["state"] for row in gate.rows} == {"fail"}
    assert {row["reason"] for row in gate.rows} == {"no_interval"}


def test_a_rule_of_severity_warning_never_fails(report):
    rule = Rule("accuracy_drop", max=-1.0, over="mean", severity="warning")
    assert report.check(Policy((rule,))).exit_code == 0
    assert report.check(Policy((rule,))).state == "warn"
    gate = report.check(Policy((rule,), warnings_as_errors=True))
    assert (gate.exit_code, gate.state) == (1, "fail")
    assert "counted as failed" in gate.verdict()["words"]


def test_worst_takes_the_extreme_and_each_takes_all(report):
    each = report.check(Policy((Rule("ba_change", max=1.0),)))
    worst = report.check(Policy((Rule("ba_change", max=1.0, over="worst"),)))
    for condition in report.conditions:
        values = [row["value"] for row in each.rows if row["condition"] == condition]
        assert [row["value"] for row in worst.rows if row["condition"] == condition] == [max(values)]


def groups_with_psi(*estimates):
    """The parts of a report that a rule of psi reads: one group for each (value, lo, hi)."""
    rows = [
        {
            "condition": "gmp", "attribute": f"A{place}", "identity": "G", "group": 0,
            "psi": {"mean": mean, "reason": "", "seeds": [], "interval": {"lo": lo, "hi": hi, "notes": []}},
        }
        for place, (mean, lo, hi) in enumerate(estimates)
    ]  # fmt: skip
    conditions = [{"id": "dense", "role": "dense"}, {"id": "gmp", "role": "compressed"}]
    return {"task": "multilabel", "conditions": conditions, "group_values": rows}


@pytest.mark.parametrize(
    ("strict", "rule", "estimates", "wanted"),
    [
        (False, {"max": 0.03}, [(0.10, -0.05, 0.25), (0.08, 0.06, 0.10)], "fail"),
        (True, {"max": 0.03}, [(0.02, 0.01, 0.03), (0.01, -0.05, 0.07)], "fail"),
        (False, {"min": -0.03}, [(-0.10, -0.25, 0.05), (-0.08, -0.10, -0.06)], "fail"),
        (False, {"max": 0.03}, [(0.02, 0.01, 0.03), (0.10, -0.05, 0.25)], "warn"),
    ],
)
def test_the_worst_is_judged_as_each_is_since_a_sure_breach_comes_before_a_larger_value(
    strict, rule, estimates, wanted
):
    content = groups_with_psi(*estimates)
    states = [
        check_content(content, Policy((Rule("psi", over=over, **rule),), strict=strict)).state
        for over in ("each", "worst")
    ]
    assert states == [wanted, wanted]


def test_the_gate_uses_the_widest_interval(report):
    pair = next(p for p in report.content["pairs"] if not p["reason"])
    assert [i["kind"] for i in pair["intervals"]] == ["rows", "clusters"]
    widths = [i["hi"] - i["lo"] for i in pair["intervals"]]
    chosen = pair["change"]["interval"]
    assert chosen["hi"] - chosen["lo"] == max(widths)


def test_nothing_to_evaluate_is_neither_pass_nor_fail():
    given = world(n=200, seeds=1, levels=(0.9,))
    report = tamis.audit(**given, min_positives=10_000)
    gate = report.check(Policy((Rule("ba_change", max=0.03),)))
    assert (gate.exit_code, gate.state) == (2, "none")


def test_five_seeds_bring_a_seed_interval():
    report = tamis.audit(**world(n=200, seeds=5, levels=(0.98,)))
    pair = next(p for p in report.content["pairs"] if not p["reason"])
    assert [i["kind"] for i in pair["intervals"]] == ["rows", "seeds"]
    assert report.content["means"]["gmp@sparsity=0.98"]["accuracy_drop"]["interval"] is not None


def test_a_report_is_checked_again_from_its_file(report, tmp_path):
    path = report.save(tmp_path / "report.json")
    content = read_report(path)
    assert content == json.loads(report.to_json())
    assert tamis.audit.check_content(content, DEFAULT_POLICY).rows == report.check(DEFAULT_POLICY).rows
    for text, says in (
        ("{", "this is no JSON"),
        ("[]", "found the schema 'list'"),
        ('{"schema": "x"}', "found the schema 'x'"),
        ('{"schema": "tamis.audit/1"}', "the part 'conditions' is missing"),
    ):
        path.write_text(text)
        with pytest.raises(FileError, match=says):
            read_report(path)
    with pytest.raises(FileError, match="cannot read"):
        read_report(tmp_path / "none.json")


def test_junit_has_one_case_for_each_row_and_markdown_names_the_verdict(report):
    checked = report.with_policy(DEFAULT_POLICY)
    rows = checked.content["policy"]["rows"]
    suite = ElementTree.fromstring(junit(checked.content))
    assert suite.get("tests") == str(len(rows)) == str(len(suite))
    assert len(suite.findall("testcase/failure")) == sum(row["state"] == "fail" for row in rows)
    assert checked.to_markdown().startswith(f"# Bias audit: {checked.content['verdict']['state']}")
    states = [row["state"] for row in rows]
    assert states == sorted(states, key=["fail", "warn", "pass", "ignored"].index)
