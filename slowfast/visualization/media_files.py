"""Write pictures and videos: uint8 RGB pictures (H, W, 3)."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from slowfast.errors import errors_name_output

# Name: its options. The first codec that FFmpeg was built with is used.
CODECS = {"libx264": {"crf": "20", "preset": "veryfast"}, "mpeg4": {"qscale": "3"}}


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture, whose suffix is its format, and the folder that it is in."""
    _, data = cv2.imencode(path.suffix, picture[..., ::-1])
    with errors_name_output(path, "the output"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())


def write_mp4(path: Path, pictures: Iterable[np.ndarray], fps: float) -> None:
    """Write pictures of one size as an MP4 video that browsers play, without sound, and the folder that it is in.

    An odd size gets another row or column, since colors have half the resolution.
    """
    rate = Fraction(fps).limit_denominator(1001)
    codec = next(name for name in CODECS if name in av.codecs_available)
    with errors_name_output(path, "the output"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as output:
            stream = cast(VideoStream, output.add_stream(codec, rate=rate, options=CODECS[codec]))
            stream.pix_fmt = "yuv420p"
            stream.codec_context.thread_count = 1
            for number, picture in enumerate(map(_even, pictures)):
                if number == 0:
                    stream.height, stream.width = picture.shape[:2]
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = number, 1 / rate
                output.mux(stream.encode(frame))
            output.mux(stream.encode())


def _even(picture: np.ndarray) -> np.ndarray:
    """Repeat the last row and column where a side is odd."""
    height, width = picture.shape[:2]
    padded = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(padded)
