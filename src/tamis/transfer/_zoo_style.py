"""Styles of sparse checkpoints as data: which keys tell a style, and what each key means in it.

A style is an ordered list of rules.  The first rule whose pattern matches a whole key decides what the key is (a
tensor, the mask of one, or the threshold of one) and what its canonical name is.  Keys without a rule keep their name.
Users add a style with :func:`register_style`, or in a TOML file that :func:`read_style` reads.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tamis.errors import UsageError
from tamis.train import parse_table, read_toml

MIN_ZERO_FRACTION = 0.01
"""A weight without a mask and with a smaller share of exact zeros counts as dense (our rule)."""


def _expression(pattern: str) -> re.Pattern[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what later versions of Python may read another way
        return re.compile(pattern)


_MOST_DIGITS = 9  # of a number in a name; Python refuses to read more than 4,300
_REFERENCE = re.compile(r"<(\d+)(?:\+(\d+))?>")


@dataclass(frozen=True)
class KeyRule:
    """What a key is.

    ``pattern`` is a regular expression for the whole key.  ``name`` is the canonical parameter name, in which ``<1>``
    is the first group of the pattern and ``<1+1>`` that group as a number plus one.  ``role``: the key holds the tensor
    itself, its mask (zeros where it is pruned), or the threshold s of a soft threshold sigmoid(s).

    >>> KeyRule(r"features\\.(\\d+)\\.(.+)", "model.<1+1>.<2>").translate("features.12.4.running_var")
    'model.13.4.running_var'
    """

    pattern: str
    name: str
    role: Literal["tensor", "mask", "threshold"] = "tensor"

    def __post_init__(self) -> None:
        try:
            groups = _expression(self.pattern).groups
        except (re.error, RecursionError) as error:
            raise UsageError(f"pattern {self.pattern!r} is no regular expression ({error})") from error
        for m in _REFERENCE.finditer(self.name):
            if max(len(m[1]), len(m[2] or "")) > _MOST_DIGITS:
                raise UsageError(f"name: {m[0][:20]}... is a number of more than {_MOST_DIGITS} digits")
            if not 1 <= int(m[1]) <= groups:
                raise UsageError(f"name {self.name!r} refers to {m[0]}, but {self.pattern!r} has {groups} group(s)")

    def translate(self, key: str) -> str | None:
        """The canonical name of ``key``; None if the rule does not match it, or finds no number where it adds one."""
        match = re.fullmatch(self.pattern, key)
        if match is None:
            return None
        added = [match[int(m[1])] or "" for m in _REFERENCE.finditer(self.name) if m[2]]
        if not all(text.isdecimal() and len(text) <= _MOST_DIGITS for text in added):
            return None

        def filled(reference: re.Match[str]) -> str:
            text = match[int(reference[1])] or ""
            return str(int(text) + int(reference[2])) if reference[2] else text

        return _REFERENCE.sub(filled, self.name)


@dataclass(frozen=True)
class Style:
    """One way of writing sparse checkpoints.

    ``signs`` are regular expressions: the style is recognised where each of them matches some whole key.
    ``stem_pool``: ``tensorflow`` replaces the 3x3 max pool behind the stem by one without padding whose last window may
    hang over (``ceil_mode``), which is TensorFlow's SAME padding.  ``interpolation`` is how the upstream training
    resized images.  ``flat_head``: an ``fc.weight`` of shape (C, d, 1, 1) becomes (C, d).
    """

    name: str
    signs: tuple[str, ...]
    rules: tuple[KeyRule, ...]
    stem_pool: Literal["as_built", "tensorflow"] = "as_built"
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    flat_head: bool = False
    source: str = ""

    def __post_init__(self) -> None:
        if not self.name or not self.signs:
            raise UsageError(f"style {self.name!r}: expected a name and at least one sign by which it is recognised")
        for sign in self.signs:
            try:
                _expression(sign)
            except (re.error, RecursionError) as error:
                raise UsageError(f"style {self.name!r}: sign {sign!r} is no regular expression ({error})") from error

    def recognises(self, keys: Iterable[str]) -> bool:
        """Whether each sign of the style matches one of the keys."""
        known = list(keys)
        return all(any(re.fullmatch(sign, key) for key in known) for sign in self.signs)


_NAME = r"((?:.+\.)?)"  # everything up to the last part of a key, with its dot; empty at the root

WRAPPED = Style(
    "wrapped",
    signs=(r"(.+\.)?_layer\.weight",),
    rules=(
        KeyRule(_NAME + r"_layer\.(weight|bias)", "<1><2>"),
        KeyRule(_NAME + r"_weight_mask", "<1>weight", "mask"),
        KeyRule(_NAME + r"_bias_mask", "<1>bias", "mask"),
    ),
    source="IST-DASLab/ACDC and IST-DASLab/sparse-imagenet-transfer: AC/DC, WoodFisher",
)
PRUNE = Style(
    "prune",
    signs=(r"(.+\.)?(weight|bias)_orig", r"(.+\.)?(weight|bias)_mask"),
    rules=(
        KeyRule(_NAME + r"(weight|bias)_orig", "<1><2>"),
        KeyRule(_NAME + r"(weight|bias)_mask", "<1><2>", "mask"),
    ),
    source="torch.nn.utils.prune; LTH-T",
)
STR = Style(
    "str",
    signs=(r"(.+\.)?sparseThreshold",),
    rules=(KeyRule(_NAME + r"sparseThreshold", "<1>weight", "threshold"),),
    flat_head=True,
    source="RAIVNLab/STR",
)
RIGL_TF = Style(
    "rigl_tf",
    signs=(r"initial_conv\.conv\.weight",),
    rules=(
        KeyRule(r"initial_conv\.conv\.(.+)", "conv1.<1>"),
        KeyRule(r"initial_conv\.bn\.(.+)", "bn1.<1>"),
        KeyRule(r"layer(\d+)\.block\.(\d+)\.conv(\d+)\.conv\.(.+)", "layer<1>.<2>.conv<3>.<4>"),
        KeyRule(r"layer(\d+)\.block\.(\d+)\.conv(\d+)\.bn\.(.+)", "layer<1>.<2>.bn<3>.<4>"),
        KeyRule(r"layer(\d+)\.block\.(\d+)\.shortcut\.conv\.(.+)", "layer<1>.<2>.downsample.0.<3>"),
        KeyRule(r"layer(\d+)\.block\.(\d+)\.shortcut\.bn\.(.+)", "layer<1>.<2>.downsample.1.<3>"),
    ),
    stem_pool="tensorflow",
    interpolation="bicubic",
    source="RigL checkpoints converted from TensorFlow",
)
MOBILENET_AMC = Style(
    "mobilenet_amc",
    signs=(r"features\.\d+\.0\.weight", r"classifier\.0\.weight", r"conv1\.0\.weight"),
    rules=(
        KeyRule(r"conv1\.(\d+)\.(.+)", "model.0.<1>.<2>"),
        KeyRule(r"features\.(\d+)\.(\d+)\.(.+)", "model.<1+1>.<2>.<3>"),
        KeyRule(r"classifier\.0\.(.+)", "fc.<1>"),
    ),
    source="mit-han-lab/amc: MobileNetV1",
)

# Those that say what a key is come before those that only rename, so that a file may be of one of each.
_STYLES: dict[str, Style] = {style.name: style for style in (WRAPPED, PRUNE, STR, RIGL_TF, MOBILENET_AMC)}


def list_styles() -> tuple[Style, ...]:
    """All styles in the order in which they are tried; several may apply to one file."""
    return tuple(_STYLES.values())


def register_style(style: Style) -> None:
    """Try ``style`` from now on, after the styles known so far; UsageError if its name is taken."""
    if style.name in _STYLES:
        raise UsageError(f"a style called {style.name!r} is registered already; choose another name")
    _STYLES[style.name] = style


def unregister_style(name: str) -> None:
    """Forget a style; UsageError if there is none of that name."""
    if name not in _STYLES:
        raise UsageError(f"no style called {name!r}; there are {', '.join(_STYLES)}")
    del _STYLES[name]


def styles_with(path: str) -> list[Style]:
    """All registered styles, and that of a file where ``path`` is not empty (:func:`read_style`)."""
    return [*list_styles(), *([read_style(path)] if path else [])]


def read_style(path: str | os.PathLike[str]) -> Style:
    """A style from a TOML file with the fields of :class:`Style`, ``[[rules]]`` in order.

    Raises:
        FileError: the file is missing or no TOML.
        UsageError: an unknown key, a wrong type, or a pattern that is no regular expression.
    """
    file = Path(path)
    return parse_table(Style, read_toml(file), str(file))
