"""Studies: many training runs with equal budgets, and what they say together.

Names load on first use: the command line knows its flags before anything imports torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tamis.lazy import lazy_names

if TYPE_CHECKING:
    from tamis.study._bias_audit import SetupAudit, audit_setups, labels_of
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
    from tamis.study._source_page import write_source_report
    from tamis.study._source_published import Agreement, compare, read_published
    from tamis.study._source_run import SourceResults, run_source_study
    from tamis.study._source_study import SourceCell, SourceStudy, source_cells
    from tamis.study._statistics import Difference, Estimate, estimate, paired_difference
    from tamis.study._sweep import TransferSweep, UpstreamModel, load_sweep
    from tamis.study._sweep_cells import SweepCell, sweep_cells, sweep_models
    from tamis.study._sweep_run import SweepResults, run_sweep
    from tamis.study._sweep_speed import measure_sweep_speed
    from tamis.study._transfer_figures import transfer_figures, write_transfer_figures
    from tamis.study._transfer_tables import (
        TransferStatistics,
        statistics_records,
        transfer_statistics,
    )
    from tamis.study._transfer_text import statistics_text

_MODULES = {
    "_bias_audit": ("SetupAudit", "audit_setups", "labels_of"),
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
    "_source_page": ("write_source_report",),
    "_source_published": ("Agreement", "compare", "read_published"),
    "_source_run": ("SourceResults", "run_source_study"),
    "_source_study": ("SourceCell", "SourceStudy", "source_cells"),
    "_statistics": ("Difference", "Estimate", "estimate", "paired_difference"),
    "_sweep": ("TransferSweep", "UpstreamModel", "load_sweep"),
    "_sweep_cells": ("SweepCell", "sweep_cells", "sweep_models"),
    "_sweep_run": ("SweepResults", "run_sweep"),
    "_sweep_speed": ("measure_sweep_speed",),
    "_transfer_figures": ("transfer_figures", "write_transfer_figures"),
    "_transfer_tables": ("TransferStatistics", "statistics_records", "transfer_statistics"),
    "_transfer_text": ("statistics_text",),
}

__all__ = [
    "Agreement",
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
    "SourceCell",
    "SourceResults",
    "SourceStudy",
    "StudyResults",
    "SweepCell",
    "SweepResults",
    "TrainedCell",
    "TrainedCells",
    "TransferStatistics",
    "TransferSweep",
    "UpstreamModel",
    "accuracy_text",
    "audit_setups",
    "bias_cells",
    "bias_tables",
    "cells_of",
    "compare",
    "estimate",
    "labels_of",
    "load_bias_study",
    "load_study",
    "load_sweep",
    "measure_sweep_speed",
    "paired_difference",
    "read_bias_rows",
    "read_published",
    "read_results",
    "run_source_study",
    "run_study",
    "run_sweep",
    "source_cells",
    "statistics_records",
    "statistics_text",
    "sweep_cells",
    "sweep_models",
    "train_bias_study",
    "trained_cells",
    "transfer_figures",
    "transfer_statistics",
    "write_bias_report",
    "write_source_report",
    "write_study_report",
    "write_transfer_figures",
]


__getattr__, __dir__ = lazy_names(__name__, _MODULES)
