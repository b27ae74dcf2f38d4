"""A mask change that is due but not done yet, as a checkpoint taken inside a ``before_change`` callback finds it.

What the method does then needs the weights and the optimizer state of that moment.  A resumed run has them when model
and optimizer were loaded, and makes the change there: after the last of the two, whichever that is.
"""

from __future__ import annotations

from collections.abc import Callable

from tamis.errors import UsageError


class DueChange:
    """Whether the change at the present step is still due, and what has to be loaded before it can be made.

    Args:
        enter: makes the change.

    Attributes:
        pending: the change is due, or is being made right now.
    """

    def __init__(self, enter: Callable[[], None]) -> None:
        self.pending = False
        self._enter = enter
        self._awaited: set[str] = set()

    def begins(self) -> None:
        """The method looks at what is due."""
        self.pending, self._awaited = True, set()

    def done(self) -> None:
        """The method has done it."""
        self.pending = False

    def loaded_with(self, pending: bool) -> None:
        """A checkpoint was loaded: if the change was ``pending`` in it, it awaits the model and the optimizer."""
        self.pending, self._awaited = pending, {"model", "optimizer"} if pending else set()

    def loaded(self, part: str) -> None:
        """``part`` (``"model"`` or ``"optimizer"``) was loaded; makes the change if that was the last to wait for."""
        if part in self._awaited:
            self._awaited.remove(part)
            if not self._awaited:
                self._enter()

    def check(self) -> None:
        """Refuse to train while a loaded change still waits.

        Raises:
            UsageError: model or optimizer were not loaded behind the sparsifier.
        """
        if self._awaited:
            missing = " and ".join(f"{part}.load_state_dict(...)" for part in sorted(self._awaited))
            raise UsageError(
                "this sparsifier's state was saved inside a before_change callback, so its mask change is still to be "
                f"made, on the weights and the optimizer of that moment: call {missing} after "
                "sparsifier.load_state_dict(...)"
            )
