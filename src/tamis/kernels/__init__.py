"""Sparse kernels: packed patterns, native operations with plain-torch twins, and the measured dense/sparse choice."""

from tamis.kernels._autocast import under_autocast
from tamis.kernels._format import NCHW, format_of, in_format, preferred_format, to_batch_last
from tamis.kernels._geometry import ConvGeometry, geometry_of, pair
from tamis.kernels._inner import InnerPattern
from tamis.kernels._memory import MemoryState, memory_state, release_memory
from tamis.kernels._native import available_isas, isa, native_available, set_isa
from tamis.kernels._norm import norm_act
from tamis.kernels._pattern import PackedPattern
from tamis.kernels._pool import max_pool2d
from tamis.kernels._prepared import PreparedConv2d, sparse_conv2d_inference
from tamis.kernels._processor import processor_name
from tamis.kernels.choose import choices
from tamis.kernels.functional import (
    live_conv2d,
    live_linear,
    sparse_conv1d,
    sparse_conv2d,
    sparse_linear,
)

__all__ = [
    "NCHW",
    "ConvGeometry",
    "InnerPattern",
    "MemoryState",
    "PackedPattern",
    "PreparedConv2d",
    "available_isas",
    "choices",
    "format_of",
    "geometry_of",
    "in_format",
    "isa",
    "live_conv2d",
    "live_linear",
    "max_pool2d",
    "memory_state",
    "native_available",
    "norm_act",
    "pair",
    "preferred_format",
    "processor_name",
    "release_memory",
    "set_isa",
    "sparse_conv1d",
    "sparse_conv2d",
    "sparse_conv2d_inference",
    "sparse_linear",
    "to_batch_last",
    "under_autocast",
]
