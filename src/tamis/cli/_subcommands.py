"""Commands of several parts: ``tamis COMMAND PART [OPTIONS]``, each part one module with ``run(arguments) -> int``."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping, Sequence

from tamis.errors import UsageError

# part -> (module, what it does)
Parts = Mapping[str, tuple[str, str]]


def dispatch(command: str, about: str, parts: Parts, arguments: Sequence[str], otherwise: str | None = None) -> int:
    """Exit code of the part that ``arguments`` begin with; nothing else is imported.

    Args:
        command: as in "transfer", for messages.
        about: one sentence for ``--help``.
        parts: the parts by name.
        arguments: what follows the command.
        otherwise: the part that is meant where the arguments begin with no name of a part.

    Raises:
        UsageError: there is no such part.
    """
    given = list(arguments)
    if given and given[0] in ("-h", "--help"):
        print(_help(command, about, parts))
        return 0
    if given and given[0] in parts:
        return importlib.import_module(parts[given[0]][0]).run(given[1:])
    if otherwise is not None and given:
        return importlib.import_module(parts[otherwise][0]).run(given)
    close = difflib.get_close_matches(given[0], parts, n=1) if given else []
    hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(parts)}"
    raise UsageError(f"got {given[0]!r}; {hint}" if given else hint)


def _help(command: str, about: str, parts: Parts) -> str:
    width = max(map(len, parts)) + 2
    rows = "\n".join(f"  {name:<{width}}{what}" for name, (_, what) in parts.items())
    return (
        f"usage: tamis {command} {'|'.join(parts)} [OPTIONS]\n\n{about}\n\n{rows}\n\n"
        f"tamis {command} {next(iter(parts))} --help explains the options of one."
    )
