"""Summary, tables, figures and page of results that were made up."""

import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from tamis.methods import METHODS
from tamis.report import Table
from tamis.study import estimate, write_study_report
from tamis.study._families import FAMILIES, family_of, looks_of
from tamis.study._figures import figures_of, text_alternative
from tamis.study._summary import summarise
from tamis.study._tables import accuracy_table, difference_table, markdown, missing_notes

from .conftest import made_up

TWENTY = [
    "acdc", "gmp", "oneshot", "rigl", "set", "snfs", "topkast", "str", "dst", "movement", "snip", "grasp", "synflow",
    "lth", "woodfisher", "mfac", "obert", "cap", "random", "mine",
]  # fmt: skip
FIGURES = ("accuracy_sparsity", "accuracy_flops", "accuracy_cpu")


@pytest.fixture
def results():
    return made_up(["gmp", "rigl"])


def failing(results, cell, error="ValueError: <no> & such"):
    return [
        replace(row, state="failed", error=error, accuracy=math.nan) if row.cell == cell else row for row in results
    ]


def test_a_group_is_the_mean_over_its_seeds(results):
    summary = summarise(results, "gmp")
    values = [row.accuracy for row in results if row.method == "rigl" and row.sparsity_requested == 0.98]
    group = summary.groups["rigl", 0.98]
    assert group.accuracy == estimate(values)
    assert group.accuracy.n == 3
    rival = [row.accuracy for row in results if row.method == "gmp" and row.sparsity_requested == 0.98]
    assert group.difference.estimate == estimate([a - b for a, b in zip(values, rival, strict=True)])
    dense = [row.accuracy for row in results if row.method == "dense"]
    assert group.below_dense.estimate.mean == pytest.approx(sum(values) / 3 - sum(dense) / 3)


def test_the_table_has_methods_as_rows_and_stars_the_best_of_each_column(results):
    summary = summarise(results, "gmp")
    table = accuracy_table(summary)
    assert table.headings == ("Method", "90\u00a0%", "98\u00a0%")
    assert [row[0] for row in table.rows] == ["dense", "gmp", "rigl"]
    for column, sparsity in ((1, 0.9), (2, 0.98)):
        starred = [row[0] for row in table.rows if "★" in row[column]]
        means = {m: summary.groups[m, sparsity].accuracy.mean for m in summary.methods}
        assert starred == [max(means, key=means.get)]


def test_the_reference_has_no_difference_from_itself(results):
    table = difference_table(summarise(results, "gmp"))
    assert table.rows[0] == ("gmp", "\u2013", "\u2013")
    assert re.fullmatch(r"[+−]\d\.\d\d ± \d+\.\d\d, p = [\d.e-]+", table.rows[1][1].replace("\u00a0", " "))  # noqa: RUF001


def test_one_seed_has_no_interval(results):
    summary = summarise([row for row in results if row.seed == 0], "gmp")
    assert all("n = 1: no interval" in row[1].replace("\u00a0", " ") for row in accuracy_table(summary).rows)


def test_a_failed_cell_is_named_and_its_mean_says_over_how_many(results):
    summary = summarise(failing(results, "rigl_98_s1"), "gmp")
    assert missing_notes(summary) == ("rigl_98_s1 failed: ValueError: <no> & such",)
    assert accuracy_table(summary).rows[2][2].replace("\u00a0", " ").endswith("(n = 2)")
    assert summary.groups["rigl", 0.98].missing == ("rigl_98_s1",)


def test_open_cells_are_named_together(results):
    rows = [replace(row, state="open", accuracy=math.nan) if row.seed == 2 else row for row in results]
    (note,) = missing_notes(summarise(rows, "gmp"))
    assert note == "Not trained yet: dense_0_s2, gmp_90_s2, rigl_90_s2, gmp_98_s2, rigl_98_s2"


def test_markdown_escapes_what_would_end_a_cell():
    assert markdown(Table(("a",), (False,), (("x|y",),))).splitlines()[-1] == "| x\\|y |"


