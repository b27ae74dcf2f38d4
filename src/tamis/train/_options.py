"""What the options of all methods share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MethodOptions:
    """Options of a method that has none of its own, and base of all others.

    A subclass has fields of the names and defaults of the method's constructor in tamis.methods, for all keywords but
    those that the rest of a recipe says or only code can use; a test compares them.  It checks its values and raises
    :class:`tamis.errors.UsageError` that names the key.
    """
