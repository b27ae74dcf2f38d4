"""The twelve tasks of the paper: classes, sizes, metric, split rule and where the files come from.

Source: Iofinova et al. 2022 (arXiv:2111.13445) and the code of that paper; metrics follow Kornblith et al. 2019
(arXiv:1805.08974).  Published Birdsnap splits differ, so absolute numbers on it are compared with nobody.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tamis.data import read_torchvision
from tamis.errors import FileError
from tamis.transfer import _archives as archives
from tamis.transfer import _cifar as cifar
from tamis.transfer._normalisation import MEAN_STD
from tamis.transfer._own_tasks import from_lists, from_tensors
from tamis.transfer._task import Metric, Task


@dataclass(frozen=True)
class KnownTask:
    """A task that tamis knows how to read, but not its images.

    Attributes:
        name: as in the results.
        title: the data set's own name.
        classes, n_train, n_test: what the official archive has; train includes official validation images.
        metric: the primary accuracy.
        rule: how train and test are split.
        folders: names that the unpacked archive may have under ``root``.
        read: from that folder to the task.
        source: where to get it, and what is in the way.
    """

    name: str
    title: str
    classes: int
    n_train: int
    n_test: int
    metric: Metric
    rule: str
    folders: tuple[str, ...]
    read: Callable[[KnownTask, Path], Task]
    source: str

    def find(self, root: str | os.PathLike[str]) -> Path | None:
        """The unpacked archive under ``root``, or ``root`` itself if it has one of its names; None if neither."""
        home = Path(root)
        if home.name in self.folders and home.is_dir():
            return home
        return next((home / name for name in self.folders if (home / name).is_dir()), None)

    def open(self, root: str | os.PathLike[str], *, any_size: bool = False) -> Task:
        """Read lists and folders, check the sizes, and return the task.

        Args:
            root: holds the unpacked archive.
            any_size: accept other numbers of classes and images, such as those of a partial copy.

        Raises:
            FileError: the archive is not there, a file of it is missing or damaged, or the sizes differ.
        """
        folder = self.find(root)
        if folder is None:
            raise FileError(
                f"task {self.name}: found none of the folders {', '.join(self.folders)} in {Path(root)}. {self.source}"
            )
        task = self.read(self, folder)
        expected, found = (self.classes, self.n_train, self.n_test), (task.num_classes, task.n_train, task.n_test)
        if found != expected and not any_size:
            raise FileError(
                f"{folder}: found {found[0]} classes, {found[1]} train and {found[2]} test images; expected "
                f"{expected[0]}, {expected[1]} and {expected[2]} of {self.title}. Another version or a partial copy "
                "gives other numbers; any_size=True (--any-size) accepts it"
            )
        return task


def _listed(reader: Callable[[Path], archives.Listing]) -> Callable[[KnownTask, Path], Task]:
    def read(known: KnownTask, folder: Path) -> Task:
        mean, std = MEAN_STD[known.name]
        return from_lists(known.name, folder, reader(folder), metric=known.metric, mean=mean, std=std)

    return read


def _cifar(known: KnownTask, folder: Path) -> Task:
    mean, std = MEAN_STD[known.name]
    if folder.name in cifar.PYTHON_VERSIONS:  # a pickle: torchvision opens it, after comparing checksums
        data = read_torchvision(known.name.upper(), folder.parent)
        train, test, names = (data.train_x, data.train_y), (data.test_x, data.test_y), list(data.classes)
    else:
        train, test, names = (cifar.cifar10 if known.name == "cifar10" else cifar.cifar100)(folder)
    return from_tensors(known.name, train, test, classes=names, metric=known.metric, mean=mean, std=std)


_MOVED = "Its page has moved more than once; look for the official archive by its name"
_ALL = (
    KnownTask("aircraft", "FGVC-Aircraft", 100, 6667, 3333, "mean_per_class", "train + val / test",
              ("fgvc-aircraft-2013b", "aircraft"), _listed(archives.aircraft),
              "Unpack fgvc-aircraft-2013b.tar.gz of the Visual Geometry Group, Oxford, there"),
    KnownTask("birds", "Birdsnap", 500, 32677, 8171, "top1", "folder split of Salman et al. 2020",
              ("birdsnap", "birds"), _listed(archives.split_folders),
              "Birdsnap cannot be downloaded any more: it was a list of web addresses, many of which are dead. If you "
              "have the copy of Salman et al. 2020, put its train/ and test/ there"),
    KnownTask("caltech101", "Caltech-101", 101, 3030, 5647, "mean_per_class",
              "first 30 images of each class / rest, no background class",
              ("caltech101", "caltech-101", "101_ObjectCategories"), _listed(archives.caltech101),
              f"{_MOVED}, 101_ObjectCategories.tar.gz, and unpack it in caltech101/"),
    KnownTask("caltech256", "Caltech-256", 257, 15420, 15187, "mean_per_class",
              "first 60 images of each class / rest, clutter is a class",
              ("caltech256", "caltech-256", "256_ObjectCategories"), _listed(archives.caltech256),
              f"{_MOVED}, 256_ObjectCategories.tar, and unpack it in caltech256/"),
    KnownTask("cars", "Stanford Cars", 196, 8144, 8041, "top1", "official",
              ("stanford_cars", "cars"), _listed(archives.cars),
              "Stanford Cars cannot be downloaded from its home any more, and torchvision has disabled its download. "
              "If you have cars_train, cars_test, devkit and cars_test_annos_withlabels.mat, put them there"),
    KnownTask("cifar10", "CIFAR-10", 10, 50000, 10000, "top1", "official",
              ("cifar-10-batches-bin", "cifar10", "cifar-10-batches-py"), _cifar,
              "Unpack cifar-10-binary.tar.gz there; the Python version is a pickle, which only torchvision opens"),
    KnownTask("cifar100", "CIFAR-100", 100, 50000, 10000, "top1", "official",
              ("cifar-100-binary", "cifar100", "cifar-100-python"), _cifar,
              "Unpack cifar-100-binary.tar.gz there; the Python version is a pickle, which only torchvision opens"),
    KnownTask("dtd", "Describable Textures", 47, 3760, 1880, "top1", "partition 1: train + val / test",
              ("dtd",), _listed(archives.dtd), "Unpack dtd-r1.0.1.tar.gz of the Visual Geometry Group, Oxford, there"),
    KnownTask("flowers", "Oxford Flowers-102", 102, 2040, 6149, "mean_per_class", "train + val / test",
              ("flowers-102", "flowers"), _listed(archives.flowers),
              "Put jpg/ (102flowers.tgz), imagelabels.mat and setid.mat of the Visual Geometry Group, Oxford, in "
              "flowers-102/"),
    KnownTask("food101", "Food-101", 101, 75750, 25250, "top1", "official",
              ("food-101", "food101"), _listed(archives.food101), "Unpack food-101.tar.gz of ETH Zurich there"),
    KnownTask("pets", "Oxford-IIIT Pet", 37, 3680, 3669, "mean_per_class", "trainval / test",
              ("oxford-iiit-pet", "pets"), _listed(archives.pets),
              "Unpack images.tar.gz and annotations.tar.gz of the Visual Geometry Group, Oxford, in oxford-iiit-pet/"),
    KnownTask("SUN", "SUN397", 397, 19850, 19850, "top1", "official partition 01",
              ("SUN397", "SUN"), _listed(archives.sun397),
              "Unpack SUN397.tar.gz there, and Partitions.zip of the same project inside it"),
)  # fmt: skip

REGISTRY: dict[str, KnownTask] = {known.name: known for known in _ALL}