def test_a_difference_of_nothing_has_no_sign_of_a_loss(results):
    same = [replace(row, accuracy=0.9 - (1e-17 if row.method == "rigl" else 0)) for row in results]
    assert "\u2212" not in difference_table(summarise(same, "gmp")).rows[1][1]


def test_every_method_of_a_family_has_a_look_of_its_own():
    looks = looks_of(TWENTY)
    assert len({(look.colour, look.marker) for look in looks.values()}) == len(TWENTY)
    assert family_of("rigl") == "dynamic"
    assert family_of("M-FAC") == family_of("mfac") == "after training"
    assert looks["mine"].family == "other"


def test_every_method_of_the_library_has_a_family():
    assert [name for name in METHODS if family_of(name) == "other"] == []


def test_no_method_is_in_two_families():
    every = [method for _, members in FAMILIES.values() for method in members]
    assert len(every) == len(set(every))
    assert len({colour for colour, _ in FAMILIES.values()}) == len(FAMILIES)


@pytest.fixture(scope="module")
def twenty(tmp_path_factory):
    """Folder of a study of twenty methods with one failed cell and one collapsed method."""
    folder = tmp_path_factory.mktemp("twenty")
    rows = failing(made_up(TWENTY, (0.8, 0.9, 0.95, 0.98)), "cap_98_s1")
    rows = [replace(row, accuracy=0.1) if row.cell.startswith("synflow_98") else row for row in rows]
    write_study_report(rows, folder, reference="gmp", about={"processor": "<a> machine"})
    return folder, rows


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_well_formed_and_names_every_method(twenty, name):
    text = (twenty[0] / "figures" / f"{name}.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    words = ["".join(item.itertext()).strip() for item in root.iter("{http://www.w3.org/2000/svg}text")]
    panels = 1 if name == "accuracy_sparsity" else 4
    for method in TWENTY:
        assert words.count(method) == panels, method
    assert "date" not in text
    assert "nan" not in text


def test_equal_results_give_equal_files(twenty, tmp_path):
    folder, rows = twenty
    write_study_report(rows, tmp_path, reference="gmp", about={"processor": "<a> machine"})
    names = ["report.html", "tables.md", *(f"figures/{name}.svg" for name in FIGURES)]
    for name in names:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name
    assert {str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file()} == set(names)


def test_the_page_is_offline_escaped_and_complete(twenty):
    text = (twenty[0] / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert not re.search(r'(src|href|srcset)="(?!data:|#)', text)
    assert "default-src 'none'" in text
    assert "&lt;a&gt; machine" in text
    assert "cap_98_s1 failed: ValueError: &lt;no&gt; &amp; such" in text
    assert text.count("<figure>") == 3
    assert "Skip to the numbers" in text


def test_text_alternatives_rank_the_methods(results):
    summary = summarise(results, "gmp")
    text = text_alternative(summary, figures_of(summary)[0])
    means = {m: summary.groups[m, 0.9].accuracy.mean for m in summary.methods}
    first, second = sorted(means, key=lambda method: -means[method])
    assert f"at 90 % sparsity {first} {100 * means[first]:.2f} %, {second}" in text
    assert "; dense 9" in text


def test_a_study_without_a_single_result_still_has_a_page(tmp_path, results):
    rows = [replace(row, state="open", accuracy=math.nan) for row in results]
    page = write_study_report(rows, tmp_path, reference="gmp", about={})
    assert "Not trained yet: dense_0_s0" in page.read_text()
    assert not (tmp_path / "figures").exists()


def test_a_perfect_score_has_a_place_on_the_axis(tmp_path, results):
    rows = [replace(row, accuracy=1.0) for row in results]
    write_study_report(rows, tmp_path, reference="gmp", about={})
    assert "nan" not in (tmp_path / "figures" / "accuracy_sparsity.svg").read_text()
