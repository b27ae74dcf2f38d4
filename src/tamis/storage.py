"""Writing files so that a crash leaves either the old file or the new one, never half of one."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # not POSIX: leftovers of killed writers stay
    fcntl = None  # type: ignore[assignment]


def write_atomic(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write ``content`` to ``path``: temporary file in the same folder, fsync, rename, fsync of the folder.

    Text is encoded as UTF-8.  Parent folders are made.  Temporary files of this target whose writers were killed are
    removed.  Raises ``OSError`` with ``path`` as its ``filename`` (disk full, read-only folder) after removing the
    temporary file; the previous file at ``path`` is then untouched.
    """
    target = Path(path)
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(target)
        stream = _temporary(target)
        try:
            with stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
                Path(stream.name).replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(stream.name).unlink()
            raise
    except OSError as error:
        error.filename = str(target)  # the system names the temporary file, or none
        error.filename2 = None
        raise
    _sync_folder(target.parent)
    return target


def _temporary(target: Path) -> IO[bytes]:
    """A new temporary file, readable as the umask allows; it is locked, which tells others that its writer lives."""
    while True:
        try:
            stream = (target.parent / f".{target.name}.{secrets.token_hex(4)}.part").open("xb")  # the caller's
        except FileExistsError:
            continue
        if fcntl is None:
            return stream
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(stream, fcntl.LOCK_EX)
        if os.fstat(stream.fileno()).st_nlink:
            return stream
        stream.close()  # another writer took it for a leftover before it was locked


def _remove_leftovers(target: Path) -> None:
    """Remove temporary files of ``target`` that nobody holds locked: those of killed writers."""
    if fcntl is None:
        return
    # eight characters between: neither a file of somebody else nor one of a target whose name only begins like this
    leftover = re.compile(re.escape(f".{target.name}.") + r"[a-z0-9_]{8}\.part", re.DOTALL)
    for file in target.parent.iterdir():
        if leftover.fullmatch(file.name):
            with contextlib.suppress(OSError), file.open("r+b") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.unlink()


def _sync_folder(folder: Path) -> None:
    """Wait until the disk has the new name; nothing is lost where a file system cannot."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
