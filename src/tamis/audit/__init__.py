"""Bias audit of compressed models: what compression changed, for whom, how surely, and what repairs it.

Works on stored outputs (:class:`Outputs`) and labels (:class:`Labels`) alone, and imports no torch but for
:func:`collect` and :class:`Cascade`, which run models.  The room itself can be called: ``tamis.audit(...)`` is
``tamis.audit.audit(...)``.
"""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any

from tamis.lazy import lazy_names

if TYPE_CHECKING:
    from tamis.audit._aggregate import Aggregate, aggregate
    from tamis.audit._amplification_variants import Directional, biasamp_directional, zhao2017_mean_ba
    from tamis.audit._attribute_metrics import (
        auc,
        binned_ece,
        tcb,
        tcb_ratio,
        tcb_smoothed,
        uncertainty,
        uncertainty_logits,
    )
    from tamis.audit._audit import audit
    from tamis.audit._bias_amplification import (
        BiasAmplification,
        TrainCounts,
        ba_bounds,
        backdoor_ba,
        bias_amplification,
        directed_ba,
    )
    from tamis.audit._cascade import Cascade, CascadeCost
    from tamis.audit._collect import collect
    from tamis.audit._counts import group_table, pair_table
    from tamis.audit._exemplars import Agreement, cie, multilabel_agreement
    from tamis.audit._gate import Gate, check_content
    from tamis.audit._gates import unsure_classes, unsure_labels
    from tamis.audit._group_metrics import (
        GroupReport,
        RecallChange,
        cev_sde,
        disparate_accuracy_gap,
        excess_loss_disparity,
        group_report,
        intersection,
        normalised_recall_change,
    )
    from tamis.audit._interdependence import interdependence
    from tamis.audit._intervals import Interval, SeedInterval, bh_adjust, seed_interval, unpaired_seed_interval
    from tamis.audit._junit import junit
    from tamis.audit._labels import Labels
    from tamis.audit._markdown import markdown
    from tamis.audit._outputs import Outputs
    from tamis.audit._override import HALF_WIDTHS, Asked, cascade, override
    from tamis.audit._paired_change import PairedChange, paired_delta_ba
    from tamis.audit._policy import DEFAULT_POLICY, Policy, Rule, exit_code, policy_rule
    from tamis.audit._predict import Forecast, predict
    from tamis.audit._queue import escape_csv
    from tamis.audit._ranks import spearman
    from tamis.audit._read_report import read_report
    from tamis.audit._reasons import REASONS, Value
    from tamis.audit._result import AuditReport, Validation
    from tamis.audit._thresholds import (
        Threshold,
        calibrate_threshold,
        calibrate_threshold_published,
        calibrate_threshold_report,
    )

_MODULES = {
    "_aggregate": ("Aggregate", "aggregate"),
    "_amplification_variants": ("Directional", "biasamp_directional", "zhao2017_mean_ba"),
    "_attribute_metrics": (
        "auc",
        "binned_ece",
        "tcb",
        "tcb_ratio",
        "tcb_smoothed",
        "uncertainty",
        "uncertainty_logits",
    ),
    "_audit": ("audit",),
    "_bias_amplification": (
        "BiasAmplification",
        "TrainCounts",
        "ba_bounds",
        "backdoor_ba",
        "bias_amplification",
        "directed_ba",
    ),
    "_cascade": ("Cascade", "CascadeCost"),
    "_collect": ("collect",),
    "_counts": ("group_table", "pair_table"),
    "_exemplars": ("Agreement", "cie", "multilabel_agreement"),
    "_gate": ("Gate", "check_content"),
    "_gates": ("unsure_classes", "unsure_labels"),
    "_group_metrics": (
        "GroupReport",
        "RecallChange",
        "cev_sde",
        "disparate_accuracy_gap",
        "excess_loss_disparity",
        "group_report",
        "intersection",
        "normalised_recall_change",
    ),
    "_interdependence": ("interdependence",),
    "_intervals": ("Interval", "SeedInterval", "bh_adjust", "seed_interval", "unpaired_seed_interval"),
    "_junit": ("junit",),
    "_labels": ("Labels",),
    "_markdown": ("markdown",),
    "_outputs": ("Outputs",),
    "_override": ("HALF_WIDTHS", "Asked", "cascade", "override"),
    "_paired_change": ("PairedChange", "paired_delta_ba"),
    "_policy": ("DEFAULT_POLICY", "Policy", "Rule", "exit_code", "policy_rule"),
    "_predict": ("Forecast", "predict"),
    "_queue": ("escape_csv",),
    "_ranks": ("spearman",),
    "_read_report": ("read_report",),
    "_reasons": ("REASONS", "Value"),
    "_result": ("AuditReport", "Validation"),
    "_thresholds": (
        "Threshold",
        "calibrate_threshold",
        "calibrate_threshold_published",
        "calibrate_threshold_report",
    ),
}

__all__ = [
    "DEFAULT_POLICY",
    "HALF_WIDTHS",
    "REASONS",
    "Aggregate",
    "Agreement",
    "Asked",
    "AuditReport",
    "BiasAmplification",
    "Cascade",
    "CascadeCost",
    "Directional",
    "Forecast",
    "Gate",
    "GroupReport",
    "Interval",
    "Labels",
    "Outputs",
    "PairedChange",
    "Policy",
    "RecallChange",
    "Rule",
    "SeedInterval",
    "Threshold",
    "TrainCounts",
    "Validation",
    "Value",
    "aggregate",
    "auc",
    "audit",
    "ba_bounds",
    "backdoor_ba",
    "bh_adjust",
    "bias_amplification",
    "biasamp_directional",
    "binned_ece",
    "calibrate_threshold",
    "calibrate_threshold_published",
    "calibrate_threshold_report",
    "cascade",
    "cev_sde",
    "check_content",
    "cie",
    "collect",
    "directed_ba",
    "disparate_accuracy_gap",
    "escape_csv",
    "excess_loss_disparity",
    "exit_code",
    "group_report",
    "group_table",
    "interdependence",
    "intersection",
    "junit",
    "markdown",
    "multilabel_agreement",
    "normalised_recall_change",
    "override",
    "pair_table",
    "paired_delta_ba",
    "policy_rule",
    "predict",
    "read_report",
    "seed_interval",
    "spearman",
    "tcb",
    "tcb_ratio",
    "tcb_smoothed",
    "uncertainty",
    "uncertainty_logits",
    "unpaired_seed_interval",
    "unsure_classes",
    "unsure_labels",
    "zhao2017_mean_ba",
]


class _CallableRoom(types.ModuleType):
    """The room ``tamis.audit``, which may be called like the function that it is named after."""

    def __call__(self, **given: Any) -> AuditReport:
        """See :func:`tamis.audit.audit`."""
        return self.audit(**given)


sys.modules[__name__].__class__ = _CallableRoom


__getattr__, __dir__ = lazy_names(__name__, _MODULES)
