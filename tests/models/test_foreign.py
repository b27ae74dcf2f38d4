"""Checkpoints of other programs: unwrapped where they are plain, refused where they are not."""

import collections
import os
import pickle
import zipfile

import pytest
import safetensors.torch
import torch

from tamis.errors import FileError
from tamis.models import create_model, load_foreign_checkpoint, load_pretrained, load_weights


def weights():
    return {"conv1.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.tensor([1.0, 2.0])}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3, "best_prec1": 91.5},
        lambda state: {"model": {"module." + key: value for key, value in state.items()}},
        lambda state: {"checkpoint": 1, "net": {"state_dict": state}},
        lambda state: collections.OrderedDict(("_orig_mod.module." + key, value) for key, value in state.items()),
        lambda state: {key: torch.nn.Parameter(value) for key, value in state.items()},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_plain_torch_file_is_unwrapped(tmp_path, wrap, zipped):
    path = tmp_path / "weights.pth"
    torch.save(wrap(weights()), path, _use_new_zipfile_serialization=zipped)
    state = load_foreign_checkpoint(path)
    assert type(state) is dict
    assert same(state, weights())
    assert not any(value.requires_grad for value in state.values())


def test_a_safetensors_file_is_read_whatever_its_ending(tmp_path):
    path = tmp_path / "weights.bin"
    safetensors.torch.save_file(weights(), path)
    assert same(load_foreign_checkpoint(os.fspath(path)), weights())


def test_a_prefix_that_only_some_names_have_is_kept(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"module.a": torch.ones(1), "b": torch.ones(1)}, path)
    assert sorted(load_foreign_checkpoint(path)) == ["b", "module.a"]


class Payload:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_with_code_is_refused_and_never_run(tmp_path, protocol):
    witness = tmp_path / "witness"
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"state_dict": Payload(f"touch {witness}")}, protocol=protocol))
    with pytest.raises(FileError, match=r"evil\.pth: found .*; expected a state dict") as caught:
        load_foreign_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert not witness.exists()


def test_code_inside_a_torch_archive_is_refused_and_never_run(tmp_path):
    witness = tmp_path / "witness"
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": weights(), "extra": Payload(f"touch {witness}")}, path)
    with pytest.raises(FileError, match="more than plain tensors"):
        load_foreign_checkpoint(path)
    assert not witness.exists()


def test_a_whole_pickled_model_is_refused(tmp_path):
    path = tmp_path / "model.pth"
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(FileError, match="more than plain tensors"):
        load_foreign_checkpoint(path)


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.95])
def test_a_truncated_file_is_refused(tmp_path, form, kept):
    path = tmp_path / "cut.pth"
    state = {"weight": torch.randn(64, 64)}
    if form == "safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(FileError, match=r"cut\.pth: found .*; expected"):
        load_foreign_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ([torch.ones(1)], "type list"),
        (torch.ones(1), "type Tensor"),
        ({}, "no tensors"),
        ({"state_dict": {}}, "no tensors"),
        ({"a": 1.0}, "float under 'a'"),
        ({"a": torch.ones(1), "b": [1]}, "list under 'b'"),
        ({3: torch.ones(1)}, "key 3"),
        ({"a": torch.ones(1).expand(1000)}, "without that many values"),
        ({"model": {"model": {"model": {"model": {"a": torch.ones(1)}}}}}, "nested deeper"),
        ({"a": torch.ones(2, 2).to_sparse()}, "sparse_coo"),
    ],
)
def test_contents_other_than_named_dense_tensors_are_refused(tmp_path, content, found):
    path = tmp_path / "odd.pth"
    torch.save(content, path)
    with pytest.raises(FileError, match=rf"odd\.pth: found .*{found}"):
        load_foreign_checkpoint(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(FileError, match=r"nothing\.pth: found no such file"):
        load_foreign_checkpoint(tmp_path / "nothing.pth")
    with pytest.raises(FileError, match="found a folder"):
        load_foreign_checkpoint(tmp_path)


def test_foreign_bytes_are_refused(tmp_path):
    for name, content in {"text.pth": b"hello, I am not a model", "zero.pth": bytes(100)}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileError, match=name):
            load_foreign_checkpoint(tmp_path / name)


def test_an_archive_that_inflates_enormously_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))
    with pytest.raises(FileError, match="inflates"):
        load_foreign_checkpoint(path)


def test_weights_that_do_not_fit_are_listed_and_change_nothing():
    model = create_model("resnet20", 10)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = dict(create_model("resnet20", 7).state_dict())
    del state["bn1.bias"]
    for number in range(5):
        state[f"extra{number}"] = torch.ones(1)
    with pytest.raises(FileError) as caught:
        load_weights(model, state, source="other.pth")
    message = str(caught.value)
    assert message.startswith("other.pth: does not fit CifarResNet: missing: bn1.bias; ")
    assert "unexpected: extra0, extra1, extra2 and 2 more" in message
    assert "fc.weight is (7, 64) float32, the model has (10, 64) float32" in message
    assert same(model.state_dict(), before)


def test_integers_do_not_pass_for_weights():
    model = create_model("mlp", 10, 1)
    state = {key: value.long() for key, value in model.state_dict().items()}
    with pytest.raises(FileError, match="int64"):
        load_weights(model, state)


def test_half_precision_weights_are_converted():
    source, target = create_model("mlp", 10, 1), create_model("mlp", 10, 1)
    load_weights(target, {key: v.half() if v.is_floating_point() else v for key, v in source.state_dict().items()})
    assert target.fc.weight.dtype == torch.float32
    assert torch.equal(target.fc.weight, source.fc.weight.half().float())


def test_the_names_of_the_akamaster_port_are_translated(tmp_path):
    source = create_model("resnet20.option_b", 10)
    foreign = {
        "module." + key.replace("fc.", "linear.").replace("downsample", "shortcut"): value
        for key, value in source.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    torch.save({"state_dict": foreign, "best_prec1": 1.0}, tmp_path / "aka.th")
    model = load_pretrained(create_model("resnet20.option_b", 10), tmp_path / "aka.th")
    assert same(model.state_dict(), source.state_dict())
