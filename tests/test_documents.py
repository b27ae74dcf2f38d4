"""Text files from outside: read and parsed, or refused with one error that names them."""

import os
import threading

import pytest

from tamis.documents import (
    csv_records,
    is_file,
    json_object,
    json_value,
    read_appended,
    read_finished,
    read_text,
    toml_table,
)
from tamis.errors import FileError, UsageError


def test_text_is_read_with_plain_line_ends_and_without_a_byte_order_mark(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\n")
    assert read_text(tmp_path / "a.txt", "a list") == "one\ntwo\n"


@pytest.mark.parametrize("name", ["absent", "x" * 300, "zero\x00byte"])
def test_a_name_without_a_file_is_one_error(tmp_path, name):
    assert not is_file(tmp_path / name)
    with pytest.raises(FileError, match="expected a list"):
        read_text(tmp_path / name, "a list")


def test_a_folder_and_a_pipe_are_refused_and_the_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    seen = []

    def read():
        for name in (tmp_path, tmp_path / "pipe"):
            with pytest.raises(FileError, match=r": is a (folder|pipe or device); expected a list"):
                read_text(name, "a list")
            seen.append(name)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(10)
    assert len(seen) == 2


def test_text_that_is_not_utf_8_is_refused_with_the_place(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"ab\xff")
    with pytest.raises(FileError, match=r"a\.txt: is not UTF-8 text \(byte 2\)"):
        read_text(tmp_path / "a.txt", "a list")


def test_a_file_that_is_appended_to_is_read_to_its_last_line_end_wherever_a_crash_cut_it(tmp_path):
    for torn in (b"", b"tw", "tw\u00e9".encode()[:-1]):
        (tmp_path / "a.jsonl").write_bytes(b"one\r\n" + torn)
        assert read_appended(tmp_path / "a.jsonl", "a log") == "one\n"
    (tmp_path / "a.jsonl").write_bytes(b"\xff\none")
    with pytest.raises(FileError, match=r"is not UTF-8 text \(byte 0\)"):
        read_appended(tmp_path / "a.jsonl", "a log")


def test_a_table_that_was_written_at_once_is_refused_without_its_last_line_end(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"x\n0.5\n")
    assert read_finished(tmp_path / "a.csv", "a table") == "x\n0.5\n"
    (tmp_path / "a.csv").write_bytes(b"x\n0.")
    with pytest.raises(FileError, match=r"a\.csv: is cut short, its last line has no line end; expected a table"):
        read_finished(tmp_path / "a.csv", "a table")


NOT_JSON = ["{", "", "[" * 100_000, '{"a":' * 70 + "1" + "}" * 70, "9" * 5000, "9" * 39, "[" + "9" * 400 + "]"]


@pytest.mark.parametrize("text", NOT_JSON, ids=range(len(NOT_JSON)))
def test_json_that_would_hurt_further_on_is_refused(text):
    with pytest.raises(FileError, match=r"^f\.json"):
        json_value(text, "f.json")


def test_json_of_a_usual_depth_and_size_is_read():
    assert json_value('{"a": [1, 1e300, -99999999999999999999, {"b": null}]}', "f") == {
        "a": [1, 1e300, -99999999999999999999, {"b": None}]
    }
    with pytest.raises(FileError, match="expected a JSON object, found list"):
        json_object("[]", "f")


NOT_TOML = ["a =", "a = " + "[" * 5000, "a = " + "9" * 5000, "a = " + "9" * 400, "a." * 200 + "a = 1", "a = 1\na = 2"]


@pytest.mark.parametrize("text", NOT_TOML, ids=range(len(NOT_TOML)))
def test_toml_that_would_hurt_further_on_is_refused(text):
    with pytest.raises(FileError, match=r"^f\.toml"):
        toml_table(text, "f.toml")


def test_rows_come_by_the_names_of_the_heading():
    text = '# a comment\na,b\n1,"two, and\u2028more"\n\n# another\n3,"""x"""\n'
    assert list(csv_records(text, "f")) == [{"a": "1", "b": "two, and\u2028more"}, {"a": "3", "b": '"x"'}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1\n", "row 2: has 1 cells; expected 2"),
        ("a,b\n1,2\n1,2,3\n", "row 3: has 3 cells"),
        ("a,a\n1,2\n", "the column 'a' twice"),
        ("b\n1\n", "found the columns b; expected also a"),
        ("", "found the columns none; expected also a"),
        ('a\n"1\n', "not well-formed CSV"),
        ("a\n" + "x" * 200_000 + "\n", "field larger than field limit"),
        ("a\n1\r2\n", "not well-formed CSV"),
    ],
)
def test_csv_that_is_no_table_is_refused(text, words):
    with pytest.raises(FileError, match=words):
        list(csv_records(text, "f", ("a",)))


def test_what_a_file_says_does_not_fill_the_message():
    assert len(str(UsageError("key = " + "x" * 200_000 + ": expected a number"))) <= 1000
    assert str(UsageError("x" * 200_000 + ": expected a number")).endswith(": expected a number")
    assert str(FileError("a\nb\u2028c")) == "a b c"
