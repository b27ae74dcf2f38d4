"""tamis audit collect: a model file in, outputs and labels out, aligned by id."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tamis.audit import Labels, Outputs
from tamis.cli import main
from tamis.data import TintedDigits, digits
from tamis.models import create_model
from tamis.train import export_model


def _save(path: Path, classes: int, channels: int, size: int, zeros: float = 0.0) -> Path:
    torch.manual_seed(1)
    architecture = {"name": "small_cnn", "num_classes": classes, "in_channels": channels, "image_size": [size, size]}
    model = create_model(**architecture)  # type: ignore[arg-type]
    with torch.no_grad():
        weight = model.get_parameter("conv3.weight")
        weight[torch.rand(weight.shape) < zeros] = 0
    return export_model(model, path / "model.safetensors", "sparse", {"architecture": architecture})


def test_attributes_identities_and_originals_are_stored_under_their_ids(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _save(tmp_path, 10, 3, 16, zeros=0.9)
    labels = tmp_path / "labels.npz"
    assert main(["audit", "collect", str(file), "--split", "valid", "--labels", str(labels), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    outputs, truth, data = Outputs.load(result["outputs"]), Labels.load(labels), TintedDigits().generate()
    assert outputs.names == data.attributes
    assert 0.6 < outputs.level < 0.8
    assert outputs.method == "pruned"
    assert truth.names == (*data.attributes, *data.identities)
    assert outputs.ids.tolist() == truth.ids.tolist() == data.valid.ids.numpy().astype(outputs.ids.dtype).tolist()
    train = Labels.load_train(labels)
    assert train is not None
    assert train.values.tolist() == data.labels("train", truth.names).tolist()
    assert truth.cluster is not None
    assert len(set(truth.cluster.tolist())) == 179


def test_classes_of_a_data_set_are_one_softmax(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, labels = _save(tmp_path, 10, 1, 8), tmp_path / "y.npz"
    assert main(["audit", "collect", str(file), "--data", "digits", "--labels", str(labels), "--bits", "4"]) == 0
    assert "540 samples x 10 multiclass logits, bits, 4 bits" in capsys.readouterr().out
    outputs = Outputs.load(tmp_path / "outputs_test.npz")
    assert (outputs.task, outputs.axis, outputs.level) == ("multiclass", "bits", 4.0)
    assert Labels.load(labels).values.argmax(1).tolist() == digits().test_y.tolist()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--split", "valid", "--data", "digits"], "have train and test only"),
        (["--data", "digits", "--targets", "a"], "has classes"),
        (["--targets", "Nose"], "has no 'Nose'"),
        (["--targets", "Loop"], "10"),
        (["--data", "animals"], "needs the folder of its files"),
        (["--bits", "1"], "bits=1"),
        (["--batch-size", "0"], "at least 1"),
    ],
)
def test_what_does_not_fit_ends_with_exit_code_2(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _save(tmp_path, 10, 1 if "digits" in arguments else 3, 8 if "digits" in arguments else 16)
    assert main(["audit", "collect", str(file), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "outputs_test.npz").exists()


def test_a_missing_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "collect", str(tmp_path / "none.safetensors")]) == 2
    assert "none.safetensors" in capsys.readouterr().err
