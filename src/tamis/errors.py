"""Errors that a user can act on.

Every message says what was given, what was expected and what to do.  The command line turns a
:class:`UsageError` into one line on stderr and exit code 2.
"""

# characters of a message; what a hostile file can put into one is cut out of its middle
_LONGEST = 1000


class TamisError(Exception):
    """Base of every error that tamis raises on purpose; its message is one line of at most 1000 characters.

    Control characters, which names of files and of tensors may hold, are written out: a terminal obeys none of them.
    """

    def __str__(self) -> str:
        text = " ".join(super().__str__().splitlines())
        if not text.isprintable():
            text = "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in text)
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 304]} ... {text[-299:]}"


class UsageError(TamisError, ValueError):
    """An argument, a recipe, a file or a model does not fit what was asked for."""


class FileError(UsageError):
    """A file is missing, damaged, truncated, foreign or of the wrong shape; the message names it."""


class CollapseError(TamisError, RuntimeError):
    """A method left a layer without a single live weight (see the floor option of ``Global``)."""
