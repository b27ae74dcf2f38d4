"""Where STR's threshold goes when nothing but weight decay moves it: the cheap start of a search for a sparsity.

At a very negative logit ``s`` the threshold ``sigmoid(s)`` and its slope are 0 in floating point, so ``s`` has no
gradient and SGD with momentum shrinks it by weight decay alone.  Kusupati et al. (ICML 2020) start there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from tamis.errors import UsageError
from tamis.sparsity._counts import check_sparsity, keep_count


def decayed_logit(initial: float, decay: float, learning_rates: Iterable[float], momentum: float = 0.0) -> float:
    """``initial * exp(-decay * sum(learning_rates) / (1 - momentum))``: the logit after training on decay alone.

    Args:
        initial: the logit at the start.
        decay: weight decay of the optimizer, at least 0.
        learning_rates: learning rate of every optimizer step of the run.
        momentum: of SGD, in [0, 1).

    Raises:
        UsageError: a number is out of range.
    """
    if not 0.0 <= momentum < 1.0 or decay < 0.0:
        raise UsageError(f"expected decay >= 0 and momentum in [0, 1); got {decay!r} and {momentum!r}")
    return initial * math.exp(-decay * sum(learning_rates) / (1.0 - momentum))


def decay_for_logit(initial: float, final: float, learning_rates: Iterable[float], momentum: float = 0.0) -> float:
    """The weight decay for which :func:`decayed_logit` is ``final``.

    Args:
        initial: the logit at the start.
        final: the wanted logit at the end, of the same sign and not farther from 0.
        learning_rates: learning rate of every optimizer step of the run, of positive sum.
        momentum: of SGD, in [0, 1).

    Raises:
        UsageError: decay cannot lead from ``initial`` to ``final``, or a number is out of range.

    >>> rates = [0.1] * 1000
    >>> round(decayed_logit(-100.0, decay_for_logit(-100.0, -5.0, rates, 0.9), rates, 0.9), 9)
    -5.0
    """
    total = sum(learning_rates)
    if not 0.0 <= momentum < 1.0 or total <= 0.0:
        raise UsageError(f"expected learning rates of positive sum and momentum in [0, 1); got {total}, {momentum!r}")
    if final == 0.0 or initial / final < 1.0:
        raise UsageError(f"decay moves a logit towards 0, so it cannot lead from {initial!r} to {final!r}")
    return math.log(initial / final) * (1.0 - momentum) / total


def logit_for_sparsity(weights: Mapping[str, Tensor], sparsity: float) -> float:
    """The one logit whose threshold is the largest magnitude that goes at ``sparsity`` over all ``weights``.

    Args:
        weights: layer name -> weights, for example of a dense model trained in the same way.
        sparsity: wanted fraction of zeros, in [0, 1).

    Raises:
        UsageError: nothing would go, or the threshold is not inside (0, 1), where a sigmoid can reach it.
    """
    magnitudes = torch.cat([weight.detach().abs().reshape(-1).double().cpu() for weight in weights.values()])
    gone = magnitudes.numel() - keep_count(magnitudes.numel(), check_sparsity(sparsity))
    threshold = float(magnitudes.sort().values[gone - 1]) if gone else 0.0
    if not 0.0 < threshold < 1.0:
        raise UsageError(
            f"sparsity {sparsity!r} of these weights needs the threshold {threshold:g}; a sigmoid reaches those "
            "between 0 and 1 only"
        )
    return math.log(threshold / (1.0 - threshold))
