"""Pictures of exemplars: from folders and arrays, small, blurred on request, and refused where they are none."""

from __future__ import annotations

import base64
import io
import zlib

import numpy as np
import pytest
from audit_content import simulated
from html_check import Page
from test_audit_page import SMALL, data_of

from tamis.errors import FileError, UsageError
from tamis.report.audit import read_images, render_audit_report

pytestmark = pytest.mark.usefixtures("quick_charts")
Image = pytest.importorskip("PIL.Image", reason="pictures need pillow: pip install tamis[vision]")


@pytest.fixture
def content():
    return simulated(**SMALL)


@pytest.fixture
def ids(content):
    return list(dict.fromkeys(row["id"] for row in content["exemplars"][0]["rows"]))


def halves(side: int) -> np.ndarray:
    """A picture that is black on the left and white on the right."""
    picture = np.zeros((side, side, 3), np.uint8)
    picture[:, side // 2 :] = 255
    return picture


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_pictures_of_a_folder_are_found_by_id_and_made_small(tmp_path, content, ids):
    Image.fromarray(halves(300)).save(tmp_path / f"{ids[0]}.png")
    Image.fromarray(halves(300)).save(tmp_path / f"{ids[1]}.jpg")
    Image.fromarray(halves(10)).save(tmp_path / "somebody-else.png")
    found = read_images(tmp_path, content)
    assert list(found) == ids[:2]
    assert opened(found[ids[0]]).shape == (96, 96, 3)
    html = render_audit_report(content, images=found)
    assert "2 small pictures are embedded" in Page(html).text
    address = data_of(html)["images"][ids[0]]
    assert base64.b64decode(address.removeprefix("data:image/png;base64,")) == found[ids[0]]


def test_pictures_of_an_array_file_are_found_by_id(tmp_path, content, ids):
    pictures = np.stack([halves(16), 255 - halves(16)])
    np.savez(tmp_path / "images.npz", images=pictures, ids=np.array([ids[3], "other"]))
    found = read_images(tmp_path / "images.npz", content)
    assert list(found) == [ids[3]]
    np.testing.assert_array_equal(opened(found[ids[3]]), halves(16))


def test_blur_takes_the_edges_away_and_is_off_unless_asked_for(tmp_path, content, ids):
    Image.fromarray(halves(96)).save(tmp_path / f"{ids[0]}.png")
    sharp, soft = (opened(read_images(tmp_path, content, blur=blur)[ids[0]]).astype(int) for blur in (False, True))
    assert np.abs(np.diff(sharp[48, :, 0])).max() == 255
    assert np.abs(np.diff(soft[48, :, 0])).max() < 40


def test_place_time_and_camera_stay_behind_and_a_turned_photograph_stands_upright(tmp_path, content, ids):
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    Image.fromarray(halves(64)).save(tmp_path / f"{ids[0]}.jpg", exif=exif, quality=95)
    found = read_images(tmp_path, content)[ids[0]]
    assert b"secret" not in found
    assert b"eXIf" not in found
    assert opened(found)[8].max() < 40  # what was black at the left is black at the top
    assert opened(found)[56].min() > 215


def test_no_picture_is_embedded_unless_given(content):
    html = render_audit_report(content)
    assert data_of(html)["images"] == {}
    assert "image/png" not in html


def test_an_id_cannot_lead_out_of_the_folder(tmp_path, content):
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(halves(8)).save(tmp_path / "secret.png")
    content["exemplars"][0]["rows"][0]["id"] = "../secret"
    content["exemplars"][0]["rows"][1]["id"] = str(tmp_path / "secret")
    assert read_images(folder, content) == {}


def test_a_file_that_is_no_picture_is_refused_by_name(tmp_path, content, ids):
    (tmp_path / f"{ids[0]}.png").write_bytes(b"<svg onload=alert(1)>")
    with pytest.raises(FileError, match=rf"{ids[0]}\.png cannot be read as an image"):
        read_images(tmp_path, content)


def test_a_picture_bomb_is_refused_before_it_is_unpacked(tmp_path, content, ids):
    size = (60_000).to_bytes(4, "big")
    header = b"IHDR" + size + size + bytes([8, 2, 0, 0, 0])
    chunk = (13).to_bytes(4, "big") + header + zlib.crc32(header).to_bytes(4, "big")
    (tmp_path / f"{ids[0]}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    with pytest.raises(FileError, match=r"pixels|image"):
        read_images(tmp_path, content)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.zeros((2, 4, 4, 3)), "ids": np.arange(2)}, r"float64; expected .* uint8"),
        ({"images": np.zeros((2, 4), np.uint8), "ids": np.arange(2)}, r"expected \(N, H, W\)"),
        ({"images": np.zeros((2, 4, 4), np.uint8), "ids": np.arange(3)}, "3 ids for 2 images"),
        ({"images": np.zeros((2, 4, 4), np.uint8)}, "expected also ids"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, content, arrays, words):
    np.savez(tmp_path / "images.npz", **arrays)
    with pytest.raises(FileError, match=words):
        read_images(tmp_path / "images.npz", content)


def test_a_missing_source_is_refused(tmp_path, content):
    with pytest.raises(FileError, match="does not exist; expected a folder"):
        read_images(tmp_path / "nowhere", content)


def test_only_png_files_are_ever_embedded(content, ids):
    with pytest.raises(UsageError, match="is no PNG file"):
        render_audit_report(content, images={ids[0]: b"<svg xmlns='x' onload='alert(1)'/>"})


def test_pictures_beyond_the_budget_are_left_out_and_counted(content, ids):
    large = b"\x89PNG\r\n\x1a\n" + bytes(900_000)
    html = render_audit_report(content, images=dict.fromkeys(ids[:3], large))
    assert "2 small pictures are embedded, 1 found no room" in Page(html).text
