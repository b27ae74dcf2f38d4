"""One call that compares compressed models with their dense twins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from tamis.audit._labels import Labels
from tamis.audit._outputs import Outputs
from tamis.audit._result import AuditReport, Validation


def audit(
    *,
    dense: Sequence[Outputs],
    compressed: Sequence[Outputs],
    labels: Labels,
    train_labels: Labels,
    groups: Sequence[str] | Labels,
    train_groups: Labels | None = None,
    valid: Validation | None = None,
    thresholds: Literal["zero", "calibrated", "published"] | Mapping[str, float] = "zero",
    attributes: Sequence[str] | None = None,
    intersections: Sequence[Sequence[str]] = (),
    min_positives: int = 10,
    min_gap: str = "1/10",
    min_cell: int = 30,
    uncertainty: float = 0.4,
    ci: float = 0.95,
    n_boot: int = 2000,
    support: Literal["common", "each"] = "common",
    seed: int = 0,
    command: str = "",
) -> AuditReport:
    """Compare compressed models with dense ones on the same samples.

    Args:
        dense: outputs of dense models, one per seed, on the samples of ``labels``.
        compressed: outputs of compressed models of any methods, levels and seeds.
        labels: true values of the test samples; columns are matched by name and rows by id.  ``labels.cluster`` gives
            cluster intervals.
        train_labels: labels of the training samples, used only as counts.
        groups: columns of ``labels`` that are identities (protected attributes), or extra columns for the same ids.
        train_groups: the extra columns for the training samples, where ``groups`` are extra columns.
        valid: validation outputs and labels, for calibrated thresholds.
        thresholds: logits above which a prediction is 1: 0, calibrated on ``valid`` (published: as the paper's code
            does), or given by attribute.
        attributes: target attributes; None takes all names of the models.
        intersections: tuples of at most three identities whose cells are compared with the rest.
        min_positives: true test positives that bias amplification needs in each group.
        min_gap: relative gap of the training rates below which no direction is defined, as an exact fraction.
        min_cell: smallest cell of an intersection.
        uncertainty: half-width h: a prediction is uncertain if ``|p - 0.5| < h``.
        ci: level of all intervals.
        n_boot: draws of the bootstrap.
        support: average over pairs that are defined in every condition, or in each (for display only).
        seed: of the bootstrap.
        command: shown in the report as how it was made.

    Returns:
        The report.

    Raises:
        UsageError: inputs that do not fit each other; the message says which and what to do.
    """
    raise NotImplementedError
