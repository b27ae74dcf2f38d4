"""Which options belong to which method of a recipe."""

from __future__ import annotations

from typing import Literal

from tamis.train._options import MethodOptions
from tamis.train._options_magnitude import ACDCOptions, GMPOptions, OneShotOptions

Method = Literal["acdc", "gmp", "oneshot", "dense"]
OPTIONS: dict[str, type[MethodOptions]] = {
    "dense": MethodOptions,
    "acdc": ACDCOptions,
    "gmp": GMPOptions,
    "oneshot": OneShotOptions,
}
