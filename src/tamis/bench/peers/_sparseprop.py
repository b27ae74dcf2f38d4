"""The official SparseProp (https://pypi.org/project/sparseprop): linear and convolutional layers, training.

It has two kernels for convolutions and chooses with one cold run of each.  For single layers both are timed warm and
the faster one takes part; networks are converted by its own ``swap_modules_with_sparse``, choice included.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import time
from typing import Any

from torch import Tensor, nn

from tamis.bench._problem import Contestant, Problem
from tamis.bench.peers._base import Network, NotServed, Peer

_LEAST = 0.8


def _layer(problem: Problem) -> dict[str, Contestant]:
    modules = importlib.import_module("sparseprop.modules")
    if not problem.mask.any():
        raise NotServed("no live weights")
    if problem.case.pixels:
        return {"sparseprop": _faster([_convolution(modules, problem, over) for over in (False, True)])}
    module = modules.SparseLinear(problem.weight)

    def dense_gradient(gradient: Tensor) -> Tensor:
        utils = importlib.import_module("sparseprop.modules.utils")
        return utils.from_csr_2d(gradient, module.W_idx, problem.mask.shape)

    return {"sparseprop": Contestant(module, problem.x, module, problem.grad, module.W_val, dense_gradient)}


def _convolution(modules: Any, problem: Problem, over_width: bool) -> Contestant:
    case = problem.case
    module = modules.SparseConv2d(
        problem.weight, padding=case.padding, stride=case.stride, vectorizing_over_on=over_width
    )

    def dense_gradient(gradient: Tensor) -> Tensor:
        utils = importlib.import_module("sparseprop.modules.utils")
        return utils.from_sparse_format_conv2d(gradient, module.W_idx, problem.mask.shape)

    return Contestant(module, problem.x, module, problem.grad, module.W_val, dense_gradient)


def _faster(candidates: list[Contestant]) -> Contestant:
    """The one with the shorter second run of forward and backward."""
    seconds = []
    for candidate in candidates:
        candidate.both()
        start = time.process_time()
        candidate.both()
        seconds.append(time.process_time() - start)
    return candidates[seconds.index(min(seconds))]


def _network(model: nn.Module, inputs: Tensor, sparsity: float) -> dict[str, Network]:
    if sparsity <= _LEAST:
        raise NotServed(f"its conversion takes layers above {_LEAST:.0%} zeros")
    utils = importlib.import_module("sparseprop.utils")
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a line a layer
        swapped = utils.swap_modules_with_sparse(copy.deepcopy(model), tuple(inputs.shape), inplace=True)
    kinds = importlib.import_module("sparseprop.modules")
    sparse = sum(isinstance(m, (kinds.SparseLinear, kinds.SparseConv2d)) for m in swapped.modules())
    if not sparse:
        raise NotServed("its own choice kept every layer dense")
    return {"sparseprop": Network(swapped, inputs, swapped, f"{sparse} layers sparse")}


SPARSEPROP = Peer("sparseprop", ("sparseprop", "scipy"), layer=_layer, step=_network)
