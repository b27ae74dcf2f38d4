"""The published tables and protocol: encoding, splits, bad sources, measures, OpenML offline."""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from tamis.errors import FileError, UsageError
from tamis.sources import (
    TabularData,
    bad_sources,
    fairness_measures,
    load_adult,
    load_adult_openml,
    load_compas,
    load_openml,
    load_tabular,
    split_sources,
)
from tamis.sources._tabular import binned, encode

from .learner_vectors import VECTORS

SHAPES = {"adult": (48842, 37), "compas": (6172, 8), "german": (1000, 15), "drugs": (1885, 12), "acs51": (332900, 78)}
PUBLISHED_NAMES = {"german": "germancredit"}


def plain(n: int, sources=None) -> TabularData:
    a = np.arange(n) % 2
    return TabularData("plain", np.column_stack([np.arange(n), a]).astype(float), a.copy(), a, ("x", "a"), 1, sources)


@pytest.mark.parametrize("setting", VECTORS["protocol"].keys() - {"description"})
def test_bad_sources_are_those_of_the_vectors(setting):
    n_sources, n_bad = (int(part.lstrip("Nnadv")) for part in setting.split("_"))
    for seed, expected in VECTORS["protocol"][setting].items():
        assert bad_sources(int(seed), n_sources, n_bad) == expected


