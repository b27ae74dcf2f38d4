"""How the audit's page is built: structure, policy, script, size, and what it refuses."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re

import pytest
from audit_content import SMALL, simulated
from html_check import Page, data_of

from tamis.errors import FileError, UsageError
from tamis.report.audit import render_audit_report, write_audit_report

pytestmark = pytest.mark.usefixtures("quick_charts")


def test_the_structure_is_valid_and_accessible(audit_page):
    assert audit_page.problems == []
    ids = [attributes["id"] for _, attributes in audit_page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(attributes.get("alt") for attributes in audit_page.all("img"))
    assert len(audit_page.all("caption")) == len(audit_page.all("table"))
    assert all(attributes.get("scope") for attributes in audit_page.all("th"))
    levels = [int(tag[1]) for tag, _ in audit_page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    sections = [attributes["id"] for attributes in audit_page.all("section")]
    links = [attributes["href"][1:] for attributes in audit_page.all("a") if "class" not in attributes]
    assert links == sections


def test_the_policy_comes_first_and_names_exactly_the_style_and_the_script(audit_html, audit_page):
    assert audit_html.split("<head>\n")[1].startswith('<meta http-equiv="Content-Security-Policy" content="')
    (policy,) = [a["content"] for a in audit_page.all("meta") if a.get("http-equiv")]
    (style,) = re.findall(r"<style>(.*?)</style>", audit_html, flags=re.DOTALL)
    (script,) = re.findall(r"<script>(.*?)</script>", audit_html, flags=re.DOTALL)
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)
    )
    assert policy == (
        f"default-src 'none'; img-src data:; script-src 'sha256-{script_hash}'; style-src 'sha256-{style_hash}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_the_page_has_two_scripts_no_handlers_no_inline_style_and_no_address_but_that_of_svg(audit_html, audit_page):
    assert [a.get("type") for a in audit_page.all("script")] == ["application/json", None]
    assert audit_page.tags().isdisjoint({"iframe", "object", "embed", "form", "base", "video", "audio"})
    for tag, attributes in audit_page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        for name in ("src", "srcset", "href", "xlink:href"):
            if name in attributes:
                assert attributes[name].startswith(("data:", "#"))
    (style,) = re.findall(r"<style>(.*?)</style>", audit_html, flags=re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    rest = re.sub(r"http-equiv|base64,[A-Za-z0-9+/=]*", "", audit_html)
    assert re.findall(r"https?[^\"]*", rest) == ["http://www.w3.org/2000/svg"]


def test_the_script_never_turns_text_into_markup_or_code(audit_html):
    (script,) = re.findall(r"<script>(.*?)</script>", audit_html, flags=re.DOTALL)
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval",
        "Function(",
        "DOMParser",
        "fetch",
        "XMLHttpRequest",
        "WebSocket",
        "import(",
        ".style",
        "cssText",
        "localStorage",
        "sendBeacon",
    ):
        assert word not in script, word


@pytest.mark.usefixtures("real_charts")
def test_equal_reports_give_equal_pages_byte_for_byte():
    assert render_audit_report(simulated(**SMALL)) == render_audit_report(simulated(**SMALL))


def test_folders_people_and_machines_do_not_reach_the_page():
    content = simulated(**SMALL)
    content["provenance"]["command"] = (
        "tamis audit run --dense /home/ann/secret/dense.npz --labels C:\\Users\\ann\\x\\l.npz"
    )
    content["provenance"]["models"][0]["meta"] = {"user": "ann", "host": "box7", "cwd": "/home/ann/secret"}
    content["provenance"]["settings"] |= {"hostname": "box7", "cache": "/home/ann"}
    html = render_audit_report(content)
    assert "tamis audit run --dense dense.npz --labels l.npz" in Page(html).text
    for word in ("ann/", "secret", "box7", "Users", "/home"):
        assert word not in html


@pytest.mark.parametrize("given", [None, [], "x", {}, {"schema": "tamis.audit/2"}])
def test_another_schema_is_refused(given):
    with pytest.raises(UsageError, match="expected"):
        render_audit_report(given)


@pytest.mark.parametrize("key", ["pairs", "curves", "conditions", "criteria", "reasons"])
def test_a_report_that_lacks_a_part_is_refused_by_name(key):
    content = simulated(**SMALL)
    del content[key]
    with pytest.raises(UsageError, match=f"the report's {key} is NoneType"):
        render_audit_report(content)


def test_a_report_with_a_damaged_part_is_one_clear_error(tmp_path):
    content = simulated(**SMALL)
    del content["pairs"][0]["change"]
    with pytest.raises(UsageError, match=r"does not fit the schema tamis\.audit/1 \(KeyError: 'change'\)"):
        write_audit_report(content, tmp_path / "audit.html")
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_cannot_be_written_is_a_file_error(tmp_path):
    (tmp_path / "audit.html").mkdir()
    with pytest.raises(FileError, match=r"audit\.html cannot be written"):
        write_audit_report(simulated(**SMALL), tmp_path / "audit.html")


@pytest.mark.usefixtures("real_charts")
def test_a_large_audit_stays_below_five_megabytes_and_names_what_it_left_out():
    """40 attributes, 4 groups, 5 levels and 5 seeds, with counts as large as those of 200,000 samples."""
    names = tuple(f"Attribute number {index}" for index in range(40))
    content = simulated(names, ("A", "B", "C", "D"), (0.8, 0.9, 0.95, 0.98, 0.99), 500, 5)
    for entry in content["histograms"]:
        entry["counts"] = [[[400 * n for n in label] for label in group] for group in entry["counts"]]
    html = render_audit_report(content)
    assert len(html.encode()) < 5_000_000, len(html.encode())
    data = data_of(html)
    left_out = len(content["histograms"]) - len(data["histograms"])
    assert (f"{left_out:,} pairs with smaller changes are left out" in data["absent"]) is (left_out > 0)
    assert len(data["histograms"]) >= 4 * 40  # the dense models' at the least


def test_histograms_take_the_room_that_charts_tables_and_pictures_leave(monkeypatch):
    content = simulated(**(SMALL | {"levels": (0.9, 0.98)}))
    picture = b"\x89PNG\r\n\x1a\n" + bytes(3_000)
    images = {row["id"]: picture for row in content["exemplars"][0]["rows"][:1]}
    whole = render_audit_report(content, images=images)
    histograms = data_of(whole)["histograms"]
    least = len(whole.encode()) - len(json.dumps(histograms))
    for most in (least + 3_000, least + 4_500, len(whole.encode()) + 2_000):
        monkeypatch.setattr("tamis.report.audit._page.MOST_BYTES", most)
        html = render_audit_report(content, images=images)
        data = data_of(html)
        assert len(html.encode()) <= most
        assert data["images"] == data_of(whole)["images"]
        assert histograms.items() >= data["histograms"].items()
        assert ("left out" in data["absent"]) is (len(data["histograms"]) < len(histograms))
    assert data["histograms"] == histograms
    monkeypatch.setattr("tamis.report.audit._page.MOST_BYTES", 10)
    bare = data_of(render_audit_report(content, images=images))
    assert bare["histograms"] == {}
    assert f"{len(histograms)} pairs with smaller changes are left out" in bare["absent"]


def test_a_report_writes_its_own_page(tmp_path):
    from tests.audit.worlds import world

    import tamis
    from tamis.audit import DEFAULT_POLICY

    report = tamis.audit(**world(n=200, seeds=1, levels=(0.9,))).with_policy(DEFAULT_POLICY)
    page = report.save_html(tmp_path / "audit.html")
    assert page == tmp_path / "audit.html"
    assert page.read_text(encoding="utf-8") == report.to_html() == render_audit_report(report.content)
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(FileError, match=r"folder\.html cannot be written"):
        report.save_html(tmp_path / "folder.html")
    with pytest.raises(UsageError, match="no PNG file"):
        report.to_html(images={"img00000": b"GIF"})
