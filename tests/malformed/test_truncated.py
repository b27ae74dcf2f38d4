"""Files cut at every length: refused by name, or read as what stands before the cut where their format cannot tell.

Containers with a SHA-256 also refuse one wrong byte anywhere.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.malformed.readers import READERS, Reader, outcome

from tamis.documents import toml_table
from tamis.errors import FileError
from tamis.train import load_container, save_container

EDGE = 1024  # bytes at both ends of a long file of which every length is tried
BETWEEN = 200  # lengths of those in the middle

# What a cut of these may be read as is told by the tests below; all others refuse every cut.
SETTINGS = ("recipe", "study", "sweep", "bias_study", "transfer_recipe", "policy", "style")
FOREIGN_TABLES = (("table", 0), ("published", 0), ("transfers", 1))
WRITTEN_AT_ONCE = ("study_results", "bias_rows")
APPENDED = ("transfers", "transfers_jsonl", "metrics", "run_metrics")
OTHERS = ("table", "published", "audit_report", "choices", "cifar", "list", "mat", "picture")
REFUSED = sorted(READERS.keys() - {*SETTINGS, *WRITTEN_AT_ONCE, *APPENDED, *OTHERS})

# readers that the table of readers has as silent about the name: what their messages name all the same
NAMED = {"study": "cut.toml", "run_summary": "summary.json", "cifar": "data_batch_1.bin", "message": "message of"}


def lengths(size: int) -> Iterable[int]:
    """Every length below ``size``; of a long file every one near both ends, and a grid between."""
    if size <= 4 * EDGE:
        return range(size)
    middle = range(EDGE, size - EDGE, max((size - 2 * EDGE) // BETWEEN, 1))
    return sorted({*range(EDGE), *middle, *range(size - EDGE, size)})


def cuts(name: str, content: bytes, folder: Path, at: Iterable[int] | None = None) -> dict[int, Any]:
    """What is read, by the length of the cut; all others are refused in words that name the file."""
    reader, found = READERS[name], {}
    path = folder / f"cut{reader.suffix}"
    for length in lengths(len(content)) if at is None else at:
        path.write_bytes(content[:length])
        words = outcome(reader, path)
        if not words:
            found[length] = reader.read(path)
        assert not words or NAMED.get(name, "") in words, words
    return found


def read_whole(reader: Reader, content: bytes, folder: Path) -> Any:
    path = folder / f"whole{reader.suffix}"
    path.write_bytes(content)
    return reader.read(path)


def contents(*names: str) -> list[Any]:
    """Names and whole files, as parameters of a test."""
    return [
        pytest.param(name, content, id=f"{name}-{number}")
        for name in names
        for number, content in enumerate(READERS[name].whole())
    ]


@pytest.mark.parametrize(("name", "content"), contents(*REFUSED))
def test_a_cut_file_is_refused_at_every_length(name, content, tmp_path):
    assert cuts(name, content, tmp_path) == {}


@pytest.mark.parametrize("name", ["checkpoint", "model"])
def test_one_wrong_byte_is_refused_wherever_it_stands(name, tmp_path):
    content, draw = READERS[name].whole()[0], random.Random(0)
    assert b"tamis_sha256" in content
    path = tmp_path / "flipped.safetensors"
    for place in lengths(len(content)):
        path.write_bytes(one_byte_wrong(content, place, draw))
        assert outcome(READERS[name], path), place


def one_byte_wrong(content: bytes, place: int, draw: random.Random) -> bytes:
    """Another byte at ``place``; not a blank for a blank, which after the header mean the same."""
    blanks = b" \t\n\r" if content[place] in b" \t\n\r" else b""
    other = draw.choice([byte for byte in range(256) if byte != content[place] and byte not in blanks])
    return content[:place] + bytes([other]) + content[place + 1 :]


# ---- settings -----------------------------------------------------------------------------------------------------


def begins(part: Any, whole: Any) -> bool:
    """Whether TOML of a cut text is the beginning of the whole's: only the last number of all may be another one."""
    if isinstance(part, dict) and isinstance(whole, dict):
        if list(part) != list(whole)[: len(part)]:
            return False
        part, whole = list(part.values()), list(whole.values())
    if isinstance(part, list) and isinstance(whole, list):
        return part[:-1] == whole[: len(part)][:-1] and (not part or begins(part[-1], whole[len(part) - 1]))
    return part == whole or all(type(value) in (int, float) for value in (part, whole))


