"""Image sets in .npz files: every layout, and every way in which a file can be wrong."""

import importlib
import io
import zipfile

import numpy as np
import pytest
import torch

from tamis import arrays
from tamis.data import load_data, read_npz
from tamis.errors import FileError, UsageError

RNG = np.random.default_rng(0)


def pixels(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def content(**changes):
    """Four training and two test images of 5x6 pixels; ``None`` drops an array."""
    arrays = {
        "x_train": pixels(4, 5, 6, 3),
        "y_train": np.array([0, 1, 2, 0], np.uint8),
        "x_test": pixels(2, 5, 6, 3),
        "y_test": np.array([1, 2]),
        **changes,
    }
    return {name: array for name, array in arrays.items() if array is not None}


def saved(path, **changes):
    np.savez(path, **content(**changes))
    return path


def encoded(images, form="PNG"):
    """The buffer and offsets of encoded images."""
    image_module = pytest.importorskip("PIL.Image")
    parts = []
    for image in images:
        stream = io.BytesIO()
        image_module.fromarray(image).save(stream, form)
        parts.append(stream.getvalue())
    offsets = np.cumsum([0, *map(len, parts)])
    return np.frombuffer(b"".join(parts), np.uint8), offsets


@pytest.fixture
def path(tmp_path):
    return tmp_path / "set.npz"


def test_bytes_in_channels_last_order_become_channels_first(path):
    arrays = content()
    np.savez_compressed(path, **arrays, classes=np.array(["ant", "bee", "cat"]), extra=np.arange(3))
    data = load_data(path)
    assert data.name == "set"
    assert data.classes == ("ant", "bee", "cat")
    assert data.train_x.is_contiguous()
    assert np.array_equal(data.train_x.numpy(), arrays["x_train"].transpose(0, 3, 1, 2))
    assert np.array_equal(data.test_x.numpy(), arrays["x_test"].transpose(0, 3, 1, 2))
    assert data.train_y.tolist() == [0, 1, 2, 0]
    assert data.train_y.dtype == torch.int64


def test_grey_and_channels_first_pixels_are_recognised(path):
    grey = content(x_train=pixels(4, 5, 6), x_test=pixels(2, 5, 6))
    np.savez(path, **grey)
    assert np.array_equal(load_data(path).train_x[:, 0].numpy(), grey["x_train"])
    first = content(x_train=pixels(4, 3, 5, 6), x_test=pixels(2, 3, 5, 6))
    np.savez(path, **first)
    assert np.array_equal(load_data(path).train_x.numpy(), first["x_train"])


def test_layout_settles_what_the_shape_leaves_open(path):
    arrays = content(x_train=pixels(4, 3, 6, 3), x_test=pixels(2, 3, 6, 3))
    np.savez(path, **arrays)
    with pytest.raises(FileError, match=r"pass layout='NHWC' or layout='NCHW'"):
        load_data(path)
    assert load_data(path, layout="NHWC").image_size == (3, 6)
    assert load_data(path, layout="NCHW").image_size == (6, 3)
    with pytest.raises(UsageError, match="layout='HWC'"):
        load_data(path, layout="HWC")


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8"])
def test_float_pixels_are_kept_as_float32(path, dtype):
    train, test = (RNG.random((n, 5, 6)).astype(dtype) for n in (4, 2))
    data = load_data(saved(path, x_train=train, x_test=test))
    assert data.train_x.dtype == torch.float32
    assert np.array_equal(data.train_x[:, 0].numpy(), train.astype(np.float32))


def test_column_major_arrays_are_read_in_the_right_order(path):
    arrays = content()
    arrays["x_train"] = np.asfortranarray(arrays["x_train"])
    np.savez(path, **arrays)
    assert np.array_equal(load_data(path).train_x.numpy(), arrays["x_train"].transpose(0, 3, 1, 2))


def test_encoded_images_are_decoded_to_rgb(path):
    train, test = pixels(4, 5, 6, 3), pixels(2, 5, 6, 3)
    (train_buf, train_off), (test_buf, test_off) = encoded(train), encoded(test)
    buffers = {"train_buf": train_buf, "train_off": train_off, "test_buf": test_buf, "test_off": test_off}
    data = load_data(saved(path, x_train=None, x_test=None, **buffers))
    assert np.array_equal(data.train_x.numpy(), train.transpose(0, 3, 1, 2))
    assert np.array_equal(data.test_x.numpy(), test.transpose(0, 3, 1, 2))


def test_encoded_images_without_pillow_name_the_extra(path, monkeypatch):
    buffer, offsets = encoded(pixels(4, 5, 6, 3))
    saved(path, x_train=None, train_buf=buffer, train_off=offsets)
    real = importlib.import_module

    def refuse(name):
        if name.startswith("PIL"):
            raise ImportError("No module named 'PIL'")
        return real(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(UsageError, match=r"set\.npz holds encoded images, which need Pillow.*tamis\[vision\]"):
        load_data(path)


def broken_offsets(change):
    buffer, offsets = encoded(pixels(4, 5, 6, 3))
    return {"x_train": None, "train_buf": buffer, "train_off": change(offsets.copy())}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda off: off - 1, "rising numbers"),
        (lambda off: off + 1, "rising numbers"),
        (lambda off: off[::-1], "rising numbers"),
        (lambda off: np.array([0, 5, 5, 9, 10]), "rising numbers"),
        (lambda off: off.astype(float), "integers on one axis"),
        (lambda off: off[:1], "N \\+ 1 integers"),
        (lambda off: off[:4], "one integer for each of 3 images"),
        (lambda off: np.array([0, 20, *off[2:]]), "train image 0: found no readable image"),
    ],
)
def test_wrong_offsets_are_refused(path, change, message):
    saved(path, **broken_offsets(change))
    with pytest.raises(FileError, match=message):
        load_data(path)


