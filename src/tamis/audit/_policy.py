"""Policies: limits that a compressed model must keep, as a TOML file, and how a value with an interval meets them."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from tamis.documents import read_text, toml_table
from tamis.errors import FileError, UsageError

State = Literal["pass", "warn", "fail", "ignored"]
Over = Literal["each", "mean", "worst"]

# metric -> what it belongs to; a mean with an interval exists for those of pairs and attributes marked so
METRICS: dict[str, tuple[Literal["pairs", "groups", "attributes"], bool]] = {
    "ba_change": ("pairs", True),
    "ba": ("pairs", False),
    "psi": ("groups", False),
    "accuracy_drop": ("attributes", True),
    "uncertainty_rise": ("attributes", True),
    "cie_share": ("attributes", True),
    "tcb_relative": ("attributes", True),
    "auc_drop": ("attributes", False),
    "ece_rise": ("attributes", False),
}


@dataclass(frozen=True)
class Rule:
    """One limit.

    Attributes:
        metric: one of ``METRICS``.
        max: upper limit, or
        min: lower limit; exactly one of them.
        over: every pair, group or attribute on its own; their mean; or only the worst of them, which is the one that
            fails, else the one that warns, and among equals the one with the extreme value.
        severity: a rule of severity warning never fails a policy.
    """

    metric: str
    max: float | None = None
    min: float | None = None
    over: Over = "each"
    severity: Literal["error", "warning"] = "error"

    def __post_init__(self) -> None:
        _one_of("metric", self.metric, tuple(METRICS))
        _one_of("over", self.over, ("each", "mean", "worst"))
        _one_of("severity", self.severity, ("error", "warning"))
        limits = [limit for limit in (self.max, self.min) if limit is not None]
        if len(limits) != 1 or isinstance(limits[0], bool) or not isinstance(limits[0], (int, float)):
            raise UsageError(f"rule {self.metric!r}: expected one number as max, or one as min")
        if not math.isfinite(limits[0]):
            raise UsageError(f"rule {self.metric!r}: the limit is {limits[0]}; expected a finite number")
        if self.over == "mean" and not METRICS[self.metric][1]:
            means = ", ".join(name for name, (_, mean) in METRICS.items() if mean)
            raise UsageError(f"rule {self.metric!r}: over = 'mean' exists for {means}; use 'each' or 'worst'")

    @property
    def limit(self) -> float:
        """The number that must not be passed."""
        return float(self.max if self.max is not None else self.min or 0.0)

    @property
    def side(self) -> Literal["max", "min"]:
        """Whether the limit is an upper or a lower one."""
        return "max" if self.max is not None else "min"

    @property
    def name(self) -> str:
        """How messages call the rule."""
        return f"{self.metric} ({self.over}) {'<=' if self.side == 'max' else '>='} {self.limit:g}"


@dataclass(frozen=True)
class Policy:
    """Limits that a compressed model must keep.

    Attributes:
        rules: at least one.
        strict: pass only if the whole interval keeps the limit; otherwise fail only if the whole interval breaks it.
        on_undefined: what a value that does not exist counts as.
        warnings_as_errors: exit code 1 also for warnings.
    """

    rules: tuple[Rule, ...]
    strict: bool = False
    on_undefined: Literal["warn", "fail", "ignore"] = "warn"
    warnings_as_errors: bool = False

    def __post_init__(self) -> None:
        _one_of("on_undefined", self.on_undefined, ("warn", "fail", "ignore"))
        for flag in ("strict", "warnings_as_errors"):
            if not isinstance(getattr(self, flag), bool):
                raise UsageError(f"{flag} = {getattr(self, flag)!r}: expected true or false")
        if not self.rules:
            raise UsageError("a policy without rules: expected at least one [[rule]]")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Policy:
        """Read a TOML file; FileError names the file and what is wrong with it."""
        return cls.parse(read_text(path, "a TOML policy"), str(path))

    @classmethod
    def parse(cls, text: str, where: str = "policy") -> Policy:
        """A policy from TOML text; FileError begins with ``where``."""
        table = toml_table(text, where)
        try:
            given = table.pop("rule", [])
            if not isinstance(given, list) or not all(isinstance(rule, dict) for rule in given):
                raise UsageError("rule: expected tables that begin with [[rule]]")
            _known(table, cls, "")
            rules = []
            for number, rule in enumerate(given):
                _known(rule, Rule, f"rule {number}: ")
                if "metric" not in rule:
                    raise UsageError(f"rule {number} has no metric; expected one of {', '.join(METRICS)}")
                rules.append(Rule(**rule))
            return cls(tuple(rules), **table)
        except (UsageError, TypeError) as error:  # TypeError: a value of a type that cannot be compared
            raise FileError(f"{where}: {error}") from None


def policy_rule(
    value: float,
    ci: tuple[float, float],
    *,
    max: float | None = None,
    min: float | None = None,
    strict: bool = False,
    on_undefined: Literal["warn", "fail", "ignore"] = "warn",
) -> State:
    """How one value with its interval meets one limit.

    With an upper limit L it fails if ``lo > L``, warns if ``value > L >= lo`` and passes otherwise; strict passes
    only if ``hi <= L`` and fails otherwise.  Lower limits are mirrored.

    Args:
        value: NaN where undefined, which is never a silent pass.
        ci: lower and upper end; both equal to ``value`` where there is no interval.
        max: upper limit, or
        min: lower limit.
        strict: see above.
        on_undefined: what NaN counts as.

    Raises:
        UsageError: neither limit is given.
    """
    if math.isnan(value):
        return "ignored" if on_undefined == "ignore" else on_undefined
    lo, hi = ci
    if max is None:
        if min is None:
            raise UsageError("neither max nor min is given; expected one limit")
        value, lo, hi, limit = -value, -hi, -lo, -min
    else:
        limit = max
    if math.isnan(lo) or math.isnan(hi):
        lo = hi = value
    if strict:
        return "pass" if hi <= limit else "fail"
    return "fail" if lo > limit else "warn" if value > limit else "pass"


def exit_code(results: Sequence[State], warnings_as_errors: bool = False) -> int:
    """0 pass (warnings allowed), 1 policy not met, 2 if there is nothing to judge by."""
    if not results:
        return 2
    if "fail" in results:
        return 1
    return int(warnings_as_errors and "warn" in results)


def _known(table: Mapping[str, Any], kind: Any, where: str) -> None:
    names = [field.name for field in fields(kind) if field.name != "rules"]
    for key in table:
        if key not in names:
            close = difflib.get_close_matches(key, names, n=1) or names
            raise UsageError(f"{where}unknown key {key!r}; did you mean {', '.join(close)}?")


def _one_of(key: str, value: Any, options: tuple[str, ...]) -> None:
    if value not in options:
        raise UsageError(f"{key} = {value!r}: expected one of {', '.join(options)}")


DEFAULT_POLICY = Policy(
    (
        Rule("ba_change", max=0.03, over="each"),
        Rule("psi", max=0.03, over="each"),
        Rule("accuracy_drop", max=0.02, over="mean"),
        Rule("uncertainty_rise", max=0.12, over="mean"),
        Rule("cie_share", max=0.05, over="mean"),
        Rule("tcb_relative", min=0.8, over="mean"),
    )
)
"""Start values of our own, for want of published ones; make them yours."""
