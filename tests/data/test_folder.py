"""Folders of images."""

import numpy as np
import pytest

from tamis.data import load_data
from tamis.errors import FileError, UsageError

Image = pytest.importorskip("PIL.Image")


def paint(path, colour, size=(6, 5)):
    """One image of ``size`` = (H, W) in a single colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), colour, np.uint8)).save(path)


def test_train_and_val_folders_are_the_two_splits(tmp_path):
    for number in range(3):
        paint(tmp_path / "train" / "cat" / f"{number}.png", number)
        paint(tmp_path / "train" / "dog" / f"{number}.bmp", 100 + number)
    paint(tmp_path / "val" / "dog" / "a.PNG", 200)
    (tmp_path / "train" / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "train" / ".cache").mkdir()
    data = load_data(tmp_path)
    assert data.name == tmp_path.name
    assert data.classes == ("cat", "dog")
    assert data.train_x.shape == (6, 3, 6, 5)
    assert data.train_x[:, 0, 0, 0].tolist() == [0, 1, 2, 100, 101, 102]
    assert data.train_y.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.test_x[:, 0, 0, 0].tolist() == [200]
    assert data.test_y.tolist() == [1]


def test_a_single_folder_is_split_the_same_way_every_time(tmp_path):
    for label, name in enumerate(["ant", "bee"]):
        for number in range(10):
            paint(tmp_path / name / f"{number:02d}.png", 100 * label + number)
    first, second = load_data(tmp_path), load_data(tmp_path)
    assert first.test_y.tolist() == [0, 0, 1, 1]
    assert first.test_x[:, 0, 0, 0].tolist() == second.test_x[:, 0, 0, 0].tolist()
    shown = first.train_x[:, 0, 0, 0].tolist() + first.test_x[:, 0, 0, 0].tolist()
    assert sorted(shown) == [*range(10), *range(100, 110)]
    assert len(load_data(tmp_path, test_fraction=0.5).test_x) == 10
    assert len(load_data(tmp_path, test_fraction=0.001).test_x) == 2  # at least one of each class


def test_images_are_scaled_to_cover_the_asked_frame(tmp_path):
    picture = np.zeros((8, 16, 3), np.uint8)
    picture[:, 4:12] = 255  # the middle square
    for name in ("train", "test"):
        (tmp_path / name / "x").mkdir(parents=True)
        Image.fromarray(picture).save(tmp_path / name / "x" / "a.png")
    paint(tmp_path / "train" / "x" / "b.png", 7, size=(30, 20))
    data = load_data(tmp_path, image_size=8)
    assert data.train_x.shape == (2, 3, 8, 8)
    assert (data.train_x[0] == 255).all()
    assert (data.train_x[1] == 7).all()
    assert load_data(tmp_path, image_size=[4, 6]).image_size == (4, 6)


def test_grey_images_have_one_channel_when_asked(tmp_path):
    for name in ("train", "test"):
        paint(tmp_path / name / "x" / "a.png", 9)
    data = load_data(tmp_path, channels=1)
    assert data.train_x.shape == (1, 1, 6, 5)
    assert (data.train_x == 9).all()


def build(folder, problem):
    paint(folder / "train" / "cat" / "a.png", 1)
    paint(folder / "val" / "cat" / "a.png", 1)
    if problem == "size":
        paint(folder / "train" / "cat" / "b.png", 1, size=(6, 7))
    elif problem == "test size":
        paint(folder / "val" / "cat" / "a.png", 1, size=(6, 7))
    elif problem == "damaged":
        whole = (folder / "train" / "cat" / "a.png").read_bytes()
        (folder / "train" / "cat" / "b.png").write_bytes(whole[: len(whole) // 2])
    elif problem == "text":
        (folder / "train" / "cat" / "b.png").write_text("no image")
    elif problem == "stranger":
        paint(folder / "val" / "dog" / "a.png", 1)
    elif problem == "empty class":
        (folder / "train" / "dog").mkdir()


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        ("size", r"b\.png: found 6 x 7 pixels after images of 6 x 5; expected one size, or pass image_size"),
        ("test size", "same channels, height, width"),
        ("damaged", r"b\.png: found no readable image"),
        ("text", r"b\.png: found no readable image"),
        ("stranger", "found the classes dog, which train/ does not have"),
        ("empty class", "dog: found no image"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(tmp_path, problem, message):
    build(tmp_path, problem)
    with pytest.raises(FileError, match=message):
        load_data(tmp_path)


def test_folders_without_a_test_split_classes_or_enough_images_are_refused(tmp_path):
    with pytest.raises(FileError, match="found no subfolder"):
        load_data(tmp_path)
    paint(tmp_path / "cat" / "a.png", 1)
    with pytest.raises(FileError, match="found one image; expected at least 2"):
        load_data(tmp_path)
    paint(tmp_path / "train" / "cat" / "a.png", 1)
    with pytest.raises(FileError, match="found train/ but no val/, test/, validation/"):
        load_data(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, "image_size=0"),
        ({"image_size": (4, 4, 3)}, "image_size="),
        ({"channels": 2}, "channels=2"),
        ({"test_fraction": 1.0}, "test_fraction=1.0"),
        ({"test_fraction": "half"}, "test_fraction='half'"),
        ({"layout": "NHWC"}, "no option layout"),
    ],
)
def test_wrong_folder_options_are_refused(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        load_data(tmp_path, **options)
