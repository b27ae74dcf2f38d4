"""Loading the native extension."""

from __future__ import annotations

import importlib.util
import os
import warnings

import torch

from tamis.errors import UsageError


def _load() -> str | None:
    """Load the extension; None if it is usable, otherwise why it is not."""
    if os.environ.get("TAMIS_NATIVE", "1") == "0":
        return "TAMIS_NATIVE=0"
    spec = importlib.util.find_spec("tamis.kernels._ops")
    if spec is None or spec.origin is None:
        why = "the native extension was not built (no C++ compiler at installation?)"
        warnings.warn(
            f"tamis computes with plain torch, at dense cost: {why}. Install a wheel, or from source with a C++ "
            "compiler; TAMIS_NATIVE=0 asks for plain torch and silences this.",
            stacklevel=2,
        )
        return why
    torch.ops.load_library(spec.origin)
    if not all(hasattr(torch.ops.tamis, name) for name in ("merge_rows", "conv_gradients")):  # the newest ones
        return "the native extension is older than the Python files; install again"
    wanted = os.environ.get("TAMIS_ISA")
    if wanted and torch.ops.tamis.isa() != wanted:
        raise UsageError(
            f"TAMIS_ISA={wanted!r} is not supported here; this CPU and build have {torch.ops.tamis.isas()}"
        )
    return None


why_not = _load()
