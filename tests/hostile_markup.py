"""Text that would become elements of a page if it were not escaped, and whether it stayed text."""

from __future__ import annotations

from html.parser import HTMLParser

MARK = "</style><script>x()</script>\"'><img src=x onerror=y()>"


class Elements(HTMLParser):
    """Names and attributes of all elements, as a browser would see them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def check_is_text(page: str) -> None:
    """A page into which :data:`MARK` went shows it, has no script, no handler, and no picture from elsewhere."""
    elements = Elements(page).found
    assert elements
    for tag, attributes in elements:
        assert tag != "script"
        assert attributes.get("src", "data:").startswith("data:")
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
    assert page.count("</style>") == 1
    assert "&lt;img src=x onerror=y()&gt;" in page
