"""Files that describe a study or a sweep, and name another file that lies beside them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tamis.documents import is_file
from tamis.train import find_recipe, read_toml


def read_study_file(path: str | os.PathLike[str], kind: str, folder: str, neighbour: str) -> tuple[dict[str, Any], str]:
    """The table of a study's file, and the file's name for messages.

    Args:
        path: a TOML file, or the bare name of one that comes with tamis.
        kind: what such a file is called in messages.
        folder: of the recipes that come with tamis, where such files lie.
        neighbour: the key that may name a file beside this one, whose path it then becomes.

    Raises:
        FileError: there is no such file, or its TOML is broken.
    """
    file = find_recipe(path, kind, folder)
    table = dict(read_toml(file))
    named = table.get(neighbour)
    if isinstance(named, str) and named and is_file(file.parent / named):
        table[neighbour] = str(Path(os.path.normpath(file.parent / named)))
    return table, str(file)
