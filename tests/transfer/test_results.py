import dataclasses
import subprocess
import sys
import threading

import pytest

from tamis.errors import FileError, UsageError
from tamis.transfer import Row, Table, outcomes_of, read_results

from .conftest import made_up

ROW = Row(
    "net", "linear", "acdc", 0.9, "digits", "3", 0.75, "top1", 0.75, 0.7, selection="last", n_test=540, note="a, b"
)


@pytest.mark.parametrize("name", ["table.csv", "table.jsonl"])
def test_what_is_appended_is_read_back(tmp_path, name):
    rows = [ROW, dataclasses.replace(ROW, seed="4"), dataclasses.replace(ROW, kind="full", epoch=3, train_s=1.25)]
    with Table.open(tmp_path / name) as table:
        for row in rows[:2]:
            table.append(row)
    with Table.open(tmp_path / name) as table:
        table.append(rows[2])
    assert [repr(row) for row in read_results(tmp_path / name)] == [repr(row) for row in rows]


@pytest.mark.parametrize("name", ["table.csv", "table.jsonl"])
def test_a_half_written_last_line_is_dropped_and_the_rest_kept(tmp_path, name):
    with Table.open(tmp_path / name) as table:
        table.append(ROW)
        table.append(dataclasses.replace(ROW, seed="4"))
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:-9])
    with Table.open(tmp_path / name) as table:
        assert [row.seed for row in table.rows] == ["3"]
        table.append(dataclasses.replace(ROW, seed="4"))
    assert (tmp_path / name).read_bytes() == whole


def test_what_a_crash_left_of_a_row_is_taken_for_no_result(tmp_path):
    for name in ("t.csv", "t.jsonl"):
        with Table.open(tmp_path / name) as table:
            table.append(ROW)
            table.append(dataclasses.replace(ROW, seed="4", value=0.8125))
        whole = (tmp_path / name).read_bytes()
        for length in range(whole.rfind(b"\n", 0, -1) + 1, len(whole)):
            (tmp_path / name).write_bytes(whole[:length])
            assert [row.seed for row in read_results(tmp_path / name)] == ["3"]
    (tmp_path / "t.csv").write_text("arch,kind,method,sparsity,task,seed,value,note\nnet,linear,a,0.8,t,1,0.8")
    with pytest.raises(FileError, match="row 2: has 7 cells; expected 8"):  # somebody else's, cut short
        read_results(tmp_path / "t.csv")


def test_a_text_with_odd_line_ends_stays_one_row(tmp_path):
    row = dataclasses.replace(ROW, note="a\u2028b\x85c\x0bd\re\nf")
    with Table.open(tmp_path / "t.csv") as table:
        table.append(row)
    (found,) = read_results(tmp_path / "t.csv")
    assert found.note == "a\u2028b\x85c\x0bd e f"


def test_counts_that_another_library_wrote_as_floats_are_read(tmp_path):
    heading = "arch,kind,method,sparsity,task,seed,value,n_test\n"
    (tmp_path / "t.csv").write_text(heading + "net,linear,a,0.8,t,1,0.5,1000.0\n")
    assert read_results(tmp_path / "t.csv")[0].n_test == 1000
    (tmp_path / "t.csv").write_text(heading + "net,linear,a,0.8,t,1,0.5,10.5\n")
    with pytest.raises(FileError, match=r"column n_test: found '10\.5'"):
        read_results(tmp_path / "t.csv")


def test_a_duplicate_without_a_replicate_number_is_refused(tmp_path):
    with Table.open(tmp_path / "t.csv") as table:
        table.append(ROW)
        with pytest.raises(UsageError, match="seed 3, replicate 0 already"):
            table.append(dataclasses.replace(ROW, value=0.8))
        table.append(dataclasses.replace(ROW, value=0.8, replicate=1))
    assert len(read_results(tmp_path / "t.csv")) == 2


def test_an_unlabelled_selection_is_refused(tmp_path):
    with Table.open(tmp_path / "t.csv") as table, pytest.raises(UsageError, match="paper_best_test"):
        table.append(dataclasses.replace(ROW, selection="best"))


