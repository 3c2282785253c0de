"""Write pictures and videos: uint8 RGB pictures (H, W, 3)."""

from collections.abc import Iterable
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from slowfast.errors import errors_name_output

CODECS = ("libx264", "mpeg4")  # the first that FFmpeg was built with is used


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a picture, and the folder that it is in."""
    _, data = cv2.imencode(".png", picture[..., ::-1])
    with errors_name_output(path.parent, "--out"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())


def write_mp4(path: Path, pictures: Iterable[np.ndarray], fps: int) -> None:
    """Write pictures of one size as a video that browsers play, and the folder that it is in."""
    with errors_name_output(path.parent, "--out"):
        path.parent.mkdir(parents=True, exist_ok=True)
    codec = next(name for name in CODECS if name in av.codecs_available)
    with av.open(str(path), "w") as output:
        stream = cast(VideoStream, output.add_stream(codec, rate=fps))
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for picture in map(_even, pictures):
            if not stream.codec_context.is_open:
                stream.height, stream.width = picture.shape[:2]
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode())


def _even(picture: np.ndarray) -> np.ndarray:
    """Repeat the last row and column where a side is odd, since colors have half the resolution."""
    height, width = picture.shape[:2]
    padded = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(padded)
