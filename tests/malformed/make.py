"""Makes the folder of malformed files: python -m tests.malformed.make

Each lies under files/READER/ and must be refused by that reader.  They are small, and made by this script alone.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.malformed.damaged_arrays import arrays
from tests.malformed.damaged_models import models
from tests.malformed.damaged_settings import settings
from tests.malformed.damaged_tables import tables

FILES = Path(__file__).parent / "files"


def malformed() -> dict[str, bytes]:
    """Content by place in the folder."""
    return {**models(), **settings(), **arrays(), **tables()}


def main() -> None:
    """Write the folder anew."""
    shutil.rmtree(FILES, ignore_errors=True)
    for place, content in malformed().items():
        (FILES / place).parent.mkdir(parents=True, exist_ok=True)
        (FILES / place).write_bytes(content)


if __name__ == "__main__":
    main()