def test_two_writers_are_locked_out_of_each_other(tmp_path):
    file = tmp_path / "t.csv"
    code = (
        "import sys; from tamis.transfer import Table\n"
        f"with Table.open({str(file)!r}):\n    print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(UsageError, match="another process writes this table"), Table.open(file):
            pass
        other.kill()  # the lock ends with the process, however it ends
        other.wait()
        with Table.open(file) as table:
            table.append(ROW)
        other.stdin.close()
    assert len(read_results(file)) == 1


def test_two_threads_are_locked_out_of_each_other(tmp_path):
    failures = []

    def work():
        try:
            with Table.open(tmp_path / "t.csv"):
                pass
        except UsageError as error:
            failures.append(error)

    with Table.open(tmp_path / "t.csv"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(failures) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arch,kind\n", "expected also"),
        ("arch,kind,method,sparsity,task,seed,value\nnet,linear,a,0.8,t,1,high\n", "column value: found 'high'"),
        ("arch,kind,method,sparsity,task,seed,value\nnet,linear,a,0.8,t,1\n", "row 2: has 6 cells; expected 7"),
        ("arch,kind,method,sparsity,task,seed,value\nnet,linear,a,0.8,t,1,0.5,9\n", "row 2: has 8 cells; expected 7"),
        ("", "found the columns none"),
    ],
)
def test_a_damaged_table_is_refused_by_name(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(FileError, match=message):
        read_results(tmp_path / "t.csv")


def test_a_missing_table_is_refused_by_name(tmp_path):
    with pytest.raises(FileError, match=r"none\.csv: cannot be read"):
        read_results(tmp_path / "none.csv")


def test_a_table_of_other_columns_is_never_written_to(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("arch,kind,method,sparsity,dataset,seed,accuracy\nnet,linear,a,0.8,t,1,0.5\n")
    before = file.read_bytes()
    with pytest.raises(FileError, match="not those of this version"), Table.open(file):
        pass
    assert file.read_bytes() == before
    assert read_results(file)[0].task == "t"


def test_results_chosen_on_the_test_set_are_excluded_by_default():
    rows = made_up({("dense", 0.0): {"a": [0.5]}}, selection="last")
    rows += made_up({("dense", 0.0): {"a": [0.9]}}, selection="paper_best_test")
    [model] = outcomes_of(rows).models
    assert outcomes_of(rows).mean(model, "a") == 0.5
    assert outcomes_of(rows, selection="paper_best_test").mean(model, "a") == 0.9


def test_last_counts_where_both_selections_are_there_and_best_val_where_it_is_alone():
    rows = made_up({("dense", 0.0): {"a": [0.5]}}, selection="last")
    rows += made_up({("dense", 0.0): {"a": [0.6], "b": [0.7]}}, selection="best_val")
    outcomes = outcomes_of(rows)
    [model] = outcomes.models
    assert (outcomes.mean(model, "a"), outcomes.mean(model, "b")) == (0.5, 0.7)


@pytest.mark.parametrize("column", ["split_sha", "recipe_hash", "transform_id", "metric"])
def test_results_of_different_splits_recipes_or_transforms_are_not_compared(column):
    rows = made_up({("dense", 0.0): {"a": [0.5]}}, **{column: "one"})
    rows += made_up({("acdc", 0.8): {"a": [0.5]}}, **{column: "two"})
    with pytest.raises(UsageError, match=column):
        outcomes_of(rows)


def test_replicates_of_a_seed_are_averaged_and_told():
    rows = made_up({("dense", 0.0): {"a": [0.5]}}) + made_up({("dense", 0.0): {"a": [0.7]}}, replicate=1)
    outcomes = outcomes_of(rows)
    assert outcomes.mean(outcomes.models[0], "a") == pytest.approx(0.6)
    assert outcomes.notes == ("net linear dense has replicates of one seed on a; they were averaged",)


def test_a_repeated_cell_without_replicate_numbers_is_refused():
    rows = made_up({("dense", 0.0): {"a": [0.5]}}) * 2
    with pytest.raises(UsageError, match="two rows with replicate 0"):
        outcomes_of(rows)


def test_percent_is_refused():
    with pytest.raises(UsageError, match=r"value 50.0; expected a fraction"):
        outcomes_of(made_up({("dense", 0.0): {"a": [50.0]}}))


def test_a_full_disk_leaves_the_table_as_it_was(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    with Table.open(tmp_path / "t.csv") as table:
        table.append(ROW)
        before = table.path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr("tamis.transfer._results.os.fsync", full)
            with pytest.raises(OSError, match="No space"):
                table.append(dataclasses.replace(ROW, seed="4"))
        assert table.path.read_bytes() == before
        table.append(dataclasses.replace(ROW, seed="4"))
    assert [row.seed for row in read_results(tmp_path / "t.csv")] == ["3", "4"]


def test_a_row_that_is_whole_stays_when_the_user_interrupts(tmp_path, monkeypatch):
    def interrupted(handle):
        raise KeyboardInterrupt

    second = dataclasses.replace(ROW, seed="4", note="caf\u00e9")
    with Table.open(tmp_path / "t.csv") as table:
        table.append(ROW)
        with monkeypatch.context() as patch:
            patch.setattr("tamis.transfer._results.os.fsync", interrupted)
            with pytest.raises(KeyboardInterrupt):
                table.append(second)
        with pytest.raises(UsageError, match="already"):
            table.append(second)
    assert [row.seed for row in read_results(tmp_path / "t.csv")] == ["3", "4"]


def test_a_table_with_comments_above_it_is_gone_on_with(tmp_path):
    with Table.open(tmp_path / "t.csv") as table:
        table.append(ROW)
    (tmp_path / "t.csv").write_text("# processor: any\n" + (tmp_path / "t.csv").read_text())
    with Table.open(tmp_path / "t.csv") as table:
        table.append(dataclasses.replace(ROW, seed="4"))
    assert len(read_results(tmp_path / "t.csv")) == 2
