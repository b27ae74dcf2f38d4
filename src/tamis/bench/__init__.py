"""Measurements of the sparse kernels beside dense torch and other peers, in one process: layers, steps, inference."""

from tamis.bench._allocator import keep_memory
from tamis.bench._cases import LAYER_SUITE, LayerCase
from tamis.bench._contest import Timing, contest, contest_stages
from tamis.bench._infer import InferResult, measure_inference
from tamis.bench._layers import LayerResult, measure_layer
from tamis.bench._machine import describe_machine, reference_gflops
from tamis.bench._memory import Memory, step_memory
from tamis.bench._networks import INFER_SUITE, STEP_SUITE, StepCase, named_cases
from tamis.bench._step import StepResult, measure_step
from tamis.bench._summary import mean_speedups, thread_scaling, waiting
from tamis.bench._table import geometric_mean, render_table, write_csv
from tamis.bench.peers import PEERS, Peer

__all__ = [
    "INFER_SUITE",
    "LAYER_SUITE",
    "PEERS",
    "STEP_SUITE",
    "InferResult",
    "LayerCase",
    "LayerResult",
    "Memory",
    "Peer",
    "StepCase",
    "StepResult",
    "Timing",
    "contest",
    "contest_stages",
    "describe_machine",
    "geometric_mean",
    "keep_memory",
    "mean_speedups",
    "measure_inference",
    "measure_layer",
    "measure_step",
    "named_cases",
    "reference_gflops",
    "render_table",
    "step_memory",
    "thread_scaling",
    "waiting",
    "write_csv",
]
