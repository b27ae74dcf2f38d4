"""Compression-identified exemplars: the samples on which the compressed models disagree with the dense ones.

Hooker et al., "What do compressed deep neural networks forget?" (2019); with several labels a sample, Holste et al.
(2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tamis.audit._ranks import row_spearman
from tamis.errors import UsageError

LOWEST = 0.05


def majority(runs: np.ndarray) -> np.ndarray:
    """What more than half of the runs predict, bool; ``runs`` has the seeds on its first axis.  A tie is negative."""
    return 2 * np.asarray(runs).sum(axis=0, dtype=np.int64) > len(runs)


def cie(dense_runs: np.ndarray, compressed_runs: np.ndarray) -> np.ndarray:
    """Which samples are exemplars: the modal predictions of the two populations differ.

    Args:
        dense_runs: predictions of the dense models, 0 and 1, shape (seeds, ...).
        compressed_runs: those of the compressed models; the number of seeds may differ.

    Returns:
        bool, shape (...).  With one seed each these are plain flips; three or more, and an odd number, avoid ties.
    """
    return majority(dense_runs) != majority(compressed_runs)


def class_mode(runs: np.ndarray, classes: int) -> np.ndarray:
    """The class that most runs predict, the lowest of equals; ``runs`` holds class numbers, shape (seeds, N)."""
    votes = np.zeros((runs.shape[1], classes), np.int32)
    for run in runs:
        votes[np.arange(len(run)), run] += 1
    return votes.argmax(axis=1)


@dataclass(frozen=True)
class Agreement:
    """How alike both populations rank the labels of each sample.

    Attributes:
        rho: Spearman's correlation over labels, shape (N,); NaN where a row is constant (constant_row).
        exemplars: row numbers of the lowest 5 %, at least one, lowest first; constant rows are never among them.
    """

    rho: np.ndarray
    exemplars: np.ndarray


def multilabel_agreement(
    dense_mean_prob: np.ndarray, compressed_mean_prob: np.ndarray, ids: np.ndarray | None = None
) -> Agreement:
    """Agreement by sample, and the pruning-identified exemplars of Holste et al. (2023).

    Args:
        dense_mean_prob: mean probabilities over the dense seeds, shape (N, K), K at least 3.
        compressed_mean_prob: the same of the compressed seeds.
        ids: shape (N,), decide between equal correlations; None takes the row's number.

    Raises:
        UsageError: fewer than three labels, where ranks say nothing.
    """
    if dense_mean_prob.shape[1] < 3:
        raise UsageError(f"{dense_mean_prob.shape[1]} labels a sample; agreement by ranks needs at least 3")
    rho = row_spearman(dense_mean_prob, compressed_mean_prob)
    order = np.lexsort((np.arange(len(rho)) if ids is None else ids, rho))  # NaN sorts last
    count = min(max(1, int(LOWEST * len(rho))), int((~np.isnan(rho)).sum()))
    return Agreement(rho, order[:count])
