"""Features of a frozen backbone, and the cache that recognises them."""

from types import SimpleNamespace

import pytest
import safetensors.torch
import torch

from tamis.errors import FileError
from tamis.transfer import (
    Backbone,
    PixelTransform,
    cached_features,
    channel_statistics,
    extract_features,
    filter_statistics,
)

from .tiny import TRANSFORM, tiny_network, tiny_task


def test_features_are_the_input_of_the_classifier_in_the_order_of_the_images():
    model, _ = tiny_network()
    task = tiny_task()
    found = extract_features(model, task, TRANSFORM, batch_size=7)
    images = TRANSFORM.test(task.train.take(torch.arange(task.n_train)))
    with torch.no_grad():
        logits = model(images)
    assert torch.allclose(model.fc(found.train_x), logits, atol=1e-5)
    assert torch.equal(found.train_y, task.labels("train"))
    assert found.train_x.dtype == torch.float32
    assert (found.width, len(found.test_x)) == (64, 30)


def test_features_of_packed_layers_equal_those_of_dense_ones():
    model, masks = tiny_network()
    dense = extract_features(model, tiny_task(), TRANSFORM)
    sparse = extract_features(model, tiny_task(), TRANSFORM, masks=masks)
    assert torch.allclose(dense.train_x, sparse.train_x, atol=1e-5)
    assert type(model.conv2) is torch.nn.Conv2d


def test_a_refresh_of_the_batch_norms_changes_features_but_not_the_model():
    model, _ = tiny_network()
    before = model.bn1.running_mean.clone()
    frozen = extract_features(model, tiny_task(), TRANSFORM)
    fresh = extract_features(model, tiny_task(), TRANSFORM, bn_refresh=2)
    assert not torch.allclose(frozen.train_x, fresh.train_x)
    assert torch.equal(model.bn1.running_mean, before)


def test_damaged_backbones_are_refused():
    model, _ = tiny_network()
    with torch.no_grad():
        model.conv2.bias[0] = float("nan")
    with pytest.raises(FileError, match="not finite"):
        extract_features(model, tiny_task(), TRANSFORM)


def cached(folder, sha="weights", task=None, transform=TRANSFORM, **options):
    model, masks = tiny_network()
    backbone = Backbone(model, masks, "fc", {}, SimpleNamespace(sha256=lambda: sha))  # of the file its digest alone
    return cached_features(folder, backbone, task or tiny_task(), transform, **options)


def test_the_second_extraction_reads_the_file(tmp_path):
    first, second = cached(tmp_path), cached(tmp_path)
    assert (first.cached, second.cached) == (False, True)
    assert torch.equal(first.test_x, second.test_x)
    assert len(list(tmp_path.iterdir())) == 1  # no temporary file stays


@pytest.mark.parametrize(
    "change",
    [
        {"sha": "other weights"},
        {"task": tiny_task(n_train=51)},
        {"task": tiny_task(name="other")},
        {"transform": PixelTransform(8, padding=1, flip=True, mean=(0, 0, 0))},
        {"bn_refresh": 1},
    ],
)
def test_whatever_features_depend_on_makes_them_anew(tmp_path, change):
    cached(tmp_path)
    assert not cached(tmp_path, **change).cached


def test_another_version_of_tamis_computes_anew(tmp_path, monkeypatch):
    cached(tmp_path)
    monkeypatch.setattr("tamis.__version__", "0.0.9")
    assert not cached(tmp_path).cached


@pytest.mark.parametrize("damage", ["truncated", "foreign", "nan", "labels"])
def test_a_file_that_is_not_right_is_computed_anew_and_replaced(tmp_path, damage):
    good = cached(tmp_path)
    (file,) = tmp_path.iterdir()
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-40])
    elif damage == "foreign":
        safetensors.torch.save_file({"x": torch.ones(1)}, file)
    else:
        from tamis.train import load_container, save_container

        tensors, header = load_container(file)
        if damage == "nan":
            tensors["test_x"][0, 0] = float("nan")
        else:
            tensors["test_y"][0] += 1
        save_container(file, tensors, header)
    again = cached(tmp_path)
    assert not again.cached
    assert torch.equal(again.train_x, good.train_x)
    assert cached(tmp_path).cached


def test_the_channel_statistics_of_the_vectors(transfer_vectors):
    case = transfer_vectors["channel_statistics"]
    row = filter_statistics("conv", torch.tensor(case["weight"]).reshape(case["weight_shape"]))
    assert row.zero_filters == case["zero_filters"]
    assert row.zero_filter_fraction == case["zero_filter_fraction"]
    assert row.zero_inputs == case["zero_input_channels"]
    counts = sorted(case["nonzeros_per_filter"])
    assert (row.nonzeros_min, row.nonzeros_median, row.nonzeros_max) == (counts[0], 1.0, counts[-1])
    assert row.sparsity == pytest.approx(case["sparsity"], abs=1e-7)


def test_grouped_convolutions_count_input_channels_over_all_groups():
    weight = torch.zeros(4, 1, 1, 1)
    weight[0] = 1.0
    row = filter_statistics("depthwise", weight, groups=4)
    assert (row.inputs, row.zero_inputs, row.zero_filters) == (4, 3, 3)


def test_channels_of_residual_sums_are_not_removable():
    from tamis.models import create_model

    model = create_model("resnet8_digits", 10, 1)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight[0] = 0.0
    rows = {row.layer: row for row in channel_statistics(model).rows}
    assert all(row.zero_filters == 1 for row in rows.values())
    removable = {name for name, row in rows.items() if row.removable}
    assert removable == {f"layer{stage}.0.conv1" for stage in (1, 2, 3)}
    assert channel_statistics(model).removable == 3
