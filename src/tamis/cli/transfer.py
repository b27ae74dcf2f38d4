"""``tamis transfer``: sparse models on new tasks.  Each sub-command is a module of its own with ``run(arguments)``."""

from __future__ import annotations

import difflib
import importlib

from tamis.errors import UsageError

# sub-command -> (module, what it does)
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("tamis.cli._transfer_run", "fine-tune a checkpoint on a task, head only or whole, and report"),
    "inspect": ("tamis.cli._transfer_inspect", "show a checkpoint's style, its masks and where they come from"),
    "extract": ("tamis.cli._transfer_extract", "write the features of a task's images to the cache"),
    "tasks": ("tamis.cli._transfer_tasks", "list the tasks; check the files and the split of one"),
    "sweep": ("tamis.cli._transfer_sweep", "run many models, tasks and seeds into one table; goes on after a stop"),
    "stats": ("tamis.cli._transfer_stats", "what sparsity cost, with intervals and tests, from a table of results"),
    "plot": ("tamis.cli._transfer_plot", "figures of a table of results, each with its numbers"),
}


def run(arguments: list[str]) -> int:
    """Exit code of the sub-command that ``arguments`` begin with.

    Raises:
        UsageError: there is no such sub-command.
    """
    what = arguments[0] if arguments else ""
    if what in ("-h", "--help"):
        rows = "\n".join(f"  {name:<9}{about}" for name, (_, about) in COMMANDS.items())
        print(
            "usage: tamis transfer COMMAND [OPTIONS]\n\n"
            f"Move sparse models to new tasks.\n\ncommands:\n{rows}\n\n"
            "tamis transfer COMMAND --help explains one command."
        )
        return 0
    if what not in COMMANDS:
        close = difflib.get_close_matches(what, COMMANDS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(COMMANDS)}"
        raise UsageError(f"transfer: unknown command {what!r}; {hint}")
    return importlib.import_module(COMMANDS[what][0]).run(arguments[1:])
