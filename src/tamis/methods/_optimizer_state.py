"""Optimizer state that belongs to single weights: find it, reset it, clear its moments.

The rule is generic, so that no list of optimizers is needed: *every state tensor of the parameter's shape holds one
number per weight*.  It covers SGD, Adam, AdamW, NAdam, RAdam, Adamax, Adadelta, RMSprop, Adagrad, ASGD, Rprop, Muon and
most optimizers of other packages.  State that spans the whole model, such as the directions in LBFGS's history, speaks
of one support and is dropped with it.  State of any other shape (row and column factors of Adafactor, step counters) is
left alone.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, optim

# Updating a weight of these reads nothing but that weight's own value, gradient and state, so a layer may hand them
# its live weights alone.  Exact types: a subclass may normalise over the whole tensor.
ELEMENTWISE: frozenset[type] = frozenset(
    {
        optim.SGD, optim.Adam, optim.AdamW, optim.NAdam, optim.RAdam, optim.Adamax, optim.Adadelta, optim.RMSprop,
        optim.Adagrad, optim.ASGD, optim.Rprop,
    }
)  # fmt: skip

# Running means of gradients, and (where a first moment of Adam exists) what Adam's bias correction divides by.
_FIRST_MOMENTS = ("momentum_buffer", "exp_avg", "grad_avg")
_ADAM_FAMILY = {"exp_avg_sq": 0.0, "max_exp_avg_sq": 0.0, "exp_inf": 0.0, "step": 0.0, "mu_product": 1.0}


class UnknownStateWarning(UserWarning):
    """An optimizer keeps state for weights of which a method cannot tell what it is; it is left as it is."""


def is_elementwise(optimizer: optim.Optimizer) -> bool:
    """Whether each weight is updated from its own value, gradient and state alone (exactly known torch classes)."""
    return type(optimizer) in ELEMENTWISE


def per_weight_state(optimizer: optim.Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    """The state tensors that have the parameter's shape, by their key; empty before the first step."""
    state = optimizer.state.get(parameter, {})
    return {key: value for key, value in state.items() if isinstance(value, Tensor) and value.shape == parameter.shape}


def initial_value(optimizer: optim.Optimizer, parameter: Tensor, key: str) -> float:
    """What state ``key`` of a weight is before its first step: 0, but for Rprop's step size and Adagrad's sum."""
    group_key = {(optim.Rprop, "step_size"): "lr", (optim.Adagrad, "sum"): "initial_accumulator_value"}.get(
        (type(optimizer), key)
    )
    if group_key is None:
        return 0.0
    for group in optimizer.param_groups:
        if any(parameter is other for other in group["params"]):
            return float(group[group_key])
    return 0.0


@torch.no_grad()
def reset_regrown_state(optimizer: optim.Optimizer, parameter: Tensor, regrown: Tensor) -> None:
    """Give regrown weights the optimizer state of a weight that was never trained.

    Args:
        optimizer: any torch optimizer.
        parameter: the dense weight.
        regrown: bool tensor of the parameter's shape, True where a weight came back.

    Warns:
        UnknownStateWarning: the optimizer keeps tensors for this parameter, but none of its shape; they are left alone.
    """
    known = per_weight_state(optimizer, parameter)
    for key, value in known.items():
        value.masked_fill_(regrown, initial_value(optimizer, parameter, key))
    others = [key for key, value in optimizer.state.get(parameter, {}).items() if _is_array(value) and key not in known]
    if others and not known:
        warnings.warn(
            f"{type(optimizer).__name__} keeps {others} for a weight of shape {tuple(parameter.shape)}, none of that "
            "shape; the state of regrown weights is left as it is",
            UnknownStateWarning,
            stacklevel=2,
        )


@torch.no_grad()
def clear_moments(optimizer: optim.Optimizer) -> None:
    """Forget the momentum of all parameters: kept weights, biases and norms included.

    AC/DC's rule at the entry of a dense phase (Peste et al., NeurIPS 2021, official code): first-moment buffers become
    zero.  For the Adam family the second moments and the step counter are cleared too, because a bias correction for
    many steps would divide a fresh first moment by a stale second one (our choice; the paper trains with SGD).

    Warns:
        UnknownStateWarning: state of another name may be a first moment; it is left as it is.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            values = dict.fromkeys(_FIRST_MOMENTS, 0.0) | (_ADAM_FAMILY if "exp_avg" in state else {})
            for key in values.keys() & state.keys():
                if isinstance(state[key], Tensor):
                    state[key].fill_(values[key])
                elif state[key] is not None:
                    state[key] = type(state[key])(values[key])
    unknown = _possible_moments(optimizer)
    if unknown:
        warnings.warn(
            f"{type(optimizer).__name__} keeps {unknown} in the shape of a weight and with both signs, as momentum is, "
            f"but under none of the names {list(_FIRST_MOMENTS)}, so the entry of a dense phase leaves it as it is; if "
            "it is momentum, set it to zero in a before_change callback while phase is 'sparse'",
            UnknownStateWarning,
            stacklevel=2,
        )


def _possible_moments(optimizer: optim.Optimizer) -> list[str]:
    """State with a number per weight, some below zero (unlike second moments), that is no first moment by its name."""
    if is_elementwise(optimizer):
        return []
    found: dict[str, None] = {}
    for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
        for key, value in per_weight_state(optimizer, parameter).items():
            if key not in _FIRST_MOMENTS and value.is_floating_point() and bool((value < 0.0).any()):
                found[key] = None
    return list(found)


def drop_spanning_state(optimizer: optim.Optimizer) -> None:
    """Forget state that spans several parameters, because the support that it was collected on has changed.

    LBFGS keeps steps and gradients as flat vectors over all parameters.  Those of the old support say nothing about the
    new one: kept, they made gradual pruning and AC/DC diverge.  Any flat vector counts that has as many numbers as its
    parameter or more, in another shape, alone or in a list.  The entry goes as a whole, so that the optimizer begins
    anew; an entry is removed, not emptied, because this may happen inside a step that still holds it.
    """
    if is_elementwise(optimizer):
        return
    for key in [key for key, state in optimizer.state.items() if _spans(key, state)]:
        del optimizer.state[key]


def _spans(key: object, state: Any) -> bool:
    own = key.shape if isinstance(key, Tensor) else torch.Size()
    least = max(2, own.numel())
    vectors: list[Any] = []
    for value in state.values() if isinstance(state, Mapping) else ():
        vectors += value if isinstance(value, (list, tuple)) else [value]
    return any(isinstance(v, Tensor) and v.dim() == 1 and v.numel() >= least and v.shape != own for v in vectors)


def state_by_position(optimizer: optim.Optimizer) -> dict[str, Any]:
    """A copy of the optimizer's state by position of the parameter, written as text for JSON; {} for a new SGD."""
    state: dict[str, Any] = copy.deepcopy(optimizer.state_dict()["state"])
    return {str(position): values for position, values in state.items()}


def restart(optimizer: optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Forget everything that the optimizer learnt: all parameters get ``state`` of :func:`state_by_position`.

    Parameter groups stay as they are, learning rates included.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    optimizer.state.clear()
    for position, values in state.items():
        parameter = parameters[int(position)]
        optimizer.state[parameter] = {
            # Scalars such as step counters stay where their optimizer wants them.
            key: value.to(parameter.device, copy=True) if _is_array(value) else copy.deepcopy(value)
            for key, value in values.items()
        }


def _is_array(value: object) -> bool:
    return isinstance(value, Tensor) and value.numel() > 1
