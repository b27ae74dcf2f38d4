"""Tasks of the user's own: image folders, split lists, .npz files and tensors."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from tamis.arrays import array_names, read_arrays
from tamis.data import ImageData, read_npz
from tamis.data._folder import _SUFFIXES
from tamis.data._npz import Layout
from tamis.errors import FileError, UsageError
from tamis.transfer._images import ImageArray, ImageFiles, joined
from tamis.transfer._task import Metric, Task

Channels = tuple[float, ...]


def from_tensors(
    name: str,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    *,
    classes: Sequence[str] | None = None,
    metric: Metric = "top1",
    val: tuple[Tensor, Tensor] | None = None,
    mean: Channels | None = None,
    std: Channels | None = None,
) -> Task:
    """A task from (images, labels) pairs: (N, C, H, W) uint8 or float32 from 0 to 1 with C 1 or 3, int64 (N,).

    Without ``classes`` their names are "0", "1", ... up to the highest label.  ``val`` becomes part of the training
    images and is what chooses hyper-parameters.

    Raises ``UsageError`` where shapes, dtypes or labels do not fit.
    """
    parts = [ImageArray(*train), *([] if val is None else [ImageArray(*val)])]
    held_out = ImageArray(*test)
    highest = max(int(part.labels.max()) for part in [*parts, held_out])
    names = [str(label) for label in range(highest + 1)] if classes is None else list(classes)
    mask = None if val is None else torch.arange(sum(map(len, parts))) >= len(parts[0])
    return Task(name, tuple(names), joined(parts), held_out, metric, mask, mean, std)


def from_image_data(data: ImageData, *, name: str = "", metric: Metric = "top1") -> Task:
    """A task from what the readers of :mod:`tamis.data` return, with its mean and std as the task's."""
    return Task(
        name or plain_name(data.name),
        data.classes,
        ImageArray(data.train_x, data.train_y),
        ImageArray(data.test_x, data.test_y),
        metric,
        None,
        data.mean,
        data.std,
    )


def from_npz(
    path: str | os.PathLike[str], *, name: str = "", metric: Metric = "top1", layout: Layout | None = None
) -> Task:
    """A task from an ``.npz`` file with ``x_train``, ``y_train``, ``x_test``, ``y_test`` (see ``tamis.data.read_npz``).

    A file that also has ``val_start``, one integer, says that its training images from that row on are the official
    validation set.

    Raises ``FileError`` for a missing, damaged or mis-shaped file.
    """
    file = Path(path)
    task = from_image_data(read_npz(file, layout), name=name or plain_name(file.stem), metric=metric)
    if "val_start" not in array_names(file):
        return task
    start = read_arrays(file, ["val_start"])["val_start"]
    if start.size != 1 or start.dtype.kind not in "iu" or not 0 < int(start.reshape(())) < task.n_train:
        raise FileError(f"{file}: val_start is {start!r}; expected one row number between 1 and {task.n_train - 1}")
    mask = torch.arange(task.n_train) >= int(start.reshape(()))
    return Task(task.name, task.classes, task.train, task.test, metric, mask, task.mean, task.std)


def from_folder(path: str | os.PathLike[str], *, name: str = "", metric: Metric = "top1") -> Task:
    """A task from a folder of images; nothing is decoded before it is needed, so the folder may be large.

    Either ``train/CLASS/*`` with ``test/CLASS/*``; a folder ``val`` or ``validation`` beside both is the official
    validation set, and without ``test`` it is the test split.  Or ``CLASS/*`` alone: of each class, in order of the
    file names, every fifth file is a test image.  Classes and files are sorted by name; hidden files and files without
    an image's ending are passed over.

    Raises ``FileError`` naming the folder if a split or a class has no images, or a split has a class that train lacks.
    """
    root = Path(path)
    if not root.is_dir():
        raise FileError(f"{root}: found no such folder; expected one subfolder of images for each class")
    given = name or plain_name(root.resolve().name)
    if not (root / "train").is_dir():
        rows = [
            (file, label, "test" if i % 5 == 4 else "train")
            for label, files in _class_files(root, root).items()
            for i, file in enumerate(files)
        ]
        return from_lists(given, root, rows, metric=metric)
    present = [folder for folder in ("test", "val", "validation") if (root / folder).is_dir()]
    if not present:
        raise FileError(f"{root}: found train/ but no test/, val/ or validation/; expected a test split beside it")
    roles = {"train": "train", present[0]: "test", **({present[1]: "val"} if len(present) > 1 else {})}
    rows = [
        (file, label, split)
        for folder, split in roles.items()
        for label, files in _class_files(root, root / folder).items()
        for file in files
    ]
    return from_lists(given, root, rows, metric=metric)


