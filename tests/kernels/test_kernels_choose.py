"""The measured choice between dense and sparse: measured once, remembered, kept, never fatal."""

from __future__ import annotations

import json
import time

import pytest
import torch

from tamis.errors import FileError, UsageError
from tamis.kernels import ConvGeometry, PackedPattern, _choices_file, in_format, sparse_conv2d
from tamis.kernels._format import BATCH_LAST, CHANNELS_LAST, NCHW
from tamis.kernels.choose import Choices, Direction


class Side:
    """A stand-in for one side that counts its calls and takes the time it is told to."""

    def __init__(self, name, seconds):
        self.name, self.seconds, self.calls = name, seconds, 0

    def __call__(self):
        self.calls += 1
        time.sleep(self.seconds)
        return self.name


def decide(choices, sparse_s=0.0, dense_s=0.003, key="k", direction=Direction.FORWARD):
    sparse, dense = Side("sparse", sparse_s), Side("dense", dense_s)
    return choices.run(key, direction, sparse, dense), sparse.calls, dense.calls


def test_the_faster_side_is_measured_once_and_serves_from_then_on():
    choices = Choices()
    result, sparse_calls, dense_calls = decide(choices)
    assert result == "sparse"
    assert min(sparse_calls, dense_calls) >= 3, "a warm-up and two timed calls each"
    assert decide(choices, sparse_s=0.01) == ("sparse", 1, 0)
    assert decide(choices, 0.003, 0.0, direction=Direction.GRAD_INPUT)[0] == "dense"
    assert decide(choices, direction=Direction.GRAD_INPUT) == ("dense", 0, 1)
    assert decide(choices, 0.003, 0.0, key="other")[0] == "dense"
    assert decide(choices) == ("sparse", 1, 0)


@pytest.mark.parametrize(("mode", "expected"), [("sparse", ("sparse", 1, 0)), ("dense", ("dense", 0, 1))])
def test_a_fixed_mode_never_measures(mode, expected):
    choices = Choices(mode)
    x, pattern = torch.randn(1, 2, 1, 1), PackedPattern.from_mask(torch.ones(3, 2, dtype=torch.bool))
    assert choices.key(x, pattern, ConvGeometry(), "isa") == ""
    assert decide(choices, key="") == expected
    assert choices.table() == []


def test_an_unknown_mode_is_refused():
    with pytest.raises(UsageError, match="expected one of measure, sparse, dense"):
        Choices("fast")


def test_decisions_outlive_the_process_in_a_file(tmp_path):
    path = tmp_path / "folder" / "choices.json"
    decide(Choices(path=path))
    assert json.loads(path.read_text())["entries"]["k/forward"]["use"] == "sparse"
    assert decide(Choices(path=path), sparse_s=0.01) == ("sparse", 1, 0)


def test_the_table_shows_what_this_process_used_and_known_shows_the_file_too(tmp_path, monkeypatch):
    monkeypatch.setattr(_choices_file, "_SECONDS_BETWEEN_WRITES", 0)
    path = tmp_path / "choices.json"
    earlier = Choices(path=path)
    decide(earlier, key="a")
    decide(earlier, key="b")
    now = Choices(path=path)
    decide(now, key="b")
    assert [row["key"] for row in now.known()] == ["a", "b"]
    assert [row["key"] for row in now.table()] == ["b"]
    assert list(now.state_dict()["entries"]) == ["b/forward"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"format": 1}', '{"format": 99, "entries": {}}', '{"format": 1, "entries": {"k/forward": 3}}',
     '{"format": 1, "entries": {"k/forward": {"use": "both", "sparse_ms": 1, "dense_ms": 1}}}',
     '{"format": 1, "entries": {"k/forward": {"use": "dense"}}}', "\xff\xfe"],
)  # fmt: skip
def test_a_damaged_file_is_measured_anew_and_overwritten(tmp_path, content):
    path = tmp_path / "choices.json"
    path.write_bytes(content.encode("latin-1"))
    assert decide(Choices(path=path))[0] == "sparse"
    assert decide(Choices(path=path), sparse_s=0.01) == ("sparse", 1, 0)


