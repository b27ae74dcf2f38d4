"""Pages as one HTML file without scripts that asks nothing of the network.

The content security policy forbids everything but ``data:`` images and the one style sheet, which it names by its hash;
all text is escaped by the template engine.
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


def render_template(name: str, content: Mapping[str, Any], room: str = HOME) -> str:
    """The page of a template with its variables; it may import from ``macros.html.jinja``.

    Args:
        name: file name of the template.
        content: its variables beside ``style`` and ``style_hash``; a variable that it lacks is an error.
        room: the package whose folder ``templates`` holds it.
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
    style = (Path(__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    return environment.get_template(name).render(style=Markup(style), style_hash=digest, **content)


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
