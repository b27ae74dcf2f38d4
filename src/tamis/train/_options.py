"""What the options of all methods share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MethodOptions:
    """Options of a method that has none of its own, and base of all others.

    A subclass has one field per keyword of the method's constructor in tamis.methods, with the same name and default;
    a test compares them.  It checks its values and raises :class:`tamis.errors.UsageError` that names the key.
    """
