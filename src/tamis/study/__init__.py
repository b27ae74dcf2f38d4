"""Studies: many training runs with equal budgets, and what they say together.

Names load on first use: the command line knows its flags before anything imports torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tamis.study._bias_audit import SetupAudit, audit_setups
    from tamis.study._bias_cells import BiasCell, bias_cells
    from tamis.study._bias_description import BiasData, BiasStudy, PlantedFeature, load_bias_study
    from tamis.study._bias_page import BiasNumbers, bias_tables, write_bias_report
    from tamis.study._bias_run import TrainedCell, TrainedCells, train_bias_study, trained_cells
    from tamis.study._bias_tables import read_bias_rows
    from tamis.study._cells import Cell, cells_of
    from tamis.study._description import MethodStudy, load_study
    from tamis.study._page import accuracy_text, write_study_report
    from tamis.study._results import CellResult, read_results
    from tamis.study._run import StudyResults, run_study
    from tamis.study._statistics import Difference, Estimate, estimate, paired_difference

_MODULES = {
    "_bias_audit": ("SetupAudit", "audit_setups"),
    "_bias_cells": ("BiasCell", "bias_cells"),
    "_bias_description": ("BiasData", "BiasStudy", "PlantedFeature", "load_bias_study"),
    "_bias_page": ("BiasNumbers", "bias_tables", "write_bias_report"),
    "_bias_run": ("TrainedCell", "TrainedCells", "train_bias_study", "trained_cells"),
    "_bias_tables": ("read_bias_rows",),
    "_cells": ("Cell", "cells_of"),
    "_description": ("MethodStudy", "load_study"),
    "_results": ("CellResult", "read_results"),
    "_page": ("accuracy_text", "write_study_report"),
    "_run": ("StudyResults", "run_study"),
    "_statistics": ("Difference", "Estimate", "estimate", "paired_difference"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "BiasCell",
    "BiasData",
    "BiasNumbers",
    "BiasStudy",
    "Cell",
    "CellResult",
    "Difference",
    "Estimate",
    "MethodStudy",
    "PlantedFeature",
    "SetupAudit",
    "StudyResults",
    "TrainedCell",
    "TrainedCells",
    "accuracy_text",
    "audit_setups",
    "bias_cells",
    "bias_tables",
    "cells_of",
    "estimate",
    "load_bias_study",
    "load_study",
    "paired_difference",
    "read_bias_rows",
    "read_results",
    "run_study",
    "train_bias_study",
    "trained_cells",
    "write_bias_report",
    "write_study_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tamis.study' has no attribute {name!r}; public names: {', '.join(__all__)}")
    return getattr(importlib.import_module(f"tamis.study.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
