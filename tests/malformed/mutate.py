"""Damaged and hostile versions of whole files: of their bytes, and of what stands inside their containers."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

NASTY: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63), 10**30, 10**400, 1e308, -1e308, float("inf"), float("nan"),
    "", "x" * 300, "\x00", "\u202e", "a\nb", "../../etc", "<script>", [], {}, [[]], [1, 2, 3], {"a": 1}, [None], "nan",
    "inf", [2**31 - 1, 2**31 - 1], [-1, 5], [10**12, 4], {"kind": "erk"},
)  # fmt: skip
WORDS = (
    b"\x00", b"\xff", b"\n", b"\r", b'"', b"'", b",", b"{", b"[", b"]]", b"= ", b"#", b"nan", b"inf", b"1e999", b"-1",
    b"0", b"9" * 50, b"9" * 5000, b"true", b"null", b"\xe2\x80\xa8", b"\xed\xa0\x80", b"[" * 3000, b"{'a':" * 500,
    b"a.b.c.", b"PK\x03\x04", b"\x80\x02", b"__reduce__", b"../", b"x" * 200_000,
)  # fmt: skip
NUMBER = re.compile(rb"-?\d+\.?\d*")


def mutated(content: bytes, draw: random.Random) -> bytes:
    """One to four changes of a file, drawn."""
    for _ in range(draw.randint(1, 4)):
        inside = draw.random() < 0.6
        try:
            content = _inside(content, draw) if inside else draw.choice(BYTES)(content, draw)
        except Exception:  # a container that the last change has broken
            content = draw.choice(BYTES)(content, draw)
    return content


def _flip(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        if changed:
            changed[draw.randrange(len(changed))] ^= draw.randint(1, 255)
    return bytes(changed)


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randint(0, len(content))]


def _without_a_part(content: bytes, draw: random.Random) -> bytes:
    start = draw.randint(0, len(content))
    return content[:start] + content[start + draw.choice((1, 4, 16, 100)) :]


def _twice(content: bytes, draw: random.Random) -> bytes:
    start = draw.randint(0, len(content))
    part = content[start : start + draw.choice((1, 8, 64, 1000))]
    return content[:start] + part * draw.choice((2, 3, 50)) + content[start:]


def _word(content: bytes, draw: random.Random) -> bytes:
    start = draw.randint(0, len(content))
    return content[:start] + draw.choice(WORDS) + content[start + draw.choice((0, 0, 1, 4)) :]


def _number(content: bytes, draw: random.Random) -> bytes:
    found = list(NUMBER.finditer(content))
    if not found:
        return _flip(content, draw)
    match = draw.choice(found)
    new = draw.choice(
        (b"-1", b"0", b"1e999", b"nan", b"99999999999999999999", b"9" * 400, b"0.5", b"1", b"2147483648", b"x")
    )
    return content[: match.start()] + new + content[match.end() :]


def _line(content: bytes, draw: random.Random) -> bytes:
    lines = content.split(b"\n")
    place = draw.randrange(len(lines))
    how = draw.randrange(3)
    if how == 0:
        lines[place : place + 1] = []
    elif how == 1:
        lines.insert(draw.randint(0, len(lines)), lines[place])
    else:
        other = draw.randrange(len(lines))
        lines[place], lines[other] = lines[other], lines[place]
    return b"\n".join(lines)


def _integer(content: bytes, draw: random.Random) -> bytes:
    """A length or an offset of a binary format."""
    size = draw.choice((2, 4, 8))
    start = draw.randint(0, max(len(content) - size, 0))
    value = draw.choice((0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)) % 256**size
    return content[:start] + value.to_bytes(size, "little") + content[start + size :]


BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip, _flip, _cut, _without_a_part, _twice, _word, _number, _number, _line, _integer,
)  # fmt: skip


def _inside(content: bytes, draw: random.Random) -> bytes:
    """A change of what stands in a container of a known format."""
    if content[8:9] == b"{":
        return _safetensors(content, draw)
    if content[:2] == b"PK":
        return _archive(content, draw)
    if content[:2] == b"\x1f\x8b":
        return gzip.compress(draw.choice(BYTES)(gzip.decompress(content), draw), mtime=0)
    if content[:6] == b"\x93NUMPY":
        return _array(content, draw)
    if content[:1] == b"{":
        lines = content.split(b"\n")
        place = draw.randrange(max(len(lines) - 1, 1))
        try:
            lines[place] = json.dumps(nasty(json.loads(lines[place]), draw)).encode()
            return b"\n".join(lines)
        except ValueError:
            return json.dumps(nasty(json.loads(content), draw)).encode()
    return draw.choice(BYTES)(content, draw)


def nasty(value: Any, draw: random.Random) -> Any:
    """JSON with one part, drawn, removed, moved or replaced by a value that nobody expects."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(list(value))
        how = draw.random()
        if how < 0.1:
            return {name: item for name, item in value.items() if name != key}
        if how < 0.15:
            return {**value, draw.choice(("", "a\nb", "x" * 300, "0", "__class__")): value[key]}
        return {**value, key: nasty(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.8:
        place = draw.randrange(len(value))
        return [*value[:place], nasty(value[place], draw), *value[place + 1 :]]
    if isinstance(value, str) and value[:1] == "{" and draw.random() < 0.9:
        return json.dumps(nasty(json.loads(value), draw))  # the header inside the header
    return draw.choice(NASTY)


def _safetensors(content: bytes, draw: random.Random) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    if draw.random() < 0.6 and "__metadata__" in header:
        header["__metadata__"] = nasty(header["__metadata__"], draw)
    else:
        header = nasty(header, draw)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def _archive(content: bytes, draw: random.Random) -> bytes:
    found = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(found, "w", draw.choice((0, 8, 12, 14))) as new:
        names = old.namelist()
        chosen = draw.choice(names)
        for name in names:
            data, kept = old.read(name), name
            if name == chosen:
                how = draw.random()
                if how < 0.1:
                    continue
                if how < 0.2:
                    kept = draw.choice(("x.npy", "../x", "/etc/x", name.upper(), ""))
                data = _inside(data, draw) if how < 0.9 else b"\x00" * draw.choice((1, 1000, 3_000_000))
            new.writestr(zipfile.ZipInfo(kept), data, new.compression)
    return found.getvalue()


def _array(content: bytes, draw: random.Random) -> bytes:
    """Another array under the same name, or a header that lies."""
    if draw.random() < 0.4:
        start = content.index(b"{")
        end = content.index(b"\n", start)
        text = content[start:end]
        changed = draw.choice((_number, _word, _flip))(text, draw)[: len(text)].ljust(len(text))
        return content[:start] + changed + content[end:]
    array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    kinds: tuple[Callable[[], np.ndarray], ...] = (
        lambda: array.astype("U"),
        lambda: array.astype(np.float16) if array.dtype.kind in "biuf" else array[:0],
        lambda: array.reshape(-1)[: array.size // 2],
        lambda: np.full_like(array, np.nan) if array.dtype.kind == "f" else np.zeros_like(array),
        lambda: np.array([]),
        lambda: np.array("x"),
        lambda: np.array(10**18),
        lambda: np.array([b"bytes"]),
        lambda: array[None],
        lambda: np.array([1 + 2j]),
        lambda: np.array(["1999-01-01"], "datetime64[D]"),
        lambda: np.zeros(3, [("a", "i4"), ("b", "f8")]),
        lambda: np.array(json.dumps(nasty(json.loads(str(array)), draw))) if array.dtype.kind == "U" else array,
        lambda: np.full(array.shape, 1e300, np.longdouble),
        lambda: np.zeros(array.shape, np.uint64) - np.uint64(1) if array.dtype.kind in "iu" else array,
    )
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(draw.choice(kinds)()), allow_pickle=False)
    return stream.getvalue()
