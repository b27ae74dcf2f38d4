"""The command line; ``tamis --help`` lists the commands."""

from tamis.cli._main import main

__all__ = ["main"]
