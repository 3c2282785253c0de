"""Parts of a long video, which is decoded once from its start to its end.

Legend: T frames of a clip, H x W pixels.
"""

import math
from dataclasses import dataclass

import numpy as np

from slowfast.datasets.base import VideoDataset
from slowfast.datasets.interfaces import Frames, Indices
from slowfast.datasets.media import VideoFrames
from slowfast.datasets.spatial import Window, resize_part
from slowfast.datasets.video import VideoError
from slowfast.errors import UserError

ROUNDING_SEC = 1e-6


class OnePass:
    """The frames of a video for reads that move forward.

    It keeps the resized frames from the first one of the last read onward, so its memory does not depend on the length
    of the video. All reads must have one size and window.
    """

    def __init__(self, source: VideoFrames):
        self.num_frames, self.fps = source.num_frames, source.fps
        self._source, self._size = source, source.size(0)
        self._pictures = enumerate(source.pictures())
        self._kept: dict[int, np.ndarray] = {}
        self._last = -1

    def size(self, frame: int) -> tuple[int, int]:
        return self._size

    def places(self, frames: Indices) -> np.ndarray:
        """Return the numbers of frames in the file (see `media.VideoFrames`)."""
        return self._source.places(frames)

    def read(self, frames: Indices, size: tuple[int, int], window: Window) -> np.ndarray:
        places = self.places(frames).tolist()
        self._kept = {place: picture for place, picture in self._kept.items() if place >= min(places)}
        while self._last < max(places):
            self._last, picture = next(self._pictures, (-1, None))
            if picture is None:
                raise VideoError(f"it has ended before frame {max(places)}: the file is damaged")
            if self._last >= min(places):
                self._kept[self._last] = resize_part(picture, size, window).copy()
        return np.stack([self._kept[place] for place in places])


@dataclass(frozen=True)
class Part:
    """Successive frames of `video`, from frame `first`. It can be used in place of a video."""

    video: Frames
    first: int
    num_frames: int

    @property
    def fps(self) -> float:
        return self.video.fps

    @property
    def start_sec(self) -> float:
        """Its first moment in the video."""
        return self.first / self.fps

    @property
    def end_sec(self) -> float:
        return (self.first + self.num_frames) / self.fps

    def size(self, frame: int) -> tuple[int, int]:
        return self.video.size(self.first + frame)

    def read(self, frames: Indices, size: tuple[int, int], window: Window) -> np.ndarray:
        return self.video.read(self.first + np.asarray(frames), size, window)


def parts(video: Frames, seconds: float, step: float) -> list[Part]:
    """Return parts of `seconds` that begin every `step` seconds; the last one ends with the video."""
    for name, value in (("window", seconds), ("step", step)):
        if not 1 <= value * video.fps < math.inf:
            raise UserError(f"{name}: {value:g} s is not a time of at least a frame, {1 / video.fps:.3g} s")
    length = min(round(seconds * video.fps), video.num_frames)
    last = video.num_frames - length
    count = int((last / video.fps + ROUNDING_SEC) / step) + 1
    firsts = [min(round(number * step * video.fps), last) for number in range(count)]
    firsts += [last] if firsts[-1] < last else []
    return [Part(video, first, length) for first in firsts]


def frames_per_clip(dataset: VideoDataset, video: Frames) -> int:
    """Return how many frames of a video a clip spans, at most all."""
    frames = dataset.time.middle(video, dataset.grid.frames, dataset.grid.stride)
    return int(frames.max() - frames.min()) + 1
