"""What WoodFisher, M-FAC, oBERT and CAP share: prune along a schedule by curvature, and move the weights that stay."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tamis.errors import UsageError
from tamis.methods._fisher_blocks import BlockLayout, GradientSource, block_groups, measure_blocks
from tamis.methods._sparsifier import Sparsifier
from tamis.sparsity import (
    NM,
    Block,
    PruneEvent,
    block_fisher,
    check_combination,
    check_sparsity,
    dense_layers,
    explicit_inverse,
    factored_inverse,
    keeps_all,
    recomputation_targets,
    spread_events,
)


class FisherPruning(Sparsifier):
    """Base of the methods that prune by the empirical Fisher matrix (abstract): one-shot or gradual, masks nest.

    At each event the gradients of the next ``gradients`` batches of the examples, read as a ring, are taken with the
    model in evaluation mode (weights, modes, buffers, ``.grad`` and the random state stay as they are), the blocks of
    the Fisher matrix are inverted, the masks are chosen by saliency, and the weights that stay are moved so that they
    make up for those that go.  Where none would go, no gradient is taken.  Pruned weights are exactly zero and never
    return.  Optimizer state is left untouched.

    Memory is bounded: blocks are worked on in groups that fit into ``memory_mb``.  With more than one group the data
    are passed over twice per group, once for the saliencies and once for the update.

    Args:
        sparsity: fraction of zeros after the last event, in [0, 1).
        total_steps: optimizer steps of the whole run; None prunes once, in :meth:`attach`.
        start: share of the run before the first event, in [0, 1]; with ``total_steps`` only, as the next three.
        end: share of the run at which the target is reached, ``start <= end <= 1``.
        events: number of mask changes, evenly spaced from ``start`` to ``end``, on a cubic curve.
        initial: fraction of zeros at the first event, in [0, sparsity].
        gradients: m, gradients per estimate; a stream of examples that ends earlier gives as many as it has.
        fisher_batch: samples that each gradient is the mean over; 1 is the empirical Fisher matrix proper.
        damping: lambda > 0, added to the diagonal.
        recomputations: cuts per event, the live share shrinking by the same factor at each and the curvature estimated
            anew before each; 1 with N:M patterns.
        memory_mb: MiB for the blocks of one group.  With ``m >= B`` a weight takes ``8 * (2 * B + k)`` bytes, ``k =
            min(m, max(B, 64))``; with fewer gradients ``16 * m`` bytes.
        from_zeros: keep the zeros that the model has at :meth:`attach`.
        **options: see :class:`Sparsifier`; ``examples`` is required.

    Raises:
        UsageError: the choices do not fit each other, or one block alone exceeds ``memory_mb``.
    """

    needs_examples = True

    def __init__(
        self,
        sparsity: float,
        total_steps: int | None = None,
        *,
        start: float = 0.2,
        end: float = 0.8,
        events: int = 16,
        initial: float = 0.0,
        block: int | None,
        gradients: int,
        fisher_batch: int = 1,
        damping: float,
        recomputations: int = 1,
        memory_mb: int = 1024,
        from_zeros: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(sparsity, **options)
        counts = {"gradients": gradients, "fisher_batch": fisher_batch, "recomputations": recomputations}
        counts |= {"memory_mb": memory_mb} | ({} if block is None else {"block": block})
        for name, value in counts.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(f"{name} must be a whole number of at least 1; got {value!r}")
        if not 0.0 < damping < float("inf"):
            raise UsageError(f"damping must be a positive number; got {damping!r}")
        if check_sparsity(initial, "initial") > self.sparsity:
            raise UsageError(f"initial={initial} is above the target sparsity {self.sparsity}")
        if isinstance(self.pattern, NM) and recomputations > 1:
            raise UsageError(
                f"{self.pattern} has one sparsity, so it cannot be reached in {recomputations} cuts; set 1"
            )
        self._check_pattern(block)
        self.block = block
        self.gradients = gradients
        self.fisher_batch = fisher_batch
        self.damping = float(damping)
        self.recomputations = recomputations
        self.memory_mb = memory_mb
        self.from_zeros = from_zeros
        if total_steps is None:
            self.plan: tuple[PruneEvent, ...] = (PruneEvent(0, self.sparsity),)
        else:
            self.plan = spread_events(total_steps, start, end, events, initial, self.sparsity)
        for event in self.plan:
            check_combination(event.sparsity, self.distribution, self.pattern)
        self._targets = {event.step: event.sparsity for event in self.plan}

    # ---- what a method decides ---------------------------------------------------------------------------------

    def _check_pattern(self, block: int | None) -> None:
        """Refuse patterns that the method has no formula for."""
        if isinstance(self.pattern, Block) and (self.pattern.rows, self.pattern.cols) != (1, 1):
            raise UsageError(
                f"{type(self).__name__} ranks single weights and has no saliency for {self.pattern}; use "
                "OBERT with Block(1, 4), or Unstructured(), NM(2, 4) or FanIn()"
            )

    def _explicit(self, layout: BlockLayout) -> bool:
        """Whether to store matrices (B numbers per weight) rather than gradients (m numbers per weight)."""
        return layout.length <= self.gradients

    def _curvature(self, products: Tensor | None, gradients: Tensor | None, samples: int) -> Any:
        """What the method needs of one group of blocks: by default the inverse in the form that was chosen."""
        if products is not None:
            return explicit_inverse(block_fisher(products, samples, self.damping))
        assert gradients is not None
        return factored_inverse(gradients, self.damping)

    @abstractmethod
    def _saliency(self, weight: Tensor, curvature: Any, live: Tensor) -> Tensor:
        """Loss increase of pruning each weight; ``weight``, bool ``live`` and result (n, B), float64."""

    @abstractmethod
    def _updated(self, weight: Tensor, curvature: Any, pruned: Tensor) -> Tensor:
        """Weights after pruning; ``weight``, bool ``pruned`` (those of earlier events too) and result (n, B)."""

    def _ranked(self, scores: dict[str, Tensor]) -> dict[str, Tensor]:
        """The scores that layers are compared by: the saliencies themselves, by default."""
        return scores

    # ---- events ------------------------------------------------------------------------------------------------

    def _enter(self, step: int) -> None:
        if step == 0 and self.from_zeros:
            self._hold_zeros()
        if step in self._targets:
            self._prune(self._targets[step], list(self._targets).index(step))

    @torch.no_grad()
    def _prune(self, target: float, event: int) -> None:
        self._announce()
        supports = self._attached()
        supports.show_gradients()  # dense torch for the small batches: no kernels are chosen or measured for them
        masks = supports.masks
        before = self.events[-1]["sparsity_over_pruned"] if masks else 0.0
        for index, cut in enumerate(recomputation_targets(before, target, self.recomputations)):
            masks = self._cut(cut, masks, draw=event * self.recomputations + index)
        self._hold(masks, "prune", target)

    def _cut(self, target: float, masks: Mapping[str, Tensor], draw: int) -> dict[str, Tensor]:
        """Choose masks inside ``masks`` (empty: all live) and write the new weights; returns the masks.

        ``draw`` numbers the estimates of a run by its plan alone, so that a resumed run sees the same examples.
        """
        supports = self._attached()
        assert self._model is not None
        assert self.examples is not None
        parameters = {name: layer.weight for name, layer in supports.layers.items()}
        everything = masks or {name: torch.ones_like(p, dtype=torch.bool) for name, p in parameters.items()}
        if keeps_all(everything, target, self.distribution, self.pattern):  # an estimate would remove and move nothing
            return self._choose({name: torch.zeros_like(p) for name, p in parameters.items()}, target, masks)
        left_dense = dense_layers(list(parameters), self.distribution, self.pattern)
        governed = {name: parameter for name, parameter in parameters.items() if name not in left_dense}
        layout = BlockLayout({name: tuple(parameter.shape) for name, parameter in governed.items()}, self.block)
        source = GradientSource(self._model, governed, masks, self.examples, self.gradients, self.fisher_batch, draw)
        groups = block_groups(layout, self.gradients, self._explicit(layout), self.memory_mb)
        kept: dict[tuple[int, int], Any] = {}

        def curvature(group: tuple[int, int]) -> Any:
            if group in kept:
                return kept.pop(group)
            sums = measure_blocks(layout, group, source, self._explicit(layout))
            return self._curvature(sums.products, sums.gradients, sums.samples)

        saliencies = []
        for group in groups:
            measured = curvature(group)
            weight = layout.gather(governed, *group, torch.float64)
            saliencies.append(self._saliency(weight, measured, layout.gather(everything, *group, torch.bool)))
            if len(groups) == 1:
                kept[group] = measured
            del measured
        scores = self._ranked(layout.scatter(saliencies) if groups else {})
        scores = {n: scores[n].to(p.device) if n in scores else p.detach().abs() for n, p in parameters.items()}
        chosen = self._choose(scores, target, masks)
        updated = []
        for group in groups:
            weight, alive = (layout.gather(values, *group, kind) for values, kind in _kinds(governed, chosen))
            updated.append(self._updated(weight, curvature(group), ~alive))
        for name, values in (layout.scatter(updated) if groups else {}).items():
            governed[name].copy_(values)
        return chosen

    def _configuration(self) -> dict[str, Any]:
        return {
            "plan": [[event.step, event.sparsity] for event in self.plan],
            "block": self.block,
            "gradients": self.gradients,
            "fisher_batch": self.fisher_batch,
            "damping": self.damping,
            "recomputations": self.recomputations,
            "from_zeros": self.from_zeros,
        }


def _kinds(
    weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]
) -> tuple[tuple[Mapping[str, Tensor], torch.dtype], tuple[Mapping[str, Tensor], torch.dtype]]:
    return (weights, torch.float64), (masks, torch.bool)
