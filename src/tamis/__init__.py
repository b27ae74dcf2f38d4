"""tamis: train, run, transfer and audit sparse neural networks on ordinary CPUs.

The names below are loaded on first use, so that ``import tamis`` (and ``tamis --help``) does not import torch.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# public name -> room that defines it
_PUBLIC = {
    "ACDC": "tamis.methods",
    "DPF": "tamis.methods",
    "GMP": "tamis.methods",
    "Examples": "tamis.methods",
    "GraSP": "tamis.methods",
    "LotteryTicket": "tamis.methods",
    "LRR": "tamis.methods",
    "LTHT": "tamis.methods",
    "OneShot": "tamis.methods",
    "RandomPruning": "tamis.methods",
    "RigL": "tamis.methods",
    "SET": "tamis.methods",
    "SNFS": "tamis.methods",
    "SRigL": "tamis.methods",
    "Static": "tamis.methods",
    "TopKAST": "tamis.methods",
    "PowerPropagation": "tamis.methods",
    "SRSTE": "tamis.methods",
    "STE": "tamis.methods",
    "STR": "tamis.methods",
    "SNIP": "tamis.methods",
    "WoodFisher": "tamis.methods",
    "MFAC": "tamis.methods",
    "OBERT": "tamis.methods",
    "CAP": "tamis.methods",
    "Wanda": "tamis.methods",
    "SparseGPT": "tamis.methods",
    "Sparsifier": "tamis.methods",
    "SynFlow": "tamis.methods",
    "Global": "tamis.sparsity",
    "Uniform": "tamis.sparsity",
    "ERK": "tamis.sparsity",
    "Budget": "tamis.sparsity",
    "Unstructured": "tamis.sparsity",
    "NM": "tamis.sparsity",
    "Block": "tamis.sparsity",
    "FanIn": "tamis.sparsity",
    "SparseLinear": "tamis.nn",
    "SparseConv1d": "tamis.nn",
    "SparseConv2d": "tamis.nn",
    "sparsify": "tamis.nn",
    "densify": "tamis.nn",
    "FLEA": "tamis.sources",
    "FLEAClassifier": "tamis.sources",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


# rooms that can be called, ``tamis.audit(...)``: the name is the room's, before and after its first import
_ROOMS = ("audit",)


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"tamis.{name}")
    room = _PUBLIC.get(name)
    if room is None:
        raise AttributeError(f"module 'tamis' has no attribute {name!r}; public names: {', '.join(sorted(_PUBLIC))}")
    return getattr(importlib.import_module(room), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC, *_ROOMS])
