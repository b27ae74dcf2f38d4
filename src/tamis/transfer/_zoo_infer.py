"""Which weights of a checkpoint live: explicit masks where there are some, exact zeros where there are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tamis.errors import FileError
from tamis.transfer._zoo_style import MIN_ZERO_FRACTION

Source = Literal["explicit mask", "zeros", "zeros under an all-ones mask", "soft threshold", "none"]


@dataclass(frozen=True, eq=False)
class Support:
    """The mask of one weight, and where it comes from.

    ``mask`` is bool of the weight's shape, None for a dense weight.  ``active_zeros`` counts live weights that are
    zero, ``warning`` is empty where there is nothing to say.
    """

    mask: Tensor | None
    source: Source
    active_zeros: int
    warning: str = ""

    def apply(self, weight: Tensor) -> Tensor:
        """The weight with exact zeros where it is pruned; itself for a dense one."""
        return weight if self.mask is None else weight.masked_fill(~self.mask, 0.0)


def zero_fraction(weight: Tensor) -> float:
    """The share of exact zeros; -0.0 counts, denormal numbers do not.

    >>> zero_fraction(torch.tensor([0.0, -0.0, 1e-45, 2.0]))
    0.5
    """
    return 1.0 - int(torch.count_nonzero(weight)) / weight.numel() if weight.numel() else 0.0


def check_finite(name: str, tensor: Tensor) -> None:
    """FileError that names the tensor if it holds NaN or an infinity."""
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        wrong = int((~torch.isfinite(tensor)).sum())
        raise FileError(f"{name}: {wrong} of {tensor.numel()} values are NaN or infinite; the checkpoint is damaged")


def infer_support(name: str, weight: Tensor, min_zero_fraction: float = MIN_ZERO_FRACTION) -> Support:
    """The support of a weight that comes without a mask.

    With z the share of exact zeros: z >= ``min_zero_fraction`` means the mask is ``weight != 0``, less means dense.
    A file of low precision may hold zeros by accident; raise the fraction then.

    Args:
        name: for messages.
        weight: any shape, floating point.
        min_zero_fraction: see above.

    Raises:
        FileError: the weight holds NaN or an infinity.
    """
    check_finite(name, weight)
    zeros = weight.numel() - int(torch.count_nonzero(weight))
    if not zeros or zeros < min_zero_fraction * weight.numel():
        return Support(None, "none", zeros)
    warning = f"{name}: every weight is zero; the layer passes nothing on" if zeros == weight.numel() else ""
    return Support((weight != 0).contiguous(), "zeros", 0, warning)


def explicit_support(name: str, weight: Tensor, mask: Tensor, min_zero_fraction: float = MIN_ZERO_FRACTION) -> Support:
    """The support of a weight that comes with a mask: the mask, even where a live weight is zero.

    Freshly grown weights are zero, so zeros inside the mask stay live.  The exception is a mask of ones alone over a
    weight that is sparse by :func:`infer_support`: such masks are written by programs that wrap a pruned model anew,
    and would make it dense at the first step.  The zeros are used then, with a warning.

    Args:
        name: for messages.
        weight: the stored weight, not multiplied by the mask yet.
        mask: 0 and 1 or bool, of the weight's shape.
        min_zero_fraction: of :func:`infer_support`.

    Raises:
        FileError: the mask has another shape or other values, or the weight is not finite.
    """
    check_finite(name, weight)
    if mask.shape != weight.shape:
        raise FileError(f"{name}: mask of shape {tuple(mask.shape)} for a weight of shape {tuple(weight.shape)}")
    live = mask != 0
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise FileError(f"{name}: its mask holds values other than 0 and 1; expected a mask of zeros and ones")
    if bool(live.all()):
        found = infer_support(name, weight, min_zero_fraction)
        if found.mask is None:
            return Support(None, "explicit mask", found.active_zeros)
        share = zero_fraction(weight)
        warning = f"{name}: its mask is all ones although {share:.1%} of the weights are zero; the zeros are kept"
        return Support(found.mask, "zeros under an all-ones mask", 0, "; ".join(filter(None, (warning, found.warning))))
    warning = "" if bool(live.any()) else f"{name}: the mask keeps no weight; the layer passes nothing on"
    return Support(live.contiguous(), "explicit mask", int((live & (weight == 0)).sum()), warning)


def soft_threshold(weight: Tensor, threshold: Tensor) -> Tensor:
    """STR's weight ``sign(w) max(0, |w| - sigmoid(s))`` (Kusupati et al., ICML 2020, arXiv:2002.03231, eq. 4).

    ``threshold`` is s: one number of any shape, or a tensor that broadcasts to the weight's shape.

    >>> soft_threshold(torch.tensor([0.3, -0.05]), torch.tensor(-2.197225)).tolist()
    [0.200..., -0.0]
    """
    s = threshold.reshape(()) if threshold.numel() == 1 else threshold
    return weight.sign() * (weight.abs() - torch.sigmoid(s)).clamp_min(0)
