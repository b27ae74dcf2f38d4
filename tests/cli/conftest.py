"""A tiny trained run for the commands, and a recipe file that trains in a second."""

import pytest

from tamis.cli import main
from tiny_recipe import tiny_recipe

RECIPE = tiny_recipe(epochs=5)


@pytest.fixture(autouse=True)
def _steady(one_thread, sparse_side):
    """Two runs of one command give the same numbers."""


@pytest.fixture
def recipe_file(tmp_path):
    file = tmp_path / "tiny.toml"
    file.write_text(RECIPE)
    return str(file)


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory):
    """Run folder of an AC/DC training at 75 %."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.toml").write_text(RECIPE)
    lengths = {"warmup": 1, "sparse": 1, "dense": 1, "last-dense": 1, "last-sparse": 2}
    flags = [text for name, epochs in lengths.items() for text in (f"--options.{name}", str(epochs))]
    arguments = ["--method", "acdc", "--sparsity", "0.75", *flags, "--out", str(folder / "run")]
    assert main(["train", str(folder / "tiny.toml"), *arguments]) == 0
    return folder / "run"