@pytest.mark.parametrize(("name", "content"), contents(*SETTINGS))
def test_cut_settings_are_refused_or_are_the_statements_before_the_cut(name, content, tmp_path):
    """TOML has no end that could be missing; a number is one at every length."""
    whole = toml_table(content.decode(), "whole")
    found = cuts(name, content, tmp_path)
    assert len(content) - 1 in found  # the line end alone is missing
    for length in found:
        assert begins(toml_table(content[:length].decode(), "cut"), whole), length


def test_a_cut_recipe_has_the_settings_of_the_whole_or_their_defaults(tmp_path):
    reader = READERS["recipe"]
    (content,) = reader.whole()
    whole, default = (settings(read_whole(reader, text, tmp_path)) for text in (content, b""))
    lines = content.decode().split("\n")
    for length, recipe in cuts("recipe", content, tmp_path).items():
        changed = {key for key, value in settings(recipe).items() if value not in (whole.get(key), default.get(key))}
        last = content[:length].decode().rpartition("\n")[2]  # sparsity = 0.9 and lr = 5e-2, at their first digits
        assert changed <= {"sparsity = 0": {"sparsity"}, "lr = 5": {"optimizer.lr"}}.get(last, set()), lines


def settings(recipe: Any) -> dict[str, Any]:
    """The values of a recipe by their dotted keys."""

    def leaves(value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            return {name[1:]: value}
        return {key: leaf for part, inner in value.items() for key, leaf in leaves(inner, f"{name}.{part}").items()}

    return leaves(asdict(recipe), "")


# ---- tables and logs ----------------------------------------------------------------------------------------------


def rows_of(value: Any) -> list[list[Any]]:
    """Rows of cells as text, NaN like NaN; of the report of a run its epochs, mask changes and notes."""
    if hasattr(value, "columns"):
        value = list(zip(*value.columns.values(), strict=True))
    elif hasattr(value, "epochs"):
        value = [*value.epochs, *value.masks, *([note] for note in value.notes)]
    elif isinstance(value, dict):
        value = [(*key, *cells) for key, cells in value.items()]
    rows = [asdict(row) if is_dataclass(row) and not isinstance(row, type) else row for row in value]
    return [[str(cell) for cell in (row.values() if isinstance(row, dict) else row)] for row in rows]


@pytest.mark.parametrize(("name", "number"), FOREIGN_TABLES)
def test_a_cut_table_of_somebody_else_has_the_rows_before_the_cut_and_the_beginning_of_the_last(name, number, tmp_path):
    """Whoever writes a table may leave out its last line end, and then a shorter last cell is a cell."""
    content = READERS[name].whole()[number]
    whole = rows_of(read_whole(READERS[name], content, tmp_path))
    found = cuts(name, content, tmp_path)
    assert rows_of(found[len(content) - 1]) == whole
    for length, value in found.items():
        rows = rows_of(value)
        assert rows[:-1] == whole[: len(rows)][:-1], length
        if rows and rows[-1] != whole[len(rows) - 1]:
            last = content[:length].rpartition(b"\n")[2].rpartition(b",")[2].decode().strip('"').replace('""', '"')
            [(cell, _)] = [pair for pair in zip(rows[-1], whole[len(rows) - 1], strict=True) if pair[0] != pair[1]]
            assert cell in (last, "None") or float(cell) == float(last), length


@pytest.mark.parametrize("name", [*WRITTEN_AT_ONCE, *APPENDED])
def test_a_cut_table_or_log_of_tamis_has_its_whole_rows_and_no_part_of_one(name, tmp_path):
    """Whose lines are written one by one may end within one, after a crash; whose are written together may not."""
    content = READERS[name].whole()[0]
    heading = {"study_results": 2, "bias_rows": 2, "transfers": 1}.get(name, 0)
    least = heading + (name == "bias_rows")  # without a row it is refused
    whole = rows_of(read_whole(READERS[name], content, tmp_path))
    found = cuts(name, content, tmp_path)
    for length in range(len(content)):
        complete = content[:length].count(b"\n")
        ended = length == 0 or content[:length].endswith(b"\n")
        if name == "run_metrics" and content[length : length + 1] == b"\n":
            complete += 1  # a row of which the line end alone is missing counts on a page, where nothing is appended
        assert (length in found) == (complete >= least and (ended or name in APPENDED)), length
        if length in found:
            assert rows_of(found[length]) == whole[: complete - heading], length


# ---- other formats that cannot tell -------------------------------------------------------------------------------


def test_a_cut_report_is_refused_unless_its_last_line_end_alone_is_missing(tmp_path):
    (content,) = READERS["audit_report"].whole()
    found = cuts("audit_report", content, tmp_path)
    assert list(found) == [len(content) - 1]
    assert found[len(content) - 1] == read_whole(READERS["audit_report"], content, tmp_path)


def test_of_cut_choices_nothing_is_known_and_they_are_measured_anew(tmp_path):
    (content,) = READERS["choices"].whole()
    found = cuts("choices", content, tmp_path)
    assert list(found) == list(range(len(content)))
    assert not any(choices._entries for choices in found.values())
    assert read_whole(READERS["choices"], content, tmp_path)._entries


def test_a_cut_list_has_the_lines_before_the_cut_and_the_beginning_of_the_last(tmp_path):
    (content,) = READERS["list"].whole()
    found = cuts("list", content, tmp_path)
    assert list(found.values()) == [[], ["a"], ["a"], ["a 1"], ["a 1"], ["a 1", "b"], ["a 1", "b"], ["a 1", "b 2"]]


def test_cut_batches_of_cifar_are_refused_but_between_two_records(tmp_path):
    """A grid of lengths: a record has no parts, and seven files are written and read for each."""
    (content,) = READERS["cifar"].whole()
    found = cuts("cifar", content, tmp_path, [*range(0, 3072, 37), 3072, 3073, *range(3074, len(content), 37)])
    assert list(found) == [3073]
    whole = read_whole(READERS["cifar"], content, tmp_path)
    for (images, labels), (all_images, all_labels) in zip(found[3073][:2], whole[:2], strict=True):
        assert torch.equal(images, all_images[::2])
        assert torch.equal(labels, all_labels[::2])


def test_a_cut_mat_file_is_refused_but_between_two_arrays(tmp_path):
    """Few lengths: another process reads each before this one does.  128 is the end of the heading."""
    (content,) = READERS["mat"].whole()
    first = 136 + int.from_bytes(content[132:136], "little")  # an array begins with its type and its size
    ends = [128, first]
    found = cuts("mat", content, tmp_path, [0, 1, 127, 128, 129, 136, first - 1, first, first + 1, len(content) - 1])
    assert list(found) == ends
    arrays = [[name for name in found[end] if not name.startswith("__")] for end in ends]
    assert arrays == [[], ["class_names"]]
    assert found[first]["class_names"].tolist() == ["a", "b"]


def test_a_cut_picture_is_refused_unless_all_its_pixels_are_there(tmp_path):
    png, jpeg = READERS["picture"].whole()
    assert cuts("picture", jpeg, tmp_path) == {}
    found = cuts("picture", png, tmp_path)
    whole = np.asarray(read_whole(READERS["picture"], png, tmp_path))
    assert min(found) > png.index(b"IDAT")
    assert len(png) - min(found) <= 4 + 4 + 12  # checksums of the stream and of its chunk, and the chunk at the end
    assert all(np.array_equal(np.asarray(pixels), whole) for pixels in found.values())


def test_a_cut_cache_of_features_is_refused_and_so_is_one_wrong_byte(tmp_path):
    path, draw = tmp_path / "features.safetensors", random.Random(1)
    save_container(path, {"train_x": torch.arange(6.0).reshape(2, 3), "train_y": torch.tensor([0, 1])}, {"key": "k"})
    content = path.read_bytes()
    for length in range(len(content)):
        for damaged in (content[:length], one_byte_wrong(content, length, draw)):
            path.write_bytes(damaged)
            with pytest.raises(FileError, match=r"features\.safetensors"):
                load_container(path)
