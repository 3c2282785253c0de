"""Videos to measure readers on: a moving texture, encoded as videos on the Internet are and as fast to decode."""

import os
from collections.abc import Iterator
from typing import NamedTuple

import av
import cv2
import numpy as np

FPS, SECONDS = 30, 10
LONG_GOP = {"g": "250"}
FAST_DECODE = {
    "tune": "fastdecode",
    "x264-params": "keyint=16:min-keyint=16:scenecut=0:bframes=3:b-adapt=0:b-pyramid=strict:open-gop=0:ref=2",
}


class Kind(NamedTuple):
    name: str
    width: int
    height: int
    options: dict[str, str]  # of x264


KINDS = (
    Kind("340x256_gop250", 340, 256, LONG_GOP),
    Kind("1280x720_gop250", 1280, 720, LONG_GOP),
    Kind("short256_fastdecode", 456, 256, FAST_DECODE),
    Kind("short128_fastdecode", 228, 128, FAST_DECODE),
)


def encode(folder: str) -> list[str]:
    """Write a video of every kind to `folder` and return the paths. Videos that are there are kept."""
    return [encode_kind(os.path.join(folder, f"{kind.name}.mp4"), kind) for kind in KINDS]


def encode_kind(path: str, kind: Kind) -> str:
    if not os.path.exists(path):
        with av.open(path + ".part", "w", format="mp4") as output:
            options = {"preset": "medium", "crf": "23", **kind.options}
            stream = output.add_stream("libx264", rate=FPS, options=options)
            stream.width, stream.height, stream.pix_fmt = kind.width, kind.height, "yuv420p"
            for picture in moving_texture(kind.width, kind.height, FPS * SECONDS):
                output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            output.mux(stream.encode())
        os.replace(path + ".part", path)
    return path


def moving_texture(width: int, height: int, num_frames: int) -> Iterator[np.ndarray]:
    """Yield pictures of a drifting texture with a disc that crosses it, and a little noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    texture = cv2.resize(coarse, (2 * width, 2 * height), interpolation=cv2.INTER_CUBIC)
    for number in range(num_frames):
        x = int(width / 2 * (1 + np.sin(number / 40)))
        y = int(height / 2 * (1 + np.cos(number / 30)))
        picture = texture[y : y + height, x : x + width].copy()
        cv2.circle(picture, (width * (number % 90) // 90, height // 2), height // 8, (255, 60, 0), -1)
        noise = rng.integers(-4, 5, picture.shape, dtype=np.int16)
        yield np.clip(picture + noise, 0, 255).astype(np.uint8)
