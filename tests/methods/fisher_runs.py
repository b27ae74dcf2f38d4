"""The methods that prune by blocks of the Fisher matrix, small, and how to attach one."""

from __future__ import annotations

from method_runs import OPTIMIZERS, examples

from tamis.methods import CAP, MFAC, OBERT, WoodFisher

SMALL = {"gradients": 24, "damping": 1e-4}
ALL = {"woodfisher": WoodFisher, "mfac": MFAC, "obert": OBERT, "cap": CAP}
LAYERS = ("0", "3", "5")


def pruned(method, model, sparsity=0.6, total_steps=None, shape=(12,), **options):
    """A sparsifier of the method in charge of ``model``, and the optimizer; without ``total_steps`` it has pruned."""
    options = {"packed": False, "recomputations": 1, **SMALL, **options}
    sparsifier = method(sparsity, total_steps, examples=examples(shape), **options)
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    return sparsifier.attach(model, optimizer), optimizer
