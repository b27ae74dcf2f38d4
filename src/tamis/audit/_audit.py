"""One call that compares compressed models with their dense twins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tamis.audit._calibration import find_thresholds
from tamis.audit._compare import assemble, calibration_rows, compare
from tamis.audit._inputs import prepare_inputs
from tamis.audit._labels import MISSING, Labels
from tamis.audit._models import align, describe, gather
from tamis.audit._outputs import Outputs
from tamis.audit._result import AuditReport, Validation
from tamis.audit._settings import Settings, exact_fraction
from tamis.errors import UsageError


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
        min_cell: smallest group that has psi, and smallest cell of an intersection.
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
    settings = Settings(
        min_positives, exact_fraction(min_gap), min_cell, float(uncertainty), float(ci), n_boot, support, seed
    )
    models = _models(dense, compressed)
    names = tuple(attributes) if attributes is not None else models[0].names
    validation = None if valid is None else (valid.labels, tuple(valid.outputs))
    inputs = prepare_inputs(labels, train_labels, names, groups, train_groups, intersections, settings)
    found = find_thresholds(thresholds, models, names, validation)
    base, others = (
        [align(model, inputs.ids, names, found.of(model)) for model in side] for side in (dense, compressed)
    )
    conditions = gather(base, others)
    evidence = compare(conditions, inputs, settings, found)
    content = assemble(evidence, command, _digests(labels, train_labels, groups, valid))
    content["countermeasures"]["calibration"] = calibration_rows(evidence, validation)
    return AuditReport(content, evidence)


def _models(dense: Sequence[Outputs], compressed: Sequence[Outputs]) -> list[Outputs]:
    """All models, which must mean the same things by their columns."""
    for side, what in ((dense, "dense"), (compressed, "compressed")):
        if isinstance(side, Outputs) or not side:
            raise UsageError(f"{what}: expected a list of at least one Outputs")
    models = [*dense, *compressed]
    for model in models:
        if model.task != models[0].task:
            raise UsageError(f"{describe(model)} is {model.task}, {describe(models[0])} is {models[0].task}")
        if set(model.names) != set(models[0].names):
            differ = sorted(set(model.names) ^ set(models[0].names))
            raise UsageError(f"{describe(model)} has other columns than the first model, such as {differ[0]!r}")
    if len({id(model) for model in models}) < len(models):
        raise UsageError("the same Outputs object is given twice; pass each model once, or load its file anew")
    return models


def _digests(
    labels: Labels, train_labels: Labels, groups: Sequence[str] | Labels, valid: Validation | None
) -> dict[str, Any]:
    """Hashes and sizes of everything that is no model."""
    missing = {name: int((column == MISSING).sum()) for name, column in zip(labels.names, labels.values.T, strict=True)}
    return {
        "labels": {
            "samples": len(labels.values),
            "sha256": labels.digest,
            "missing": missing,
            "clusters": None if labels.cluster is None else int(labels.cluster.max()) + 1,
        },
        "groups": {"sha256": groups.digest} if isinstance(groups, Labels) else None,
        "train": {"samples": len(train_labels.values), "sha256": train_labels.digest},
        "valid": None if valid is None else {"samples": len(valid.labels.values), "sha256": valid.labels.digest},
    }
