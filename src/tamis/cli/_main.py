"""Choosing the command before anything heavy is imported, and turning errors into exit codes.

Each command is one module with ``run(arguments: list[str]) -> int``.  Results go to stdout, everything else to stderr.
Exit codes: 0 done, 1 a check failed (a layer collapsed), 2 bad usage or input, or the machine cannot do it (full disk,
read-only folder, not enough memory), 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence

from tamis import __version__
from tamis.errors import TamisError, UsageError

# command -> (module, what it does)
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("tamis.cli.demo", "train a 90 % sparse network on handwritten digits, with pair, checkpoint and report"),
    "train": ("tamis.cli.train", "train from a recipe; flags override the recipe"),
    "prune": ("tamis.cli.prune", "prune a trained checkpoint, one-shot or gradually"),
    "transfer": ("tamis.cli.transfer", "move sparse models to new tasks: fine-tune, sweep, statistics"),
    "sieve": ("tamis.cli.sieve", "choose which of many untrusted data sources to learn from"),
    "export": ("tamis.cli.export", "write a trained model as a dense or sparse safetensors file, or as ONNX"),
    "audit": ("tamis.cli.audit", "show whom compression harmed, how surely, and what repairs it; a gate for CI"),
    "report": ("tamis.cli.report", "write the offline HTML page of a run folder"),
    "bench": ("tamis.cli.bench", "measure the sparse kernels against dense torch on this machine"),
    "study": ("tamis.cli.study", "compare methods at several sparsities and seeds, with intervals and figures"),
    "info": ("tamis.cli.info", "show instruction set, threads, versions, and what would make this machine faster"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``tamis``; ``arguments`` defaults to the process's.  Returns the exit code and raises nothing on purpose."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if given else 2
    if given[0] in ("-V", "--version"):
        print(f"tamis {__version__}")
        return 0
    return _run(given[0], given[1:])


def _run(command: str, arguments: list[str]) -> int:
    try:
        if command not in COMMANDS:
            close = difflib.get_close_matches(command, COMMANDS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(COMMANDS)}"
            raise UsageError(f"unknown command {command!r}; {hint}")
        code = importlib.import_module(COMMANDS[command][0]).run(arguments)
        sys.stdout.flush()
        return code
    except TamisError as error:
        print(f"tamis {command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except BrokenPipeError:
        _let_stdout_go()  # the reader has seen enough (tamis info | head)
        return 0
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        print(f"tamis {command}: {what}; free the disk or choose another place", file=sys.stderr)
        _let_stdout_go()
        return 2
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        print(f"tamis {command}: not enough memory; use smaller batches or a smaller model", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"tamis {command}: {stop if str(stop) else 'stopped'}", file=sys.stderr)
        return 130
    except SystemExit as stop:  # the parser ends this way after --help (0) or a bad flag (2)
        return stop.code if isinstance(stop.code, int) else 2


def _let_stdout_go() -> None:
    """Where stdout takes nothing any more, send what is left nowhere: Python would complain again while closing it."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory has run out: Python's own, or torch's, which is a RuntimeError."""
    words = ("can't allocate memory", "not enough memory", "bad_alloc", "out of memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def _help() -> str:
    rows = "\n".join(f"  {name:<10}{what}" for name, (_, what) in COMMANDS.items())
    return (
        "usage: tamis COMMAND [OPTIONS]\n\n"
        "Train and run sparse neural networks on ordinary CPUs.\n\n"
        f"commands:\n{rows}\n\n"
        "tamis COMMAND --help explains one command; tamis --version prints the version."
    )
