"""Who takes part in a contest: ours and the peers, at every sparsity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

from tamis.bench._threads import spread_threads
from tamis.bench.peers import PEERS

Member = TypeVar("Member")
Other = TypeVar("Other")


@dataclass(frozen=True)
class Field(Generic[Member]):
    """Contestants of one case.

    Attributes:
        members: contestant by key, a text that is unique over all sparsities.
        keys: by sparsity, the key of each contestant by name; those that do not depend on the zeros are shared.
        notes: by sparsity, why a peer (by name) takes no part.
    """

    members: dict[str, Member]
    keys: dict[float, dict[str, str]]
    notes: dict[float, dict[str, str]]

    def at(self, sparsity: float, found: Mapping[str, Other]) -> dict[str, Other]:
        """What was found by key, as it concerns one sparsity: by name."""
        return {name: found[key] for name, key in self.keys[sparsity].items() if key in found}

    def built_for(self, key: str) -> float:
        """The sparsity whose zeros a contestant computes with: the first, for one that is shared by all."""
        return next(sparsity for sparsity, keys in self.keys.items() if key in keys.values())


def assemble(
    what: str,
    peers: Sequence[str],
    operands: Mapping[float, tuple[Any, ...]],
    ours: Callable[..., Mapping[str, Member]],
) -> Field[Member]:
    """Build ours and the peers for each sparsity; dense torch always takes part.

    Args:
        what: ``"layer"``, ``"step"`` or ``"infer"``.
        peers: names of ``PEERS``.
        operands: by sparsity, what builders are called with.
        ours: our contestants by name, from the same operands.
    """
    members: dict[str, Member] = {}
    keys: dict[float, dict[str, str]] = {sparsity: {} for sparsity in operands}
    notes: dict[float, dict[str, str]] = {sparsity: {} for sparsity in operands}
    for sparsity, given in operands.items():
        for label, member in ours(*given).items():
            keys[sparsity][label] = f"{sparsity} {label}"
            members[f"{sparsity} {label}"] = member
    for peer in (PEERS[name] for name in dict.fromkeys(("dense", *peers))):
        groups = [[sparsity] for sparsity in operands] if peer.per_sparsity else [list(operands)]
        for group in groups:
            built, why = peer.build(what, *operands[group[0]])
            for label, member in built.items():
                key = f"{group[0]} {label}" if peer.per_sparsity else label
                members[key] = member
                for sparsity in group:
                    keys[sparsity][label] = key
            for sparsity in group:
                notes[sparsity].update({peer.name: why} if why else {})
    spread_threads(torch.get_num_threads())  # peers may have brought a thread pool of their own
    return Field(members, keys, notes)


def wrong_results(errors: Mapping[str, float], tolerated: float) -> dict[str, str]:
    """A note for each contestant whose error is larger than rounding explains."""
    return {name: f"wrong result (error {e:.1g})" for name, e in errors.items() if not e <= tolerated}
