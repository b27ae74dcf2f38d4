"""Packages that tamis works with and never requires; a test of one is skipped by name where it is absent."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from typing import Any

import pytest
import torch

NAMES_OF = {"sklearn": "scikit-learn", "huggingface_hub": "huggingface-hub"}


def needs(package: str) -> Any:
    """The package, or the test is skipped."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a stranger's package says about its own imports
            if package.partition(".")[0] in ("torchvision", "timm", "lightning", "transformers"):
                declare_operations_of_torchvision()
            return importlib.import_module(package)
    except ImportError as error:
        pytest.skip(f"{package} cannot be imported ({error}): pip install {NAMES_OF.get(package, package)}")


def declare_operations_of_torchvision() -> None:
    """Let torchvision's models be imported where its compiled operations do not load.

    The wheel on PyPI is built for the CUDA build of torch.  Beside a CPU build its library does not load and its import
    stops at two detection operations, which no classification network uses.
    """
    if importlib.util.find_spec("torchvision") is None or hasattr(torch.ops.torchvision, "nms"):
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", signature)
