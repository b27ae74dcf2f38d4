"""Names of networks: ``arch`` or ``arch.tag``, and the function behind each.

An *arch* is a family member with a fixed layout ("resnet20"); a *tag* names one published setting of its options
("resnet20.option_b" has projection shortcuts).  A bare arch means its first tag.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import nn

from tamis.errors import UsageError

Builder = TypeVar("Builder", bound=Callable[..., nn.Module])


@dataclass(frozen=True)
class Architecture:
    """One registered arch: the function that builds it and the options that each of its tags sets."""

    name: str
    build: Callable[..., nn.Module]
    tags: Mapping[str, Mapping[str, Any]]


_ARCHITECTURES: dict[str, Architecture] = {}


def register_model(name: str, **tags: Mapping[str, Any]) -> Callable[[Builder], Builder]:
    """Decorator that registers ``build(num_classes, in_channels, **options) -> nn.Module`` under ``name``.

    Each keyword is a tag with the options that it sets; the first is what the bare name means.

    Raises ``UsageError`` if the name is taken, has a dot, or a tag sets an option that the function does not have.

    >>> @register_model("perceptron", plain={})
    ... def perceptron(num_classes, in_channels):
    ...     return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))
    >>> "perceptron.plain" in list_models()
    True
    >>> unregister_model("perceptron")
    """

    def keep(build: Builder) -> Builder:
        if name in _ARCHITECTURES:
            raise UsageError(f"a model called {name!r} is registered already; choose another name")
        if not name or "." in name or not tags:
            raise UsageError(f"model {name!r}: a name without dots and at least one tag are expected")
        known = _options_of(build)
        for tag, options in tags.items():
            unknown = sorted(set(options) - set(known))
            if unknown:
                raise UsageError(f"tag {name}.{tag} sets {unknown}, which the model does not take; it takes {known}")
        _ARCHITECTURES[name] = Architecture(name, build, {tag: dict(options) for tag, options in tags.items()})
        return build

    return keep


def unregister_model(name: str) -> None:
    """Forget an arch registered with :func:`register_model`; ``UsageError`` if there is none of that name."""
    if name not in _ARCHITECTURES:
        raise UsageError(_unknown(name))
    del _ARCHITECTURES[name]


def list_models() -> list[str]:
    """Every name that :func:`create_model` takes, sorted: bare archs and ``arch.tag`` forms."""
    tagged = [f"{arch.name}.{tag}" for arch in _ARCHITECTURES.values() for tag in arch.tags]
    return sorted([*_ARCHITECTURES, *tagged])


def create_model(
    name: str, num_classes: int, in_channels: int = 3, *, image_size: tuple[int, int] | None = None, **options: Any
) -> nn.Module:
    """Build the network ``name`` with freshly initialised weights (torch's global generator), in training mode.

    ``name`` is an arch ("resnet20") or ``arch.tag`` ("resnet20.option_b"), see :func:`list_models`; ``options``
    override those of the tag.  The network maps float32 images ``(N, in_channels, H, W)`` to logits
    ``(N, num_classes)``.  ``image_size`` is (H, W) in pixels; networks that end in a global average pool fit any
    size and ignore it, "mlp" needs it.

    Raises ``UsageError`` for an unknown name (with the closest known ones), an unknown option, or a count below 1.
    """
    arch, tag = _find(name)
    for label, count in (("num_classes", num_classes), ("in_channels", in_channels)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise UsageError(f"{label}={count!r} for model {name!r}; expected a whole number of at least 1")
    known = _options_of(arch.build)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise UsageError(
            f"model {name!r} has no option {', '.join(unknown)}; its options are: {', '.join(known) or 'none'}"
        )
    settings = {**arch.tags[tag], **options}
    if image_size is not None and "image_size" in known:
        settings["image_size"] = image_size
    return arch.build(num_classes=num_classes, in_channels=in_channels, **settings)


def _find(name: str) -> tuple[Architecture, str]:
    if name not in list_models():
        raise UsageError(_unknown(name))
    base, _, tag = name.partition(".")
    arch = _ARCHITECTURES[base]
    return arch, tag or next(iter(arch.tags))


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(str(name), list_models(), n=4, cutoff=0.5)
    hint = f"did you mean {', '.join(close)}?" if close else f"known models: {', '.join(sorted(_ARCHITECTURES))}"
    return f"unknown model {name!r}; {hint}"


def _options_of(build: Callable[..., nn.Module]) -> list[str]:
    return [name for name in inspect.signature(build).parameters if name not in ("num_classes", "in_channels")]
