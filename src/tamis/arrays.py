"""Arrays out of an ``.npz`` file that may be damaged or hostile: nothing is unpickled, nothing is read unchecked."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from tamis.errors import FileError

# the most bytes of images or arrays that one data set may take in memory
MAX_BYTES = 8 << 30
# the most that an array beyond 64 MiB may grow when it is unpacked: images shrink by less
MAX_EXPANSION = 200.0


def array_names(file: Path) -> list[str]:
    """The names of the arrays in an ``.npz`` file, in its order; ``FileError`` if it is missing or no such file."""
    try:
        if file.exists() and not file.is_file():  # opening a pipe would wait for ever
            raise FileError(f"{file}: is a folder, a pipe or a device; expected an .npz archive")
        with zipfile.ZipFile(file) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    except FileError:
        raise
    except FileNotFoundError:
        raise FileError(f"{file}: no such file") from None
    except Exception as error:
        # damaged archives raise BadZipFile, ValueError, NotImplementedError (a wild version number), OSError ...
        raise FileError(f"{file}: found a damaged or foreign file ({error}); expected an .npz archive") from None


def read_arrays(
    file: Path, names: Collection[str], most_bytes: int | None = None, most_expansion: float = MAX_EXPANSION
) -> dict[str, np.ndarray]:
    """Read the arrays ``names`` of an ``.npz`` file; the others are not touched.

    Each header is compared with the size of its member before memory is taken.

    Args:
        file: the archive.
        names: arrays to read.
        most_bytes: the most that they may take in memory together; None takes ``MAX_BYTES``.
        most_expansion: the most that a member beyond 64 MiB may grow when it is unpacked, as a factor.

    Raises:
        FileError: naming the file and the array if one is missing, truncated, damaged, of an object dtype, or if all of
            them exceed a limit.
    """
    limit = MAX_BYTES if most_bytes is None else most_bytes
    present = array_names(file)
    missing = sorted(set(names) - set(present))
    if missing:
        raise FileError(f"{file}: found the arrays {', '.join(present) or 'none'}; expected also {', '.join(missing)}")
    arrays, total = {}, 0
    for name in names:
        try:
            with zipfile.ZipFile(file) as archive:
                member = archive.getinfo(name + ".npy")
                total += member.file_size
                if total > limit:
                    raise FileError(f"{file}: found more than {limit >> 30} GiB of arrays; expected a smaller data set")
                if member.file_size > max(1 << 26, most_expansion * member.compress_size):
                    raise FileError(
                        f"{file}: the array {name} would unpack from {member.compress_size} to {member.file_size} "
                        f"bytes; expected a factor of at most {most_expansion:g}, since real arrays hardly shrink"
                    )
                with archive.open(member) as stream:
                    arrays[name] = _read_array(stream, member.file_size, f"{file}: {name}")
        except FileError:
            raise
        except MemoryError:
            raise FileError(
                f"{file}: the array {name} asks for more memory than there is; expected a smaller one"
            ) from None
        except Exception as error:
            # zlib.error, LZMAError, EOFError, BadZipFile, ValueError, NotImplementedError ...
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise FileError(
                f"{file}: the array {name} is damaged or truncated ({reason}); expected what numpy.savez writes"
            ) from None
    return arrays


def _read_array(stream: IO[bytes], size: int, where: str) -> np.ndarray:
    version = npy.read_magic(stream)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise FileError(f"{where} has format version {version}; expected 1.0 or 2.0")
    shape, column_major, dtype = readers[version](stream)
    if dtype.hasobject:
        raise FileError(f"{where} holds pickled objects, which could run code; expected numbers or text")
    expected = math.prod(shape) * dtype.itemsize
    if any(side < 0 for side in shape) or expected != size - stream.tell():
        raise FileError(f"{where} has {size - stream.tell()} bytes; its shape {shape} of {dtype} needs {expected}")
    content = bytearray(expected)
    view, filled = memoryview(content), 0
    while filled < expected:
        chunk = stream.read(min(1 << 24, expected - filled))
        if not chunk:
            raise FileError(f"{where} ends after {filled} of {expected} bytes")
        view[filled : filled + len(chunk)] = chunk
        filled += len(chunk)
    stream.read(1)  # reaching the end makes zipfile compare the checksum
    flat = np.frombuffer(content, dtype=dtype)
    return flat.reshape(shape[::-1]).T if column_major else flat.reshape(shape)
