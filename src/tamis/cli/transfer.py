"""``tamis transfer``: sparse models on new tasks.  Each part is a module of its own."""

from __future__ import annotations

from tamis.cli._subcommands import dispatch

PARTS = {
    "run": ("tamis.cli._transfer_run", "fine-tune a checkpoint on a task, head only or whole, and report"),
    "inspect": ("tamis.cli._transfer_inspect", "show a checkpoint's style, its masks and where they come from"),
    "extract": ("tamis.cli._transfer_extract", "write the features of a task's images to the cache"),
    "tasks": ("tamis.cli._transfer_tasks", "list the tasks; check the files and the split of one"),
    "sweep": ("tamis.cli._transfer_sweep", "run many models, tasks and seeds into one table; goes on after a stop"),
    "stats": ("tamis.cli._transfer_stats", "what sparsity cost, with intervals and tests, from a table of results"),
    "plot": ("tamis.cli._transfer_plot", "figures of a table of results, each with its numbers"),
}


def run(arguments: list[str]) -> int:
    """Exit code of the part that ``arguments`` begin with."""
    return dispatch("transfer", "Move sparse models to new tasks.", PARTS, arguments)
