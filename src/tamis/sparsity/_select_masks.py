"""The one composition of scores, sparsity, distribution and pattern into masks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tamis.errors import UsageError
from tamis.sparsity._counts import check_sparsity
from tamis.sparsity._distributions import Budget, Distribution, Global, Uniform, checked_layers
from tamis.sparsity._erk import ERK
from tamis.sparsity._patterns import NM, Block, FanIn, Pattern, Unstructured, check_pattern_sparsity

_DEFAULT_DISTRIBUTION = Global()
_DEFAULT_PATTERN = Unstructured()

# What is known not to look at scores: the counts of these, and how many live weights these have room for. Exact types,
# because a subclass may look.
_COUNTS_WITHOUT_SCORES = (Uniform, ERK, Budget)
_ROOM_WITHOUT_SCORES = (Unstructured, FanIn, NM, Block)


def check_combination(sparsity: float, distribution: Distribution, pattern: Pattern) -> float:
    """Return the sparsity if distribution and pattern can be used together at it.

    Distributions do not apply to N:M, where every group keeps ``n`` of ``m``: ``Global`` is then not consulted,
    ``Uniform`` only says which layers stay dense, and ``ERK`` and ``Budget`` are refused.

    Raises:
        UsageError: the sparsity is outside [0, 1), N:M is asked for another sparsity than ``1 - n / m``, or N:M meets a
            distribution that asks for different sparsities per layer.
    """
    check_sparsity(sparsity)
    check_pattern_sparsity(pattern, sparsity)
    if isinstance(pattern, NM) and not isinstance(distribution, (Global, Uniform)):
        raise UsageError(
            f"distributions do not apply to {pattern.n}:{pattern.m}, which gives every layer the same sparsity; "
            f"got {type(distribution).__name__}. Use Uniform() (its dense layers stay dense), or another pattern"
        )
    return float(sparsity)


def select_masks(
    scores: Mapping[str, Tensor],
    sparsity: float,
    distribution: Distribution = _DEFAULT_DISTRIBUTION,
    pattern: Pattern = _DEFAULT_PATTERN,
) -> dict[str, Tensor]:
    """Masks of the weights that live: the one selection that every method uses.

    Args:
        scores: layer name -> floating point scores in the shape (out, in, kernel...) of the layer's weight, higher is
            better, in registration order; magnitude pruning passes ``weight.abs()``.
        sparsity: fraction of zeros in [0, 1) over the layers that are not left dense.
        distribution: how the sparsity is shared among layers.
        pattern: what a mask may look like.

    Returns:
        Layer name -> bool tensor of the layer's shape and device, True where a weight lives.  Unstructured masks hold
        exactly the counts of the distribution; blocks and constant fan-in round them up.  The masks depend on nothing
        but the arguments: ties go to the earlier layer and the lower flat index, on any number of threads.

    Raises:
        UsageError: the sparsity is outside [0, 1), a score is NaN, the floors exceed the budget, or a layer does not
            fit the pattern; the message names the layer.

    >>> masks = select_masks({"a": torch.tensor([3.0, 1.0]), "b": torch.tensor([2.0, 4.0])}, 0.5)
    >>> {name: mask.tolist() for name, mask in masks.items()}
    {'a': [True, False], 'b': [False, True]}
    """
    check_combination(sparsity, distribution, pattern)
    ranked = pattern.rank(scores)
    names = checked_layers(ranked)
    dense = dense_layers(names, distribution, pattern)
    # N:M fixes the counts, so the distribution is not asked for them
    counts = {} if isinstance(pattern, NM) else distribution.keep_counts(ranked, sparsity, also_dense=dense)
    return {
        name: torch.ones(tensor.shape, dtype=torch.bool, device=tensor.device)
        if name in dense
        else pattern.select(tensor, counts.get(name, 0))
        for name, tensor in ranked.items()
    }


def dense_layers(names: list[str], distribution: Distribution, pattern: Pattern) -> tuple[str, ...]:
    """Layers that the combination leaves dense, which ``sparsity`` does not count, in registration order.

    Args:
        names: the prunable layers in registration order.
        distribution: may leave layers dense by name or position.
        pattern: may skip layers that it does not fit.

    Raises:
        UsageError: the distribution names a layer that does not exist.
    """
    dense = set(distribution.dense_layers(names))
    if isinstance(pattern, (NM, Block)):
        dense |= set(pattern.skip)
    return tuple(name for name in names if name in dense)


def nested_scores(scores: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Scores under which dead weights come last (-inf), so that new masks lie inside the old ones.

    Scores alone do not ensure that: a live weight that is exactly zero ties with the dead ones.  Gradual pruning
    without revival and pruning of an already sparse model rank with these.

    Args:
        scores: layer name -> floating point scores of the weight's shape.
        masks: layer name -> bool tensor of the same shape, True where the weight lives now.

    Returns:
        Layer name -> scores, ``-inf`` where the mask is False.

    Raises:
        UsageError: a layer has no mask or a mask of another shape.
    """
    for name, tensor in scores.items():
        if name not in masks or masks[name].shape != tensor.shape:
            found = tuple(masks[name].shape) if name in masks else "none"
            raise UsageError(f"layer {name!r} needs a mask of shape {tuple(tensor.shape)}; got {found}")
    return {name: tensor.detach().masked_fill(~masks[name], -torch.inf) for name, tensor in scores.items()}


def keeps_all(masks: Mapping[str, Tensor], sparsity: float, distribution: Distribution, pattern: Pattern) -> bool:
    """Whether a selection inside ``masks`` (see :func:`nested_scores`) keeps every live weight, whatever the scores.

    Methods whose scores are dear ask this first.  False may also mean that it depends on the scores, or that
    distribution or pattern are of another package.

    Args:
        masks: layer name -> bool tensor of the weight's shape, True where the weight lives, in registration order.
        sparsity: target fraction of zeros in [0, 1) over the layers that are not left dense.
        distribution: how the sparsity is shared among layers.
        pattern: what a mask may look like.

    Raises:
        UsageError: whatever :func:`select_masks` refuses.
    """
    if type(pattern) not in _ROOM_WITHOUT_SCORES:
        return False
    scores = nested_scores({name: torch.zeros(mask.shape, device=mask.device) for name, mask in masks.items()}, masks)
    if not isinstance(pattern, NM) and type(distribution) not in _COUNTS_WITHOUT_SCORES:
        if type(distribution) is not Global:
            return False
        ranked = pattern.rank(scores)
        dense = dense_layers(list(ranked), distribution, pattern)
        counts = distribution.keep_counts(ranked, sparsity, also_dense=dense)
        # Where layers compete, which of them must rely on the pattern's rounding up is decided by the scores.
        if any(counts[name] < int((tensor > -torch.inf).sum()) for name, tensor in ranked.items()):
            return False
    chosen = select_masks(scores, sparsity, distribution, pattern)
    return all(bool((chosen[name] | ~mask).all()) for name, mask in masks.items())
