"""The twelve tasks, each from a tiny folder in the layout of its official archive."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tamis.errors import FileError
from tamis.transfer import REGISTRY, PhotoTransform, load_task
from tamis.transfer._archives import by_number, first_of_each_class

VECTORS = json.loads((Path(__file__).parents[1] / "golden/transfer_small.json").read_text())


def image(file: Path) -> None:
    module = pytest.importorskip("PIL.Image")
    file.parent.mkdir(parents=True, exist_ok=True)
    module.fromarray(np.full((9, 12, 3), 100, np.uint8)).save(file)


def text(file: Path, *lines: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")


def aircraft(root):
    home = root / "fgvc-aircraft-2013b" / "data"
    for split, lines in {
        "train": ["001 F/A-18", "002 707-320"],
        "val": ["003 707-320"],
        "test": ["004 F/A-18"],
    }.items():
        text(home / f"images_variant_{split}.txt", *lines)
    for number in ("001", "002", "003", "004"):
        image(home / "images" / f"{number}.jpg")
    return (
        ["707-320", "F/A-18"],
        ["data/images/002.jpg", "data/images/001.jpg", "data/images/003.jpg"],
        [False, False, True],
    )


def birds(root):
    for name in ("train/Owl/1.jpg", "train/Auk/2.jpg", "test/Owl/3.jpg", "test/Auk/4.jpg"):
        image(root / "birdsnap" / name)
    return ["Auk", "Owl"], ["train/Auk/2.jpg", "train/Owl/1.jpg"], None


def caltech(root, folder, names, count):
    for name in names:
        for i in range(1, count + 3):
            image(root / folder / name / f"image_{i:04d}.jpg")


def caltech101(root):
    caltech(root / "caltech101", "101_ObjectCategories", ["ant", "BACKGROUND_Google", "Faces"], 30)
    base = "101_ObjectCategories"
    return ["Faces", "ant"], [f"{base}/{c}/image_{i:04d}.jpg" for c in ("Faces", "ant") for i in range(1, 31)], None


def caltech256(root):
    caltech(root / "caltech256", "256_ObjectCategories", ["001.ak47", "257.clutter"], 60)
    text(root / "caltech256/256_ObjectCategories/001.ak47/RENAME2", "junk that the archive has")
    base, names = "256_ObjectCategories", ["001.ak47", "257.clutter"]
    return names, [f"{base}/{c}/image_{i:04d}.jpg" for c in names for i in range(1, 61)], None


def cars(root):
    savemat = pytest.importorskip("scipy.io").savemat
    home = root / "stanford_cars"
    kind = [("class", "O"), ("fname", "O")]
    for number, split in (("00001", "train"), ("00002", "train"), ("00001", "test")):
        image(home / f"cars_{split}" / f"{number}.jpg")
    (home / "devkit").mkdir()
    savemat(home / "devkit/cars_meta.mat", {"class_names": np.array(["Audi", "BMW"], object)})
    train = np.array([(2, "00001.jpg"), (1, "00002.jpg")], kind)
    savemat(home / "devkit/cars_train_annos.mat", {"annotations": train})
    savemat(home / "cars_test_annos_withlabels.mat", {"annotations": np.array([(2, "00001.jpg")], kind)})
    return ["Audi", "BMW"], ["cars_train/00002.jpg", "cars_train/00001.jpg"], None


def cifar10(root):
    home = root / "cifar-10-batches-bin"
    home.mkdir()
    for i, name in enumerate([f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]):
        record = np.concatenate([[i % 2], np.full(1024, 10 * i), np.zeros(2048)]).astype(np.uint8)
        (home / f"{name}.bin").write_bytes(record.tobytes())
    text(home / "batches.meta.txt", "airplane", "automobile")
    return ["airplane", "automobile"], None, None


def cifar100(root):
    home = root / "cifar-100-binary"
    home.mkdir()
    for name in ("train", "test"):
        records = [np.concatenate([[9, fine], np.full(3072, 50)]).astype(np.uint8) for fine in (1, 0)]
        (home / f"{name}.bin").write_bytes(np.concatenate(records).tobytes())
    text(home / "fine_label_names.txt", "apple", "bear")
    return ["apple", "bear"], None, None


def dtd(root):
    for split, numbers in {"train": (1, 2), "val": (3,), "test": (4,)}.items():
        names = [f"{c}/{c}_{i:04d}.jpg" for c in ("banded", "woven") for i in numbers]
        text(root / "dtd/labels" / f"{split}1.txt", *names)
        text(root / "dtd/labels" / f"{split}2.txt", "another/partition.jpg")
        for name in names:
            image(root / "dtd/images" / name)
    train = [f"images/{c}/{c}_000{i}.jpg" for c in ("banded", "woven") for i in (1, 2)]
    val = [f"images/{c}/{c}_0003.jpg" for c in ("banded", "woven")]
    return ["banded", "woven"], train + val, [False] * 4 + [True] * 2


def flowers(root):
    savemat = pytest.importorskip("scipy.io").savemat
    home = root / "flowers-102"
    for number in range(1, 7):
        image(home / f"jpg/image_{number:05d}.jpg")
    savemat(home / "imagelabels.mat", {"labels": np.array([[1, 2, 1, 2, 1, 2]], np.uint8)})
    savemat(home / "setid.mat", {"trnid": [[2, 1]], "valid": [[4, 3]], "tstid": [[5, 6]]})
    return ["001", "002"], [f"jpg/image_0000{i}.jpg" for i in (1, 2, 3, 4)], [False, False, True, True]


def food101(root):
    home = root / "food-101"
    for split, numbers in {"train": (10, 11), "test": (12,)}.items():
        names = [f"{c}/{i}" for c in ("waffles", "apple_pie") for i in numbers]
        text(home / "meta" / f"{split}.txt", *names)
        for name in names:
            image(home / "images" / f"{name}.jpg")
    return ["apple_pie", "waffles"], [f"images/{c}/{i}.jpg" for c in ("apple_pie", "waffles") for i in (10, 11)], None


def pets(root):
    home = root / "oxford-iiit-pet"
    text(home / "annotations/trainval.txt", "Abyssinian_2 1 1 1", "great_pyrenees_10 2 2 1")
    text(home / "annotations/test.txt", "Abyssinian_3 1 1 1")
    for name in ("Abyssinian_2", "great_pyrenees_10", "Abyssinian_3"):
        image(home / "images" / f"{name}.jpg")
    return ["Abyssinian", "great_pyrenees"], ["images/Abyssinian_2.jpg", "images/great_pyrenees_10.jpg"], None


def sun(root):
    home = root / "SUN397"
    text(home / "Training_01.txt", "/a/apse/indoor/s2.jpg", "/a/abbey/s1.jpg")
    text(home / "Testing_01.txt", "/a/abbey/s3.jpg")
    text(home / "Training_02.txt", "/a/abbey/s9.jpg")
    for name in ("a/abbey/s1.jpg", "a/apse/indoor/s2.jpg", "a/abbey/s3.jpg"):
        image(home / name)
    return ["a/abbey", "a/apse/indoor"], ["a/abbey/s1.jpg", "a/apse/indoor/s2.jpg"], None


LAYOUTS = {
    "aircraft": aircraft, "birds": birds, "caltech101": caltech101, "caltech256": caltech256, "cars": cars,
    "cifar10": cifar10, "cifar100": cifar100, "dtd": dtd, "flowers": flowers, "food101": food101, "pets": pets,
    "SUN": sun,
}  # fmt: skip


def test_there_are_twelve_tasks_and_a_layout_of_each_is_tested():
    assert len(REGISTRY) == 12
    assert set(LAYOUTS) == set(REGISTRY)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_official_layout_is_read(tmp_path, name):
    classes, train, val = LAYOUTS[name](tmp_path)
    task = load_task(name, root=tmp_path, any_size=True)
    assert list(task.classes) == classes
    assert task.metric == REGISTRY[name].metric
    assert task.mean is not None
    if train is not None:
        assert task.train.names() == train
    assert (None if task.official_val is None else task.official_val.tolist()) == val
    images, labels = next(task.ordered_batches("test", PhotoTransform(size=8, resize=9)))
    assert images.shape == (task.n_test, 3, 8, 8)
    assert len(labels) == task.n_test


@pytest.mark.parametrize("name", LAYOUTS)
def test_another_size_is_refused_unless_asked_for(tmp_path, name):
    LAYOUTS[name](tmp_path)
    with pytest.raises(FileError, match=f"expected {REGISTRY[name].classes}, {REGISTRY[name].n_train} and"):
        load_task(name, root=tmp_path)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_task_that_is_not_there_says_where_to_get_it(tmp_path, name):
    with pytest.raises(FileError) as caught:
        load_task(name, root=tmp_path)
    assert REGISTRY[name].source in str(caught.value)


@pytest.mark.parametrize("name", ["birds", "cars"])
def test_what_cannot_be_downloaded_any_more_says_so(name):
    assert "cannot be downloaded" in REGISTRY[name].source


def test_cifar_records_have_their_label_first_and_planes_in_order(tmp_path):
    cifar10(tmp_path)
    task = load_task("cifar10", root=tmp_path, any_size=True)
    assert task.labels("train").tolist() == [0, 1, 0, 1, 0]
    pixels = task.train.take(torch.tensor([3]))
    assert pixels[0, 0].unique().tolist() == [30]
    assert pixels[0, 1:].unique().tolist() == [0]


def test_the_fine_label_of_cifar100_counts(tmp_path):
    cifar100(tmp_path)
    assert load_task("cifar100", root=tmp_path, any_size=True).labels("test").tolist() == [1, 0]


def test_the_python_version_of_cifar_is_not_unpickled(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(Exception, match="torchvision"):
        load_task("cifar10", root=tmp_path)


@pytest.mark.parametrize(
    ("name", "file"), [("aircraft", "data/images_variant_val.txt"), ("flowers", "setid.mat"), ("SUN", "Testing_01.txt")]
)
def test_a_missing_list_is_named(tmp_path, name, file):
    LAYOUTS[name](tmp_path)
    folder = REGISTRY[name].find(tmp_path)
    (folder / file).unlink()
    with pytest.raises(FileError, match=Path(file).name):
        load_task(name, root=tmp_path, any_size=True)


def test_a_damaged_mat_file_is_refused_by_name(tmp_path):
    flowers(tmp_path)
    file = tmp_path / "flowers-102/setid.mat"
    file.write_bytes(file.read_bytes()[:150])
    with pytest.raises(FileError, match=r"setid\.mat"):
        load_task("flowers", root=tmp_path, any_size=True)


def test_an_image_of_the_list_that_is_missing_is_named(tmp_path):
    food101(tmp_path)
    (tmp_path / "food-101/images/waffles/12.jpg").unlink()
    with pytest.raises(FileError, match=r"waffles/12\.jpg: no such file"):
        load_task("food101", root=tmp_path, any_size=True)


def test_the_first_images_of_each_class_go_by_class_name_and_number(tmp_path):
    case = VECTORS["first_k_split"]
    for name in case["files"]:
        image(tmp_path / name)
    rows = first_of_each_class(tmp_path, "none", case["k"])
    for split in ("train", "test"):
        assert [path for path, _, s in rows if s == split] == case[split]


def test_image_numbers_are_integers():
    assert by_number(["a_10.jpg", "a_9.jpg", "b.jpg", "a_0008.jpg"]) == ["a_0008.jpg", "a_9.jpg", "a_10.jpg", "b.jpg"]


def test_sizes_and_metrics_are_those_of_the_protocol():
    # classes, train, test, metric of the table of the twelve tasks
    expected = {
        "aircraft": (100, 6667, 3333, "mean_per_class"), "birds": (500, 32677, 8171, "top1"),
        "caltech101": (101, 3030, 5647, "mean_per_class"), "caltech256": (257, 15420, 15187, "mean_per_class"),
        "cars": (196, 8144, 8041, "top1"), "cifar10": (10, 50000, 10000, "top1"),
        "cifar100": (100, 50000, 10000, "top1"),
        "dtd": (47, 3760, 1880, "top1"), "flowers": (102, 2040, 6149, "mean_per_class"),
        "food101": (101, 75750, 25250, "top1"), "pets": (37, 3680, 3669, "mean_per_class"),
        "SUN": (397, 19850, 19850, "top1"),
    }  # fmt: skip
    found = {name: (k.classes, k.n_train, k.n_test, k.metric) for name, k in REGISTRY.items()}
    assert found == expected
    assert all(dataclasses.is_dataclass(known) for known in REGISTRY.values())
