"""Names and paths: the built-in sets, torchvision, and the errors for everything else."""

import builtins
import sys
import types

import numpy as np
import pytest
import torch

from tamis.data import channel_statistics, load_data
from tamis.errors import FileError, UsageError


def hide(monkeypatch, package):
    """Make ``import package`` fail, as on a machine without it."""
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.split(".")[0] == package:
            raise ImportError(f"No module named {package!r}")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_the_digits_have_their_fixed_split():
    pytest.importorskip("sklearn")
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_data("digits")
    bunch = load_digits()
    train_x, test_x, train_y, test_y = train_test_split(bunch.images, bunch.target, test_size=0.3, random_state=0)
    assert data.train_x.shape == (1257, 1, 8, 8)
    assert np.array_equal(data.train_x[:, 0].numpy() * 16, train_x)
    assert np.array_equal(data.test_x[:, 0].numpy() * 16, test_x)
    assert data.train_y.tolist() == train_y.tolist()
    assert data.test_y.tolist() == test_y.tolist()
    assert data.classes == tuple("0123456789")
    assert (data.mean, data.std) == channel_statistics(data.train_x)


def test_digits_without_scikit_learn_name_the_extra(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    hide(monkeypatch, "sklearn")
    with pytest.raises(UsageError, match=r"needs scikit-learn.*pip install 'tamis\[fair\]'"):
        load_data("digits")


def test_given_statistics_reach_the_data():
    data = load_data("synthetic", mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2))
    assert data.mean == (0.5, 0.4, 0.3)
    assert data.std == (0.2, 0.2, 0.2)


def test_synthetic_images_are_the_same_every_time_and_differ_by_seed():
    first, second, other = (load_data("synthetic", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.train_x, second.train_x)
    assert torch.equal(first.test_x, second.test_x)
    assert not torch.equal(first.train_x, other.train_x)
    assert first.train_x.dtype == torch.uint8


def test_synthetic_options_set_sizes_and_classes():
    data = load_data(
        "synthetic", train_images=20, test_images=9, num_classes=8, image_size=(8, 12), in_channels=1, noise=0
    )
    assert data.train_x.shape == (20, 1, 8, 12)
    assert data.test_x.shape == (9, 1, 8, 12)
    assert data.classes == ("rows", "columns", "diagonals", "chequers", "disc", "square", "diamond", "cross")
    assert torch.bincount(data.train_y).tolist() == [3, 3, 3, 3, 2, 2, 2, 2]
    # without noise there are two colours in a picture, and both appear
    assert all(len(image.unique()) == 2 for image in data.train_x)


def test_synthetic_rows_and_columns_are_what_they_say():
    data = load_data("synthetic", num_classes=2, noise=0, in_channels=1, train_images=10)
    for image, label in zip(data.train_x[:, 0].int(), data.train_y, strict=True):
        along = image.diff(dim=1 if label == 0 else 0)
        across = image.diff(dim=0 if label == 0 else 1)
        assert along.count_nonzero() == 0
        assert across.count_nonzero() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_images": 0}, "train_images=0"),
        ({"num_classes": 9}, "at most 8"),
        ({"noise": -1}, "noise=-1"),
        ({"image_size": (4, 16)}, "8 pixels"),
        ({"size": 3}, "no option size; its options: train_images"),
    ],
)
def test_wrong_synthetic_options_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        load_data("synthetic", **options)


def test_a_missing_path_and_a_foreign_file_are_refused(tmp_path):
    with pytest.raises(FileError, match=r"gone\.npz: found no such file"):
        load_data(tmp_path / "gone.npz")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(FileError, match=r"notes\.txt: found a file that does not end in \.npz"):
        load_data(tmp_path / "notes.txt")
    with pytest.raises(UsageError, match="expected digits, synthetic"):
        load_data("")


def test_digits_take_no_options():
    with pytest.raises(UsageError, match="data 'digits' has no option layout; its options: none"):
        load_data("digits", layout="NHWC")


class FakeSet:
    """Shaped like torchvision's CIFAR10."""

    classes = ("cat", "dog")

    def __init__(self, root, train=True, download=False):
        if root == "empty" and not download:
            raise RuntimeError("Dataset not found or corrupted. You can use download=True to download it")
        self.count = 6 if train else 4

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return np.full((4, 5, 3), index, np.uint8), index % 2


class FakeSplitSet(FakeSet):
    """Shaped like torchvision's SVHN; grey."""

    def __init__(self, root, split="train"):
        super().__init__(root, train=split == "train")

    def __getitem__(self, index):
        return np.full((4, 5), index, np.uint8), index % 2


@pytest.fixture
def torchvision(monkeypatch):
    package, sets = types.ModuleType("torchvision"), types.ModuleType("torchvision.datasets")
    package.datasets = sets
    sets.CIFAR10, sets.SVHN, sets.Odd = FakeSet, FakeSplitSet, type("Odd", (), {"__init__": lambda self, root: None})
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", sets)


@pytest.mark.usefixtures("torchvision")
def test_torchvision_sets_are_read_with_either_kind_of_split():
    data = load_data("torchvision:CIFAR10")
    assert data.train_x.shape == (6, 3, 4, 5)
    assert data.test_x[:, 2, 3, 4].tolist() == [0, 1, 2, 3]
    assert data.classes == ("cat", "dog")
    grey = load_data("torchvision:SVHN", root="anywhere")
    assert grey.train_x.shape == (6, 1, 4, 5)


@pytest.mark.usefixtures("torchvision")
@pytest.mark.parametrize(
    ("source", "options", "error", "message"),
    [
        ("torchvision:CIFAR10", {"root": "empty"}, FileError, "pass download=True"),
        ("torchvision:Cifar10", {}, UsageError, "has no 'Cifar10'"),
        ("torchvision:__loader__", {}, UsageError, "has no '__loader__'"),
        ("torchvision:", {}, UsageError, "has no ''"),
        ("torchvision:Odd", {}, UsageError, "no train and test split"),
        ("torchvision:CIFAR10", {"layout": "NHWC"}, UsageError, "no option layout"),
    ],
)
def test_torchvision_errors_say_what_to_do(source, options, error, message):
    with pytest.raises(error, match=message):
        load_data(source, **options)


def test_download_is_passed_on_when_asked(torchvision):
    assert len(load_data("torchvision:CIFAR10", root="empty", download=True).train_x) == 6


@pytest.mark.parametrize("error", [ImportError("No module named 'torchvision'"), RuntimeError("operator nms missing")])
def test_a_torchvision_that_does_not_import_is_named(monkeypatch, error):
    import importlib

    def refuse(name):
        raise error

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(UsageError, match="needs torchvision, which does not import here"):
        load_data("torchvision:CIFAR10")
