"""SparseLab's padded rows (https://pypi.org/project/sparselab): linear layers, forward and backward."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tamis.bench._problem import Contestant, Problem
from tamis.bench.peers._base import NotServed, Peer


def _layer(problem: Problem) -> dict[str, Contestant]:
    if problem.case.pixels:
        raise NotServed("linear layers only")
    if problem.mask.numel() >= 1 << 24:
        raise NotServed("the adapter numbers at most 2**24 weights")
    places = torch.arange(1, problem.mask.numel() + 1, dtype=torch.float32).reshape(problem.mask.shape)
    sparselab = importlib.import_module("sparselab")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's "beta state"
        module = sparselab.SparseLinear(
            problem.case.inputs, problem.case.outputs, bias=False, sparsity=problem.sparsity
        )
    module._csr = _rows(sparselab, problem.weight)
    module._values = nn.Parameter(torch.from_numpy(np.asarray(module._csr.values)))
    # The same rows holding each weight's number show which weight a slot belongs to; unused slots hold zero.
    numbers = torch.from_numpy(np.asarray(_rows(sparselab, places * problem.mask).values)).long()

    def dense_gradient(gradient: Tensor) -> Tensor:
        dense = torch.zeros(problem.mask.numel())
        dense[numbers[numbers > 0] - 1] = gradient[numbers > 0]
        return dense

    return {"sparselab": Contestant(module, problem.x, module, problem.grad, module._values, dense_gradient)}


def _rows(sparselab: Any, weight: Tensor) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sparselab.PaddedCSR.from_dense(weight)


SPARSELAB = Peer("sparselab", ("sparselab",), layer=_layer)
