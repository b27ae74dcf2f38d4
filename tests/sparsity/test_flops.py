"""Forward FLOPs."""

from __future__ import annotations

import pytest

from tamis.errors import UsageError
from tamis.sparsity import LayerCost, forward_flops, forward_fraction, small_operation_flops


@pytest.fixture
def resnet50(pruning_vectors):
    return [
        LayerCost(name, tuple(shape), side * side) for name, shape, side, *_ in pruning_vectors["resnet50"]["layers"]
    ]


def test_the_resnet50_table_is_consistent(pruning_vectors, resnet50):
    golden = pruning_vectors["resnet50"]
    assert len(resnet50) == 54
    for cost, (_, _, _, weights, macs) in zip(resnet50, golden["layers"], strict=True):
        assert (cost.weights, cost.macs, cost.dense_flops) == (weights, macs, 2 * macs)
    assert sum(cost.weights for cost in resnet50) == golden["weights"]
    assert forward_flops(resnet50) == 2 * golden["macs"]


def test_the_published_counter_of_the_dense_network_is_reproduced(pruning_vectors, resnet50):
    golden = pruning_vectors["resnet50"]["acdc_counter_dense"]
    convs, fc = resnet50[:-1], resnet50[-1]
    outputs = {cost.name: cost.shape[0] * cost.positions for cost in convs}
    relus = sum(n for name, n in outputs.items() if "downsample" not in name)  # conv3 stands for the block's end
    assert forward_flops(convs) == golden["conv"]
    assert forward_flops([fc]) + small_operation_flops(bias_elements=1000) == golden["fc"]
    assert small_operation_flops(norm_elements=sum(outputs.values())) == golden["bn_2_per_element"]
    assert small_operation_flops(relu_elements=relus) == golden["relu_1_per_element"]
    assert small_operation_flops(pool_outputs=64 * 56 * 56, pool_window=9) == golden["maxpool_k2_per_output"]
    small = small_operation_flops(
        norm_elements=sum(outputs.values()),
        relu_elements=relus,
        pool_outputs=64 * 56 * 56,
        pool_window=9,
        bias_elements=1000,
    )
    assert forward_flops(resnet50) + small == golden["total_forward"]


def test_live_weights_are_charged_by_position():
    costs = [LayerCost("conv", (8, 3, 3, 3), 100), LayerCost("fc", (10, 8), 1)]
    assert forward_flops(costs, {"conv": 5}) == 2 * (5 * 100 + 80)
    assert forward_fraction(costs, {"conv": 0, "fc": 80}) == 80 / (216 * 100 + 80)
    assert forward_fraction([], {}) == 1.0


@pytest.mark.parametrize(("live", "message"), [({"x": 1}, r"\['x'\]"), ({"fc": 81}, "81"), ({"fc": -1}, "-1")])
def test_impossible_counts_are_refused(live, message):
    with pytest.raises(UsageError, match=message):
        forward_flops([LayerCost("fc", (10, 8), 1)], live)
