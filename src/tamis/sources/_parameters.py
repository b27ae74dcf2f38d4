"""What FLEA can be told, checked before any work is done."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from tamis.errors import UsageError
from tamis.sources._matrices import COMPONENTS, MOST_DISPARITY, Measures
from tamis.sources._selection import number_to_keep

CHOICES: dict[str, tuple[Any, ...]] = {
    "disparity": tuple(MOST_DISPARITY),
    "aggregation": ("sum", "max"),
    "on_empty_group": ("error", "max"),
    "include_sensitive": (True, False, "auto"),
}


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Refuse parameters of :class:`tamis.sources.FLEA` that no data could make sense of.

    Args:
        parameters: all of them by name, as ``get_params(deep=False)`` gives them.

    Raises:
        UsageError: names the parameter, its value and what was expected.
    """
    for name, allowed in CHOICES.items():
        if parameters[name] not in allowed:
            raise UsageError(f"{name}={parameters[name]!r}: expected one of {', '.join(map(repr, allowed))}")
    components = parameters["components"]
    if isinstance(components, str) or not components or not set(components) <= set(COMPONENTS):
        raise UsageError(f"components={components!r}: expected some of {', '.join(map(repr, COMPONENTS))}")
    n_clean, gtol = parameters["n_clean"], parameters["gtol"]
    if not isinstance(n_clean, Integral) or isinstance(n_clean, bool):  # integers wait for the sources
        number_to_keep(n_clean, 1)
    if not (isinstance(gtol, Real) and float(gtol) > 0):
        raise UsageError(f"gtol={gtol!r}: expected a positive number")
    for name in ("max_iter", "n_references"):
        value = parameters[name]
        if not (isinstance(value, Integral) and int(value) >= 1) and not (name == "n_references" and value is None):
            raise UsageError(f"{name}={value!r}: expected a positive integer")


def measures_of(parameters: Mapping[str, Any], groups: bool) -> Measures:
    """The components to compute, in their fixed order; without groups only the discrepancy can be.

    Raises:
        UsageError: none of the wanted components can be computed.
    """
    components = parameters["components"]
    used = tuple(name for name in COMPONENTS if name in components and (groups or name == "discrepancy"))
    if not used:
        raise UsageError(f"components={components!r} need sensitive_features, which were not given")
    return Measures(used, parameters["disparity"], float(parameters["gtol"]), int(parameters["max_iter"]))
