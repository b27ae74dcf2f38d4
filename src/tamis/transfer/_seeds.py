"""Random numbers of a transfer: derived from the task and the seed, never from the method, so that runs are paired."""

from __future__ import annotations

import hashlib

from tamis.errors import UsageError


def derived_seed(task: str, seed: int, purpose: str) -> int:
    """A seed of 63 bits for one purpose (``head``, ``order``, ...) of a run with ``seed`` on ``task``.

    Equal arguments give equal seeds on every machine; another purpose gives an unrelated one.

    >>> derived_seed("pets", 21, "head") == derived_seed("pets", 21, "head")
    True

    Raises:
        UsageError: the seed is no whole number of at least 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise UsageError(f"seed {seed!r}: expected a whole number of at least 0")
    digest = hashlib.sha256(f"{task}\n{seed}\n{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
