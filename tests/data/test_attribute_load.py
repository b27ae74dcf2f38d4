"""Readers of data with several labels: splits that share no writer, attributes of kinds, and files that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tamis.data import AttributeData, load_attribute_data, read_animals, read_mnist_groups
from tamis.errors import FileError, UsageError

MORPH = np.array(["ink", "thickness", "slant", "holes", "width", "height"])


def _write_mnist(folder: Path, **changes: Any) -> Path:
    random = np.random.RandomState(0)
    images: dict[str, Any] = {}
    groups: dict[str, Any] = {"meta_names": np.array(["hsf", "writer"]), "morph_names": MORPH}
    for split, count, first_writer in (("train", 200, 0), ("test", 50, 1000)):
        images[f"x_{split}"] = random.randint(0, 256, (count, 28, 28)).astype(np.uint8)
        images[f"y_{split}"] = (np.arange(count) % 10).astype(np.uint8)
        writer = first_writer + np.arange(count) // 5
        groups[f"meta_{split}"] = np.stack([np.where(writer % 2, 4, 0), writer], 1).astype(np.int16)
        groups[f"morph_{split}"] = random.rand(count, 6).astype(np.float32)
    np.savez(folder / "mnist.npz", **images)
    np.savez(folder / "attr_mnist_groups.npz", **{**groups, **changes})
    return folder


def _write_animals(folder: Path, **changes: Any) -> Path:
    random = np.random.RandomState(0)
    kinds = 8
    table = random.randint(0, 2, (kinds, 6)).astype(np.uint8)
    table[:, 0] = np.arange(kinds) < 4  # "big": four have it, four have it not
    table[:, 1] = np.arange(kinds) < 1  # "rare": one kind only
    arrays = {
        "class_attr": table,
        "attr_names": np.array(["big", "rare", "domestic", "bipedal", "furry", "tail"]),
        "classes": np.array([f"kind{k}" for k in range(kinds)]),
        "x_train": random.randint(0, 256, (80, 64, 64, 3)).astype(np.uint8),
        "y_train": (np.arange(80) % kinds).astype(np.uint8),
        "x_test": random.randint(0, 256, (16, 64, 64, 3)).astype(np.uint8),
        "y_test": (np.arange(16) % kinds).astype(np.uint8),
    }
    np.savez(folder / "attr_animals12_64.npz", **{**arrays, **changes})
    return folder


def _writers(data: AttributeData, split: str) -> set[int]:
    return set(data.split(split).base.tolist())


def test_no_writer_of_mnist_is_in_two_splits(tmp_path: Path) -> None:
    data = read_mnist_groups(_write_mnist(tmp_path))
    assert not _writers(data, "train") & _writers(data, "valid")
    assert not _writers(data, "train") & _writers(data, "test")
    assert len(_writers(data, "valid")) == 4  # a tenth of 40
    assert [len(data.split(split)) for split in ("train", "valid", "test")] == [180, 20, 50]
    even = data.labels("test", ("Even",))[:, 0]
    assert even.tolist() == [digit % 2 == 0 for digit in list(range(10)) * 5]
    student = data.labels("train", ("Student",))[:, 0]
    assert torch.equal(student == 1, data.train.base % 2 == 1)


def test_fewer_images_keep_the_held_out_splits(tmp_path: Path) -> None:
    _write_mnist(tmp_path)
    data = load_attribute_data("mnist_groups", tmp_path, images=30)
    assert [len(data.split(split)) for split in ("train", "valid", "test")] == [30, 20, 50]


def test_animals_have_the_attributes_of_their_kind(tmp_path: Path) -> None:
    data = read_animals(_write_animals(tmp_path), size=32)
    assert "big" in data.attributes
    assert "rare" not in data.attributes
    assert data.identities == ("domestic", "bipedal", "furry")
    assert data.labels("test", ("big",))[:, 0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0] * 2
    assert [len(data.split(split)) for split in ("train", "valid", "test")] == [72, 8, 16]
    assert data.image_size == (32, 32)


def test_animals_are_shrunk_to_means_of_squares(tmp_path: Path) -> None:
    picture = np.zeros((16, 64, 64, 3), np.uint8)
    picture[:, :2, :2] = [[[100], [50]], [[30], [20]]]
    _write_animals(tmp_path, x_test=picture)
    data = read_animals(tmp_path, size=32)
    assert data.test.images[0, :, 0, 0].tolist() == [50, 50, 50]
    with pytest.raises(UsageError, match="size=30; expected a divisor of the stored side, 64"):
        read_animals(tmp_path, size=30)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"morph_train": np.zeros((3, 6), np.float32)}, r"morph_train is \(3, 6\)"),
        (
            {"meta_names": np.array(["hsf", "who"])},
            "expected 50 rows with hsf, writer|expected 200 rows with hsf, writer",
        ),
    ],
)
def test_files_that_do_not_fit_each_other_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(FileError, match=words):
        read_mnist_groups(_write_mnist(tmp_path, **changes))


def test_a_table_of_other_kinds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"class_attr is \(3, 6\)"):
        read_animals(_write_animals(tmp_path, class_attr=np.zeros((3, 6), np.uint8)))


def test_one_door_names_what_it_needs(tmp_path: Path) -> None:
    assert load_attribute_data("tinted_digits", seed=3).name == "tinted_digits"
    with pytest.raises(UsageError, match="expected one of tinted_digits, mnist_groups, animals"):
        load_attribute_data("celeba")
    with pytest.raises(UsageError, match="needs the folder of its files"):
        load_attribute_data("animals")
    with pytest.raises(UsageError, match="drawn and always whole"):
        load_attribute_data("tinted_digits", images=5)
    with pytest.raises(FileError, match=r"mnist\.npz"):
        load_attribute_data("mnist_groups", tmp_path)


@pytest.mark.shared_data
def test_the_real_sets_have_the_known_sizes_and_correlations(shared_data: Path) -> None:
    mnist = read_mnist_groups(shared_data)
    assert [len(mnist.split(split)) for split in ("train", "valid", "test")] == [53881, 6119, 10000]
    assert not _writers(mnist, "train") & (_writers(mnist, "valid") | _writers(mnist, "test"))
    slanted, student = mnist.labels("train", ("Slanted", "Student")).double().T
    assert float(torch.corrcoef(torch.stack([slanted, student]))[0, 1]) == pytest.approx(-0.39, abs=0.01)
    assert int(mnist.labels("test", ("Student",)).sum()) == 5001