def test_a_folder_that_cannot_be_written_costs_only_the_memory(tmp_path):
    (tmp_path / "file").write_text("")
    choices = Choices(path=tmp_path / "file" / "choices.json")
    assert decide(choices)[0] == "sparse"
    assert decide(choices, sparse_s=0.01) == ("sparse", 1, 0)


def test_decisions_travel_in_a_checkpoint():
    first, second = Choices(), Choices()
    decide(first)
    decide(second, 0.003, 0.0)
    state = json.loads(json.dumps(first.state_dict()))
    second.load_state_dict(state)
    assert decide(second) == ("sparse", 1, 0), "the checkpoint wins over what was measured here"
    assert second.table() == first.table()
    assert set(first.table()[0]) == {"key", "direction", "use", "sparse_ms", "dense_ms"}
    with pytest.raises(FileError, match="choices of a checkpoint"):
        second.load_state_dict({"format": 1, "entries": {"k": {"use": "sparse"}}})
    assert second.table() == first.table()


def test_clear_forgets():
    choices = Choices()
    decide(choices)
    choices.clear()
    assert choices.table() == []
    assert decide(choices)[1] > 1


def test_the_key_covers_everything_that_moves_the_crossover():
    def key(x=(4, 8, 9, 9), weight=(6, 8, 3, 3), alive=0.1, isa="avx2", format=NCHW, groups=1, **geometry):
        pattern = PackedPattern.from_mask(torch.rand(6, 8 // groups, *weight[2:]) < alive)
        t = in_format(torch.empty(x), format)
        return Choices().key(t, pattern, ConvGeometry(x[2:], weight[2:], groups=groups, **geometry), isa)

    keys = [
        key(), key(x=(5, 8, 9, 9)), key(x=(4, 8, 10, 9)), key(weight=(6, 8, 1, 3)), key(weight=(6, 8, 3, 1)),
        key(alive=0.6), key(isa="avx512"), key(format=BATCH_LAST), key(format=CHANNELS_LAST), key(groups=2),
        key(stride=(2, 1)), key(stride=(1, 2)), key(dilation=(2, 1)), key(padding=(1, 1, 1, 1)),
        key(padding=(0, 1, 0, 0)),
    ]  # fmt: skip
    torch.set_num_threads(2)
    keys.append(key())
    assert len(set(keys)) == len(keys)


def test_layers_measure_each_direction_once_and_only_what_runs(monkeypatch):
    from tamis.kernels import _native

    choices = Choices()
    monkeypatch.setattr(_native, "choices", choices)
    pattern = PackedPattern.from_mask(torch.rand(6, 4, 3, 3) < 0.3)
    geometry = ConvGeometry((8, 8), (3, 3))
    x, values = torch.randn(2, 4, 8, 8, requires_grad=True), torch.randn(pattern.nnz, requires_grad=True)
    with torch.no_grad():
        sparse_conv2d(x, values, None, pattern, geometry)
    assert [row["direction"] for row in choices.table()] == ["forward"]
    sparse_conv2d(x, values, None, pattern, geometry).sum().backward()
    assert [row["direction"] for row in choices.table()] == ["forward", "grad_input", "grad_weight"]
    before = choices.state_dict()
    sparse_conv2d(x, values, None, pattern, geometry).sum().backward()
    assert choices.state_dict() == before


def test_another_torch_or_processor_has_a_file_of_its_own(monkeypatch, tmp_path):
    from tamis.kernels import choose

    monkeypatch.setenv("TAMIS_CACHE", str(tmp_path))
    here = choose._default_path()
    monkeypatch.setattr(choose, "processor_name", lambda: "another")
    assert choose._default_path() != here
    assert choose._default_path().parent == tmp_path
    monkeypatch.setenv("TAMIS_CACHE", "")
    assert choose._default_path() is None
