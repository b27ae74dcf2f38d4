"""TAMIS_ISA and TAMIS_NATIVE, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from tamis.errors import UsageError
from tamis.kernels import available_isas, isa, set_isa

PROGRAM = """
import torch
from torch import nn
from tamis.kernels import isa, native_available, available_isas
from tamis.nn import sparsify
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 25, 4))
sparsify(net, {name: torch.rand_like(net.get_submodule(name).weight) > 0.8 for name in "03"})
x = torch.randn(5, 3, 5, 5, requires_grad=True)
y = net(x)
y.square().sum().backward()
print(isa(), native_available(), *(f"{t.detach().sum().item():.4f}" for t in (y, x.grad, net[0].weight.grad)))
"""


def run(*arguments, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TAMIS_")}
    return subprocess.run(
        [sys.executable, "-W", "error", *(arguments or ("-c", PROGRAM))],
        env={**clean, "TAMIS_CACHE": "", "TAMIS_CHOICE": "sparse", "OMP_NUM_THREADS": "1", **environment},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_model_gives_the_same_numbers_on_every_instruction_set_and_without_native_kernels():
    results = {}
    for name in (*available_isas(), "reference"):
        done = run(TAMIS_NATIVE="0") if name == "reference" else run(TAMIS_ISA=name)
        assert done.returncode == 0, done.stderr
        used, native, *numbers = done.stdout.split()
        assert (used, native) == (name, str(name != "reference"))
        results[name] = [float(n) for n in numbers]
    for numbers in results.values():
        assert numbers == pytest.approx(results["reference"], rel=1e-3, abs=2e-3)


def test_an_unknown_instruction_set_is_one_clear_error():
    done = run(TAMIS_ISA="sse9")
    assert done.returncode != 0
    assert "UsageError: TAMIS_ISA='sse9' is not supported here" in done.stderr
    assert available_isas()[-1] in done.stderr


def test_an_unknown_choice_mode_is_one_clear_error():
    done = run(TAMIS_CHOICE="fast")
    assert done.returncode != 0
    assert "UsageError: TAMIS_CHOICE='fast' is unknown" in done.stderr


OUT_OF_MEMORY = """
import resource, sys
import torch
from tamis.kernels import ConvGeometry, PackedPattern, _native, sparse_conv2d
torch.set_num_threads(int(sys.argv[1]))
_native._layout = _native.LAYOUTS["columns"]
pattern, values = PackedPattern.from_mask(torch.ones(1, 1, 3, 3) > 0), torch.ones(9)
def conv(x):
    return sparse_conv2d(x, values, None, pattern, ConvGeometry(x.shape[2:], (3, 3), padding=(1, 1, 1, 1)))
conv(torch.ones(64, 1, 8, 8))
wide = torch.ones(1, 1, 8, 2**22)
used = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + 4 * wide.numel() + 60 * 2**20,) * 2)
try:
    conv(wide)
except (RuntimeError, MemoryError) as error:
    print(error)
print(conv(torch.ones(2, 1, 8, 8)).sum().item())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits address space through /proc and rlimits")
@pytest.mark.parametrize("threads", ["1", "2"])
def test_running_out_of_memory_inside_a_thread_is_an_exception_not_a_crash(threads):
    done = run("-c", OUT_OF_MEMORY, threads)
    assert done.returncode == 0, done.stderr
    error, result = done.stdout.splitlines()
    assert "bad_alloc" in error
    assert float(result) == 2 * (6 * 6 * 9 + 4 * 6 * 6 + 4 * 4)


def test_set_isa_refuses_what_is_not_there_and_changes_nothing():
    before = isa()
    with pytest.raises(UsageError, match="'sse9' is not available"):
        set_isa("sse9")
    assert isa() == before
    assert before in available_isas()


def test_each_instruction_set_is_really_another_code_path():
    """The baseline row has no fused multiply-add, so its rounding differs from a row that has one."""
    fused = [name for name in available_isas() if name.startswith("avx")]
    if not fused:
        pytest.skip("this CPU has no row with fused multiply-add beside the baseline")
    from tamis.kernels import PackedPattern, sparse_linear

    pattern = PackedPattern.from_mask(torch.ones(64, 64, dtype=torch.bool))
    x, values, before, results = torch.randn(16, 64), torch.randn(64 * 64), isa(), {}
    for name in ("baseline", fused[0]):
        set_isa(name)
        results[name] = sparse_linear(x, values, None, pattern)
    set_isa(before)
    assert not torch.equal(results["baseline"], results[fused[0]])
