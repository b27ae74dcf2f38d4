"""Write docs/_static/audit_report*.png: the audit's page of docs/audit_example.json as a browser shows it.

Needs Chromium and selenium (see tests/report/browser.py).  Run from the repository's root:
``python docs/make_audit_picture.py``.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "report"))

import browser  # noqa: E402 - lies with the tests

from tamis.report import write_audit_report  # noqa: E402

# file -> (selector of the element at the top, pixels of height, dark)
PICTURES = {
    "audit_report.png": ("header", 900, False),
    "audit_report_pair.png": ("#heat", 1150, True),
}
OPEN = (
    "[...document.querySelectorAll('table.heat')].at(-1).querySelector('td.u4 button').click(); window.scrollTo(0, 0)"
)


def main() -> None:
    """Open the page, choose the cell with the largest rise, and store what is seen."""
    why = browser.missing()
    if why:
        sys.exit(why)
    content = json.loads((HERE / "audit_example.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder, browser.chromium(Path(folder)) as found:
        page = write_audit_report(content, Path(folder) / "audit.html")
        for name, (selector, height, dark) in PICTURES.items():
            found.open(page, 1120, height, dark=dark)
            found.run(OPEN)
            top = found.run("return document.querySelector(arguments[0]).getBoundingClientRect().top", selector)
            shot = Image.open(io.BytesIO(found.screenshot(Path(folder) / "shot.png").read_bytes()))
            cut = shot.convert("RGB").crop((0, int(top) - 20, 1120, int(top) - 20 + height))
            cut.quantize(128, dither=Image.Dither.NONE).save(HERE / "_static" / name, optimize=True)


if __name__ == "__main__":
    main()
