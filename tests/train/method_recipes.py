"""A recipe of a second for every method."""

from __future__ import annotations

from tamis.train import OPTIONS, Data, Model, Optimizer, Recipe, Train

CHOSEN = {
    "acdc": {"warmup": 1, "sparse": 1, "dense": 1, "last_dense": 1, "last_sparse": 2},
    **{key: {"every": 3} for key in ("set", "rigl", "snfs", "srigl", "topkast", "dpf")},
    "str": {"trim": True, "initial_logit": -5.0},
    **{key: {"events": 2, "gradients": 8, "block": 8} for key in ("woodfisher", "obert", "cap")},
    "mfac": {"events": 2, "gradients": 8, "block": 8, "recomputations": 2},
}


def recipe(method: str) -> Recipe:
    return Recipe(
        name=method,
        method=method,
        sparsity=0.5 if method == "srste" else 0.75,
        exclude=("conv1",) if method == "srste" else (),
        options=OPTIONS[method](**CHOSEN.get(method, {})),
        data=Data("synthetic"),
        model=Model("resnet8_digits", {"widths": (4, 4, 8)}),
        optimizer=Optimizer(lr=0.05),
        train=Train(epochs=5, batch_size=128),
    )
