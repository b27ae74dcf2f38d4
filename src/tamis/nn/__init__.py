"""Layers that store only their live weights, and the conversion of models."""

from tamis.nn._convert import (
    can_pack,
    dense_state_dict,
    densify,
    is_packed,
    load_packed_state,
    pack_module,
    prunable_modules,
    sparsify,
    unpack_module,
    worth_packing,
)
from tamis.nn._fuse import fuse, is_fused, unfuse
from tamis.nn._layers import SparseConv1d, SparseConv2d, SparseLinear

__all__ = [
    "SparseConv1d",
    "SparseConv2d",
    "SparseLinear",
    "can_pack",
    "dense_state_dict",
    "densify",
    "fuse",
    "is_fused",
    "is_packed",
    "load_packed_state",
    "pack_module",
    "prunable_modules",
    "sparsify",
    "unfuse",
    "unpack_module",
    "worth_packing",
]
