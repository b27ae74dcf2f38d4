"""Rewriting the graph of one module: batch norm, addition and activation become one step."""

from __future__ import annotations

import linecache
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from tamis.nn._fuse_steps import ACTIVATION_MODULES, conv_norm_step, has_hooks, norm_step, pool_step, stem_step
from tamis.nn._fuse_trace import Traced, trace

_ADDITIONS = {operator.add, operator.iadd, torch.add, "add", "add_"}
_ACTIVATIONS = {
    F.relu: "relu", F.relu_: "relu", torch.relu: "relu", torch.relu_: "relu", F.relu6: "relu6",
    "relu": "relu", "relu_": "relu",
}  # fmt: skip


@dataclass(frozen=True)
class Rewritten:
    """A forward with fused steps.

    Attributes:
        forward: takes the module first, like the method it replaces.
        chains: what became one step each, in words: ``"conv1 bn1 relu"``.
        traced: what it was made from.
    """

    forward: Callable[..., Any]
    chains: tuple[str, ...]
    traced: Traced


def rewrite(module: nn.Module) -> Rewritten | None:
    """The forward of ``module`` with its chains fused; None where there are none or the module cannot be traced."""
    traced = trace(module)
    if traced is None:
        return None
    graph = traced.graph
    modules = dict(module.named_modules(remove_duplicate=False))
    chains = [text for node in list(graph.nodes) if (text := _fuse_at(graph, node, modules))]
    if not chains:
        return None
    graph.eliminate_dead_code(lambda node: node.op != "get_attr")
    graph.lint()
    return Rewritten(_compiled(graph, type(module).__name__), tuple(chains), traced)


def _fuse_at(graph: fx.Graph, node: fx.Node, modules: dict[str, nn.Module]) -> str | None:
    """Fuse what begins at ``node``; what was fused, in words."""
    module = modules.get(str(node.target)) if node.op == "call_module" else None
    if module is None or has_hooks(module) or len(node.args) != 1 or node.kwargs:
        return None
    if type(module) is nn.MaxPool2d and not module.return_indices:
        with graph.inserting_before(node):
            pool = graph.get_attr(str(node.target))
            before: Any = node.args[0]
            stem = _is_stem(before, pool)
            if stem:
                conv, bn, x, _, activation = before.args
                step = graph.call_function(stem_step, (conv, bn, activation, pool, x))
            else:
                step = graph.call_function(pool_step, (pool, before))
        node.replace_all_uses_with(step)
        graph.erase_node(node)
        if stem:
            graph.erase_node(before)
        return str(node.target)
    if type(module) is nn.BatchNorm2d and isinstance(node.args[0], fx.Node):
        return _fuse_norm(graph, node, modules)
    return None


def _is_stem(node: Any, pool: fx.Node) -> bool:
    """Whether ``node`` is a convolution with norm and without addition that ``pool`` alone uses, right behind it."""
    if (
        not isinstance(node, fx.Node)
        or node.target is not conv_norm_step
        or len(node.users) != 1
        or node.args[3] is not None
    ):
        return False
    between = node.next
    while between is not pool and between.op == "get_attr":
        between = between.next
    return between is pool


def _fuse_norm(graph: fx.Graph, norm: fx.Node, modules: dict[str, nn.Module]) -> str:
    y: Any = norm.args[0]
    chain, residual, activation = [norm], None, None
    user = _only_user(norm)
    # The norm moves down to the addition: nobody else may change its input or its statistics in the meantime.
    other = None if user is None or not _may_move(norm, user, modules) else _added(user, norm)
    if (
        user is not None
        and other is not None
        and not (_far_from(norm, user, modules) and _stands_before(other, user, modules))
    ):
        chain.append(user)
        residual, user = other, _only_user(user)
    # The activation moves up instead, behind what it alone uses.
    if user is not None and (activation := _activation(user, modules)) is not None:
        chain.append(user)
    place = chain[1] if residual is not None else norm
    with graph.inserting_before(place):
        if isinstance(activation, fx.Node):
            activation = graph.get_attr(str(activation.target))
        bn = graph.get_attr(str(norm.target))
        # Between the convolution and the addition its input may be changed in place, so they join only without one, or
        # where the norm stands right behind the convolution and the addition right behind the norm.
        conv = y if _is_convolution(y, modules) and len(y.users) == 1 and _nothing_between(y, place, norm) else None
        if conv is not None:
            operands = (graph.get_attr(str(conv.target)), bn, conv.args[0], residual, activation)
            step = graph.call_function(conv_norm_step, operands)
        else:
            step = graph.call_function(norm_step, (bn, y, residual, activation))
    chain[-1].replace_all_uses_with(step)
    for node in reversed([*([conv] if conv is not None else []), *chain]):
        graph.erase_node(node)
    words = [str(y.target)] if _is_convolution(y, modules) else []
    words += [str(norm.target)] + ["add"] * (residual is not None)
    if activation is not None:
        words.append(activation if isinstance(activation, str) else str(activation.target))
    return " ".join(words)


