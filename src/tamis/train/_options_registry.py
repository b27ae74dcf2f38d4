"""Which options belong to which method of a recipe."""

from __future__ import annotations

from typing import Literal

from tamis.train._options import MethodOptions
from tamis.train._options_at_init import GraSPOptions, SNIPOptions, SynFlowOptions
from tamis.train._options_dynamic import (
    DynamicOptions,
    RandomPruningOptions,
    SNFSOptions,
    SRigLOptions,
    StaticOptions,
    TopKASTOptions,
)
from tamis.train._options_latent import DPFOptions, SRSTEOptions, STEOptions, STROptions
from tamis.train._options_magnitude import ACDCOptions, GMPOptions, OneShotOptions
from tamis.train._options_rewinding import LotteryTicketOptions, LRROptions, LTHTOptions
from tamis.train._options_second_order import (
    CAPOptions,
    MFACOptions,
    OBERTOptions,
    SparseGPTOptions,
    WandaOptions,
    WoodFisherOptions,
)

Method = Literal[
    "dense", "acdc", "gmp", "oneshot",
    "set", "rigl", "snfs", "srigl", "topkast", "static", "randompruning",
    "ste", "dpf", "srste", "str",
    "lotteryticket", "ltht", "lrr",
    "snip", "grasp", "synflow",
    "woodfisher", "mfac", "obert", "cap", "wanda", "sparsegpt",
]  # fmt: skip
OPTIONS: dict[str, type[MethodOptions]] = {
    "dense": MethodOptions,
    "acdc": ACDCOptions,
    "gmp": GMPOptions,
    "oneshot": OneShotOptions,
    "set": DynamicOptions,
    "rigl": DynamicOptions,
    "snfs": SNFSOptions,
    "srigl": SRigLOptions,
    "topkast": TopKASTOptions,
    "static": StaticOptions,
    "randompruning": RandomPruningOptions,
    "ste": STEOptions,
    "dpf": DPFOptions,
    "srste": SRSTEOptions,
    "str": STROptions,
    "lotteryticket": LotteryTicketOptions,
    "ltht": LTHTOptions,
    "lrr": LRROptions,
    "snip": SNIPOptions,
    "grasp": GraSPOptions,
    "synflow": SynFlowOptions,
    "woodfisher": WoodFisherOptions,
    "mfac": MFACOptions,
    "obert": OBERTOptions,
    "cap": CAPOptions,
    "wanda": WandaOptions,
    "sparsegpt": SparseGPTOptions,
}
"""The options of every method by its name in a recipe."""