def test_encoded_images_of_different_sizes_are_refused(path):
    buffer, offsets = encoded([pixels(5, 6, 3), pixels(5, 7, 3)])
    saved(path, x_train=None, train_buf=buffer, train_off=offsets, y_train=np.array([0, 1]))
    with pytest.raises(FileError, match=r"train image 1 is \(5, 7, 3\), the first is \(5, 6, 3\)"):
        load_data(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "expected also y_test"),
        ({"x_train": None}, "expected also x_train"),
        ({"x_train": pixels(4, 5)}, "shape \\(4, 5\\)"),
        ({"x_train": pixels(4, 5, 6, 7)}, "channel axis cannot be told"),
        ({"x_train": pixels(4, 5, 6, 3).astype(np.int32)}, "dtype int32; expected uint8 or float"),
        ({"x_train": np.full((4, 5, 6), np.nan)}, "NaN"),
        ({"x_train": pixels(0, 5, 6, 3), "y_train": np.zeros(0, int)}, "at least one image of at least one pixel"),
        ({"x_test": pixels(2, 5, 7, 3)}, "same channels, height, width"),
        ({"y_train": np.zeros(3, int)}, "one integer for each of 4 images"),
        ({"y_train": np.zeros(4)}, "float64; expected one integer"),
        ({"y_train": np.array([0, 1, 2, -1])}, "from -1 to 2"),
        ({"y_train": np.array([0, 1, 2, 1 << 40])}, "at most 65535"),
        ({"classes": np.array(["a", "b"])}, "labels 0 to 2"),
        ({"classes": np.arange(3)}, "one name for each"),
        ({"x_train": np.array([{}, 1], object)}, "pickled objects"),
        ({"classes": np.array(["a", None, "c"], object)}, "pickled objects"),
    ],
)
def test_a_mis_shaped_set_is_refused_with_one_line(path, changes, message):
    arrays = content(**changes)
    np.savez(path, **arrays)
    with pytest.raises(FileError, match=message) as caught:
        load_data(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(path, kept):
    saved(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(FileError, match=r"set\.npz: found a damaged or foreign file"):
        load_data(path)


def test_a_flipped_byte_is_noticed(path):
    saved(path)
    whole = bytearray(path.read_bytes())
    whole[200] ^= 255  # inside the pixels of the first array
    path.write_bytes(whole)
    with pytest.raises(FileError, match="x_train is damaged or truncated"):
        load_data(path)


def test_an_archive_of_an_unknown_zip_version_is_refused(path):
    saved(path)
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"PK\x01\x02") + 6] = 109  # version needed to extract: zipfile raises NotImplementedError
    path.write_bytes(whole)
    with pytest.raises(FileError, match="found a damaged or foreign file"):
        load_data(path)


def test_a_header_that_claims_more_than_is_stored_takes_no_memory(path):
    saved(path)
    stream = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (1 << 40, 5, 6)}
    np.lib.format.write_array_header_1_0(stream, header)
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in content(x_train=None).items():
            part = io.BytesIO()
            np.save(part, array)
            archive.writestr(f"{name}.npy", part.getvalue())
        archive.writestr("x_train.npy", stream.getvalue() + bytes(100))
    with pytest.raises(FileError, match="x_train has 100 bytes; its shape"):
        load_data(path)


def test_a_set_beyond_the_size_limit_is_refused_before_it_is_read(path, monkeypatch):
    monkeypatch.setattr(arrays, "MAX_BYTES", 300)
    saved(path)
    with pytest.raises(FileError, match="found more than"):
        load_data(path)


def test_a_missing_npz_is_named(tmp_path):
    with pytest.raises(FileError, match=r"none\.npz: no such file"):
        read_npz(tmp_path / "none.npz")
