"""RigL: drop by magnitude, grow by gradient.

Evci, Gale, Menick, Castro, Elsen, "Rigging the Lottery: Making All Tickets Winners" (ICML 2020), algorithm 1.
"""

from __future__ import annotations

from tamis.methods._grow_by_gradient import GrowByGradient


class RigL(GrowByGradient):
    """Drop the smallest magnitudes, grow where the dense gradient is largest; an update *replaces* an optimizer step.

    The optimizer step that follows ``every``, ``2 * every``, ... done ones is not taken: its gradients (accumulated, if
    the loop accumulates) choose the new weights, and weights, optimizer state and step counters stay as they are.  The
    learning-rate schedule of the loop runs on.  Layers are masked for the forward and backward pass of that one step,
    and packed in all others.

    A loop that clips gradients calls :meth:`mask_gradients` first, when all gradients of the step are there; the growth
    scores are those before it.

    Args:
        sparsity: fraction of zeros in [0, 1).
        total_steps: optimizer steps of the whole run.
        **options: see :class:`~tamis.methods.DynamicSparse` and :class:`Sparsifier`.

    Raises:
        UsageError: the choices do not fit each other.
    """

    method = "rigl"
