"""What is built and how: without a compiler, for others, and by which commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BUILD = (
    "import sys; from scikit_build_core.build import build_wheel; build_wheel(sys.argv[1], {'build-dir': sys.argv[2]})"
)
NOT_BUILT = """
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "tamis.kernels._ops" else real(name, *more)
import torch
from tamis.kernels import PackedPattern, isa, sparse_linear
pattern = PackedPattern.from_mask(torch.eye(3) > 0)
print(isa(), sparse_linear(torch.ones(1, 3), torch.tensor([1.0, 2.0, 3.0]), None, pattern).tolist())
"""


def run(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TAMIS_") and k not in ("CXX", "CC")}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**clean, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True, text=True, timeout=170, check=False, cwd=ROOT,
    )  # fmt: skip


def test_without_a_compiler_a_wheel_without_kernels_is_built_and_the_builder_says_so(tmp_path):
    pytest.importorskip("scikit_build_core")
    done = run(BUILD, str(tmp_path), str(tmp_path / "build"), CXX="/no/such/compiler")
    assert done.returncode == 0, done.stderr
    assert "WITHOUT its native kernels" in done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "tamis/kernels/reference.py" in names
    assert "tamis/recipes/digits_acdc.toml" in names
    assert not [name for name in names if name.endswith(".so")]


def test_a_build_for_others_refuses_to_go_on_without_a_compiler(tmp_path):
    pytest.importorskip("scikit_build_core")
    done = run(BUILD, str(tmp_path), str(tmp_path / "build"), CXX="/no/such/compiler", TAMIS_REQUIRE_NATIVE="1")
    assert done.returncode != 0
    assert not list(tmp_path.glob("*.whl"))


def test_without_the_extension_everything_runs_on_plain_torch_and_one_warning_says_so():
    done = run(NOT_BUILT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(maxsplit=1) == ["reference", "[[1.0, 2.0, 3.0]]\n"]
    assert done.stderr.count("tamis computes with plain torch, at dense cost") == 1
    assert "not built" in done.stderr


def test_whoever_asks_for_plain_torch_is_not_warned():
    done = run(NOT_BUILT, TAMIS_NATIVE="0")
    assert done.stdout.startswith("reference")
    assert done.stderr == ""


def test_every_make_target_of_the_workflow_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    used = {word for line in re.findall(r"run: make (.+)", workflow) for word in line.split()}
    assert {"lint", "types", "contracts", "native", "pytest", "docs", "sanitize", "neon", "wheel", "sdist"} <= used
    assert used <= targets


@pytest.mark.parametrize("script", sorted((ROOT / "benchmarks" / "soak").glob("*.sh")), ids=lambda path: path.name)
def test_shell_scripts_are_well_formed(script):
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert os.access(script, os.X_OK) or script.name == "native_tests.sh"  # which the others read
