"""Run by the interpreter of a fresh environment: is tamis installed there, and does it compute?

``python installed.py native`` or ``python installed.py plain``, by what is expected.  Prints one JSON object with the
versions; any difference is an error.  Imports nothing but tamis and what it depends on.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F


def relative_errors(isa: str) -> list[float]:
    """Of result and gradients of a packed convolution, against float64."""
    from tamis.kernels import ConvGeometry, PackedPattern, choices, native_available, set_isa, sparse_conv2d

    choices.mode = "sparse"
    if native_available():
        set_isa(isa)
    torch.manual_seed(0)
    mask = torch.rand(24, 16, 3, 3) < 0.1
    weight, x, grad = torch.randn(mask.shape) * mask, torch.randn(20, 16, 9, 11), torch.randn(20, 24, 5, 6)
    pattern, geometry = PackedPattern.from_mask(mask), ConvGeometry((9, 11), (3, 3), (2, 2), (1, 1, 1, 1))
    leaves = [x.clone().requires_grad_(), pattern.pack(weight).requires_grad_()]
    y = sparse_conv2d(leaves[0], leaves[1], None, pattern, geometry)
    exact = [x.double().requires_grad_(), weight.double().requires_grad_()]
    wanted = F.conv2d(exact[0], exact[1], None, 2, 1)
    pairs = [(y, wanted)]
    for own, other in zip(
        torch.autograd.grad(y, leaves, grad), torch.autograd.grad(wanted, exact, grad.double()), strict=True
    ):
        pairs.append((own, pattern.pack(other) if own.dim() == 1 else other))
    return [float((a.double() - b).detach().abs().max() / b.detach().abs().max()) for a, b in pairs]


def train() -> float:
    """The sparsity of a network trained with AC/DC for 60 steps, saved and loaded again."""
    import tamis

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sparsifier = tamis.ACDC(sparsity=0.9, total_steps=60).attach(model, optimizer)
    for _ in range(60):
        inputs, labels = torch.randn(32, 64), torch.randint(10, (32,))
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    sparsifier.finalize()
    return float(sparsifier.report()["sparsity"])


def main(expected: str) -> None:
    """Check everything."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from tamis.kernels import available_isas, isa, native_available
    said = [str(w.message) for w in caught if "plain torch" in str(w.message)]
    import tamis

    best = isa()
    place = Path(tamis.__file__).resolve()
    if Path(sys.prefix).resolve() not in place.parents:
        raise SystemExit(f"tamis comes from {place}, not from this environment")
    if native_available() != (expected == "native") or bool(said) != (expected == "plain"):
        raise SystemExit(f"expected {expected} kernels: native {native_available()}, warnings {said}")
    errors = {name: relative_errors(name) for name in available_isas() or ("reference",)}
    worst = max(max(values) for values in errors.values())
    if not worst < 1e-5:
        raise SystemExit(f"results are off: {errors}")
    sparsity = train()
    if not sparsity >= 0.899:
        raise SystemExit(f"trained to a sparsity of {sparsity}, not 0.9")
    command = Path(sys.executable).parent / "tamis"
    with tempfile.TemporaryDirectory() as folder:
        texts = [
            subprocess.run([command, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout
            for arguments in (("--help",), ("info", "--json"))
        ]
    if json.loads(texts[1])["native"] != native_available():
        raise SystemExit(f"tamis info says {texts[1]}")
    found = {"python": platform.python_version(), "torch": torch.__version__, "isa": best, "isas": list(errors)}
    print(json.dumps({**found, "worst_relative_error": worst, "sparsity": sparsity}))


if __name__ == "__main__":
    main(*sys.argv[1:])