@given(st.integers(12, 60), st.integers(1, 6), st.integers(0, 20))
def test_a_split_is_a_partition_with_a_fifth_for_the_test_and_equal_sources(n, n_sources, seed):
    split = split_sources(plain(n), seed, n_sources)
    numbers = [part.X[:, 0] for part in (split.test, *split.sources)]
    assert sorted(np.concatenate(numbers)) == list(range(n))
    assert len(split.test.y) == -(-n // 5)
    sizes = [len(part.y) for part in split.sources]
    assert max(sizes) - min(sizes) <= 1
    assert np.array_equal(split.test.X[:, 0], np.random.RandomState(seed).permutation(n)[: -(-n // 5)])


def test_sources_of_their_own_are_split_one_by_one():
    labels = np.array(["b"] * 10 + ["a"] * 20)
    split = split_sources(plain(30, labels), 0, 2)
    assert [len(part.y) for part in split.sources] == [16, 8]
    assert (split.sources[0].X[:, 0] >= 10).all()
    assert len(split.test.y) == 6


@pytest.mark.parametrize("n_sources", [0, 25])
def test_a_wrong_number_of_sources_is_refused(n_sources):
    with pytest.raises(UsageError, match=f"n_sources = {n_sources}"):
        split_sources(plain(30), 0, n_sources)
    with pytest.raises(UsageError, match="has 2 sources of its own"):
        split_sources(plain(30, np.arange(30) % 2), 0, 5)
    with pytest.raises(UsageError, match="n_bad = 7"):
        bad_sources(0, 5, 7)


def test_levels_are_sorted_the_first_is_dropped_and_missing_comes_last():
    frame = pd.DataFrame({"c": ["b", None, "a", "c"], "d": [1, 0, 1, 0]})
    data = encode("t", frame, [1, 0, 0, 1], pd.DataFrame({"n": [0.5, 1, 2, 3]}), [0, 1, 0, 1])
    assert data.columns == ("c=b", "c=c", "c=missing", "d=1", "sensitive", "n")
    expected = [[1, 0, 0, 1, 1, 0.5], [0, 0, 1, 0, 0, 1], [0, 0, 0, 1, 0, 2], [0, 1, 0, 0, 1, 3]]
    np.testing.assert_array_equal(data.X, expected)
    assert data.sensitive_column == 4
    with pytest.raises(UsageError, match="'n' has missing or infinite values"):
        encode("t", frame, [1, 0, 0, 1], pd.DataFrame({"n": [np.nan, 1, 2, 3]}), [0, 1, 0, 1])


def test_bins_are_open_below_and_closed_above():
    found = binned(pd.Series([15, 16, 25, 26, 99, 100]), (15, 25, 99))
    np.testing.assert_array_equal(found, [np.nan, 0, 0, 1, 1, np.nan])


ADULT = "39, Private, 1, HS-grad, 9, Divorced, Sales, Wife, White, Female, 0, 0, 40, United-States, >50K"


def test_adult_reads_the_test_file_first_and_strips_its_full_stops(tmp_path):
    (tmp_path / "adult.test").write_text("|1x3 Cross validator\n" + ADULT + ".\n\n")
    second = ADULT.replace("Private", "?").replace("Female", "Male").replace(">50K", "<=50K").replace("40", "60")
    (tmp_path / "adult.data").write_text(second + "\n")
    data = load_adult(tmp_path)
    assert data.columns == ("workclass=Private", "hours=3", "sensitive")
    np.testing.assert_array_equal(data.X, [[1, 0, 1], [0, 1, 0]])
    assert (data.y.tolist(), data.a.tolist()) == ([1, 0], [1, 0])


def test_compas_leaves_out_what_propublica_left_out(tmp_path):
    head = "sex,age_cat,race,priors_count,days_b_screening_arrest,c_charge_degree,is_recid,two_year_recid"
    rows = [
        "Male,25 - 45,Asian,3,-30,F,1,1", "Female,25 - 45,Other,0,5,M,0,0", "Male,25 - 45,Other,0,31,M,0,0",
        "Male,25 - 45,Other,0,1,O,0,0", "Male,25 - 45,Other,0,1,F,-1,0", "Male,25 - 45,Other,0,,F,0,0",
    ]  # fmt: skip
    (tmp_path / "compas-nonames.csv").write_text("\n".join([head, *rows]) + "\n")
    data = load_compas(tmp_path)
    np.testing.assert_array_equal(data.X, [[0, 0, 3], [1, 1, 0]])  # charge M, a, priors; Asian joins Other


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "found no such file"),
        ("a,b\n1,2\n", "lacks the columns sex"),
        ("", "cannot be read as CSV"),
        (
            "sex,age_cat,race,priors_count,days_b_screening_arrest,c_charge_degree,is_recid,two_year_recid\n"
            "Male,x,Other,many,1,F,0,0\n",
            "'priors_count' has a value that is not a number",
        ),
        (
            "sex,age_cat,race,priors_count,days_b_screening_arrest,c_charge_degree,is_recid,two_year_recid\n"
            "Robot,x,Other,1,1,F,0,0\n",
            "'sex' has Robot; expected Female and Male",
        ),
    ],
)
def test_a_missing_or_foreign_file_is_one_clear_sentence(tmp_path, content, words):
    if content is not None:
        (tmp_path / "compas-nonames.csv").write_text(content)
    with pytest.raises(FileError, match=words):
        load_compas(tmp_path)


def test_without_a_folder_the_user_is_told_what_to_set(monkeypatch):
    monkeypatch.delenv("TAMIS_SHARED", raising=False)
    with pytest.raises(FileError, match="set TAMIS_SHARED"):
        load_tabular("german")
    with pytest.raises(UsageError, match="data 'iris': expected one of adult"):
        load_tabular("iris")


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["adult", "compas", "german", "drugs"])
def test_base_rate_and_group_ratio_of_the_test_part_are_the_published_ones_on_ten_seeds(shared_data, name):
    published = shared_data.parent / "specs" / "vectors" / "flea_published.csv.gz"
    if not published.is_file():
        pytest.skip(f"published results not found at {published}: set TAMIS_SHARED to the folder that contains specs/")
    expected = {}
    with gzip.open(published, "rt") as stream:
        for row in csv.DictReader(stream):
            if row["dataset"] == PUBLISHED_NAMES.get(name, name) and row["method"] == "naive":
                expected[int(row["seed"])] = (float(row["data_pr"]), float(row["group0_ratio"]))
    data = load_tabular(name, shared_data / "tab")
    assert data.X.shape == SHAPES[name]
    assert np.array_equal(data.X[:, data.sensitive_column], data.a)
    assert sorted(expected) == list(range(10))
    for seed, pair in expected.items():
        test = split_sources(data, seed, 5).test
        assert (round(test.y.mean(), 3), round((test.a == 0).mean(), 3)) == pair


@pytest.mark.shared_data
@pytest.mark.slow
def test_the_states_of_acs51_are_its_sources(shared_data):
    data = load_tabular("acs51", shared_data / "tab")
    assert data.X.shape == SHAPES["acs51"]
    split = split_sources(data, 0, 51)
    assert all(len(part.y) <= 4000 for part in split.sources)


