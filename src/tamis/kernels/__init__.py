"""Sparse kernels: packed patterns, native operations with plain-torch twins, and the measured dense/sparse choice."""

from tamis.kernels._geometry import ConvGeometry, pair
from tamis.kernels._native import available_isas, isa, native_available, set_isa
from tamis.kernels._pattern import PackedPattern
from tamis.kernels._processor import processor_name
from tamis.kernels.choose import choices
from tamis.kernels.functional import sparse_conv1d, sparse_conv2d, sparse_linear

__all__ = [
    "ConvGeometry",
    "PackedPattern",
    "available_isas",
    "choices",
    "isa",
    "native_available",
    "pair",
    "processor_name",
    "set_isa",
    "sparse_conv1d",
    "sparse_conv2d",
    "sparse_linear",
]
