"""The official archives of the twelve tasks, as they unpack: which file has which class and belongs to which split.

Each reader takes the unpacked folder and returns rows (path relative to it, class, ``train`` | ``val`` | ``test``).
Only lists and folder names are read; images are decoded when a batch needs them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tamis.documents import is_file, read_text
from tamis.errors import FileError, UsageError
from tamis.transfer._own_tasks import is_image

Listing = list[tuple[str, str, str]]

_NUMBER = re.compile(r"(\d+)$")


def aircraft(folder: Path) -> Listing:
    """FGVC-Aircraft, 100 variants: ``data/images_variant_{train,val,test}.txt`` with lines ``ID VARIANT``."""
    base = "data/" if (folder / "data").is_dir() else ""
    rows = []
    for split in ("train", "val", "test"):
        for line in lines_of(folder / f"{base}images_variant_{split}.txt"):
            number, _, variant = line.partition(" ")
            rows.append((f"{base}images/{number}.jpg", variant.strip(), split))
    return rows


def split_folders(folder: Path) -> Listing:
    """``train/CLASS/*`` and ``test/CLASS/*``: Birdsnap as Salman et al. 2020 (arXiv:2007.08489) distribute it."""
    return [
        (file.relative_to(folder).as_posix(), file.parent.name, split)
        for split in ("train", "test")
        for file in images_of(folder / split)
    ]


def caltech101(folder: Path) -> Listing:
    """``101_ObjectCategories/CLASS/image_0001.jpg``: the first 30 of each class train; no background class."""
    return first_of_each_class(folder, "101_ObjectCategories", 30, without=("BACKGROUND_Google",))


def caltech256(folder: Path) -> Listing:
    """``256_ObjectCategories/001.ak47/001_0001.jpg``: the first 60 of each class train; clutter is a class."""
    return first_of_each_class(folder, "256_ObjectCategories", 60)


def cars(folder: Path) -> Listing:
    """Stanford Cars: ``cars_train``, ``cars_test`` and the devkit's ``.mat`` files (needs SciPy)."""
    names = [str(name) for name in matlab(folder / "devkit" / "cars_meta.mat")["class_names"].tolist()]
    rows = []
    for split, choices in {
        "train": ("devkit/cars_train_annos.mat",),
        "test": ("cars_test_annos_withlabels.mat", "devkit/cars_test_annos_withlabels.mat"),
    }.items():
        file = next((folder / c for c in choices if (folder / c).is_file()), folder / choices[0])
        annotations = matlab(file)["annotations"].reshape(-1)
        for entry in annotations:
            label = int(entry["class"])
            if not 1 <= label <= len(names):
                raise FileError(f"{file}: class {label}; expected 1 to {len(names)}, the names in cars_meta.mat")
            rows.append((f"cars_{split}/{entry['fname']}", names[label - 1], split))
    return rows


def dtd(folder: Path) -> Listing:
    """Describable Textures, partition 1: ``labels/{train,val,test}1.txt`` with lines ``CLASS/FILE``."""
    base = "dtd/" if (folder / "dtd").is_dir() else ""
    return [
        (f"{base}images/{line}", line.partition("/")[0], split)
        for split in ("train", "val", "test")
        for line in lines_of(folder / f"{base}labels/{split}1.txt")
    ]


def flowers(folder: Path) -> Listing:
    """Flowers-102: ``jpg/image_00001.jpg``, ``imagelabels.mat``, ``setid.mat`` (needs SciPy)."""
    labels = matlab(folder / "imagelabels.mat")["labels"].reshape(-1).tolist()
    ids = matlab(folder / "setid.mat")
    rows = []
    for split, key in {"train": "trnid", "val": "valid", "test": "tstid"}.items():
        for number in ids[key].reshape(-1).tolist():
            if not 1 <= number <= len(labels):
                raise FileError(f"{folder / 'setid.mat'}: image {number}; expected 1 to {len(labels)}")
            rows.append((f"jpg/image_{number:05d}.jpg", f"{labels[number - 1]:03d}", split))
    return rows


def food101(folder: Path) -> Listing:
    """Food-101: ``meta/{train,test}.txt`` with lines ``CLASS/ID``."""
    return [
        (f"images/{line}.jpg", line.partition("/")[0], split)
        for split in ("train", "test")
        for line in lines_of(folder / "meta" / f"{split}.txt")
    ]


def pets(folder: Path) -> Listing:
    """Oxford-IIIT Pet: ``annotations/{trainval,test}.txt`` with lines ``CLASS_NUMBER ID SPECIES BREED``."""
    return [
        (f"images/{name}.jpg", name.rpartition("_")[0], split)
        for file, split in (("trainval", "train"), ("test", "test"))
        for name in (line.split()[0] for line in lines_of(folder / "annotations" / f"{file}.txt"))
    ]


def sun397(folder: Path) -> Listing:
    """SUN397, official partition 01: ``Training_01.txt`` and ``Testing_01.txt`` with lines ``/a/abbey/FILE``."""
    rows = []
    for file, split in (("Training", "train"), ("Testing", "test")):
        choices = (folder / f"{file}_01.txt", folder / "Partitions" / f"{file}_01.txt")
        found = next((choice for choice in choices if choice.is_file()), choices[0])
        for line in lines_of(found):
            path = line.lstrip("/")
            rows.append((path, path.rpartition("/")[0], split))
    return rows


def first_of_each_class(folder: Path, base: str, count: int, without: Sequence[str] = ()) -> Listing:
    """Classes sorted by name, images of a class by their number: the first ``count`` train, the rest test."""
    home = folder / base if (folder / base).is_dir() else folder
    rows = []
    for child in sorted(home.iterdir()) if home.is_dir() else []:
        if not child.is_dir() or child.name in without or child.name.startswith("."):
            continue
        files = by_number(file.name for file in child.iterdir() if is_image(file))
        rows += [
            ((child / name).relative_to(folder).as_posix(), child.name, "train" if i < count else "test")
            for i, name in enumerate(files)
        ]
    if not rows:
        raise FileError(f"{home}: found no subfolders with images; expected one for each class")
    return rows


def by_number(names: Iterable[str]) -> list[str]:
    """File names by the number that their stem ends in, as an integer; names without one come last, sorted.

    >>> by_number(["image_0010.jpg", "image_2.jpg"])
    ['image_2.jpg', 'image_0010.jpg']
    """

    def key(name: str) -> tuple[float, str]:
        found = _NUMBER.search(Path(name).stem)
        return (int(found.group(1)) if found else float("inf"), name)

    return sorted(names, key=key)


def images_of(folder: Path) -> list[Path]:
    """The images in the subfolders of a folder, sorted."""
    if not folder.is_dir():
        raise FileError(f"{folder}: found no such folder; expected one subfolder of images for each class")
    return sorted(file for file in folder.glob("*/*") if is_image(file))


