"""From a file to a record: what is read, how it is encoded, what is refused, and that no value is changed."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tamis.errors import FileError, UsageError
from tamis.sources import SieveOptions, read_table, sieve_table, write_rows
from tamis.sources._encode import as_texts, binary_column, encode_features


def loans(rows: int = 900) -> pd.DataFrame:
    """Six branches; C has its labels flipped, F its groups overwritten by the labels."""
    rng = np.random.default_rng(0)
    branch = np.array(list("ABCDEF"))[np.arange(rows) % 6]
    age, sex = rng.integers(18, 80, rows), rng.choice(["f", "m"], rows)
    school = rng.choice(["basic", "college", "university"], rows)
    income = np.round(20 + 0.5 * age + 10 * (school == "university") + rng.normal(0, 8, rows), 1)
    repaid = income + rng.normal(0, 6, rows) > 48
    repaid[branch == "C"] ^= True
    sex[branch == "F"] = np.where(repaid[branch == "F"], "m", "f")
    return pd.DataFrame(
        {
            "branch": branch,
            "age": age,
            "school": school,
            "sex": sex,
            "income": income,
            "repaid": np.where(repaid, "yes", "no"),
        }
    )


OPTIONS = SieveOptions(source="branch", target="repaid", sensitive="sex")


@pytest.fixture
def table(tmp_path):
    loans().to_csv(tmp_path / "loans.csv", index=False)
    return read_table(tmp_path / "loans.csv")


def test_rejected_sources_are_named_with_their_largest_component(table):
    record = sieve_table(table, OPTIONS).record
    assert record["rejected"] == ["C", "F"]
    why = {source["name"]: source for source in record["sources"]}
    assert why["C"]["largest_component"] == "discrepancy"
    assert "labels follow other rules" in why["C"]["why"]
    assert why["F"]["largest_component"] == "disparity"
    assert "gap between 'f' and 'm'" in why["F"]["why"]
    assert all(not source["why"] for source in record["sources"] if source["kept"])
    assert sum(source["rows"] for source in record["sources"]) == record["rows"] == 900


def test_equal_tables_give_equal_records_and_parquet_the_same_as_csv(table, tmp_path):
    first = sieve_table(table, OPTIONS).record
    assert json.dumps(sieve_table(read_table(table.path), OPTIONS).record) == json.dumps(first)
    json.dumps(first, allow_nan=False)
    loans().to_parquet(tmp_path / "loans.parquet")
    other = sieve_table(read_table(tmp_path / "loans.parquet"), OPTIONS).record
    for part in ("sources", "matrices", "columns", "kept"):
        assert other[part] == first[part], part


def test_the_order_of_rows_does_not_matter(table, tmp_path):
    loans().sample(frac=1, random_state=1).to_csv(tmp_path / "shuffled.csv", index=False)
    shuffled = sieve_table(read_table(tmp_path / "shuffled.csv"), OPTIONS).record
    assert shuffled["sources"] == sieve_table(table, OPTIONS).record["sources"]


def test_kept_and_rejected_rows_hold_every_value_untouched(tmp_path):
    text = 'id,site,y,note\n007,a,1,"x, ""y"""\n 1.50,b,0,\n1e3,a,0,ü\n'
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    table = read_table(tmp_path / "t.csv")
    write_rows(table, np.array([True, False, True]), tmp_path / "kept.csv")
    write_rows(table, np.array([False, True, False]), tmp_path / "rest.tsv")
    with (tmp_path / "kept.csv").open(newline="", encoding="utf-8") as stream:
        assert list(csv.reader(stream)) == [
            ["id", "site", "y", "note"],
            ["007", "a", "1", 'x, "y"'],
            ["1e3", "a", "0", "ü"],
        ]
    assert (tmp_path / "rest.tsv").read_text(encoding="utf-8") == "id\tsite\ty\tnote\n 1.50\tb\t0\t\n"
    write_rows(table, np.array([False, True, False]), tmp_path / "rest.parquet")
    assert pd.read_parquet(tmp_path / "rest.parquet").to_dict("list")["id"] == [" 1.50"]


