"""The commands of transfers: inspect, extract, run, and what they refuse."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from tamis.cli import main

pytestmark = pytest.mark.usefixtures("sparse_side")


@pytest.fixture
def digits_network(tmp_path):
    """A sparse network for 8 x 8 grey digits, as plain zeros."""
    from tamis.models import create_model

    torch.manual_seed(0)
    model = create_model("resnet8_digits", 10, 1)
    with torch.no_grad():
        for name, layer in model.named_modules():
            if isinstance(layer, torch.nn.Conv2d) and name != "conv1":
                layer.weight.mul_(torch.rand_like(layer.weight) < 0.1)
    torch.save(model.state_dict(), tmp_path / "digits.pth")
    return str(tmp_path / "digits.pth")


def test_inspect_prints_style_and_masks(digits_network, capsys):
    assert main(["transfer", "inspect", digits_network]) == 0
    shown = capsys.readouterr().out
    assert "resnet8_digits.option_b" in shown
    assert "layer3.0.conv2" in shown
    assert main(["transfer", "inspect", digits_network, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["layer"]: row for row in found["layers"]}
    assert rows["layer3.0.conv2"]["source"] == "zeros"
    assert rows["conv1"]["source"] == "none"
    assert 0.85 < found["sparsity"] < 0.95


def test_inspect_shows_the_masks_of_a_network_that_it_does_not_know(checkpoint, capsys):
    assert main(["transfer", "inspect", str(checkpoint)]) == 0
    shown = capsys.readouterr().out
    assert "architecture   unknown" in shown
    assert "conv2" in shown


def test_extract_then_run_uses_the_cache(digits_network, tmp_path, capsys):
    pytest.importorskip("sklearn")
    common = ["--model", digits_network, "--data", "digits_parity", "--cache", str(tmp_path / "cache")]
    assert main(["transfer", "extract", *common, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cached"] is False
    out = tmp_path / "run"
    flags = ["--probe.grid-step", "22", "--no-speed", "--no-report", "--out", str(out), "--json"]
    assert main(["transfer", "run", *common, *flags]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["chosen"]["features_cached"] is True
    assert summary["test_images"] == 540
    assert main(["transfer", "run", str(out / "recipe.toml"), "--out", str(out)]) == 2  # holds a run already
    assert "holds a run already" in capsys.readouterr().err


def test_a_folder_is_named_as_its_task_and_archives_are_looked_for_under_root(
    digits_network, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    labels = np.arange(40) % 2
    np.savez(tmp_path / "my photos.v1.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    quick = ["--probe.grid-step", "22", "--no-speed", "--no-report", "--cache", "none"]
    assert main(["transfer", "run", "--model", digits_network, "--data", "my photos.v1.npz", *quick]) == 0
    assert (tmp_path / "runs" / "transfer" / "my_photos.v1-linear" / "summary.json").is_file()
    assert main(["transfer", "run", "--model", digits_network, "--data", "pets", "--root", "attic", *quick]) == 2
    assert "attic" in capsys.readouterr().err


def test_a_style_of_ones_own_serves_inspect_extract_and_run(digits_network, tmp_path, capsys):
    pytest.importorskip("sklearn")
    weights = torch.load(digits_network, weights_only=True)
    torch.save({f"lab/{name}": value for name, value in weights.items()}, tmp_path / "lab.pth")
    (tmp_path / "lab.toml").write_text(
        """name = "lab"\nsigns = ['lab/.+']\n[[rules]]\npattern = 'lab/(.+)'\nname = "<1>"\n"""
    )
    lab, style = str(tmp_path / "lab.pth"), ["--style", str(tmp_path / "lab.toml")]
    common = ["--model", lab, "--data", "digits_parity", "--cache", str(tmp_path / "cache")]
    quick = ["--probe.grid-step", "44", "--no-speed", "--no-report", "--out", str(tmp_path / "run"), "--json"]
    assert main(["transfer", "run", *common, *quick]) == 2  # without the style its names fit no network
    assert "--style" in capsys.readouterr().err
    assert main(["transfer", "inspect", lab, *style]) == 0
    assert main(["transfer", "extract", *common, *style]) == 0
    capsys.readouterr()
    assert main(["transfer", "run", *common, *style, *quick]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["backbone"]["styles"] == ["lab"]
    assert summary["chosen"]["features_cached"] is True


def test_bad_usage_has_exit_code_2(capsys, tmp_path):
    assert main(["transfer", "run"]) == 2
    assert "--model" in capsys.readouterr().err
    assert main(["transfer", "run", "--model", str(tmp_path / "no.pth"), "--data", "digits_parity", "--no-report"]) == 2
    assert "no such file" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["run", "inspect", "extract", "tasks", "sweep", "stats", "plot"])
def test_help_shows_no_remark_for_linters(part, capsys):
    assert main(["transfer", part, "--help"]) == 0
    assert "noqa" not in capsys.readouterr().out


def test_help_of_the_commands_does_not_import_torch():
    code = (
        "import sys; from tamis.cli import main\n"
        "codes = [main(['transfer', what, '--help']) for what in ('run', 'inspect', 'extract')]\n"
        "sys.exit(any(codes) or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
