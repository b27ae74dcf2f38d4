"""How a meta-estimator hands metadata on to the estimator inside it, with and without scikit-learn's routing."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import has_fit_parameter

Array = np.ndarray[Any, Any]


OFFERED = ("sensitive_features", "sources")  # for an estimator that takes them; others were meant for it


def route(owner: Any, inner: Any) -> MetadataRouter:
    """The routing of a meta-estimator that takes metadata in ``fit`` itself and hands them on to ``inner.fit``."""
    mapping = MethodMapping().add(caller="fit", callee="fit")
    return MetadataRouter(owner=owner).add_self_request(owner).add(estimator=inner, method_mapping=mapping)


def routing_enabled() -> bool:
    """Whether the user turned metadata routing on (``sklearn.set_config(enable_metadata_routing=True)``)."""
    from sklearn import get_config

    return bool(get_config()["enable_metadata_routing"])


def fit_inner(
    owner: Any, inner: Any, X: Array, y: Array, metadata: Mapping[str, Any], rows: Array | None = None
) -> Any:
    """Fit ``inner`` with the metadata it takes; returns it.

    With routing enabled it gets what it requests (``inner.set_fit_request(...)``); otherwise what it :func:`takes`.

    Args:
        owner: the meta-estimator, whose routing is asked.
        inner: a fresh clone.
        X, y: all rows.
        metadata: name to one value for each row, or None.
        rows: fit on these rows only, of X, y and metadata; None for all.

    Raises:
        TypeError: metadata beside sensitive features and sources that ``inner`` does not take.
    """
    given = {name: value for name, value in metadata.items() if value is not None}
    if routing_enabled():
        given = dict(process_routing(owner, "fit", **given).estimator.fit)
    else:
        unknown = [name for name in given if name not in OFFERED and not takes(inner, name)]
        if unknown:
            raise TypeError(f"{type(inner).__name__}.fit() takes no {', '.join(unknown)}")
        given = {name: value for name, value in given.items() if takes(inner, name)}
    if rows is not None:
        X, y, given = X[rows], y[rows], {name: np.asarray(value)[rows] for name, value in given.items()}
    return inner.fit(X, y, **given)


def takes(inner: Any, name: str) -> bool:
    """Whether ``inner.fit`` has a parameter ``name``; any ``**keywords`` are trusted with sensitive features only.

    Fairlearn's reductions take sensitive features that way; scikit-learn's own meta-estimators ask for routing instead.
    """
    if has_fit_parameter(inner, name):
        return True
    open_ended = any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD
        for parameter in inspect.signature(inner.fit).parameters.values()
    )
    return name == "sensitive_features" and open_ended and not type(inner).__module__.startswith("sklearn.")


def delegates(name: str) -> Any:
    """A method exists on the meta-estimator if the estimator inside has it: for ``available_if``."""

    def check(self: Any) -> bool:
        return hasattr(getattr(self, "estimator_", None) or self._inner(), name)

    return available_if(check)


def binary_tags(tags: Any, inner: Any) -> Any:
    """Tags of a meta-estimator for two classes; sparse input as far as the estimator inside takes it."""
    tags.classifier_tags.multi_class = False
    tags.input_tags.allow_nan = get_tags(inner).input_tags.allow_nan and tags.input_tags.allow_nan
    return tags
