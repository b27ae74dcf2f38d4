"""torch.amp.GradScaler with optimizers that unscale inside their step."""

from __future__ import annotations

import pytest
import torch
from method_runs import SHORT, assert_same_state, batch, mlp
from torch import optim
from torch.nn import functional as F

from tamis.errors import UsageError
from tamis.methods import ACDC, SNFS, SRSTE, STR, OneShot, PowerPropagation, ReturnAsSaved, RigL, SRigL, TopKAST

STEPS = 16
METHODS = {
    "rigl": lambda: RigL(0.5, STEPS, every=4),
    "srigl": lambda: SRigL(0.5, STEPS, every=4),
    "snfs": lambda: SNFS(0.5, STEPS, every=4),
    "srste": lambda: SRSTE(0.5, STEPS, strength=0.5),
    "str": lambda: STR(0.5, STEPS, initial_logit=-4.0),
    "topkast": lambda: TopKAST(0.6, every=4, strength=0.5),
    "acdc power": lambda: ACDC(
        0.5, STEPS, schedule=SHORT, returning=ReturnAsSaved(), reparameterise=PowerPropagation(2.0)
    ),
}
OPTIMIZERS = {
    "sgd": lambda p, fused: optim.SGD(p, 0.05, fused=fused),
    "adam": lambda p, fused: optim.Adam(p, 1e-2, fused=fused),
}


def scaled_run(make, name, fused, clipped=False):
    """16 batches under a scaler, of which the sixth, where an update may be due, has gradients that overflowed."""
    model = mlp().double()  # so that kernels of different order round alike
    optimizer = OPTIMIZERS[name](model.parameters(), fused)
    sparsifier = make().attach(model, optimizer)
    scaler = torch.amp.GradScaler("cpu")
    for step in range(STEPS):
        inputs, labels = batch(step)
        optimizer.zero_grad()
        scaler.scale(F.cross_entropy(model(inputs.double()), labels)).backward()
        if step == 5:
            model[0].weight.grad.view(-1)[:2] = torch.tensor([float("inf"), float("nan")])
        if clipped:
            scaler.unscale_(optimizer)
            sparsifier.mask_gradients()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        scaler.step(optimizer)
        scaler.update()
    return model, sparsifier


@pytest.mark.parametrize("clipped", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("method", METHODS)
def test_a_fused_optimizer_under_a_gradient_scaler_trains_as_a_plain_one(method, name, clipped):
    plain, reference = scaled_run(METHODS[method], name, False, clipped)
    fused, sparsifier = scaled_run(METHODS[method], name, True, clipped)
    assert sparsifier.step == reference.step == STEPS - 1
    assert [event["hash"] for event in sparsifier.events if "hash" in event] == [
        event["hash"] for event in reference.events if "hash" in event
    ]
    # The bias in front of batch norm has no gradient but rounding, which Adam divides by its own size.
    assert_same_state(plain, fused, rtol=1e-7, atol=1e-9)


def test_an_optimizer_that_takes_the_scaler_itself_is_refused():
    class Private(optim.SGD):
        _step_supports_amp_scaling = True

        def step(self, closure=None, grad_scaler=None):
            return super().step(closure)

    model = mlp()
    optimizer = Private(model.parameters(), 0.1)
    OneShot(0.5, packed=False).attach(model, optimizer)
    scaler = torch.amp.GradScaler("cpu")
    inputs, labels = batch(0)
    scaler.scale(F.cross_entropy(model(inputs), labels)).backward()
    with pytest.warns(FutureWarning), pytest.raises(UsageError, match="Private unscales gradients inside its step"):
        scaler.step(optimizer)