def _may_move(norm: fx.Node, place: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether ``norm`` computes the same at ``place`` as where it stands."""
    y: Any = norm.args[0]
    if len(y.users) != 1:
        return False
    if not _is_convolution(y, modules) and not _nothing_between(norm, place, norm):
        return False  # another value may be a view of one that is changed in place
    bn, node = modules[str(norm.target)], norm.next
    while node is not place:
        # The module is called again, or a tensor of it is read.
        if node.op in ("call_module", "get_attr") and bn in map(modules.get, _with_parent(str(node.target))):
            return False
        node = node.next
    return True


def _with_parent(target: str) -> tuple[str, str]:
    return target, target.rpartition(".")[0]


def _far_from(norm: fx.Node, place: Any, modules: dict[str, nn.Module]) -> bool:
    """Whether the convolution before ``norm`` could not join it at ``place``, but can where it stands."""
    conv: Any = norm.args[0]
    return _is_convolution(conv, modules) and not _nothing_between(conv, place, norm)


def _stands_before(other: fx.Node, place: Any, modules: dict[str, nn.Module]) -> bool:
    """Whether ``other`` is a norm that will take the addition at ``place`` and its own convolution into one step."""
    conv: Any = other.args[0] if other.op == "call_module" and len(other.args) == 1 else None
    return (
        type(modules.get(str(other.target))) is nn.BatchNorm2d
        and not has_hooks(modules[str(other.target)])
        and isinstance(conv, fx.Node)
        and len(other.users) == len(conv.users) == 1
        and _is_convolution(conv, modules)
        and _nothing_between(conv, place, other)
    )


def _is_convolution(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    module = modules.get(str(node.target)) if node.op == "call_module" else None
    return isinstance(module, nn.Conv2d) and len(node.args) == 1 and not node.kwargs


def _nothing_between(conv: fx.Node, place: fx.Node, norm: fx.Node) -> bool:
    """Whether only the norm, parameters and other module calls stand between ``conv`` and ``place``."""
    node = conv.next
    while node is not place:
        # An activation module may work in place, on the convolution's own input.
        if node is not norm and node.op != "get_attr":
            return False
        node = node.next
    return True


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _added(node: fx.Node, norm: fx.Node) -> fx.Node | None:
    """What ``node`` adds to ``norm``, if it is a plain addition of two values."""
    if node.op not in ("call_function", "call_method") or node.target not in _ADDITIONS:
        return None
    if node.kwargs or len(node.args) != 2 or not all(isinstance(arg, fx.Node) for arg in node.args):
        return None
    others: list[Any] = [arg for arg in node.args if arg is not norm]
    if len(others) != 1:
        return None
    # `a.add_(bn(y))` and `a += bn(y)` change a itself, which others may see.
    changes = node.target in (operator.iadd, "add_")
    return None if changes and node.args[0] is not norm else others[0]


def _activation(node: fx.Node, modules: dict[str, nn.Module]) -> str | fx.Node | None:
    """The name of the activation that ``node`` is, or the node itself where a module does it."""
    if node.op == "call_module":
        module = modules[str(node.target)]
        plain = type(module) in ACTIVATION_MODULES and not has_hooks(module) and not node.kwargs
        return node if plain else None
    if node.op not in ("call_function", "call_method") or len(node.args) != 1 or set(node.kwargs) - {"inplace"}:
        return None
    return _ACTIVATIONS.get(node.target)


def _compiled(graph: fx.Graph, name: str) -> Callable[..., Any]:
    code = graph.python_code("self")
    file = f"<forward of {name}, fused by tamis>"
    # Tracebacks and torch.compile look the source up by its name.
    linecache.cache[file] = (len(code.src), None, code.src.splitlines(keepends=True), file)
    namespace = dict(code.globals)
    exec(compile(code.src, file, "exec"), namespace)
    return namespace["forward"]
