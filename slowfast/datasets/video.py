"""Exact video reading: the frames asked for by index are the frames that come.

Frame i is the i-th that a plain decode of the whole stream shows. Where the packets' times tell which packet holds
it, only the packets from the last key frame on are decoded, without those of frames that nobody asked for and
nothing refers to; the result is the same to the last bit. Streams whose packets don't tell are decoded from their
start. A file is read once, when it is opened, and its packets stay in memory; of a long MP4 file only the part around
the wanted frames is read (opening and reading a clip of a file of one hour: 0.1 s of CPU instead of 0.6 s); of other
very long files the wanted part is read twice. Everything runs in one thread: loaders run one process per core.
"""

import os
from collections.abc import Sequence

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from slowfast.datasets.video_open import open_source
from slowfast.datasets.video_stream import VideoError, decode_all

__all__ = ["Video", "VideoError", "check_video", "open_video"]


def open_video(path) -> "Video":
    """Open a video file; use it as a context manager. Raises VideoError."""
    return Video(os.fspath(path))


def check_video(path) -> str:
    """Decode the whole file: the reason why it can't be used, in one line, or "" if nothing is wrong."""
    try:
        with open_video(path) as video:
            video.check()
    except VideoError as error:
        return str(error)
    return ""


class Video:
    """An open video file: its properties, and `read`."""

    def __init__(self, path: str):
        self._path = path
        self._source = open_source(path)
        self._converter = Converter()
        self._size = self._source.size
        self.num_frames: int = self._source.num_frames

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self._source.close()

    @property
    def fps(self) -> float:
        """The stream's average rate, in frames per second."""
        stream = self._source.stream
        rate = stream.average_rate or stream.guessed_rate
        if not rate:
            raise VideoError("the file does not tell its frame rate")
        return float(rate)

    @property
    def width(self) -> int:
        """Of the picture as shown, that is, after rotation."""
        return self._shown_size()[0]

    @property
    def height(self) -> int:
        return self._shown_size()[1]

    def read(self, indices: Sequence[int], resize: tuple[int, int] | None = None) -> np.ndarray:
        """The frames at these indices (any order, repeats allowed), in one pass of decoding.

        `resize`: the (width, height) that every whole frame is resized to, bilinear; None: as it is.
        Returns uint8 (len(indices), height, width, 3), RGB. Raises VideoError.
        """
        wanted, slots = np.unique(np.asarray(indices, dtype=np.int64), return_inverse=True)
        if len(wanted) == 0 or wanted[0] < 0 or wanted[-1] >= self.num_frames:
            raise IndexError(f"frames {list(indices)} of a video of {self.num_frames}")
        width, height = resize or self._shown_size()
        images = np.empty((len(wanted), height, width, 3), np.uint8)
        row = {int(index): i for i, index in enumerate(wanted)}
        self._deliver(row, lambda index, frame: self._converter.write(frame, images[row[index]]))
        in_order = len(slots) == len(wanted) and bool((np.diff(slots) > 0).all())
        return images if in_order else images[slots]

    def check(self) -> None:
        """Decode every frame; raises VideoError where any is missing or damaged."""
        times = self._source.times
        count = 0
        for frame in decode_all(self._path, strict=True):
            if frame.is_corrupt:
                raise VideoError(f"frame {count} of {self.num_frames} is damaged")
            if count < len(times) and frame.pts != times[count]:
                break
            count += 1
        if count != self.num_frames:
            raise VideoError(f"frame {count} of {self.num_frames} can't be decoded")

    def _shown_size(self) -> tuple[int, int]:
        if self._size is None:
            self._deliver({0}, self._take_size)
        return self._size

    def _take_size(self, index: int, frame) -> None:
        height, width = self._converter.image(frame).shape[:2]
        self._size = (width, height)

    def _deliver(self, wanted, receive) -> None:
        missing = set(wanted) - self._source.deliver(wanted, receive)
        if missing:
            raise VideoError(f"frame {min(missing)} of {self.num_frames} can't be decoded")


class Converter:
    """The decoded frames of one video as RGB pictures, as they are meant to be shown."""

    def __init__(self):
        self._reformatter = VideoReformatter()  # keeps its tables from frame to frame
        self._matrix: tuple | None = None

    def image(self, frame) -> np.ndarray:
        """uint8 (H, W, 3), turned upright: a view that lives as long as it is referred to."""
        if self._matrix is None:
            self._matrix = display_matrix(frame)
        rgb = self._reformatter.reformat(frame, format="rgb24", threads=1)
        plane = rgb.planes[0]
        shape, strides = (rgb.height, rgb.width, 3), (plane.line_size, 3, 1)
        return upright(np.ndarray(shape, np.uint8, plane, 0, strides), self._matrix)

    def write(self, frame, out: np.ndarray) -> None:
        """Write a frame into uint8 (H, W, 3), resized to its size (of equal size OpenCV copies, faster than numpy)."""
        cv2.resize(self.image(frame), out.shape[1::-1], dst=out, interpolation=cv2.INTER_LINEAR)


UPRIGHT = (1, 0, 0, 1)


def display_matrix(frame) -> tuple[float, float, float, float]:
    """(a, b, c, d): the pixel at (x, y) is shown at (a x + c y, b x + d y); y points down."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return UPRIGHT
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5] / 65536
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
