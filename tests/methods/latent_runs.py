"""The methods that train latent weights, small, how to attach one, and the weights that Top-KAST keeps back."""

from __future__ import annotations

from method_runs import OPTIMIZERS, mlp

from tamis.methods import DPF, SRSTE, STE, STR

STEPS = 16
NAMES = ("0", "3", "5")


METHODS = {
    "ste": lambda **o: STE(0.8, STEPS, **o),
    "dpf": lambda **o: DPF(0.8, STEPS, every=3, **o),
    "sr_ste": lambda **o: SRSTE(0.5, STEPS, strength=0.01, **o),
    "str": lambda **o: STR(0.8, STEPS, initial_logit=-3.0, **o),
}


def attached(method, optimizer_name="momentum", model=None, **options):
    model = mlp() if model is None else model
    optimizer = OPTIMIZERS[optimizer_name](model.parameters())
    return model, optimizer, METHODS[method](**options).attach(model, optimizer)


def latent(sparsifier):
    """The weights of a Top-KAST run by layer, with those that wait outside the larger mask."""
    return sparsifier._dormant.all(sparsifier._supports.layers)
