"""Matrix products with the weight in compressed rows: torch's (MKL) and SciPy's.  Forward of linear layers only."""

from __future__ import annotations

import importlib
import warnings

import torch
from torch import Tensor

from tamis.bench._problem import Contestant, Problem
from tamis.bench.peers._base import NotServed, Peer


def _torch_csr(problem: Problem) -> dict[str, Contestant]:
    _only_linear(problem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "beta state"
        weight = problem.weight.to_sparse_csr()
    return {"csr": Contestant(lambda x: torch.sparse.mm(weight, x.t()).t(), problem.x)}


def _scipy_csr(problem: Problem) -> dict[str, Contestant]:
    _only_linear(problem)
    if torch.get_num_threads() > 1:
        raise NotServed("one thread only")
    weight = importlib.import_module("scipy.sparse").csr_matrix(problem.weight.numpy())

    def run(x: Tensor) -> Tensor:
        return torch.from_numpy((weight @ x.numpy().T).T)

    return {"scipy": Contestant(run, problem.x)}


def _only_linear(problem: Problem) -> None:
    if problem.case.pixels:
        raise NotServed("linear layers only")


CSR = Peer("csr", layer=_torch_csr)
SCIPY = Peer("scipy", ("scipy",), layer=_scipy_csr)
