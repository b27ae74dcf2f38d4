"""A tiny trained run for the commands, and a recipe file that trains in a second."""

import pytest
import torch

from tamis.cli import main
from tamis.kernels import choices

RECIPE = """
name = "tiny"
[data]
source = "synthetic"
[model]
name = "mlp.plain"
options = { hidden = [16] }
[optimizer]
lr = 0.01
[train]
epochs = 5
batch_size = 256
"""


@pytest.fixture(autouse=True)
def _one_thread_and_fixed_choices():
    before, mode = torch.get_num_threads(), choices.mode
    torch.set_num_threads(1)
    choices.mode = "sparse"
    yield
    choices.mode = mode
    torch.set_num_threads(before)


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