def test_measures_of_six_decisions():
    y, a = np.array([0, 1, 0, 1, 1, 0]), np.array([0, 0, 0, 1, 1, 1])
    decisions, scores = np.array([0, 1, 1, 0, 1, 0]), np.array([0.1, 0.9, 0.6, 0.4, 0.8, 0.2])
    found = fairness_measures(y, decisions, a, scores)
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["dp_violation"] == pytest.approx(1 / 3)  # 2/3 against 1/3
    assert found["fairness"] == pytest.approx(2 / 3)
    assert found["eo_violation"] == pytest.approx(0.5)  # 1/1 against 1/2
    assert found["eodds_violation"] == pytest.approx(0.5)  # false positives: 1/2 against 0
    assert found["auc"] == pytest.approx(roc_auc_score(y, scores))
    assert (found["data_pr"], found["cls_pr"], found["group0_ratio"]) == (0.5, 0.5, 0.5)


def test_measures_of_an_empty_cell_are_nan_and_parity_is_that_of_fairlearn():
    from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

    draw = np.random.default_rng(0)
    y, decisions, a = draw.integers(0, 2, (3, 200))
    found = fairness_measures(y, decisions, a)
    assert found["dp_violation"] == pytest.approx(demographic_parity_difference(y, decisions, sensitive_features=a))
    assert found["eodds_violation"] == pytest.approx(equalized_odds_difference(y, decisions, sensitive_features=a))
    empty = fairness_measures(np.ones(4, int), np.ones(4, int), np.array([0, 0, 1, 1]))
    assert np.isnan(empty["eodds_violation"])
    assert np.isnan(empty["auc"])
    assert empty["eo_violation"] == 0


class Bunch:
    """What fetch_openml returns, as far as it is used."""

    def __init__(self, frame):
        self.frame = frame


def test_openml_is_asked_once_by_name_and_encoded_without_the_network(monkeypatch, tmp_path):
    asked = []

    def stub(**arguments):
        asked.append(arguments)
        return Bunch(
            pd.DataFrame(
                {
                    "colour": pd.Categorical(["red", "blue", None]),
                    "size": [1, 2, 3],
                    "sex": ["m", "f", "f"],
                    "site": ["x", "y", "x"],
                    "class": ["good", "bad", "good"],
                }
            )
        )

    monkeypatch.setattr("sklearn.datasets.fetch_openml", stub)
    data = load_openml("credit", target="class", sensitive="sex", group="f", source="site", data_home=tmp_path)
    assert asked == [
        {"name": "credit", "version": 1, "data_home": os.fspath(tmp_path), "as_frame": True, "parser": "auto"}
    ]
    assert data.columns == ("colour=red", "colour=missing", "sensitive", "size")
    np.testing.assert_array_equal(data.X, [[1, 0, 0, 1], [0, 0, 1, 2], [0, 1, 1, 3]])
    assert (data.y.tolist(), data.sources.tolist()) == ([1, 0, 1], ["x", "y", "x"])
    with pytest.raises(UsageError, match="has no column 'gender'"):
        load_openml("credit", target="class", sensitive="gender")
    with pytest.raises(UsageError, match="has 1 missing values"):
        load_openml("credit", target="colour", sensitive="sex")
    with pytest.raises(UsageError, match="expected the value 'ugly', found bad, good"):
        load_openml("credit", target="class", sensitive="sex", positive="ugly")


def test_adult_of_openml_is_prepared_as_the_local_one(monkeypatch, tmp_path):
    from tamis.sources._datasets import ADULT_COLUMNS

    rows = [
        ADULT.split(", "),
        ADULT.replace("Private", "?").replace("Female", "Male").replace(">50", "<=50").split(", "),
    ]
    (tmp_path / "adult.test").write_text(", ".join(rows[0]) + ".\n")
    (tmp_path / "adult.data").write_text(", ".join(rows[1]) + "\n")
    frame = pd.DataFrame(rows, columns=list(ADULT_COLUMNS)).replace("?", np.nan)
    frame["age"] = frame["age"].astype(int)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda **_: Bunch(frame))
    found, local = load_adult_openml(), load_adult(tmp_path)
    assert found.columns == local.columns
    np.testing.assert_array_equal(found.X, local.X)


def test_openml_that_cannot_be_reached_is_one_clear_sentence(monkeypatch):
    def stub(**_):
        raise OSError("no route to host")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", stub)
    with pytest.raises(FileError, match="not in the cache and cannot be fetched"):
        load_openml("adult", target="class", sensitive="sex")


def test_nothing_of_the_authors_rows_is_in_the_repository():
    root = Path(__file__).parents[2]
    assert not [path for path in root.rglob("flea_published*") if ".git" not in path.parts]
