"""Measurements of the sparse kernels beside dense torch, in one process: single layers and whole training steps."""

from tamis.bench._contest import Timing, contest
from tamis.bench._layers import LAYER_SUITE, LayerCase, LayerResult, measure_layer
from tamis.bench._machine import describe_machine, reference_gflops
from tamis.bench._step import STEP_SUITE, StepCase, StepResult, measure_step
from tamis.bench._table import geometric_mean, render_table, write_csv

__all__ = [
    "LAYER_SUITE",
    "STEP_SUITE",
    "LayerCase",
    "LayerResult",
    "StepCase",
    "StepResult",
    "Timing",
    "contest",
    "describe_machine",
    "geometric_mean",
    "measure_layer",
    "measure_step",
    "reference_gflops",
    "render_table",
    "write_csv",
]
