"""Numbers of the documentation are those of the committed measurements."""

from __future__ import annotations

import csv
import re
import runpy
from pathlib import Path

from tamis.methods import METHODS

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def test_the_collapse_table_is_that_of_the_csv():
    page = (ROOT / "docs" / "acdc.md").read_text(encoding="utf-8")
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    with (RESULTS / "acdc_toy.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            groups.setdefault((row["sparsity"], row["distribution"]), []).append(row)
    assert len(groups) == 10
    for (sparsity, distribution), rows in groups.items():
        cells = [sparsity, distribution]
        for column in ("accuracy", "dense_phase_zeros", "live_share_3"):
            cells.append(" to ".join(pick((row[column] for row in rows), key=float) for pick in (min, max)))
        assert f"| {' | '.join(cells)} |" in page


def test_the_table_of_latent_steps_is_that_of_the_csv():
    page = (ROOT / "docs" / "dpf.md").read_text(encoding="utf-8")
    methods: dict[str, list[str]] = {}
    with (RESULTS / "latent_steps.csv").open(newline="") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            methods.setdefault(row["method"], []).append(row["times_dense"])
    assert len(methods) == 8
    for method, cells in methods.items():
        assert f"| {method} | {' | '.join(cells)} |" in page


def test_the_table_of_second_order_pruning_is_that_of_the_csv():
    page = (ROOT / "docs" / "woodfisher.md").read_text(encoding="utf-8")
    groups: dict[str, dict[str, list[dict[str, str]]]] = {}
    lines = (RESULTS / "one_shot_second_order.csv").read_text(encoding="utf-8").splitlines()
    for row in csv.DictReader(line for line in lines if not line.startswith("#")):
        groups.setdefault(row["method"], {}).setdefault(row["sparsity"], []).append(row)
    assert len(groups) == 12
    for method, cells in groups.items():
        every = [row for rows in cells.values() for row in rows]
        accuracies = [" / ".join(row["accuracy"] for row in rows) for rows in cells.values()]
        seconds = f"{max(float(row['cpu_s']) for row in every):.1f}"
        memory = str(max(int(row["peak_mb"]) - int(row["before_mb"]) for row in every))
        assert f"| {' | '.join([method, *accuracies, seconds, memory])} |" in page


def test_the_layer_table_is_read_from_a_csv_of_bench(tmp_path):
    layer_table = runpy.run_path(str(ROOT / "docs" / "_measured.py"))["layer_table"]
    assert "is committed yet" in layer_table(tmp_path / "absent.csv")
    file = tmp_path / "layers.csv"
    file.write_text(
        "# processor: P\n# isa: avx2\n# threads: 1\n# load_average: [0.1]\n"
        "layer,sparsity,speedup\nconv a,0.9,4.0\nconv b,0.9,1.0\nconv a,0.5,0.5\n"
    )
    rows = layer_table(file).splitlines()
    assert rows[-2:] == ["| 0.5 | 1 | 0.50 | 0.50 | conv a | 1 |", "| 0.9 | 2 | 2.00 | 1.00 | conv b | 0 |"]


def test_the_tables_of_the_readme_are_those_of_the_results():
    script = runpy.run_path(str(ROOT / "benchmarks" / "readme_tables.py"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(script["REGION"].findall(readme)) == 3
    assert script["updated"](readme) == readme


def test_the_topkast_table_is_that_of_the_csv():
    page = (ROOT / "docs" / "topkast.md").read_text(encoding="utf-8")
    with (RESULTS / "topkast_layers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    for row in rows:
        masks = f"{float(row['forward_sparsity']):g} / {float(row['gradient_sparsity']):g}"
        assert f"| {row['layer']} | {masks} | {row['packed_ms']} | {row['masked_ms']} | {row['dense_ms']} |" in page


def test_the_study_table_has_mean_interval_and_the_best_in_bold(tmp_path):
    measured = runpy.run_path(str(ROOT / "docs" / "_measured.py"))
    assert "is committed yet" in measured["study_table"](tmp_path / "absent.csv")
    file = tmp_path / "study.csv"
    rows = [
        "dense,0.0,done,0.99,7", "gmp,0.9,done,0.90,7", "gmp,0.9,done,0.92,7", "rigl,0.9,done,0.95,7",
        "rigl,0.9,failed,,",
    ]  # fmt: skip
    file.write_text("# study: s\nmethod,sparsity_requested,state,accuracy,epochs\n" + "\n".join(rows) + "\n")
    table = measured["study_table"](file).splitlines()
    assert table[0] == "dense: 99.0 %"
    assert table[-2:] == ["| gmp | 91.0 ± 12.7 |", "| rigl | **95.0** |"]
    sentence = measured["study_rows"](file, tmp_path / "absent.csv")["study_gmp"]
    assert "7 epochs" in sentence
    assert sentence.count("91.0 ± 12.7 % at 90% zeros") == 1


def test_every_page_that_quotes_the_study_quotes_a_method_that_is_in_it():
    rows = runpy.run_path(str(ROOT / "docs" / "_measured.py"))["study_rows"]()
    pages = {page.stem: page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md")}
    quoted = {name for text in pages.values() for name in re.findall(r"\{\{ (study_\w+) \}\}", text)}
    assert quoted - {"study_table"} <= set(rows)
    assert {f"study_{method}" for method in METHODS} <= quoted


def test_the_table_of_a_transfer_sweep_has_its_scores_and_names_what_is_missing(tmp_path):
    table = runpy.run_path(str(ROOT / "docs" / "_measured.py"))["transfer_table"]
    assert table(tmp_path / "none.csv") == "No sweep is committed yet."
    rows = ["arch,kind,method,sparsity,task,seed,value", "net,linear,dense,0,a,0,0.5", "net,linear,dense,0,b,0,0.8"]
    rows += ["net,linear,acdc,0.9,a,0,0.55", "net,linear,acdc,0.9,b,0,0.7", "net,linear,gmp,0.9,a,0,0.4"]
    (tmp_path / "t.csv").write_text("# processor: any\n" + "\n".join(rows) + "\n")
    text = table(tmp_path / "t.csv")
    # errors .5 and .2 dense, .45 and .3 AC/DC: r = -.1 and +.5
    assert "| acdc 90 % | 20.0 ± 30.0 | not available | not available |" in text
    assert "| gmp" not in text
    assert "net linear gmp 90 % on b" in text
    assert "upstream" not in text


def test_the_table_of_a_transfer_sweep_says_how_good_its_backbones_were(tmp_path):
    table = runpy.run_path(str(ROOT / "docs" / "_measured.py"))["transfer_table"]
    rows = ["arch,kind,method,sparsity,task,seed,value,upstream"]
    rows += [
        "net,linear,acdc,0.95,a,0,0.55,0.41",
        "net,linear,acdc,0.9,a,0,0.6,0.5",
        "net,linear,dense,0,a,0,0.5,0.602",
    ]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    assert "in the order of sparsity: dense 60.2; acdc 50.0 / 41.0." in table(tmp_path / "t.csv")


def test_the_committed_sweeps_are_whole_tables():
    from tamis.transfer import outcomes_of, read_results

    found = sorted(RESULTS.glob("transfer_*.csv"))
    tables = [file for file in found if "arch,kind,method" in file.read_text(encoding="utf-8")]
    assert [file.stem for file in tables] == [
        f"transfer_{name}" for name in ("digits", "tiny_imagenet", "tiny_imagenet_first")
    ]
    for file in tables:
        rows = read_results(file)
        outcomes_of(rows)  # one recipe, transform and split in each cell
        assert all(row.sparsity_before == row.sparsity_after for row in rows)
        assert all(row.selection in ("last", "best_val") for row in rows)


def test_the_tables_of_the_study_of_sources_are_read_from_its_csvs(tmp_path):
    tables = runpy.run_path(str(ROOT / "docs" / "_measured_sources.py"))["flea_tables"]
    assert all("is committed yet" in text for text in tables(tmp_path).values())
    (tmp_path / "sources_selection.csv").write_text(
        "# study: s\ndata,adversary,seed,method,bad_frac,as_published\n"
        "compas,none,0,flea,0.667,1\ncompas,random,0,flea,0.333,1\ncompas,random,1,flea,0.0,0\n"
    )
    (tmp_path / "sources_worst.csv").write_text(
        "data,method,learner,accuracy,accuracy_above,fairness,fairness_above\n"
        "compas,flea,regularised,0.659,-0.001,0.943,0.002\ncompas,dro,regularised,0.5,,0.6,\n"
    )
    (tmp_path / "sources_learners.csv").write_text(
        "data,method,learner,adversary,accuracy_above,accuracy_equal,fairness_above,fairness_equal,both_equal,compared\n"
        "compas,flea,none,random,0.001,2,-0.01,1,1,3\ncompas,flea,none,none,-0.003,1,0.0,1,1,1\n"
        "compas,naive,none,none,,,,,,0\n"
    )
    found = tables(tmp_path)
    rows = found["flea_kept"].splitlines()
    assert rows[2:] == [
        "| `none` | 0.667 |",
        "| `random` | 0.167 |",
        "| mean of attacks | 0.167 |",
        "| choices as published | 2 of 3 |",
    ]
    minus = "\N{MINUS SIGN}"
    assert f"| FLEA, published disparity | 65.9 ({minus}0.10) / 94.3 (+0.20) |" in found["flea_worst"]
    assert "| DRO | 50.0 / 60.0 |" in found["flea_worst"]
    agreement = found["flea_agreement"].splitlines()[-1]
    assert agreement.split(" | ")[3:] == ["4", "+0.00", "3", "0.30", f"{minus}0.75", "2", "1.00", "1 of 2 |"]
    assert "is committed yet" in found["flea_baselines"]
    assert found["flea_matches"].splitlines()[-1] == "| FLEA, published disparity | none | 2 of 4 |"
