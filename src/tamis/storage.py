"""Writing files so that a crash leaves either the old file or the new one, never half of one."""

from __future__ import annotations

import contextlib
import os
import tempfile
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
                Path(stream.name).chmod(0o644)
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


def _names(target: Path) -> tuple[str, str]:
    """What the names of temporary files of ``target`` begin and end with."""
    return f".{target.name}.", ".part"


def _temporary(target: Path) -> IO[bytes]:
    """A new temporary file; it is locked, which tells other writers that its writer lives."""
    prefix, suffix = _names(target)
    while True:
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=target.parent)
        os.close(handle)
        try:
            stream = Path(name).open("r+b")  # noqa: SIM115 - the caller's
        except FileNotFoundError:  # another writer took it for a leftover before it was locked
            continue
        if fcntl is None:
            return stream
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(stream, fcntl.LOCK_EX)
        if os.fstat(stream.fileno()).st_nlink:
            return stream
        stream.close()  # the same, a moment later


def _remove_leftovers(target: Path) -> None:
    """Remove temporary files of ``target`` that nobody holds locked: those of killed writers."""
    if fcntl is None:
        return
    prefix, suffix = _names(target)
    for file in target.parent.iterdir():
        if file.name.startswith(prefix) and file.name.endswith(suffix):
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
