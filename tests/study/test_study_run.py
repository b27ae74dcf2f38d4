"""Running: equal to single runs, nothing twice, on after a kill, and a failure that stops nobody."""

import csv
import math
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tamis.cli import main
from tamis.errors import FileError, UsageError
from tamis.study import cells_of, load_study, read_results, run_study
from tamis.study._pool import Pool
from tamis.study._results import training_cpu_s
from tamis.study._worker import LAST, run_job
from tamis.train import dump_recipe, fit

from .conftest import BASE, STUDY, write_study

MEASURED = {"train_cpu_s", "wall_over_cpu", "step_dense_cpu_ms", "step_packed_cpu_ms", "load"}
LONG = BASE.replace("epochs = 6", "epochs = 30")
ONE = STUDY.replace("sparsity = [0.5, 0.75]", "sparsity = [0.75]")


def exact(results):
    """What must not depend on the machine's mood, or on where a run was interrupted; NaN as text to be equal."""
    return [{name: str(value) for name, value in asdict(row).items() if name not in MEASURED} for row in results]


def files_of(folder: Path) -> dict[str, int]:
    return {str(file): file.stat().st_mtime_ns for file in sorted(folder.rglob("*")) if file.is_file()}


def wait_for(what, seconds=60.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen in time")


def began(folder: Path):
    """Whether a cell has finished an epoch."""
    log = folder / "metrics.jsonl"
    return log.is_file() and log.stat().st_size > 0


def test_a_cell_is_the_run_that_its_recipe_describes(trained, tmp_path, monkeypatch):
    import torch

    from tamis.kernels import choices

    _, cells, _, found = trained
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(choices, "mode", "sparse")
    try:
        summary = fit(cells[1].recipe, tmp_path / "run")
    finally:
        torch.set_num_threads(threads)
    row = found.results[1]
    assert (row.accuracy, row.loss) == (summary["accuracy_sparse"], summary["loss_sparse"])
    assert row.sparsity == summary["sparsity"] == pytest.approx(0.5, abs=1e-3)
    fractions = {(r["row"], r["count"]): r["fraction"] for r in summary["flops"]["rows"]}
    assert row.train_flops == fractions["training", "mask"]
    assert row.train_flops_nonzero == fractions["training", "nonzero"]


def test_all_cells_are_done_and_measured(trained):
    _, cells, folder, found = trained
    assert [row.cell for row in found.results] == [cell.name for cell in cells]
    assert all(row.state == "done" and row.error == "" and row.epochs == 6 for row in found.results)
    assert all(row.train_cpu_s > 0 and row.wall_over_cpu > 0 for row in found.results)
    dense, *sparse = found.results
    assert (dense.sparsity, dense.train_flops, dense.layers_packed) == (0.0, 1.0, 0.0)
    assert math.isnan(dense.step_packed_cpu_ms)
    assert all(0 < row.train_flops < 1 and row.step_packed_cpu_ms > 0 for row in sparse)
    assert (folder / "cells" / "gmp_75_s0" / "log.txt").read_text().count("held-out accuracy") == 6


def test_the_csv_has_the_recipe_and_the_machine_and_is_read_back(trained):
    study, _, folder, found = trained
    lines = (folder / "results.csv").read_text().splitlines()
    header = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# "))
    assert header["study"] == "tiny_methods"
    assert header["base"] == "tiny"
    assert header["epochs"] == "6"
    assert header["threads"] == "1"
    assert {"processor", "isa", "versions", "optimizer", "workers", "prune_at"} <= set(header)
    assert str(folder) not in (folder / "results.csv").read_text()
    assert exact(read_results(folder / "results.csv")) == exact(found.results)
    (first, *_) = csv.DictReader(line for line in lines if not line.startswith("#"))
    assert first["step_packed_cpu_ms"] == ""
    assert study.name == first["study"]


def test_a_second_run_trains_nothing(trained, monkeypatch):
    study, cells, folder, found = trained
    before = files_of(folder / "cells")
    monkeypatch.setattr(Pool, "_process", lambda *_: pytest.fail("a process was started"))
    again = run_study(study, cells, folder)
    assert files_of(folder / "cells") == before
    assert again.results == found.results or exact(again.results) == exact(found.results)


def test_a_cell_of_another_recipe_is_never_replaced(trained):
    study, _, folder, _ = trained
    before = files_of(folder)
    with pytest.raises(UsageError, match=r"another recipe, this one differs in epochs = 7.*--out another folder"):
        run_study(study, cells_of(study, epochs=7), folder)
    assert files_of(folder) == before


def test_a_damaged_cell_is_named(trained, tmp_path):
    import shutil

    study, cells, folder, _ = trained
    shutil.copytree(folder, tmp_path / "out")
    (tmp_path / "out" / "cells" / "gmp_50_s0" / "summary.json").write_text("{}")
    with pytest.raises(FileError, match=r"gmp_50_s0: its files are damaged"):
        run_study(study, cells, tmp_path / "out")


def test_a_failing_cell_is_recorded_and_the_others_go_on(tmp_path, capsys):
    part = "[cells.gmp.model.options]\nhidden = [16]\nno_such_option = 1\n"
    file = write_study(tmp_path, study=ONE + part)
    code = main(["study", "methods", str(file), "--out", str(tmp_path / "out")])
    captured = capsys.readouterr()
    assert code == 1
    assert "tamis study: gmp_75_s0 failed: UsageError: model 'mlp.plain' has no option no_such_option" in captured.err
    rows = {row.cell: row for row in read_results(tmp_path / "out" / "results.csv")}
    assert {name: row.state for name, row in rows.items()} == {
        "dense_s0": "done", "gmp_75_s0": "failed", "oneshot_75_s0": "done",
    }  # fmt: skip
    assert "no_such_option" in rows["gmp_75_s0"].error
    assert "gmp_75_s0 failed: " in (tmp_path / "out" / "tables.md").read_text()
    assert "gmp_75_s0 failed: " in captured.out


@pytest.fixture(scope="module")
def long_study(tmp_path_factory):
    """A study whose cells take a second each, and its results without an interruption."""
    folder = tmp_path_factory.mktemp("long")
    file = write_study(folder, LONG, ONE)
    study = load_study(file)
    os.environ["TAMIS_CHOICE"] = "sparse"
    found = run_study(study, cells_of(study), folder / "uninterrupted")
    os.environ.pop("TAMIS_CHOICE")
    return file, exact(found.results)


STOPS = [
    (
        signal.SIGKILL,
        {"state": "failed", "error": "the process that trained it was killed by SIGKILL; run the study again to go on"},
    ),
    (signal.SIGTERM, {"state": "stopped"}),
]


@pytest.mark.parametrize(("number", "expected_answer"), STOPS, ids=["killed", "terminated"])
def test_a_worker_that_ends_fails_its_cell_alone_and_the_next_run_resumes_it(
    long_study, tmp_path, number, expected_answer
):
    file, expected = long_study
    study = load_study(file)
    cells = cells_of(study)
    pool = Pool(1)
    folder = tmp_path / "cells" / cells[1].name
    answers = {}

    def kill():
        wait_for(lambda: began(folder))
        os.kill(pool._processes[0].pid, number)

    killer = threading.Thread(target=kill)
    killer.start()
    jobs = [(cell.name, dump_recipe(cell.recipe), tmp_path / "cells" / cell.name) for cell in cells]
    with pool:
        pool.run(jobs, lambda name: None, lambda name, answer: answers.update({name: answer}))
    killer.join()
    assert answers.pop(cells[1].name) == expected_answer
    assert list(answers.values()) == [{"state": "done"}] * 2
    assert (folder / LAST).is_file()
    assert not (folder / "summary.json").exists()
    assert exact(run_study(study, cells, tmp_path).results) == expected


def children_of(pid: int) -> list[int]:
    """Processes that any thread of ``pid`` has started."""
    lists = [(task / "children").read_text().split() for task in Path(f"/proc/{pid}/task").iterdir()]
    return [int(child) for found in lists for child in found]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks /proc for the workers of the killed command")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)], ids=["killed", "ctrl-c"])
def test_a_stopped_command_goes_on_to_the_same_results(long_study, tmp_path, number, code):
    file, expected = long_study
    out = tmp_path / "out"
    command = [sys.executable, "-m", "tamis.cli", "study", "methods", str(file), "--out", str(out), "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: began(out / "cells" / "gmp_75_s0"))
    workers = children_of(process.pid)
    assert len(workers) == 2
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    wait_for(lambda: not any(alive(pid) for pid in workers), 20)
    stopped = read_results(out / "results.csv")
    assert [row.state for row in stopped].count("open") >= 1
    if number == signal.SIGINT:
        assert "cells finished; the same command goes on with the others" in err.splitlines()[-1]
    assert main(["study", "methods", str(file), "--out", str(out), "--workers", "2"]) == 0
    assert exact(read_results(out / "results.csv")) == expected


def test_a_job_that_is_no_recipe_fails_with_its_error(tmp_path):
    answer = run_job("method = 3", tmp_path / "cell")
    assert answer["state"] == "failed"
    assert answer["error"].startswith("UsageError: ")


def test_an_epoch_that_was_stopped_halfway_counts_as_all_its_steps():
    whole = {"step": 10, "cpu_s": 1.1, "step_cpu_ms": 100.0, "timed_steps": 10}
    half = {"step": 20, "cpu_s": 0.4, "step_cpu_ms": 100.0, "timed_steps": 4}
    assert training_cpu_s([whole, half]) == pytest.approx(1.1 + 1.0)
    assert training_cpu_s([]) == 0.0


def test_a_study_needs_a_worker(trained, tmp_path):
    study, cells, _, _ = trained
    with pytest.raises(UsageError, match="workers = 0"):
        run_study(study, cells, tmp_path, workers=0)


def test_results_of_something_else_are_refused(tmp_path):
    (tmp_path / "other.csv").write_text("# processor: x\na,b\n1,2\n")
    with pytest.raises(FileError, match="found the columns a, b; expected also study, cell"):
        read_results(tmp_path / "other.csv")
    with pytest.raises(FileError, match="cannot be read"):
        read_results(tmp_path / "absent.csv")


def test_seeds_differ_and_dense_does_not_depend_on_the_methods(trained, tmp_path):
    study, _, _, found = trained
    other = replace(study, methods=("oneshot",), sparsity=(0.75,), seeds=(0, 1))
    again = run_study(other, cells_of(other), tmp_path, workers=2)
    rows = {row.cell: row for row in again.results}
    assert rows["dense_s0"].loss == found.results[0].loss
    assert rows["dense_s1"].loss != found.results[0].loss
