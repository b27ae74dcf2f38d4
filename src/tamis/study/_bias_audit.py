"""The audits of a bias study: one for each set-up, over all its methods, levels and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tamis.audit import Labels, Outputs, Validation, audit, calibrate_threshold
from tamis.data import PLANTED, AttributeData
from tamis.study._bias_cells import BiasCell
from tamis.study._bias_run import TrainedCell
from tamis.study._bias_worker import data_of


@dataclass(frozen=True)
class SetupAudit:
    """What an audit says of one set-up.

    Attributes:
        setup: ``joint``, ``single``, ``combined`` or ``planted``.
        subject: which attribute, columns or feature; empty for joint.
        cells: the networks that were compared.
        content: the audit's JSON object (docs/audit_json.md).
        seed_flips: by cell name, share of predictions that differ from those of the same condition's networks of other
            seeds, their mean: what flips must be compared with.
        conflict: by cell name, accuracy where planted feature and label agree and where they do not, with thresholds at
            0 and calibrated; empty without a planted feature.
    """

    setup: str
    subject: str
    cells: tuple[TrainedCell, ...]
    content: Mapping[str, Any]
    seed_flips: Mapping[str, float]
    conflict: Mapping[str, Mapping[str, float]]


def audit_setups(trained: Sequence[TrainedCell], *, n_boot: int = 2000) -> tuple[SetupAudit, ...]:
    """Audit every set-up of which a dense and a pruned network are there.

    Thresholds are 0; calibrated ones, on the validation images, are among the countermeasures.  Networks of several
    seeds share one test set and one set of pairs (support ``common``).

    Args:
        trained: finished cells.
        n_boot: draws of the bootstrap.
    """
    groups: dict[tuple[str, str], list[TrainedCell]] = {}
    for one in trained:
        groups.setdefault((one.cell.setup, one.cell.subject), []).append(one)
    return tuple(
        _audit(setup, subject, cells, n_boot)
        for (setup, subject), cells in groups.items()
        if {"dense"} < {one.cell.method for one in cells}
    )


def labels_of(data: AttributeData, split: str) -> Labels:
    """Attributes and identities of a split, with ids, and the originals as clusters."""
    part, names = data.split(split), (*data.attributes, *data.identities)
    return Labels(data.labels(split, names).numpy(), part.ids.numpy(), names, part.base.numpy())


def _audit(setup: str, subject: str, cells: Sequence[TrainedCell], n_boot: int) -> SetupAudit:
    first: BiasCell = cells[0].cell
    data = data_of(first.data, first.planted)
    test = {one.cell.name: Outputs.load(one.folder / "outputs_test.npz") for one in cells}
    valid = {one.cell.name: Outputs.load(one.folder / "outputs_valid.npz") for one in cells}
    dense = [test[one.cell.name] for one in cells if one.cell.method == "dense"]
    compressed = [test[one.cell.name] for one in cells if one.cell.method != "dense"]
    report = audit(
        dense=dense,
        compressed=compressed,
        labels=labels_of(data, "test"),
        train_labels=labels_of(data, "train"),
        groups=(PLANTED,) if first.planted else data.identities,
        valid=Validation(labels_of(data, "valid"), list(valid.values())),
        attributes=[name for name in dense[0].names if name in data.attributes],
        n_boot=n_boot,
    )
    conflict = (
        {name: _conflict(data, first.planted.attribute, test[name], valid[name]) for name in test}
        if first.planted
        else {}
    )
    return SetupAudit(setup, subject, tuple(cells), report.content, _seed_flips(cells, test), conflict)


def _seed_flips(cells: Sequence[TrainedCell], test: Mapping[str, Outputs]) -> dict[str, float]:
    found = {}
    for one in cells:
        mine = test[one.cell.name]
        alike = [
            test[other.cell.name].logits > 0
            for other in cells
            if (other.cell.method, other.cell.bits, other.cell.recipe.sparsity)
            == (one.cell.method, one.cell.bits, one.cell.recipe.sparsity)
            and other is not one
        ]
        if alike:
            found[one.cell.name] = float(np.mean([(other != (mine.logits > 0)).mean() for other in alike]))
    return found


def _conflict(data: AttributeData, attribute: str, test: Outputs, valid: Outputs) -> dict[str, float]:
    """Accuracy where the planted feature says what the label says, and where it says the contrary."""
    truth, planted = data.labels("test", (attribute, PLANTED)).numpy().T
    assert np.array_equal(test.ids, data.test.ids.numpy())
    found = {}
    threshold = calibrate_threshold(valid.logits[:, 0], data.labels("valid", (attribute,)).numpy()[:, 0])
    for suffix, border in (("", 0.0), ("_calibrated", threshold)):
        right = (test.logits[:, 0] > border) == (truth == 1)
        found[f"accuracy_agree{suffix}"] = float(right[truth == planted].mean())
        found[f"accuracy_conflict{suffix}"] = float(right[truth != planted].mean())
    return found
