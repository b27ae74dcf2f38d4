"""Training FLOPs of the published methods per sample, relative to dense training.

A backward pass costs twice the forward pass, half of it for the gradient of the input (always as sparse as the weights)
and half for the gradient of the weights, so a dense step costs ``3 f_D``.  All functions take forward costs as
fractions of the dense forward pass (``f_D = 1``) and return a fraction of ``3 f_D``.  A run over more samples than the
dense one it is compared with (RigL "5x") multiplies the result by that factor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tamis.errors import UsageError
from tamis.sparsity._phases import Phase, check_phases


def _check_fraction(value: float, name: str) -> float:
    if not 0.0 <= value <= 1.0:
        raise UsageError(f"{name} must be a fraction of the dense cost in [0, 1]; got {value!r}")
    return value


def static_cost(sparse: float) -> float:
    """Static masks, SET, and a sparse phase of AC/DC: ``3 f_S``."""
    return _check_fraction(sparse, "the sparse forward cost")


def rigl_cost(sparse: float, interval: int, update_share: float = 1.0) -> float:
    """RigL: ``(3 f_S * interval + 2 f_S + f_D) / (interval + 1)`` while masks are updated, then ``3 f_S``.

    Evci et al., "Rigging the Lottery" (ICML 2020); the dense gradient is needed on updates only.

    Args:
        sparse: sparse forward cost.
        interval: steps between two updates, at least 1.
        update_share: share of training during which masks are updated, in [0, 1] (25k of 32k steps as published).

    Raises:
        UsageError: the interval, the cost or the share is out of range.
    """
    _check_fraction(sparse, "the sparse forward cost")
    _check_fraction(update_share, "update_share")
    if interval < 1:
        raise UsageError(f"the interval between updates must be at least one step; got {interval}")
    updating = (3.0 * sparse * interval + 2.0 * sparse + 1.0) / (interval + 1) / 3.0
    return update_share * updating + (1.0 - update_share) * sparse


def dense_gradient_cost(sparse: float) -> float:
    """Sparse passes with a dense weight gradient each step: ``2 f_S + f_D``.

    SNFS, DPF and straight-through training; for gradual pruning with dense gradients use it at each sparsity.
    """
    return (2.0 * _check_fraction(sparse, "the sparse forward cost") + 1.0) / 3.0


def gradual_cost(sparse: Sequence[float]) -> float:
    """Gradual magnitude pruning with masked gradients: ``3 f_{S_t}`` averaged over training.

    Args:
        sparse: forward cost at equally long stretches of training.

    Raises:
        UsageError: the sequence is empty or a cost is outside [0, 1].
    """
    if not sparse:
        raise UsageError("the cost of gradual pruning is a mean over training; got no forward cost")
    return sum(_check_fraction(value, "a forward cost") for value in sparse) / len(sparse)


def topkast_cost(forward: float, backward: float) -> float:
    """Top-KAST: ``2 f(A) + f(B)`` with forward mask A and gradient mask B (Jayakumar et al., NeurIPS 2020)."""
    return (2.0 * _check_fraction(forward, "the forward cost") + _check_fraction(backward, "the backward cost")) / 3.0


def acdc_cost(phases: Sequence[Phase], sparse: float) -> float:
    """AC/DC, mask-based: dense phases cost 1, sparse phases ``sparse``, weighted by their lengths.

    The published fractions are lower, because that code counts weights that stay exactly zero in dense phases as
    absent; :func:`measured_cost` of exact-nnz forward fractions is the counterpart.

    Raises:
        UsageError: the phases have gaps, or the cost is outside [0, 1].
    """
    total = check_phases(phases)
    _check_fraction(sparse, "the sparse forward cost")
    return sum(phase.length * (sparse if phase.kind == "sparse" else 1.0) for phase in phases) / total


def measured_cost(rows: Iterable[tuple[float, float]]) -> float:
    """Any run, from what was counted on the way: the mean of forward fractions weighted by samples.

    Peste et al., "AC/DC" (NeurIPS 2021), count ``3 f(weights that are not exactly zero)`` at the end of each epoch.

    Args:
        rows: pairs (samples or any weight of the stretch, forward fraction during it).

    Raises:
        UsageError: there is no row with a positive weight, a weight is negative, or a fraction is outside [0, 1].
    """
    pairs = [(float(weight), _check_fraction(value, "a measured forward cost")) for weight, value in rows]
    total = sum(weight for weight, _ in pairs)
    if total <= 0.0 or any(weight < 0.0 for weight, _ in pairs):
        raise UsageError("expected rows (samples, forward fraction) with samples >= 0, at least one of them positive")
    return sum(weight * value for weight, value in pairs) / total
