"""Which family a method belongs to, and how its line is drawn: a colour by family, marker and dashes within it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# Paul Tol's "bright" palette: seven colours that colour-blind people can tell apart, on light and on dark ground.
FAMILIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "dense": ("#5c6875", ("dense",)),
    "magnitude": ("#4477aa", ("gmp", "oneshot", "lotteryticket", "ltht", "lrr")),
    "alternating": ("#ee6677", ("acdc",)),
    "dynamic": ("#228833", ("set", "rigl", "snfs", "srigl", "topkast")),
    "at initialisation": ("#aa3377", ("snip", "grasp", "synflow")),
    "latent weights": ("#ccbb44", ("ste", "dpf", "srste", "str")),
    "after training": ("#66ccee", ("woodfisher", "mfac", "obert", "cap", "wanda", "sparsegpt")),
    "random": ("#b0703c", ("static", "randompruning")),
    "other": ("#999999", ()),
}
MARKERS = "osD^vP<>X"
DASHES: tuple[tuple[int, tuple[float, ...] | None], ...] = (
    (0, None),
    (0, (5, 2)),
    (0, (1, 1.4)),
    (0, (5, 1.5, 1, 1.5)),
)


@dataclass(frozen=True)
class Look:
    """How a method is drawn; ``dashes`` is a line style of matplotlib."""

    family: str
    colour: str
    marker: str
    dashes: tuple[int, tuple[float, ...] | None]


def family_of(method: str) -> str:
    """The family of a method, ``other`` for one that is not listed.

    >>> family_of("rigl"), family_of("M-FAC"), family_of("mine")
    ('dynamic', 'after training', 'other')
    """
    plain = "".join(letter for letter in method.lower() if letter.isalnum())
    return next((family for family, (_, members) in FAMILIES.items() if plain in members), "other")


def looks_of(methods: Iterable[str]) -> dict[str, Look]:
    """A look for each method, different from all others of its family while markers and dashes last."""
    seen: dict[str, int] = {}
    looks = {}
    for method in methods:
        family = family_of(method)
        place = seen.get(family, 0)
        seen[family] = place + 1
        looks[method] = Look(family, FAMILIES[family][0], MARKERS[place % len(MARKERS)], DASHES[place % len(DASHES)])
    return looks
