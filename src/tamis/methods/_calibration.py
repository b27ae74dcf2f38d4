"""What Wanda and SparseGPT share: prune once, layer by layer, by the inputs that each layer sees."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tamis.errors import UsageError
from tamis.methods._collapse import check_collapse
from tamis.methods._fisher_blocks import undisturbed
from tamis.methods._sparsifier import Sparsifier
from tamis.nn._padding import pad_input, per_axis
from tamis.sparsity import (
    NM,
    Distribution,
    FanIn,
    Global,
    Pattern,
    Uniform,
    Unstructured,
    dense_layers,
    masks_from_zeros,
    sparsity_of,
)

_UNIFORM = Uniform()


class CalibrationPruning(Sparsifier):
    """Base of the methods that look at the inputs of each layer (abstract): one-shot, in the order of the forward pass.

    The examples pass through the model in evaluation mode; targets and loss are not used.  A convolution is a linear
    layer on its unfolded inputs.  Weights, modes, buffers, ``.grad`` and the random state are otherwise untouched.

    Args:
        sparsity: fraction of zeros, in [0, 1).
        at_step: optimizer steps before the pruning; 0 prunes in :meth:`attach`.
        samples: calibration samples.
        sequential: True shows each layer the inputs that the already pruned layers before it produce, with one pass
            over the samples per layer; False takes all inputs from the unpruned model in one pass, and holds the
            statistics of all layers at once.
        from_zeros: prune inside the support that the model has then, so that its zeros stay.
        distribution: one that does not compare scores of different layers: ``Uniform``, ``ERK`` or ``Budget``.
        **options: see :class:`Sparsifier`; ``examples`` is required.

    Raises:
        UsageError: the choices do not fit each other.
    """

    needs_examples = True
    _patterns: tuple[type[Pattern], ...] = (Unstructured, NM)

    def __init__(
        self,
        sparsity: float,
        *,
        at_step: int,
        samples: int,
        sequential: bool,
        from_zeros: bool,
        distribution: Distribution = _UNIFORM,
        **options: Any,
    ) -> None:
        if isinstance(distribution, Global):
            raise UsageError(
                f"{type(self).__name__} scores cannot be compared between layers, so {distribution} has no meaning; "
                "use Uniform(), ERK() or Budget(...)"
            )
        super().__init__(sparsity, distribution=distribution, **options)
        if not isinstance(self.pattern, self._patterns):
            known = ", ".join(pattern.__name__ for pattern in self._patterns)
            raise UsageError(f"{type(self).__name__} has no rule for {self.pattern}; use one of {known}")
        if at_step < 0 or samples < 1:
            raise UsageError(f"expected at_step >= 0 and samples >= 1; got {at_step} and {samples}")
        self.at_step = at_step
        self.samples = samples
        self.sequential = sequential
        self.from_zeros = from_zeros

    @abstractmethod
    def _statistic(self, columns: Tensor) -> Tensor:
        """What is summed over the samples: float64 (groups, ...) from float32 inputs (groups, N, columns)."""

    @abstractmethod
    def _prune_rows(self, weight: Tensor, statistic: Tensor, removed: Tensor, pruned: int) -> tuple[Tensor, Tensor]:
        """New weight and mask of the rows of one group of inputs.

        Args:
            weight: float64 (rows, columns), ordered so that groups of N:M are consecutive.
            statistic: the group's sum, in the same order.
            removed: bool (rows, columns), weights that are zero already.
            pruned: weights to prune, the removed ones included; not consulted for N:M.
        """

    def _ordered(self, statistic: Tensor, order: Tensor) -> Tensor:
        """The statistic of one group with its columns in ``order``."""
        return statistic[order]

    # ---- the event ---------------------------------------------------------------------------------------------

    def _enter(self, step: int) -> None:
        if step == self.at_step:
            self._prune()

    @torch.no_grad()
    def _prune(self) -> None:
        self._announce()
        supports = self._attached()
        layers, weights = supports.layers, supports.weights()
        full = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
        within = masks_from_zeros(weights) if self.from_zeros else full
        left_dense = dense_layers(list(layers), self.distribution, self.pattern)
        magnitudes = self.pattern.rank({name: weight.abs() for name, weight in weights.items()})  # checks the shapes
        counts: Mapping[str, int] = {}
        if not isinstance(self.pattern, NM):
            counts = self.distribution.keep_counts(magnitudes, self.sparsity, also_dense=left_dense)
        names = [name for name in self._forward_order(layers) if name not in left_dense]
        masks = dict(within)
        updated = {}
        together = None if self.sequential else self._statistics({name: layers[name] for name in names})
        for name in names:
            statistic = together[name] if together is not None else self._statistics({name: layers[name]})[name]
            values, masks[name] = self._prune_layer(layers[name], statistic, within[name], counts.get(name, 0))
            if self.sequential:
                layers[name].weight.copy_(values)
            else:
                updated[name] = values
        for name, values in updated.items():
            layers[name].weight.copy_(values)
        check_collapse(masks, max(self.sparsity, sparsity_of(masks)), self.step, self.on_collapse)
        self._hold(masks, "prune", self.sparsity)

    def _prune_layer(self, layer: Any, statistic: Tensor, alive: Tensor, count: int) -> tuple[Tensor, Tensor]:
        shape, groups = layer.weight.shape, len(statistic)
        columns = torch.arange(shape[1:].numel(), device=alive.device).reshape(shape[1:])
        order = columns.movedim(0, -1).reshape(-1) if isinstance(self.pattern, NM) else columns.reshape(-1)
        weight = layer.weight.detach().double().reshape(groups, -1, columns.numel())[:, :, order]
        removed = ~alive.reshape(groups, -1, columns.numel())[:, :, order]
        if isinstance(self.pattern, FanIn):
            count = -(-count // shape[0]) * shape[0]
        found, kept = torch.empty_like(weight), torch.empty_like(removed)
        live = (~removed).sum(dim=(1, 2)).tolist()
        survivors, seen, granted = min(count, sum(live)), 0, 0
        for g in range(groups):
            # groups of inputs share a layer's survivors by their live weights, cumulatively so that the sum is exact
            seen += live[g]
            share = survivors * seen // max(1, sum(live)) - granted
            granted += share
            part = self._ordered(statistic[g], order.to(statistic.device)).to(weight.device)
            found[g], kept[g] = self._prune_rows(weight[g], part, removed[g], weight[g].numel() - share)
        back = torch.argsort(order)
        return found[:, :, back].reshape(shape).to(layer.weight), kept[:, :, back].reshape(shape)

    # ---- inputs ------------------------------------------------------------------------------------------------

    def _forward_order(self, layers: Mapping[str, Any]) -> list[str]:
        """The layers in the order in which one sample reaches them first.

        Raises:
            UsageError: a layer is not reached.
        """
        order: list[str] = []
        self._watch(layers, lambda name, layer, inputs: None if name in order else order.append(name), 1)
        missing = [name for name in layers if name not in order]
        if missing:
            raise UsageError(
                f"the examples never reach {', '.join(missing)}, so nothing is known about their inputs; exclude them"
            )
        return order

    def _statistics(self, layers: Mapping[str, Any]) -> dict[str, Tensor]:
        sums: dict[str, Tensor] = {}

        def add(name: str, layer: Any, inputs: Tensor) -> None:
            found = self._statistic(input_columns(layer, inputs.detach()))
            sums[name] = sums[name].add_(found) if name in sums else found

        self._watch(layers, add, self.samples)
        return sums

    def _watch(self, layers: Mapping[str, Any], see: Callable[[str, Any, Tensor], Any], samples: int) -> None:
        """Call ``see(name, layer, inputs)`` at every call of a layer while ``samples`` examples pass through."""
        assert self._model is not None
        assert self.examples is not None

        def hook_of(name: str) -> Callable[[nn.Module, Sequence[Any]], None]:
            def hook(layer: nn.Module, arguments: Sequence[Any]) -> None:
                see(name, layer, arguments[0])

            return hook

        handles = [layer.register_forward_pre_hook(hook_of(name)) for name, layer in layers.items()]
        try:
            with undisturbed(self._model):
                for inputs, _ in self.examples.take(samples):
                    self._model(inputs)
        finally:
            for handle in handles:
                handle.remove()

    def _configuration(self) -> dict[str, Any]:
        return {
            "at_step": self.at_step,
            "samples": self.samples,
            "sequential": self.sequential,
            "from_zeros": self.from_zeros,
        }


def input_columns(layer: Any, inputs: Tensor) -> Tensor:
    """What each row of a layer's weight is multiplied with, (groups, N * positions, columns).

    Args:
        layer: Linear, Conv1d or Conv2d.
        inputs: one batch of its inputs.
    """
    if isinstance(layer, nn.Linear):
        return inputs.reshape(1, -1, inputs.shape[-1])
    spatial = layer.weight.dim() - 2
    if inputs.dim() == spatial + 1:  # one sample without a batch dimension
        inputs = inputs.unsqueeze(0)
    padded = pad_input(layer, inputs)
    kernel, dilation, stride = layer.kernel_size, per_axis(layer.dilation, spatial), per_axis(layer.stride, spatial)
    if spatial == 1:
        padded, kernel, dilation, stride = padded.unsqueeze(2), (1, *kernel), (1, *dilation), (1, *stride)
    found = F.unfold(
        padded, kernel, dilation=dilation, stride=stride
    )  # (N, in * kernel, positions), channels outermost
    cut = found.reshape(found.shape[0], layer.groups, -1, found.shape[2])
    return cut.permute(1, 0, 3, 2).reshape(layer.groups, -1, cut.shape[2])
