"""The pages of a transfer with markup in every text that reaches them, finished and not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from hostile_markup import MARK, check_is_text
from tamis.report import write_report
from tamis.transfer import ProbeOptions, TransferRecipe, run_transfer

from .tiny import TRANSFORM, TinyNet, tiny_task

pytest.importorskip("jinja2", reason="the report needs the extra tamis[report]")
# what the page's code reads, and so must be one of its words
STRUCTURE = {"kind", "how", "metric", "phase", "selection", "direction", "schema", "unit"}


def poisoned(value: Any, key: str = "") -> Any:
    """JSON with markup behind every text and in the names of every table of names."""
    if isinstance(value, dict):
        return {name: poisoned(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item, key) for item in value]
    return value + MARK if isinstance(value, str) and key not in STRUCTURE else value


@pytest.fixture
def folder(checkpoint, tmp_path, sparse_side):
    from tamis.transfer import load_backbone

    recipe = TransferRecipe(speed=False, cache="none", probe=ProbeOptions(grid_step=11))
    task = replace(tiny_task(), classes=tuple(f"{MARK}{i}" for i in range(3)))
    run_transfer(
        recipe, tmp_path / "run", backbone=load_backbone(checkpoint, TinyNet()), task=task, transform=TRANSFORM
    )
    for name in ("summary.json", "env.json"):
        file = tmp_path / "run" / name
        file.write_text(json.dumps(poisoned(json.loads(file.read_text()))))
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    (tmp_path / "run" / "metrics.jsonl").write_text("".join(json.dumps(poisoned(row)) + "\n" for row in rows))
    recipe_file = tmp_path / "run" / "recipe.toml"
    recipe_file.write_text(f"# {MARK}\n" + recipe_file.read_text())
    return tmp_path / "run"


def test_a_finished_transfer_shows_markup_as_text(folder):
    check_is_text(write_report(folder).read_text(encoding="utf-8"))


def test_an_unfinished_transfer_shows_markup_as_text(folder):
    (folder / "summary.json").unlink()
    check_is_text(write_report(folder).read_text(encoding="utf-8"))


def test_the_page_of_the_run_that_it_began_from_shows_markup_as_text(folder, tmp_path):
    home = tmp_path / "upstream"
    (home / "transfer").mkdir(parents=True)
    folder.rename(home / "transfer" / "one")
    (home / "recipe.toml").write_text('name = "up"\n')
    check_is_text(write_report(home).read_text(encoding="utf-8"))
