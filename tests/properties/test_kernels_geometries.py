"""Whatever the geometry, pattern, layout and instruction set: the native kernels equal dense float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kernels.dense_twin import Case, check
from tamis.errors import UsageError
from tamis.kernels import _native, available_isas, choices, isa, native_available, set_isa

small = st.integers(1, 4)
FORMATS = [torch.contiguous_format, torch.channels_last]


@st.composite
def cases(draw):
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    case = Case(
        images=draw(st.integers(0, 35)),
        channels=groups * draw(st.integers(1, 8)),
        outputs=groups * draw(st.integers(1, 6)),
        size=(draw(st.integers(1, 12)), draw(st.integers(1, 40))),
        kernel=(draw(small), draw(small)),
        stride=(draw(small), draw(small)),
        padding=tuple(draw(st.integers(0, 5)) for _ in range(4)),
        dilation=(draw(small), draw(small)),
        groups=groups,
        sparsity=draw(st.sampled_from([0.0, 0.5, 0.9, 1.0])),
    )
    try:
        assert case.geometry
    except UsageError:
        assume(False)
    return case


@pytest.mark.skipif(not native_available(), reason="native kernels are not loaded")
@settings(max_examples=150, deadline=None)
@given(cases(), st.sampled_from(sorted(_native.LAYOUTS)), st.sampled_from(available_isas() or ("none",)),
       st.sampled_from(FORMATS), st.sampled_from(FORMATS))  # fmt: skip
def test_any_convolution_equals_its_dense_twin(case, layout, name, x_format, grad_format):
    before = choices.mode, _native._layout, isa(), torch.get_num_threads()
    try:
        choices.mode, _native._layout = "sparse", _native.LAYOUTS[layout]
        torch.set_num_threads(1)
        set_isa(name)
        assert isa() == name
        grad = torch.randn(case.images, case.outputs, *case.geometry.output_size)
        check(case, case.input().contiguous(memory_format=x_format), grad=grad.contiguous(memory_format=grad_format))
    finally:
        choices.mode, _native._layout = before[:2]
        set_isa(before[2])
        torch.set_num_threads(before[3])
