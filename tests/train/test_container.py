"""A folder of malformed files that must be refused, each with one FileError."""

import io
import json
import pickle

import pytest
import safetensors.torch
import torch

from tamis.errors import FileError
from tamis.train._container import load_container, save_container


def good(path):
    return save_container(path, {"w": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)}, {"method": "acdc"})


def tamis_file(header: str) -> bytes:
    return safetensors.torch.save({"w": torch.ones(2)}, metadata={"tamis": header})


def torch_zip() -> bytes:
    stream = io.BytesIO()
    torch.save({"w": torch.ones(2)}, stream)
    return stream.getvalue()


MALFORMED = {
    "empty": b"",
    "seven bytes": b"1234567",
    "text": b"this is no checkpoint at all, but long enough",
    "giant header": b"\xff\xff\xff\xff\xff\xff\xff\x7f" + b"{}",
    "header of garbage": (20).to_bytes(8, "little") + b"{" + b"x" * 19,
    "header that lies about its data": (len(h := b'{"w":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}')).to_bytes(
        8, "little"
    )
    + h,
    "pickle": pickle.dumps({"w": [1, 2]}),
    "torch zip": torch_zip(),
    "foreign safetensors": safetensors.torch.save({"w": torch.ones(2)}),
    "header no json": tamis_file("{"),
    "header a list": tamis_file("[1]"),
    "header without version": tamis_file("{}"),
    "another version": tamis_file(json.dumps({"format_version": 99})),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_is_one_error_that_names_it(tmp_path, name):
    file = tmp_path / "c.safetensors"
    file.write_bytes(MALFORMED[name])
    with pytest.raises(FileError, match=r"c\.safetensors"):
        load_container(file)


def test_every_truncation_is_refused(tmp_path):
    whole = good(tmp_path / "good.safetensors").read_bytes()
    file = tmp_path / "cut.safetensors"
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(FileError):
            load_container(file)


def test_a_missing_file_and_a_folder_are_one_error(tmp_path):
    with pytest.raises(FileError, match="no such file"):
        load_container(tmp_path / "absent.safetensors")
    with pytest.raises(FileError, match="cannot be read"):
        load_container(tmp_path)


def test_a_pickle_is_not_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    (tmp_path / "e.safetensors").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(FileError, match="pickle"):
        load_container(tmp_path / "e.safetensors")
    assert not (tmp_path / "executed").exists()


def test_tensors_and_header_come_back(tmp_path):
    tensors, header = load_container(good(tmp_path / "c.safetensors"))
    assert header == {"format_version": 1, "method": "acdc"}
    assert torch.equal(tensors["w"], torch.arange(6.0).reshape(2, 3))
    assert tensors["n"].shape == ()


def test_shared_and_strided_tensors_are_stored_as_they_read(tmp_path):
    base = torch.arange(6.0).reshape(2, 3)
    file = save_container(tmp_path / "c.safetensors", {"a": base, "b": base, "t": base.t()}, {})
    tensors, _ = load_container(file)
    assert torch.equal(tensors["a"], tensors["b"])
    assert torch.equal(tensors["t"], base.t())


def test_a_failed_write_leaves_the_old_file(tmp_path):
    file = good(tmp_path / "c.safetensors")
    before = file.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        save_container(file, {"w": torch.ones(1)}, {"loss": float("nan")})
    assert file.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


def test_a_good_file_may_begin_like_a_pickle(tmp_path):
    # The first byte is the low byte of the header's length; 0x80 is a pickle's first byte.
    for padding in range(300):
        file = save_container(tmp_path / "c.safetensors", {"w": torch.ones(1)}, {"text": "x" * padding})
        if file.read_bytes()[0] == 0x80:
            break
    assert file.read_bytes()[0] == 0x80
    assert load_container(file)[1]["text"] == "x" * padding


def test_a_truncated_file_is_no_pickle_even_where_its_length_begins_like_one(tmp_path):
    # The first byte is the low byte of the header's length; 0x80 is also how a pickle begins.
    header = b'{"w":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'.ljust(0x180)
    path = tmp_path / "cut.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header[:100])
    assert path.read_bytes()[0] == 0x80
    with pytest.raises(FileError, match="truncated") as error:
        load_container(path)
    assert "pickle" not in str(error.value)


def test_a_lost_sha256_is_noticed_while_a_file_of_an_earlier_version_has_none(tmp_path):
    path = good(tmp_path / "c.safetensors")
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    entries = json.loads(content[8 : 8 + length])
    metadata = entries.pop("__metadata__")
    tensors = safetensors.torch.load(content)
    path.write_bytes(safetensors.torch.save(tensors, metadata={"tamis": metadata["tamis"]}))
    with pytest.raises(FileError, match="has not the SHA-256"):
        load_container(path)
    earlier = json.dumps({"format_version": 1, "method": "acdc"})
    path.write_bytes(safetensors.torch.save(tensors, metadata={"tamis": earlier}))
    assert load_container(path)[1] == {"format_version": 1, "method": "acdc"}


@pytest.mark.parametrize("name", ["nul\0.safetensors", "x" * 300])
def test_an_impossible_name_is_one_error(tmp_path, name):
    with pytest.raises(FileError, match="cannot be read"):
        load_container(tmp_path / name)