def lines_of(file: Path) -> list[str]:
    """The lines of a list, without blank ones.

    Raises ``FileError`` if it is missing or no text.
    """
    text = read_text(file, "a list of images, which belongs to the official archive")
    return [line.strip() for line in text.splitlines() if line.strip()]


_READ_ONCE = "import sys; from scipy.io import loadmat; loadmat(sys.argv[1], squeeze_me=True)"


def matlab(file: Path) -> dict[str, Any]:
    """The arrays of a ``.mat`` file.

    Raises ``FileError`` if it is missing or damaged; ``UsageError`` without SciPy.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise UsageError(
            f"{file}: .mat files need SciPy ({error}); install it with: pip install 'tamis[fair]'"
        ) from error
    if not is_file(file):
        raise FileError(f"{file}: no such file; it belongs to the official archive")
    # SciPy's reader is compiled, and some damaged files end the process that reads them: better another one.
    trial = subprocess.run([sys.executable, "-c", _READ_ONCE, str(file)], capture_output=True, check=False)
    if trial.returncode not in (0, 1):  # 1: an exception, which comes again below
        raise FileError(f"{file}: found a damaged file, at which SciPy's reader crashes; expected a MATLAB file")
    try:
        return loadmat(file, squeeze_me=True)
    except Exception as error:  # damaged files raise ValueError, TypeError, zlib.error, MatReadError ...
        raise FileError(f"{file}: found a damaged or foreign file ({error}); expected a MATLAB file") from None
