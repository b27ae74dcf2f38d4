"""The heat map: change of bias amplification for each attribute and identity, and what a cell holds for a reader."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tamis.report._format import DASH
from tamis.report._tables import Table
from tamis.report.audit._content import Audit
from tamis.report.audit._estimates import fixed, interval, interval_text, mean, number, p_value, signed, span

STEPS = (0.01, 0.03, 0.06, 0.1)  # ends of the colours on either side of zero
RISE, FALL = "\u25b2", "\u25bc"


@dataclass(frozen=True)
class Cell:
    """One cell: its class for the style sheet, its text, the letter of its reason, and the sentence."""

    style: str
    text: str
    mark: str
    letter: str
    words: str


@dataclass(frozen=True)
class Matrix:
    """The cells of one compressed condition by attribute (rows) and identity (columns)."""

    title: str
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Heat:
    """All matrices, and the reasons of grey cells with their letters."""

    matrices: tuple[Matrix, ...]
    reasons: tuple[tuple[str, str], ...]


def index_of(audit: Audit) -> dict[tuple[str, str, str], Mapping[str, Any]]:
    """Pairs by condition, attribute and identity."""
    return {(pair["condition"], pair["attribute"], pair["identity"]): pair for pair in audit.values["pairs"]}


def heat_of(audit: Audit) -> Heat:
    """The heat map as text."""
    pairs = index_of(audit)
    codes = list(dict.fromkeys(pair["reason"] for pair in audit.values["pairs"] if pair["reason"]))
    letters = {code: _letter(place) for place, code in enumerate(codes)}
    matrices = [
        Matrix(
            condition.title,
            tuple(
                tuple(
                    _cell(audit, pairs.get((condition.id, attribute, identity)), letters)
                    for identity in audit.identities
                )
                for attribute in audit.attributes
            ),
        )
        for condition in audit.compressed
    ]
    return Heat(tuple(matrices), tuple((letters[code], audit.reason(code)) for code in codes))


def _letter(place: int) -> str:
    return chr(ord("a") + place % 26) * (1 + place // 26)


def _cell(audit: Audit, pair: Mapping[str, Any] | None, letters: Mapping[str, str]) -> Cell:
    if pair is None:
        return Cell("none", DASH, "", "", "not compared")
    if pair["reason"]:
        return Cell("none", DASH, "", letters[pair["reason"]], f"undefined: {audit.reason(pair['reason'])}")
    change = mean(pair["change"])
    low, high = interval(pair["change"])
    mark = RISE if low > 0 else FALL if high < 0 else ""
    certain = (
        "rose for sure" if low > 0 else "fell for sure" if high < 0 else "no sure change" if math.isfinite(low) else ""
    )
    ends = span(low, high)
    words = ", ".join(
        part for part in (f"change {signed(change)}", f"interval {ends}" if ends else "", certain) if part
    )
    return Cell(_style(change), signed(change), mark, "", words)


def _style(change: float) -> str:
    """Class of the colour: ``z`` near zero, ``u1`` to ``u4`` for rises, ``d1`` to ``d4`` for falls."""
    size = sum(abs(change) >= end for end in STEPS)
    return f"{'u' if change > 0 else 'd'}{size}" if size else "z"


def sentence(audit: Audit, pair: Mapping[str, Any]) -> str:
    """A cell in plain words: what the labels say, what dense and compressed models say, and how sure that is."""
    attribute, identity = pair["attribute"], pair["identity"]
    if pair["reason"]:
        return f"Undefined: {audit.reason(pair['reason'])}"
    group = identity if pair["toward"] == 1 else f"not {identity}"
    low, high = interval(pair["change"])
    kinds = {"rows": "over test samples", "clusters": "over clusters of test samples", "seeds": "over training seeds"}
    kind = kinds.get((pair["change"]["interval"] or {}).get("kind", ""), "")
    notes = (pair["change"]["interval"] or {}).get("notes", ())
    sure = (
        f"The 95\u00a0% interval of the change {kind} is {span(low, high)}, {p_value(pair['q'], 'q')}."
        if math.isfinite(low)
        else " ".join(["There is no interval.", *(audit.reason(code) for code in notes)])
    )
    base = ""
    counts = pair["counts"]["dense"]
    positives = [sum(counts[g][1]) for g in (0, 1)]
    if sum(positives):
        share = positives[pair["toward"]] / sum(positives)
        base = f" Of the samples labelled {attribute}, {100 * share:.1f}\u00a0% are {group};"
    missing = f" {pair['missing']:,} samples without a label were left out." if pair.get("missing") else ""
    return (
        f"Training data favours {group}.{base} among those predicted {attribute} the share is "
        f"{_points(mean(pair['dense']))} for the dense and {_points(mean(pair['compressed']))} for the compressed "
        f"models: a change of {signed(mean(pair['change']))}. {sure} "
        f"The largest possible amplification is {fixed(pair['headroom'])}.{missing}"
    )


def _points(value: float) -> str:
    if not math.isfinite(value):
        return "unknown"
    text = f"{abs(100 * value):.1f} points"
    return f"{text} {'higher' if value >= 0 else 'lower'}"


def pairs_table(audit: Audit) -> Table:
    """Every pair of every condition with its numbers, largest change first within a condition."""
    order = {condition.id: place for place, condition in enumerate(audit.conditions)}
    pairs = sorted(audit.values["pairs"], key=lambda p: (order.get(p["condition"], -1), -_last(mean(p["change"]))))
    rows = [
        (
            f"{pair['attribute']} by {pair['identity']}",
            audit.title_of(pair["condition"]),
            *(
                (
                    signed(mean(pair["dense"])),
                    signed(mean(pair["compressed"])),
                    signed(mean(pair["change"])),
                    interval_text(pair["change"]),
                    p_value(pair["q"]),
                )
                if not pair["reason"]
                else (DASH, DASH, audit.reason(pair["reason"]), DASH, DASH)
            ),
        )
        for pair in pairs
    ]
    headings = ("Pair", "Models", "Dense", "Compressed", "Change", "Interval", "q")
    return Table(headings, (False, False, True, True, True, True, True), tuple(rows))


def _last(value: float) -> float:
    return value if math.isfinite(value) else -math.inf


def flat(counts: Any) -> list[int]:
    """n[group][label][prediction] as eight numbers in this order."""
    return [int(number(n)) for group in counts for label in group for n in label]
