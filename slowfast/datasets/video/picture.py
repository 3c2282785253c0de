"""Decoded frames as pictures, as they are meant to be shown."""

from typing import cast

import numpy as np
from av import VideoFrame
from av.video.reformatter import VideoReformatter

UPRIGHT = (1, 0, 0, 1)


class Converter:
    """Converts the decoded frames of one video; the channels are in the order RGB, or with `bgr` BGR."""

    def __init__(self, bgr: bool = False) -> None:
        self._format = "bgr24" if bgr else "rgb24"
        self._reformatter = VideoReformatter()  # keeps its tables from frame to frame
        self._matrix: tuple | None = None

    def image(self, frame: VideoFrame) -> np.ndarray:
        """Return uint8 (H, W, 3), turned upright: a view that lives as long as it is referred to."""
        if self._matrix is None:
            self._matrix = display_matrix(frame)
        rgb = self._reformatter.reformat(frame, format=self._format, threads=1)
        plane = rgb.planes[0]
        shape, strides = (rgb.height, rgb.width, 3), (plane.line_size, 3, 1)
        return upright(np.ndarray(shape, np.uint8, memoryview(plane), 0, strides), self._matrix)


def display_matrix(frame: VideoFrame) -> tuple[float, float, float, float]:
    """Return (a, b, c, d): the pixel at (x, y) is shown at (a x + c y, b x + d y); y points down."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV does not know the kind of another entry; it still gives the rotation
        angle = np.radians(frame.rotation)
        return np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
    if data is None:
        return UPRIGHT
    a, b, _, c, d = np.frombuffer(cast(bytes, data), np.int32)[:5] / 65536
    return a, b, c, d


def upright(image: np.ndarray, matrix: tuple[float, float, float, float]) -> np.ndarray:
    """Turn and mirror a picture by right angles; it stays as it is under any other matrix."""
    a, b, c, d = matrix
    if matrix == UPRIGHT:
        return image
    if abs(b) > 0.99 and abs(c) > 0.99:
        image, a, d = image.transpose(1, 0, 2), c, b
    elif abs(a) < 0.99 or abs(d) < 0.99:
        return image
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
