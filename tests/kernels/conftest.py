"""Fixtures that force one instruction set, one panel layout and the sparse side, and prove that they took effect."""

from __future__ import annotations

import platform

import pytest
import torch

from tamis.kernels import _native, available_isas, choices, isa, native_available, set_isa

ROWS = ("avx512", "avx2", "baseline") if platform.machine() in ("x86_64", "AMD64") else ("baseline",)


@pytest.fixture(autouse=True)
def _sparse_side_on_one_thread():
    """No measuring, no dense path, one thread; the native kernels must exist, else nothing here tests them."""
    if not native_available():
        pytest.skip(f"native kernels are not loaded: {_native.why_not}")
    mode, threads = choices.mode, torch.get_num_threads()
    choices.mode = "sparse"
    torch.set_num_threads(1)
    yield
    choices.mode = mode
    torch.set_num_threads(threads)


@pytest.fixture(params=ROWS)
def each_isa(request):
    """Run the test once per row of the ISA table; rows that this CPU lacks are skipped by name."""
    if request.param not in available_isas():
        pytest.skip(f"this CPU or build has no {request.param}")
    before = isa()
    set_isa(request.param)
    assert isa() == request.param
    yield request.param
    assert isa() == request.param, "the test ran on another instruction set than it says"
    set_isa(before)


@pytest.fixture(params=["columns", "images", "automatic"])
def each_layout(request, monkeypatch):
    """Force the layout of panels."""
    monkeypatch.setattr(_native, "_layout", _native.LAYOUTS[request.param])
    return request.param


@pytest.fixture(params=["NCHW", "channels_last"])
def each_format(request):
    """Memory format of input and gradient."""
    return torch.contiguous_format if request.param == "NCHW" else torch.channels_last
