"""What the page's script works on: one JSON object, kept small."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tamis.report.audit._content import Audit
from tamis.report.audit._estimates import mean, number
from tamis.report.audit._heat import flat, index_of, sentence

PUNCTUATION = 6  # quotes, colon and comma of one histogram in JSON
MOST_HISTOGRAMS = 1_000_000  # characters of all packed histograms, where the page has room for them


def script_data(audit: Audit, images: Mapping[str, str], room: int = MOST_HISTOGRAMS) -> dict[str, Any]:
    """The object that stands in the page's JSON element.

    Args:
        audit: the content.
        images: for identities of samples, addresses ``data:image/png;base64,...``.
        room: characters that packed histograms may take.
    """
    histograms, left_out = _histograms(audit, room)
    seeds = sorted({condition.seeds for condition in audit.conditions})
    pooled = f"{seeds[0]} seeds" if len(seeds) == 1 and seeds[0] > 1 else "all seeds" if seeds[-1] > 1 else ""
    bins = next((int(entry["bins"]) for entry in audit.values["histograms"]), 100)
    return {
        "attributes": audit.attributes,
        "identities": audit.identities,
        "runs": [condition.title for condition in audit.compressed],
        "cells": _cells(audit),
        "pooled": pooled,
        "bins": bins,
        "histograms": histograms,
        "approximate": (
            f"from probabilities in {bins} steps, {pooled + ' together, ' if pooled else ''}without an interval"
        ),
        "absent": (
            f"To keep the page small it holds no histogram of this pair "
            f"({left_out:,} pairs with smaller changes are left out)."
            if left_out
            else "The report holds no histogram of this pair."
        ),
        "exemplars": _exemplars(audit),
        "images": images,
    }


def _cells(audit: Audit) -> list[list[list[dict[str, Any]]]]:
    """By compressed condition, attribute and identity."""
    pairs = index_of(audit)
    return [
        [
            [_cell(audit, pairs.get((condition.id, attribute, identity))) for identity in audit.identities]
            for attribute in audit.attributes
        ]
        for condition in audit.compressed
    ]


def _cell(audit: Audit, pair: Mapping[str, Any] | None) -> dict[str, Any]:
    if pair is None:
        return {"words": "This pair was not compared."}
    cell: dict[str, Any] = {
        "words": sentence(audit, pair),
        "dense": flat(pair["counts"]["dense"]),
        "compressed": flat(pair["counts"]["compressed"]),
        "toward": pair["toward"],
    }
    change = mean(pair["change"])
    return {**cell, "change": round(change, 6)} if math.isfinite(change) else cell


def _histograms(audit: Audit, room: int) -> tuple[dict[str, str], int]:
    """Packed counts by "condition,attribute,identity" (numbers; 0 is dense), and how many pairs found no room.

    Dense ones and the largest changes come first.
    """
    place = {condition.id: index for index, condition in enumerate(audit.conditions)}
    attribute = {name: index for index, name in enumerate(audit.attributes)}
    identity = {name: index for index, name in enumerate(audit.identities)}
    pairs = index_of(audit)

    def rank(entry: Mapping[str, Any]) -> tuple[int, float]:
        pair = pairs.get((entry["condition"], entry["attribute"], entry["identity"]))
        change = mean(pair["change"]) if pair else math.nan
        return min(place[entry["condition"]], 1), -abs(change) if math.isfinite(change) else 0.0

    found: dict[str, str] = {}
    used = left_out = 0
    for entry in sorted(audit.values["histograms"], key=rank):
        text = packed(n for group in entry["counts"] for label in group for n in label)
        key = f"{place[entry['condition']]},{attribute[entry['attribute']]},{identity[entry['identity']]}"
        size = len(key) + len(text) + PUNCTUATION
        if used + size > room:
            left_out += 1
            continue
        used += size
        found[key] = text
    return found, left_out


def packed(counts: Iterable[int]) -> str:
    """Counts as LEB128 (seven bits a byte, low ones first, the top bit set on all but the last) in base64.

    >>> base64.b64decode(packed([1, 300]))
    b'\\x01\\xac\\x02'
    """
    data = bytearray()
    for count in counts:
        rest = int(count)
        while rest > 127:
            data.append(rest & 127 | 128)
            rest >>= 7
        data.append(rest)
    return base64.b64encode(bytes(data)).decode("ascii")


def _exemplars(audit: Audit) -> list[dict[str, Any]]:
    """By compressed condition, in their order; an empty list where the report has none."""
    place = {name: index for index, name in enumerate(audit.attributes)}
    found = {}
    for part, ids in zip(audit.values["exemplars"], audit.sample_ids, strict=True):
        items = [_exemplar(audit, row, identity, place) for row, identity in zip(part["rows"], ids, strict=True)]
        found[part["condition"]] = {"items": items, "total": part["rows_total"]}
    return [found.get(condition.id, {"items": [], "total": 0}) for condition in audit.compressed]


def _exemplar(audit: Audit, row: Mapping[str, Any], identity: str, place: Mapping[str, int]) -> dict[str, Any]:
    groups: Mapping[str, Any] = row["groups"]
    distance = abs(number(row["dense"]) - 0.5)
    turned_on = row["flip"] == "0>1"
    return {
        "id": identity,
        "shown": row["id"],
        "attribute": place[row["attribute"]],
        "label": row["y"],
        "dense": int(not turned_on),
        "compressed": int(turned_on),
        "p": [round(number(row["dense"]), 4), round(number(row["compressed"]), 4)],
        "groups": [groups.get(name) for name in audit.identities],
        "certainty": "very" if distance < 0.1 else "uncertain" if distance < 0.4 else "certain",
    }


def groups_of(audit: Audit) -> Sequence[tuple[str, str]]:
    """Values and words of the gallery's filter for groups."""
    return [
        (f"{index},{member}", name if member else f"not {name}")
        for index, name in enumerate(audit.identities)
        for member in (1, 0)
    ]
