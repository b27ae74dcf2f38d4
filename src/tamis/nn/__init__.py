"""Layers that store only their live weights, and the conversion of models."""

from tamis.nn._convert import dense_state_dict, densify, load_packed_state, sparsify
from tamis.nn._fuse import fuse, is_fused, unfuse
from tamis.nn._layers import SparseConv1d, SparseConv2d, SparseLinear
from tamis.nn._pack import pack_module, unpack_module
from tamis.nn._prunable import can_pack, is_packed, prunable_modules, worth_packing
from tamis.nn._quantise import quantise_weights, round_to_bits
from tamis.nn._replicas import Replicas
from tamis.nn._sparse_forward import can_compute_sparsely, compute_densely, compute_sparsely, computes_sparsely

__all__ = [
    "Replicas",
    "SparseConv1d",
    "SparseConv2d",
    "SparseLinear",
    "can_compute_sparsely",
    "can_pack",
    "compute_densely",
    "compute_sparsely",
    "computes_sparsely",
    "dense_state_dict",
    "densify",
    "fuse",
    "is_fused",
    "is_packed",
    "load_packed_state",
    "pack_module",
    "prunable_modules",
    "quantise_weights",
    "round_to_bits",
    "sparsify",
    "unfuse",
    "unpack_module",
    "worth_packing",
]