def test_parquet_rows_written_as_text_lose_no_digit_beside_a_gap(tmp_path):
    big = 2**53 + 1  # no float64
    frame = pd.DataFrame({
        "id": pd.array([big, None, big + 2], dtype="Int64"), "ratio": np.array([0.1, np.nan, 2.5], dtype=np.float32),
        "seen": pd.array([True, None, False], dtype="boolean"), "name": ["a", None, "c"],
    })  # fmt: skip
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert table.column("id", "column").tolist() == [big, None, big + 2]
    write_rows(table, np.array([True, True, True]), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().splitlines() == [
        "id,ratio,seen,name", f"{big},0.1,True,a", ",,,", f"{big + 2},2.5,False,c",
    ]  # fmt: skip


def test_parquet_rows_keep_their_types(tmp_path):
    frame = pd.DataFrame(
        {"when": pd.to_datetime(["2020-01-01", "2021-01-01"]), "n": pd.array([1, None], dtype="Int64")}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    write_rows(read_table(tmp_path / "t.parquet"), np.array([False, True]), tmp_path / "kept.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "kept.parquet"), frame.iloc[1:].reset_index(drop=True))


class TestEncoding:
    def encoded(self, tmp_path, text, **options):
        (tmp_path / "t.csv").write_text(text, encoding="utf-8")
        return encode_features(read_table(tmp_path / "t.csv"), ["s"], **options)

    def test_texts_become_sorted_levels_without_the_first(self, tmp_path):
        found = self.encoded(tmp_path, "s,colour,n\na,red,1\na,blue,2.5\nb,green,-3\n")
        assert found.levels == {"colour": ("blue", "green", "red")}
        assert found.numeric == ("n",)
        assert found.values.tolist() == [[0, 1, 1], [0, 0, 2.5], [1, 0, -3]]

    def test_numbers_that_are_names_are_levels_on_request(self, tmp_path):
        text = "s,code\na,10\nb,20\nb,10\n"
        assert self.encoded(tmp_path, text).values.tolist() == [[10], [20], [10]]
        found = self.encoded(tmp_path, text, categorical=["code"])
        assert found.values.tolist() == [[0], [1], [0]]
        assert found.levels == {"code": ("10", "20")}

    def test_missing_values_are_refused_or_filled_and_counted(self, tmp_path):
        text = "s,n,c\na,1,x\nb,,y\nb,5,NA\na,3,x\n"
        with pytest.raises(
            UsageError, match=r"column 'n' .* 1 missing value \(the first in row 2\).*'c'.*--missing fill"
        ):
            self.encoded(tmp_path, text)
        found = self.encoded(tmp_path, text, missing="fill")
        assert found.filled == {"n": 1, "c": 1}
        assert found.levels == {"c": ("(missing)", "x", "y")}
        assert found.values.tolist() == [[1, 0, 1, 0], [3, 1, 0, 1], [5, 0, 0, 0], [3, 0, 1, 0]]

    @pytest.mark.parametrize("text", ["NAN", "nan", "-nan", "<NA>", "n/a", "None"])
    def test_every_way_to_write_a_missing_number_is_one(self, tmp_path, text):
        found = self.encoded(tmp_path, f"s,n\na,1\nb,{text}\nb,5\n", missing="fill")
        assert found.filled == {"n": 1}
        assert found.values.tolist() == [[1, 0], [3, 1], [5, 0]]

    def test_a_name_with_an_underscore_is_no_number(self, tmp_path):
        assert self.encoded(tmp_path, "s,n\na,1_000\nb,2_000\n").levels == {"n": ("1_000", "2_000")}

    def test_constant_columns_are_allowed(self, tmp_path):
        assert self.encoded(tmp_path, "s,k,w,n\na,7,same,1\nb,7,same,2\n").values.tolist() == [[7, 1], [7, 2]]

    def test_too_many_levels_and_nothing_left_are_refused(self, tmp_path):
        many = "s,name\n" + "".join(f"a,person {i}\n" for i in range(101))
        with pytest.raises(UsageError, match=r"column 'name' .* has 101 different texts.*--drop name"):
            self.encoded(tmp_path, many)
        with pytest.raises(UsageError, match="no feature column"):
            self.encoded(tmp_path, "s\na\nb\n")
        with pytest.raises(UsageError, match="infinite"):
            self.encoded(tmp_path, "s,n\na,inf\nb,1\n")

    def test_whole_floats_read_as_integers(self):
        assert as_texts(np.array([1.0, 2.0, math.nan])).tolist() == ["1", "2", ""]
        assert as_texts(np.array([1.5, 2.0])).tolist() == ["1.5", "2.0"]
        assert as_texts(np.array([" a ", 3], dtype=object)).tolist() == ["a", "3"]

    def test_two_values_or_a_chosen_one(self, tmp_path):
        (tmp_path / "t.csv").write_text("r\nwhite\nblack\nother\n")
        table = read_table(tmp_path / "t.csv")
        with pytest.raises(UsageError, match=r"--sensitive 'r' must have two values, got 3: .*--group VALUE"):
            binary_column(table, "r", "--sensitive")
        codes, names = binary_column(table, "r", "--sensitive", "black")
        assert codes.tolist() == [0, 1, 0]
        assert names == ("not black", "black")
        with pytest.raises(UsageError, match="--positive 'x' does not occur in column 'r'"):
            binary_column(table, "r", "--target", "x")


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("t.txt", b"a,b\n1,2\n", r"expected a table named \*.csv"),
            ("t.csv", b"", "is empty; expected a heading"),
            ("t.csv", b"a,b\n", "a heading and no rows"),
            ("t.csv", b"a,a\n1,2\n", "two columns named 'a'"),
            ("t.csv", b"a,b\n1,2\n1,2,3\n", "line 3 has 3 values and the heading 2"),
            ("t.csv", b"a,b\n1,\xff\n", "is not UTF-8 text"),
            ("t.csv", b'a,b\n1,"2\n', "is not well-formed"),
            ("t.parquet", b"PAR1 no such thing", "is no readable Parquet file"),
        ],
    )
    def test_files_that_are_no_tables_are_refused(self, tmp_path, name, content, message):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileError, match=message):
            read_table(tmp_path / name)

    def test_a_missing_file_is_refused(self, tmp_path):
        with pytest.raises(FileError, match="is not there"):
            read_table(tmp_path / "none.csv")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"source": "bank"}, "--source 'bank' is no column of .*; it has 'branch', 'age'"),
            ({"target": "age"}, "--target 'age' must have two values"),
            ({"sensitive": "school"}, "--sensitive 'school' must have two values, got 3: 'basic', 'college'"),
            ({"sensitive": "repaid"}, "must be different columns"),
            ({"clean": "most"}, "--clean 'most': expected auto, majority"),
            ({"clean": "9"}, "--clean '9': expected auto, majority, 1 to 6"),
            ({"clean": "0"}, "--clean '0': expected"),
            ({"clean": "1.5"}, "or a fraction of them such as 0.8"),
            ({"drop": ["name"]}, "column 'name' is no column"),
        ],
    )
    def test_options_that_do_not_fit_are_refused(self, table, changes, message):
        with pytest.raises(UsageError, match=message):
            sieve_table(table, SieveOptions(**({"source": "branch", "target": "repaid", "sensitive": "sex"} | changes)))

    @pytest.mark.parametrize("column", ["branch", "repaid", "sex"])
    def test_missing_names_targets_and_groups(self, tmp_path, column):
        frame = loans()
        frame.loc[4, column] = None
        frame.to_csv(tmp_path / "t.csv", index=False)
        with pytest.raises(UsageError, match=rf"'{column}' has 1 missing value \(the first in row 5\)"):
            sieve_table(read_table(tmp_path / "t.csv"), OPTIONS)

    def test_a_source_without_a_group_is_named_with_the_value(self, tmp_path):
        frame = loans()
        frame.loc[frame.branch == "D", "sex"] = "m"
        frame.to_csv(tmp_path / "t.csv", index=False)
        with pytest.raises(UsageError, match=r"source 'D' \(150 rows\) has no row with sex = 'f'"):
            sieve_table(read_table(tmp_path / "t.csv"), OPTIONS)

    def test_all_sources_without_a_group_are_named_at_once(self, tmp_path):
        frame = loans()
        frame.loc[frame.branch == "D", "sex"] = "m"
        frame = pd.concat([frame, frame.head(1).assign(branch="G")])
        frame.to_csv(tmp_path / "t.csv", index=False)
        with pytest.raises(UsageError, match=r"and 1 more sources lack a group too: 'G'; .*--empty-group suspect"):
            sieve_table(read_table(tmp_path / "t.csv"), OPTIONS)

    def test_all_columns_with_missing_features_are_named_at_once(self, tmp_path):
        frame = loans()
        frame.loc[3, "age"] = None
        frame.loc[[5, 6], "school"] = None
        frame.to_csv(tmp_path / "t.csv", index=False)
        with pytest.raises(
            UsageError, match=r"'age' .* has 1 missing value \(the first in row 4\), and so has 'school'"
        ):
            sieve_table(read_table(tmp_path / "t.csv"), OPTIONS)
        with pytest.raises(UsageError, match=r"'age' .* has 1 missing value \(the first in row 4\); fill them"):
            sieve_table(read_table(tmp_path / "t.csv"), replace(OPTIONS, drop=["school"]))

    def test_the_table_itself_is_never_overwritten(self, table):
        with pytest.raises(UsageError, match="is the table itself"):
            write_rows(table, np.ones(table.rows, dtype=bool), table.path)


