"""The citation file is one that GitHub and Zenodo read, and names the papers that the pages name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tamis

ROOT = Path(__file__).resolve().parents[2]


def test_the_citation_file_has_the_version_and_the_five_papers():
    yaml = pytest.importorskip("yaml", reason="the citation file is YAML: pip install pyyaml")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["cff-version"] == "1.2.0"
    assert cited["version"] == tamis.__version__
    assert cited["license"] == "Apache-2.0"
    numbers = []
    for paper in cited["references"]:
        assert paper["type"] in ("conference-paper", "article")
        assert paper["title"]
        assert 2020 < paper["year"] < 2024
        assert all(author["family-names"] and author["given-names"] for author in paper["authors"])
        numbers += [found["value"].removeprefix("arXiv:") for found in paper["identifiers"]]
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
    shown = set(re.findall(r"arxiv\.org/abs/(\d{4}\.\d{5})", pages))
    assert len(numbers) == 5
    assert set(numbers) <= shown, f"no page links to {set(numbers) - shown}"
