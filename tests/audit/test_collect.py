"""From a model and a loader to outputs: rows keep their ids, modes are restored, and the level is measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tamis.audit import Outputs, collect
from tamis.errors import UsageError
from tamis.nn import quantise_weights, sparsify

INPUTS, IDS = torch.randn(7, 4, generator=torch.Generator().manual_seed(1)), torch.tensor([30, 10, 20, 60, 50, 40, 70])
NAMES = ("a", "b", "c")


def model() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 3))


def batches() -> list[Any]:
    return list(zip(INPUTS.split(3), IDS.split(3), strict=True))


def test_logits_keep_the_id_of_their_row(tmp_path: Any) -> None:
    net = model().eval()
    outputs = collect(net, batches(), names=NAMES, name="toy", method="gmp", level=0.5, seed=4, meta={"recipe": "x"})
    assert outputs.ids.tolist() == IDS.tolist()
    np.testing.assert_array_equal(outputs.logits[1], net(INPUTS[:3])[1].detach().numpy())
    assert (outputs.names, outputs.model, outputs.method, outputs.level, outputs.seed) == (NAMES, "toy", "gmp", 0.5, 4)
    again = Outputs.load(outputs.save(tmp_path / "o.npz"))
    assert again.digest == outputs.digest


def test_dropout_is_off_and_every_mode_comes_back() -> None:
    net = model().train()
    net[0].eval()
    one, two = (collect(net, batches(), names=NAMES).logits for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert [module.training for module in net] == [False, True, True, True]


def test_modes_come_back_after_an_error_too() -> None:
    net = model().train()
    with pytest.raises(UsageError, match="expected"):
        collect(net, [(INPUTS, IDS), "no batch"], names=NAMES)
    assert net.training


def test_packed_masked_and_quantised_models_are_collected_and_their_zeros_counted() -> None:
    net = model()
    with torch.no_grad():
        net[0].weight[:48] = 0
    masked = collect(net, batches(), names=NAMES)
    assert masked.level == pytest.approx((48 * 4) / (64 * 4 + 64 * 3))
    packed = collect(sparsify(net), batches(), names=NAMES)
    np.testing.assert_allclose(packed.logits, masked.logits, atol=1e-5)
    assert packed.level == masked.level
    eight = collect(quantise_weights(net, 8), batches(), names=NAMES, axis="bits", level=8)
    assert (eight.axis, eight.level) == ("bits", 8.0)
    assert 0 < np.abs(eight.logits - masked.logits).max() < 0.05
    with pytest.raises(UsageError, match="axis='bits' needs level="):
        collect(net, batches(), names=NAMES, axis="bits")


def test_a_data_loader_needs_ids_and_must_not_shuffle() -> None:
    data = TensorDataset(INPUTS, torch.zeros(7))
    outputs = collect(model(), DataLoader(data, batch_size=2), names=NAMES, ids=[f"img{i}" for i in range(7)])
    assert outputs.ids[6] == "img6"
    with pytest.raises(UsageError, match="the loader shuffles"):
        collect(model(), DataLoader(data, batch_size=2, shuffle=True), names=NAMES, ids=range(7))


def test_labels_are_not_taken_for_ids() -> None:
    with pytest.raises(UsageError, match="whole numbers as ids"):
        collect(model(), DataLoader(TensorDataset(INPUTS, torch.zeros(7, 3)), batch_size=2), names=NAMES)
    with pytest.raises(UsageError, match="more than one row"):
        collect(model(), DataLoader(TensorDataset(INPUTS, torch.zeros(7).long()), batch_size=2), names=NAMES)


@pytest.mark.parametrize(
    ("loader", "ids", "words"),
    [
        ([], None, "no batch"),
        ([INPUTS], [1, 2], "2 ids for 7 rows"),
        ([(INPUTS, IDS[:3])], None, "the loader yields tuple of a tensor"),
        ([{"x": INPUTS}], None, "the loader yields dict"),
    ],
)
def test_a_loader_that_does_not_fit_is_refused(loader: list[Any], ids: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        collect(model(), loader, names=NAMES, ids=ids)


def test_answers_that_are_no_logits_are_refused() -> None:
    with pytest.raises(UsageError, match=r"answers \(7, 3, 1\) for 7 inputs"):
        collect(nn.Sequential(model(), nn.Unflatten(1, (3, 1))), [(INPUTS, IDS)], names=NAMES)
    with pytest.raises(UsageError, match=r"logits\[0, 0\] is nan"):
        collect(nn.Sequential(model(), Broken()), [(INPUTS, IDS)], names=NAMES)


class Broken(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.nan


def test_half_precision_is_widened_and_double_kept() -> None:
    assert collect(model().to(torch.bfloat16), [(INPUTS.bfloat16(), IDS)], names=NAMES).logits.dtype == np.float32
    assert collect(model().double(), [(INPUTS.double(), IDS)], names=NAMES).logits.dtype == np.float64
