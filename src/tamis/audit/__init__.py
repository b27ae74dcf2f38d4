"""Bias audit of compressed models: what compression changed, for whom, how surely, and what repairs it.

Works on stored outputs (:class:`Outputs`) and labels (:class:`Labels`) alone, and imports no torch.  The room itself
can be called: ``tamis.audit(...)`` is ``tamis.audit.audit(...)``.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tamis.audit._audit import audit
    from tamis.audit._cascade import Cascade, CascadeCost
    from tamis.audit._collect import collect
    from tamis.audit._gates import unsure_classes, unsure_labels
    from tamis.audit._labels import Labels
    from tamis.audit._outputs import Outputs
    from tamis.audit._result import AuditReport, Validation

_MODULES = {
    "_audit": ("audit",),
    "_cascade": ("Cascade", "CascadeCost"),
    "_collect": ("collect",),
    "_gates": ("unsure_classes", "unsure_labels"),
    "_labels": ("Labels",),
    "_outputs": ("Outputs",),
    "_result": ("AuditReport", "Validation"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "AuditReport",
    "Cascade",
    "CascadeCost",
    "Labels",
    "Outputs",
    "Validation",
    "audit",
    "collect",
    "unsure_classes",
    "unsure_labels",
]


class _CallableRoom(types.ModuleType):
    """The room ``tamis.audit``, which may be called like the function that it is named after."""

    def __call__(self, **given: Any) -> AuditReport:
        """See :func:`tamis.audit.audit`."""
        return self.audit(**given)


sys.modules[__name__].__class__ = _CallableRoom


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(
            f"module 'tamis.audit' has no attribute {name!r}; public names: {', '.join(sorted(_HOME))}"
        )
    return getattr(importlib.import_module(f"tamis.audit.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
