"""Images of frame lists: every kind becomes 8-bit BGR, or is refused with its file."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from slowfast.datasets.frame_media import read_image
from slowfast.datasets.image_size import image_size
from slowfast.datasets.video import DEFAULT_LIMITS, Limits, VideoError

GRAY = np.tile(np.linspace(10, 240, 40).astype(np.uint8), (24, 1))
COLOR = np.stack([GRAY, GRAY[:, ::-1], GRAY // 2], axis=-1)
ALPHA = np.dstack([COLOR, np.full_like(GRAY, 7)])


@pytest.mark.parametrize(
    ("name", "picture", "expected", "tolerance"),
    [
        ("gray.png", GRAY, np.dstack([GRAY] * 3), 0),
        ("gray.jpg", GRAY, np.dstack([GRAY] * 3), 4),
        ("deep.png", COLOR.astype(np.uint16) * 257, COLOR, 1),
        ("alpha.png", ALPHA, COLOR, 0),
        ("deep_alpha.png", ALPHA.astype(np.uint16) * 257, COLOR, 1),
        ("color.webp", ALPHA, COLOR, 12),
        ("color.bmp", COLOR, COLOR, 0),
    ],
)
def test_an_image_of_any_kind_becomes_8_bit_bgr(tmp_path, name, picture, expected, tolerance):
    path = str(tmp_path / name)
    assert cv2.imwrite(path, picture)
    found = read_image(path, DEFAULT_LIMITS)
    assert (found.dtype, found.shape) == (np.uint8, (24, 40, 3))
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= tolerance


def test_a_jpeg_is_turned_as_its_exif_data_says(tmp_path):
    content = cv2.imencode(".jpg", COLOR)[1].tobytes()
    tag = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)  # the orientation 6: turn clockwise
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + tag + struct.pack(">I", 0)
    path = tmp_path / "turned.jpg"
    path.write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:])
    assert image_size(str(path)) == (40, 24)
    found = read_image(str(path), DEFAULT_LIMITS)
    assert np.array_equal(found, np.rot90(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR), -1))


def png_claiming(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_an_image_that_would_fill_the_memory_is_refused_by_its_header(tmp_path, kind):
    path = tmp_path / f"bomb.{kind}"
    if kind == "png":
        path.write_bytes(png_claiming(100_000, 100_000))
    else:
        content = bytearray(cv2.imencode(".jpg", COLOR)[1].tobytes())
        at = content.index(b"\xff\xc0") + 5
        content[at : at + 4] = struct.pack(">HH", 60_000, 60_000)
        path.write_bytes(content)
    with pytest.raises(
        VideoError, match=rf"bomb.{kind} cannot be read: .* too large: .*0000, over DATA.MAX_PIXELS 35389440"
    ):
        read_image(str(path), DEFAULT_LIMITS)


def test_the_limit_of_pixels_can_be_changed(tmp_path):
    path = str(tmp_path / "a.png")
    cv2.imwrite(path, COLOR)
    for pixels in (0, 24 * 40):
        assert read_image(path, Limits(pixels=pixels)).shape == (24, 40, 3)
    with pytest.raises(VideoError, match="40x24, over DATA.MAX_PIXELS 959"):
        read_image(path, Limits(pixels=959))


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8", b"\xff\xd8\xff\xff\xff", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\0\0" * 9]
)
def test_a_damaged_image_is_a_bad_video(tmp_path, content):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(VideoError, match="a.jpg cannot be read"):
        read_image(str(path), DEFAULT_LIMITS)


def test_random_damage_to_headers_never_hangs_and_raises_nothing_else(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "a.jpg"
    content = np.frombuffer(cv2.imencode(".jpg", COLOR)[1].tobytes(), np.uint8)
    for _ in range(300):
        damaged = content[: rng.integers(2, len(content))].copy()
        damaged[rng.integers(len(damaged), size=5)] = rng.integers(256, size=5)
        path.write_bytes(damaged.tobytes())
        width, height = image_size(str(path))
        assert 0 <= width < 1 << 16
        assert 0 <= height < 1 << 16
