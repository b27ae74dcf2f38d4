"""Rows of a study of sources with numbers that were made up."""

from __future__ import annotations


def made_up(accuracy: float, bad: float | None, *, seed: int = 0, method: str = "flea", adversary: str = "random"):
    return {
        "data": "german", "n_sources": 5, "n_bad": 2, "adversary": adversary, "seed": seed, "method": method,
        "learner": "none", "accuracy": accuracy, "fairness": 0.9, "bad_frac": bad,
    }  # fmt: skip