def test_a_source_of_one_row_can_be_taken_as_suspect_and_its_reason_says_so(tmp_path):
    frame = loans()
    frame = pd.concat([frame, frame.head(1).assign(branch="G", sex="f")])
    frame.to_csv(tmp_path / "t.csv", index=False)
    record = sieve_table(read_table(tmp_path / "t.csv"), replace(OPTIONS, empty_group="suspect")).record
    assert record["rejected"] == ["C", "F", "G"]
    last = record["sources"][-1]
    assert (last["name"], last["rows"], last["components"]["disparity"]) == ("G", 1, 2.0)
    assert "None of its rows has group 'm'" in last["why"]
    assert "It has 1 row only, kept sources have 150 at the median" in last["why"]
    assert record["notes"] == [], "what its reason says is not said twice"
    assert not any("only" in source["why"] for source in record["sources"][:-1])


def test_a_single_source_is_kept_with_a_note(tmp_path):
    frame = loans()
    frame["branch"] = "only"
    frame.to_csv(tmp_path / "t.csv", index=False)
    found = sieve_table(read_table(tmp_path / "t.csv"), OPTIONS)
    assert found.kept_rows.all()
    assert found.record["rejected"] == []
    assert any("a single source" in note for note in found.record["notes"])


def test_without_groups_labels_alone_are_compared(table):
    record = sieve_table(table, SieveOptions(source="branch", target="repaid", drop=["sex"])).record
    assert list(record["usual"]) == ["discrepancy"]
    assert "C" in record["rejected"]
    assert record["columns"]["groups"] is None
    assert record["sources"][0]["group_share"] is None
