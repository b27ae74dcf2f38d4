"""Pages as one HTML file that asks nothing of the network.

The content security policy forbids everything but ``data:`` images, the one style sheet and, where a page has one, its
one script, both named by their hashes; all text is escaped by the template engine.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tamis.errors import UsageError

EXTRA = ("jinja2", "matplotlib")
HOME = "tamis.report"
STYLE = Path(__file__).parent / "templates" / "style.css"


def render_template(
    name: str, content: Mapping[str, Any], room: str = HOME, *, more_style: str = "", script: str = ""
) -> str:
    """The page of a template with its variables; it may import from ``macros.html.jinja``.

    Args:
        name: file name of the template.
        content: its variables beside ``policy``, ``style``, ``style_hash`` (for a template that writes out a policy of
            its own) and ``script``; a variable that it lacks is an error.
        room: the package whose folder ``templates`` holds it.
        more_style: CSS that goes behind the house's own, in the same element.
        script: JavaScript of the page; without it the policy allows none at all.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package) for package in dict.fromkeys((room, HOME))]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = STYLE.read_text(encoding="utf-8") + more_style
    return environment.get_template(name).render(
        policy=Markup(_policy(style, script)),
        style=Markup(style),
        style_hash=_hash(style).removeprefix("sha256-"),
        script=Markup(script),
        **content,
    )


def _policy(style: str, script: str) -> str:
    """The content security policy of a page with this style element and, unless it is empty, this script element."""
    scripts = f"script-src '{_hash(script)}'; " if script else ""
    return (
        f"default-src 'none'; img-src data:; {scripts}style-src '{_hash(style)}'; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    """The hash source of the policy for an element with this text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def require_extra() -> None:
    """Refuse to go on without the optional packages that pages and charts need (UsageError)."""
    for module in EXTRA:
        try:
            importlib.import_module(module)
        except ImportError:
            raise UsageError(
                f"the report needs {module}, which is not installed; install the optional packages with "
                "pip install tamis[report] and repeat."
            ) from None
