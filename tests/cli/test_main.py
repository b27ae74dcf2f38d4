import os
import subprocess
import sys
import time

import pytest

import tamis
from tamis.cli import _main, main
from tamis.errors import CollapseError, UsageError


def python(code: str, **extra) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, **extra)


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(command in text for command in _main.COMMANDS)


def test_no_command_is_bad_usage(capsys):
    assert main([]) == 2
    assert "usage" in capsys.readouterr().out


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"tamis {tamis.__version__}\n"


def test_an_unknown_command_gets_a_suggestion(capsys):
    assert main(["trian"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "tamis trian: unknown command 'trian'; did you mean 'train'?\n"


def test_help_imports_neither_torch_nor_the_flag_parser():
    code = (
        "import sys; from tamis.cli import main; main(['--help']); print({'torch', 'tyro', 'numpy'} & set(sys.modules))"
    )
    assert python(code).stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize("command", ["demo", "train", "prune", "export", "report", "study", "info"])
def test_help_of_a_command_imports_no_torch(command):
    code = (
        f"import sys; from tamis.cli import main; c = main(['{command}', '--help']); print(c, 'torch' in sys.modules)"
    )
    assert python(code).stdout.splitlines()[-1] == "0 False"


def test_help_is_quick():
    def seconds() -> float:
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "tamis.cli", "--help"], capture_output=True, check=True)
        return time.perf_counter() - begin

    # The best of five, because the machine may be busy; measured 0.05 s.
    assert min(seconds() for _ in range(5)) < 0.3


def test_an_error_is_one_line_without_a_traceback(capsys, monkeypatch):
    def fails(arguments):
        raise UsageError("a problem\n  over two lines")

    monkeypatch.setattr("tamis.cli.info.run", fails)
    assert main(["info"]) == 2
    assert capsys.readouterr().err == "tamis info: a problem over two lines\n"


def test_a_collapsed_layer_is_exit_code_1(capsys, monkeypatch):
    def collapsed(arguments):
        raise CollapseError("no weight survives in fc")

    monkeypatch.setattr("tamis.cli.train.run", collapsed)
    assert main(["train"]) == 1
    assert capsys.readouterr().err == "tamis train: no weight survives in fc\n"


def test_ctrl_c_is_exit_code_130(capsys, monkeypatch):
    def stopped(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("tamis.cli.info.run", stopped)
    assert main(["info"]) == 130
    assert capsys.readouterr().err == "tamis info: stopped\n"


def test_a_reader_that_has_seen_enough_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "tamis.cli", "info"], stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
