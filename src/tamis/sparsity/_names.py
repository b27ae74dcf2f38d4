"""Names of layers as an option: one, or several."""

from __future__ import annotations

from collections.abc import Collection, Set

from tamis.errors import UsageError


def layer_names(given: str | Collection[str], option: str) -> tuple[str, ...]:
    """The names as a tuple; one string is one name, not its characters.

    Args:
        given: a name, or names in any collection.
        option: what the option is called in the error message.

    Raises:
        UsageError: ``given`` is no collection, or holds something that is no string.
    """
    names = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, Collection) else (given,)
    if not all(isinstance(name, str) for name in names):
        raise UsageError(
            f"{option} must be the name of a layer or several names, such as ('conv1', 'fc'); got {given!r}"
        )
    return tuple(sorted(names)) if isinstance(given, Set) else names  # a set has another order in every process
