"""Errors that a user can act on.

Every message says what was given, what was expected and what to do.  The command line turns a
:class:`UsageError` into one line on stderr and exit code 2.
"""


class TamisError(Exception):
    """Base of every error that tamis raises on purpose."""


class UsageError(TamisError, ValueError):
    """An argument, a recipe, a file or a model does not fit what was asked for."""


class FileError(UsageError):
    """A file is missing, damaged, truncated, foreign or of the wrong shape; the message names it."""


class CollapseError(TamisError, RuntimeError):
    """A method left a layer without a single live weight (see the floor option of ``Global``)."""
