"""Study files: what is read, and one clear error for what is not."""

from pathlib import Path

import pytest

from tamis.errors import FileError, UsageError
from tamis.study import load_study

from .conftest import STUDY, write_study

FOLDER = Path(__file__).parents[2] / "recipes" / "studies"


def test_a_study_file_is_read_with_its_base_beside_it(study_file):
    study = load_study(study_file)
    assert study.methods == ("gmp", "oneshot")
    assert study.sparsity == (0.5, 0.75)
    assert study.seeds == (0,)
    assert study.base == str(study_file.parent / "tiny.toml")
    assert study.compared_with == "gmp"


@pytest.mark.parametrize("name", ["digits_methods", "fashion_mnist_methods", "cifar10_methods"])
def test_a_study_that_comes_with_tamis_is_found_by_name(name):
    study = load_study(name)
    assert study.name == name
    assert {"acdc", "gmp", "oneshot"} <= set(study.methods)
    assert study.sparsity == (0.8, 0.9, 0.95, 0.98)
    assert len(study.seeds) >= 3


def test_every_study_file_is_tested():
    assert {f.stem for f in FOLDER.glob("*.toml") if not f.stem.startswith("bias_")} == {
        "digits_methods",
        "fashion_mnist_methods",
        "cifar10_methods",
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('method = ["gmp"]', r"unknown key 'method'; did you mean methods"),
        ("seeds = [0.5]", r"seeds\[0\] = 0.5: expected a whole number"),
        ("seeds = []", "seeds: expected at least one"),
        ("seeds = [1, 1]", r"seeds = \[1, 1\]: expected each of them once"),
        ("seeds = [-1]", "seeds = -1"),
        ("sparsity = [90]", r"sparsity = 90.0: .*did you mean 0.9"),
        ("sparsity = [0.0]", "the dense baseline is always trained"),
        ('methods = ["gpm"]', r"unknown method 'gpm'.*did you mean 'gmp'"),
        ('methods = ["dense"]', "always trained as the baseline"),
        ('reference = "acdc"', "reference = 'acdc': expected one of gmp, oneshot or dense"),
        ("prune_at = 1.5", "prune_at = 1.5"),
        ("cells = { gpm = {} }", "cells: unknown method 'gpm'"),
        ("cells = { gmp = 3 }", "cells.gmp = 3: expected a table"),
        ('base = ""', "base: expected the recipe"),
        ('name = "a/b"', "name = 'a/b'"),
    ],
)
def test_a_bad_value_is_named(tmp_path, line, words):
    key = line.split(" ")[0]
    kept = [old for old in STUDY.splitlines() if not old.startswith(f"{key} ")]
    file = write_study(tmp_path, study="\n".join([*kept, line]))
    with pytest.raises(UsageError, match=words) as error:
        load_study(file)
    assert str(error.value).startswith(f"{file}: ")


def test_a_missing_study_lists_those_that_come_with_tamis():
    with pytest.raises(FileError, match=r"no such study.*digits_methods"):
        load_study("nothing")


def test_broken_toml_is_a_file_error(tmp_path):
    (tmp_path / "s.toml").write_text("name = ")
    with pytest.raises(FileError, match="no valid TOML"):
        load_study(tmp_path / "s.toml")
