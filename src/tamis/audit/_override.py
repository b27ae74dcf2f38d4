"""Asking somebody else about doubtful samples: override by the dense model or a person, and the cascade."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tamis.audit._attribute_metrics import uncertain

HALF_WIDTHS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.45, 0.51)


@dataclass(frozen=True)
class Asked:
    """Predictions after asking, and which samples were asked about; arrays of the shape given."""

    predictions: np.ndarray
    asked: np.ndarray

    @property
    def fraction(self) -> float:
        """Share of samples that were asked about."""
        return float(self.asked.mean())


def override(compressed_pred: np.ndarray, dense_prob: np.ndarray, reference: np.ndarray, half_width: float) -> Asked:
    """Take the reference's answer where the *dense* model is uncertain, ``|p - 0.5| < half_width``.

    Needs the dense model on every input.  A person's label as reference is an upper bound: it is never wrong here.

    Args:
        compressed_pred: 0 and 1, any shape.
        dense_prob: probabilities of the dense model, alike.
        reference: answers of the dense model or a person, 0 and 1, alike.
        half_width: 0 asks nobody, above 0.5 asks about every sample.
    """
    return _ask(compressed_pred, uncertain(dense_prob, half_width), reference)


def cascade(
    compressed_prob: np.ndarray, compressed_pred: np.ndarray, reference: np.ndarray, half_width: float
) -> Asked:
    """Take the reference's answer where the *compressed* model itself is uncertain: what can be deployed.

    The dense model then runs only on that share of the inputs.  Arguments, of shape (N,), as in :func:`override`.
    """
    return _ask(compressed_pred, uncertain(compressed_prob, half_width), reference)


def _ask(predictions: np.ndarray, asked: np.ndarray, reference: np.ndarray) -> Asked:
    return Asked(np.where(asked, reference, predictions), asked)
