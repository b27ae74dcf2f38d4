"""The recipe of a run that takes a second."""

from __future__ import annotations


def tiny_recipe(epochs: int) -> str:
    """A dense perceptron on synthetic images, as TOML."""
    return f"""
name = "tiny"
[data]
source = "synthetic"
[model]
name = "mlp.plain"
options = {{ hidden = [16] }}
[optimizer]
lr = 0.01
[train]
epochs = {epochs}
batch_size = 256
"""
