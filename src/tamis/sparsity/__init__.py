"""Pure functions on masks: counts, exact selection, distributions, patterns, schedules, scores and the FLOPs ledger.

A method is schedule x score x selection x distribution x pattern; :func:`select_masks` is the one place where the last
three meet.  Nothing here knows modules or optimizers.  ``sparsity`` is always a fraction of zeros in [0, 1), a mask is
a bool tensor of the weight's shape, True where a weight lives.
"""

from tamis.sparsity._agreement import PairMetrics, pair_metrics
from tamis.sparsity._counts import check_sparsity, iterative_counts, keep_count, nominal_sparsity, update_count
from tamis.sparsity._dense_gradients import (
    SoftThresholdGradients,
    TopKastMasks,
    soft_threshold,
    soft_threshold_gradients,
    sr_ste_gradient,
    topkast_masks,
    topkast_penalty_gradient,
)
from tamis.sparsity._distributions import Budget, Distribution, Global, Uniform
from tamis.sparsity._drop_grow import MaskUpdate, carry_over, drop_and_grow, update_interval
from tamis.sparsity._erk import ERK, ErkSolution
from tamis.sparsity._fan_in_update import FanInUpdate, fan_in_update
from tamis.sparsity._flops import LayerCost, forward_flops, forward_fraction, small_operation_flops
from tamis.sparsity._mask_statistics import (
    AchievedSparsity,
    MaskChange,
    achieved_sparsity,
    live_counts,
    mask_change,
    mask_changes,
    mask_hash,
    masks_from_zeros,
    sparsity_of,
    uniform_shares,
    zero_share,
)
from tamis.sparsity._obs import (
    Elimination,
    diagonal_saliency,
    fisher_inverse,
    fisher_rank_one_update,
    greedy_elimination,
    obs_independent_update,
    obs_joint_update,
    obs_saliency,
    quadratic_loss_increase,
)
from tamis.sparsity._paths import ChainPaths, chain_paths, units_without_fan_in, units_without_fan_out
from tamis.sparsity._patterns import NM, Block, FanIn, Pattern, Unstructured
from tamis.sparsity._phases import (
    Phase,
    acdc_phases,
    check_phases,
    compress_at,
    decompress_at,
    default_phases,
    phase_at,
    scale_phases,
)
from tamis.sparsity._powers import signed_power, signed_power_gradient, signed_root
from tamis.sparsity._presets import PRESETS, Preset, preset, step_decay, warmup_cosine
from tamis.sparsity._ramps import PruneEvent, cosine_decay, cubic, exponential_ramp, gmp_events, power_decay, step_of
from tamis.sparsity._scores import grasp_score, magnitude_score, random_score, snip_score, synflow_masks, synflow_score
from tamis.sparsity._select_masks import check_combination, dense_layers, nested_scores, select_masks
from tamis.sparsity._selection import top_k_mask, top_k_masks_global
from tamis.sparsity._threshold_decay import decay_for_logit, decayed_logit, logit_for_sparsity
from tamis.sparsity._training_cost import (
    acdc_cost,
    dense_gradient_cost,
    gradual_cost,
    measured_cost,
    rigl_cost,
    static_cost,
    topkast_cost,
)

__all__ = [
    "ERK",
    "NM",
    "PRESETS",
    "AchievedSparsity",
    "Block",
    "Budget",
    "ChainPaths",
    "Distribution",
    "Elimination",
    "ErkSolution",
    "FanIn",
    "FanInUpdate",
    "Global",
    "LayerCost",
    "MaskChange",
    "MaskUpdate",
    "PairMetrics",
    "Pattern",
    "Phase",
    "Preset",
    "PruneEvent",
    "SoftThresholdGradients",
    "TopKastMasks",
    "Uniform",
    "Unstructured",
    "acdc_cost",
    "acdc_phases",
    "achieved_sparsity",
    "carry_over",
    "chain_paths",
    "check_combination",
    "check_phases",
    "check_sparsity",
    "compress_at",
    "cosine_decay",
    "cubic",
    "decay_for_logit",
    "decayed_logit",
    "decompress_at",
    "default_phases",
    "dense_gradient_cost",
    "dense_layers",
    "diagonal_saliency",
    "drop_and_grow",
    "exponential_ramp",
    "fan_in_update",
    "fisher_inverse",
    "fisher_rank_one_update",
    "forward_flops",
    "forward_fraction",
    "gmp_events",
    "gradual_cost",
    "grasp_score",
    "greedy_elimination",
    "iterative_counts",
    "keep_count",
    "live_counts",
    "logit_for_sparsity",
    "magnitude_score",
    "mask_change",
    "mask_changes",
    "mask_hash",
    "masks_from_zeros",
    "measured_cost",
    "nested_scores",
    "nominal_sparsity",
    "obs_independent_update",
    "obs_joint_update",
    "obs_saliency",
    "pair_metrics",
    "phase_at",
    "power_decay",
    "preset",
    "quadratic_loss_increase",
    "random_score",
    "rigl_cost",
    "scale_phases",
    "select_masks",
    "signed_power",
    "signed_power_gradient",
    "signed_root",
    "small_operation_flops",
    "snip_score",
    "soft_threshold",
    "soft_threshold_gradients",
    "sparsity_of",
    "sr_ste_gradient",
    "static_cost",
    "step_decay",
    "step_of",
    "synflow_masks",
    "synflow_score",
    "top_k_mask",
    "top_k_masks_global",
    "topkast_cost",
    "topkast_masks",
    "topkast_penalty_gradient",
    "uniform_shares",
    "units_without_fan_in",
    "units_without_fan_out",
    "update_count",
    "update_interval",
    "warmup_cosine",
    "zero_share",
]