def from_lists(
    name: str,
    root: str | os.PathLike[str],
    rows: Iterable[tuple[str, str, str]],
    *,
    classes: Sequence[str] | None = None,
    metric: Metric = "top1",
    mean: Channels | None = None,
    std: Channels | None = None,
) -> Task:
    """A task from rows (path relative to ``root``, class name, ``train`` | ``val`` | ``test``).

    Rows are sorted by split, class and path, so their order does not matter; without ``classes`` the classes are the
    class names of the training rows, sorted.

    Raises ``UsageError`` for an unknown split, a path that leaves ``root`` or occurs twice, a test class without a
    training row, or a split without images; ``FileError`` for a file that does not exist.
    """
    folder = Path(root)
    by_split: dict[str, list[tuple[str, str]]] = {"train": [], "val": [], "test": []}
    seen: set[str] = set()
    for file, label, split in rows:
        path = PurePosixPath(file)
        if split not in by_split:
            raise UsageError(f"task {name}: split {split!r} of {file}; expected train, val or test")
        if path.is_absolute() or ".." in path.parts:
            raise UsageError(f"task {name}: {file}; expected a path inside {folder}")
        if str(path) in seen:
            raise UsageError(f"task {name}: {file} is listed twice; an image may be in one split only")
        if not (folder / path).is_file():
            raise FileError(f"{folder / path}: no such file, but the split of task {name} lists it")
        seen.add(str(path))
        by_split[split].append((label, str(path)))
    known = sorted({label for label, _ in by_split["train"]}) if classes is None else list(classes)
    number = {label: i for i, label in enumerate(known)}
    strangers = sorted({label for found in by_split.values() for label, _ in found} - set(number))
    if strangers:
        raise UsageError(f"task {name}: classes {', '.join(strangers[:5])} have no training image")
    for split in ("train", "test"):
        if not by_split[split]:
            raise UsageError(f"task {name}: found no {split} images; expected at least one")
    found = {split: _files(folder, sorted(by_split[split]), number) for split in by_split if by_split[split]}
    parts = [found[split] for split in ("train", "val") if split in found]
    mask = torch.arange(sum(map(len, parts))) >= len(parts[0]) if "val" in found else None
    return Task(name, tuple(known), joined(parts), found["test"], metric, mask, mean, std)


def _files(folder: Path, rows: Sequence[tuple[str, str]], number: Mapping[str, int]) -> ImageFiles:
    labels = torch.tensor([number[label] for label, _ in rows])
    return ImageFiles(folder, tuple(file for _, file in rows), labels)


def _class_files(root: Path, folder: Path) -> dict[str, list[str]]:
    """Class name -> its image files relative to ``root``, both sorted."""
    found = {}
    for child in sorted(folder.iterdir()):
        if not child.is_dir() or child.name.startswith("."):
            continue
        files = sorted(file for file in child.iterdir() if is_image(file))
        if not files:
            raise FileError(f"{child}: found no image; expected files ending in {', '.join(sorted(_SUFFIXES))}")
        found[child.name] = [file.relative_to(root).as_posix() for file in files]
    if not found:
        raise FileError(f"{folder}: found no subfolder; expected one subfolder of images for each class")
    return found


def is_image(file: Path) -> bool:
    """Whether a file looks like an image by its name; hidden files do not."""
    return file.suffix.lower() in _SUFFIXES and not file.name.startswith(".") and file.is_file()


def plain_name(name: str) -> str:
    """A file's name as a task's name."""
    return "".join(letter if letter.isalnum() or letter in "_-." else "_" for letter in name) or "task"
