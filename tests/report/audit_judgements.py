"""What a simulated audit says of its numbers: criteria, countermeasures, verdict, policy, where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from audit_measurements import estimate


def criteria(names: Sequence[str], pairs: Sequence[Any], attributes: Any, identities: Any) -> Any:
    rows = []
    for t, attribute in enumerate(attributes):
        for identity in identities:
            pair = next(p for p in pairs if p["attribute"] == attribute and p["identity"] == identity)
            u, c = 0.08 + 0.06 * t, 0.05 + 0.04 * ((7 * t) % 10)
            rows.append(
                {
                    "attribute": attribute,
                    "identity": identity,
                    "uncertainty": u,
                    "error": u / 3,
                    "correlation": c,
                    "rarity": 0.3,
                    "dense_ba": pair["dense"]["mean"],
                    "score": c * u,
                    "rank": 0,
                }
            )
    rows.sort(key=lambda row: -row["score"])
    for rank, row in enumerate(rows, 1):
        row["rank"] = rank
    names_and_rho = [(name, rho) for name, rho in zip(names, (0.02, 0.05, 0.11, 0.60, 0.82), strict=False)]
    evidence = [
        {
            "condition": name,
            "criterion": criterion,
            "spearman": rho - less,
            "p": 0.8 if rho < 0.2 else 0.004,
            "n": len(rows),
            "top": round(len(rows) / 4),
            "top_risen": round(rho * len(rows) / 4),
            "risen": round(rho * len(rows) / 2),
            "reason": "",
        }
        for name, rho in names_and_rho
        for criterion, less in (("cu", 0.0), ("ce", 0.02), ("u", 0.15), ("c", 0.3), ("rarity", 0.5), ("dense_ba", 0.2))
    ]
    samples = [
        {
            "condition": name,
            "attribute": "",
            "auroc": 0.98 - 0.02 * i,
            "flagged": 1 - 0.03 * i,
            "base": 0.31,
            "flips": 200 + 300 * i,
            "reason": "",
        }
        for i, name in enumerate(names)
    ]
    return {"attributes": rows, "evidence": evidence, "samples": samples}


def countermeasures(names: Sequence[str]) -> Any:
    widths = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.45, 0.51)

    def curve(name: str, index: int, reference: str, gate: str) -> Any:
        worst, best = 0.05 + 0.01 * index, 0.02 if reference == "human" else 0.035
        points = []
        for width in widths:
            asked = min(1.0, (1.6 if gate == "compressed" else 1.1) * width) if width < 0.5 else 1.0
            gain = asked ** (0.45 if gate == "compressed" else 0.6)
            points.append(
                {
                    "half_width": width,
                    "fraction": estimate([asked], 0.004),
                    "accuracy": estimate(
                        [0.91 - 0.012 * index + (0.012 * index + (0.06 if reference == "human" else 0)) * gain], 0.004
                    ),
                    "ba": estimate([worst + (best - worst) * gain], 0.005),
                    "tcb": estimate([0.8 + 0.15 * gain], 0.01),
                }
            )
        return {"condition": name, "reference": reference, "gate": gate, "points": points}

    return {
        "calibration": [
            {
                "condition": name,
                "mode": mode,
                "accuracy": estimate([0.91 - 0.01 * i - less], 0.003),
                "tcb": estimate([tcb], 0.01),
                "ba": estimate([(0.035 + 0.008 * i) * keep], 0.004),
                "ba_max": estimate([(0.11 + 0.02 * i) * keep], 0.02),
            }
            for i, name in enumerate(names)
            for mode, less, tcb, keep in (("zero", 0.0, 0.9 - 0.02 * i, 1.0), ("calibrated", 0.002, 0.97, 0.83))
        ],
        "override": [
            curve(name, i, reference, "dense") for i, name in enumerate(names) for reference in ("dense", "human")
        ],
        "cascade": [curve(name, i, "dense", "compressed") for i, name in enumerate(names)],
    }


def verdict(state: str) -> Any:
    words = {
        "fail": "The policy is not met: 2 checks fail, 32 warn.",
        "warn": "No rule is broken beyond doubt, but some values lie above their limits.",
        "pass": "All rules are met.",
        "none": "No policy was given, so there is no verdict.",
    }[state]
    return {"state": state, "exit_code": {"fail": 1, "none": 0}.get(state, 0), "words": words}


MEANS = (
    ("accuracy_drop", 0.049, 0.02, "max"),
    ("uncertainty_rise", 0.11, 0.12, "max"),
    ("cie_share", 0.089, 0.05, "max"),
    ("tcb_relative", 0.88, 0.8, "min"),
)


def policy(pairs: Sequence[Any], state: str) -> Any:
    if state == "none":
        return None
    rows = [_row(0, "ba_change", "each", pair, pair["change"], 0.03, "max") for pair in pairs]
    for rule, (metric, value, limit, side) in enumerate(MEANS, 1):
        rows.append(_row(rule, metric, "mean", pairs[-1], estimate([value], 0.008), limit, side))
    allowed = {"fail": {"fail", "warn", "pass"}, "warn": {"warn", "pass"}, "pass": {"pass"}}[state]
    rows = [row for row in rows if row["state"] in allowed]
    rows.sort(key=lambda row: ({"fail": 0, "warn": 1, "pass": 2}[row["state"]], row["rule"]))
    return {"strict": False, "on_undefined": "warn", "warnings_as_errors": False, "rows": rows}


def _row(rule: int, metric: str, over: str, pair: Any, found: Any, limit: float, side: str) -> Any:
    value, ends = found["mean"], found["interval"] or {"lo": None, "hi": None}
    state = "warn"
    if value is not None:
        sign = 1 if side == "max" else -1
        near = ends["lo"] if side == "max" else ends["hi"]
        state = "pass" if sign * value <= sign * limit else "fail" if sign * near > sign * limit else "warn"
    place = {"attribute": pair["attribute"], "identity": pair["identity"]} if over == "each" else {}
    return {
        "rule": rule, "name": f"{metric} ({over}) {'<=' if side == 'max' else '>='} {limit:g}", "metric": metric,
        "over": over, "condition": pair["condition"], "attribute": "", "identity": "", **place, "group": None,
        "value": value, "lo": ends["lo"], "hi": ends["hi"], "limit": limit, "side": side, "state": state,
        "severity": "error", "reason": found["reason"], "words": f"{metric}: {state}.",
    }  # fmt: skip


def provenance(conditions: Sequence[Any], samples: int) -> Any:
    models = [
        {
            "condition": c["id"],
            "model": c["model"],
            "method": c["method"],
            "axis": c["axis"],
            "level": c["level"],
            "seed": seed,
            "dense_seed": seed,
            "sha256": f"{17 * i + seed:064x}",
            "meta": {"recipe": {"epochs": 10}},
        }
        for i, c in enumerate(conditions)
        for seed in c["seeds"]
    ]
    return {
        "tamis": "0.1.0",
        "numpy": "2.4.6",
        "python": "3.11.7",
        "command": "tamis audit run --dense dense.npz --compressed gmp.npz --labels test.npz --policy policy.toml",
        "settings": {
            "min_positives": 10,
            "min_gap": "1/10",
            "uncertainty": 0.4,
            "ci": 0.95,
            "n_boot": 2000,
            "support": "common",
            "seed": 0,
        },
        "models": models,
        "labels": {"samples": samples, "sha256": "a" * 64, "missing": {}, "clusters": None},
        "train": {"samples": 5028, "sha256": "b" * 64},
        "valid": None,
        "thresholds": {"source": "zero", "values": []},
        "notes": [],
    }
