"""A sweep that is killed, stopped or shared: nothing is lost, and no cell is run twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tamis.errors import UsageError
from tamis.transfer import Table, read_results

from .sweep_work import calls, dies, fails_once, run, sweep_of, values


def test_a_cell_that_fails_is_named_and_tried_again(tmp_path, in_threads):
    found = run(tmp_path, work=fails_once)
    assert found.missing == {"gmp_80-digits_parity-full-s0": "ValueError: a bad day"}
    assert len(found.done) == 7
    again = run(tmp_path, work=fails_once)
    assert not again.missing
    assert len(values(tmp_path)) == 8


def test_a_second_writer_is_locked_out(tmp_path, in_threads):
    sweep_of(tmp_path / "models")
    with Table.open(tmp_path / "out" / "results.csv"), pytest.raises(UsageError, match="another process writes"):
        run(tmp_path)


def test_a_killed_sweep_resumes_to_the_same_table(tmp_path, in_threads):
    whole = tmp_path / "whole"
    run(whole)
    killed = tmp_path / "killed"
    script = [sys.executable, str(Path(__file__).with_name("sweep_work.py")), str(killed)]
    table = killed / "out" / "results.csv"
    with subprocess.Popen(script, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not table.exists() or len(table.read_text().splitlines()) < 3:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
    before = len(table.read_text().splitlines()) - 1
    assert 2 <= before < 8
    deadline = time.monotonic() + 30
    while (found := run(killed)) and found.missing:
        assert time.monotonic() < deadline
    strip = lambda rows: {key[:8]: value for key, value in rows.items()}  # noqa: E731 - the weights' digests differ
    assert strip(values(killed)) == strip(values(whole))
    assert len(read_results(table)) == 8


def test_ctrl_c_waits_for_the_running_cell_and_the_same_command_goes_on(tmp_path, in_threads):
    script = [sys.executable, str(Path(__file__).with_name("sweep_work.py")), str(tmp_path)]
    table = tmp_path / "out" / "results.csv"
    with subprocess.Popen(script, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not table.exists() or len(table.read_text().splitlines()) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode != 0
    assert "Interrupted: stopped with" in said
    assert "the same command goes on" in said
    done = read_results(table)
    assert 1 <= len(done) < 8
    assert len(calls(tmp_path)) == len(done)  # what had begun was waited for
    run(tmp_path)
    assert len(read_results(table)) == len(calls(tmp_path)) == 8


def test_a_cell_that_kills_its_process_fails_alone(tmp_path):
    found = run(tmp_path, sweep_of(tmp_path / "models", seeds=(0,), tasks=("digits_parity",)), work=dies)
    assert list(found.missing) == ["gmp_80-digits_parity-full-s0"]
    assert found.done == ("dense-digits_parity-full-s0",)


def test_a_dask_cluster_gives_the_same_table(tmp_path, in_threads):
    distributed = pytest.importorskip("distributed")
    run(tmp_path / "here")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, silence_logs=50
    ) as cluster:
        run(tmp_path / "there", cluster=cluster.scheduler_address)
    here, there = ({key[:8]: v for key, v in values(tmp_path / n).items()} for n in ("here", "there"))
    assert here == there


def test_no_cluster_at_an_address_is_bad_usage(tmp_path):
    pytest.importorskip("distributed")
    from tamis.study._sweep_pool import cluster_executor

    with pytest.raises(UsageError, match="no Dask scheduler"), cluster_executor("nowhere"):
        pass
