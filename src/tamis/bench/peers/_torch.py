"""Dense torch in both memory formats, with batch norm folded for inference, and compiled."""

from __future__ import annotations

import copy
import shutil
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tamis.bench._problem import Contestant, Problem, as_given, channels_last
from tamis.bench.peers._base import Network, NotServed, Peer

DENSE_FORMS = ("nchw", "nhwc", "folded_nchw", "folded_nhwc")


def _layer(problem: Problem) -> dict[str, Contestant]:
    formats: dict[str, Callable[[Tensor], Tensor]] = {"nchw": as_given}
    if problem.case.pixels:
        formats["nhwc"] = channels_last
    found = {}
    for name, layout in formats.items():
        weight = layout(problem.weight).detach().clone(memory_format=torch.preserve_format).requires_grad_()

        def run(x: Tensor, weight: Tensor = weight) -> Tensor:
            return problem.dense(x, weight)

        found[name] = Contestant(run, layout(problem.x), run, layout(problem.grad), weight)
    return found


def _networks(model: nn.Module, inputs: Tensor, sparsity: float) -> dict[str, Network]:
    model = copy.deepcopy(model)
    found = {"nchw": Network(model, inputs, model)}
    if inputs.dim() == 4:
        last = channels_last_model(model)
        found["nhwc"] = Network(last, channels_last(inputs), last)
    return found


def _inference(model: nn.Module, inputs: Tensor, sparsity: float) -> dict[str, Network]:
    found = _networks(model, inputs, sparsity)
    if inputs.dim() == 4:
        folded = fold_batch_norm(model)
        found["folded_nchw"] = Network(folded, inputs)
        found["folded_nhwc"] = Network(channels_last_model(folded), channels_last(inputs))
    return found


def channels_last_model(model: nn.Module) -> nn.Module:
    """A copy with its convolution weights in channels_last."""
    return copy.deepcopy(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """A copy of an eval-mode model with each batch norm folded into the convolution before it (torch.fx).

    Zeros of a convolution's weight stay zeros.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.fx.experimental.optimization import fuse

        return fuse(copy.deepcopy(model))


def _compiled_layer(problem: Problem) -> dict[str, Contestant]:
    weight = problem.weight.clone().requires_grad_()
    train = _compiled(problem.dense)
    frozen = _compiled(_Frozen(problem), freezing=True)
    contestant = Contestant(
        lambda x: frozen(x), problem.x, lambda x: train(x, weight), problem.grad, weight
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        contestant.both()
        contestant.forward()
    return {"compile": contestant}


class _Frozen(nn.Module):
    """The layer with its weight as a parameter, which inductor may bring into another layout once and for all."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.weight, self.dense = nn.Parameter(problem.weight.clone()), problem.dense

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x, self.weight)


def _compiled_step(model: nn.Module, inputs: Tensor, sparsity: float) -> Mapping[str, Network]:
    model = copy.deepcopy(model)
    compiled = _compiled(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled(inputs).sum().backward()  # compiles both directions
    model.zero_grad()
    return {"compile": Network(compiled, inputs, model)}


def _compiled_inference(model: nn.Module, inputs: Tensor, sparsity: float) -> Mapping[str, Network]:
    compiled = _compiled(copy.deepcopy(model), freezing=True)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        compiled(inputs)
    return {"compile": Network(compiled, inputs)}


def _compiled(target: Any, *, freezing: bool = False) -> Any:
    if not any(map(shutil.which, ("g++", "clang++", "c++"))):
        raise NotServed("torch.compile needs a C++ compiler")
    options: dict[str, Any] | None = {"freezing": True} if freezing else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.compile(target, dynamic=False, options=options)


DENSE = Peer("dense", layer=_layer, step=_networks, infer=_inference, per_sparsity=False)
COMPILE = Peer("compile", layer=_compiled_layer, step=_compiled_step, infer=_compiled_inference, per_sparsity=False)
