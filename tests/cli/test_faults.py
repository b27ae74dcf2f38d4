"""What the machine cannot do ends in one line on stderr and exit code 2; Ctrl-C in one line and 130."""

import errno
import importlib
import subprocess
import sys
import types

import pytest

from tamis.cli import main


@pytest.fixture
def command(monkeypatch):
    """``tamis info`` that does what the test says."""

    def install(do):
        real = importlib.import_module
        module = types.SimpleNamespace(run=lambda arguments: do())
        monkeypatch.setattr(
            "tamis.cli._main.importlib.import_module", lambda name: module if name == "tamis.cli.info" else real(name)
        )

    return install


def raising(error):
    def do():
        raise error

    return do


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/x/env.json"),
            "runs/x/env.json: No space left on device",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "runs"), "runs: Permission denied"),
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system"),
        (MemoryError(), "not enough memory"),
        (
            RuntimeError("fresh, torch_images.cpp:52, tamis: not enough memory for a result of 9 floats"),
            "not enough memory",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
            "not enough memory",
        ),
    ],
)
def test_what_the_machine_cannot_do_is_one_line_and_exit_code_2(command, capsys, error, words):
    command(raising(error))
    assert main(["info"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tamis info: ")
    assert words in err
    assert err.count("\n") == 1


def test_other_errors_are_faults_of_tamis_and_keep_their_traceback(command):
    command(raising(RuntimeError("shapes differ")))
    with pytest.raises(RuntimeError, match="shapes differ"):
        main(["info"])


def test_ctrl_c_is_one_line_and_exit_code_130(command, capsys):
    command(raising(KeyboardInterrupt()))
    assert main(["info"]) == 130
    assert capsys.readouterr().err == "tamis info: stopped\n"


def test_a_full_disk_behind_stdout_is_one_line_and_exit_code_2():
    code = (
        "import sys, types, tamis.cli._main as m\n"
        "run = types.SimpleNamespace(run=lambda a: print(1) or 0)\n"
        "m.importlib = types.SimpleNamespace(import_module=lambda name: run)\n"
        "sys.exit(m.main(['info']))"
    )
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr
