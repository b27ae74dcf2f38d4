"""Text from outside made fit to show: no control characters, nothing that reorders, no endless names, no twins.

Escaping is the template engine's; this is what escaping cannot mend.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

LONGEST_NAME = 80
LONGEST_TEXT = 1200
LONGEST_IN_CHART = 34
LONGEST_TICK = 18
JOINERS = "\u200c\u200d"  # shape letters and emoji, and move nothing
_SPACES = re.compile(r"\s+")
_HOME = re.compile(r"(?:[A-Za-z]:)?[/\\](?:home|Users)[/\\][^\s/\\'\",;:]+(?![^\s/\\'\",;:])[/\\]?")
_PATH = re.compile(r"(?:(?<![\w.~])(?:[A-Za-z]:)?|(?<!\S)~)(?:[/\\][^\s/\\'\",;:]+){2,}[/\\]?")


def display(text: str, longest: int = LONGEST_NAME) -> str:
    """``text`` without control and format characters (those that reorder text are among them), cut to ``longest``.

    White space becomes single spaces, lone surrogates and noncharacters the replacement character, nothing at all
    "(empty)".

    >>> display("Male\\u202e\\x00\\n"), display("\\ud800"), display("a" * 90, 8), display("")
    ('Male', '\ufffd', 'aaaaaaa…', '(empty)')
    """
    kept = "".join(_shown(character) for character in text[: 4 * longest])
    clean = _SPACES.sub(" ", kept).strip() or "(empty)"
    return clean if len(clean) <= longest else clean[: longest - 1] + "\u2026"


def _shown(character: str) -> str:
    if character.isspace():
        return " "
    kind = unicodedata.category(character)
    if kind == "Cs" or _never_a_character(ord(character)):
        return "\ufffd"
    return "" if kind in ("Cc", "Cf") and character not in JOINERS else character


def _never_a_character(code: int) -> bool:
    """Unicode's noncharacters, some of which XML, and so a chart, must not hold."""
    return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


def display_names(names: Iterable[str]) -> dict[str, str]:
    """What each name is shown as; names that would look alike get a number.

    >>> display_names(["Male", "Male\\u202e"])
    {'Male': 'Male', 'Male\\u202e': 'Male (2)'}
    """
    found: dict[str, str] = {}
    for name in names:
        clean, number = display(name), 1
        shown = clean
        while shown in found.values():
            number += 1
            shown = f"{clean} ({number})"
        found[name] = shown
    return found


def without_folders(text: str) -> str:
    """``text`` with every absolute path cut to its last part: a report must not tell whose machine made it.

    >>> without_folders("tamis audit run --dense /home/ann/runs/dense.npz --labels labels.npz --gap 1/10")
    'tamis audit run --dense dense.npz --labels labels.npz --gap 1/10'
    >>> without_folders("/home/ann"), without_folders(r"C:\\Users\\ann\\x\\y.npz")
    ('~', 'y.npz')
    """
    return _PATH.sub(lambda match: re.split(r"[/\\]", match.group().rstrip("/\\"))[-1], _HOME.sub(_home, text))


def _home(match: re.Match[str]) -> str:
    """A home folder itself becomes ``~``; a path inside it is left to be cut."""
    return "~/" if match.group()[-1] in "/\\" else "~"


def script_json(value: Any) -> str:
    """JSON that may stand in a script element: ASCII only, and no ``<``, ``>`` or ``&`` that could end it.

    >>> script_json({"a": "</script>\\u2028"})
    '{"a":"\\\\u003c/script\\\\u003e\\\\u2028"}'
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
