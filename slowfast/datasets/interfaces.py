"""What a data set is made of, as interfaces: any class with these methods fits.

Legend: T frames of a clip, F frames of a call, H x W pixels, C classes, N videos.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from slowfast.datasets.spatial import Window
from slowfast.datasets.video import Limits

Indices = Sequence[int] | np.ndarray  # of frames or videos: a sequence of integers of any kind


class SizedDataset(Protocol):
    """A data set of a known size, whose items are samples as `VideoDataset` describes them."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any) -> dict[str, Any]: ...


class Frames(Protocol):
    """The frames of one open video."""

    @property
    def num_frames(self) -> int: ...

    @property
    def fps(self) -> float:
        """The average frame rate; 0 where it is unknown."""

    def size(self, frame: int) -> tuple[int, int]:
        """Return the (height, width) of a frame."""

    def read(self, frames: Indices, size: tuple[int, int], window: Window) -> np.ndarray:
        """Return frames by index, resized to `size` = (height, width) and cut to `window`. Raises VideoError.

        The result is uint8 (F, window.height, window.width, 3).
        """


class Medium(Protocol):
    """Where the videos of a list are stored: in video files, or as images."""

    def __len__(self) -> int: ...

    def path_of(self, video: int) -> str:
        """Return the path that messages and reports show for a video."""

    def check(self, video: int, limits: Limits) -> str:
        """Read all frames of a video. Return the reason why it cannot be used, or "" if it can."""

    def check_header(self, video: int, limits: Limits) -> str:
        """Do what is cheap of `check`: look at the header of a video file, or whether the first image exists."""

    def open(self, video: int, limits: Limits) -> AbstractContextManager[Frames]:
        """Open a video. Raises VideoError."""


class Targets(Protocol):
    """The labels of the videos of a list: a class number, or a 0/1 vector of classes."""

    def __len__(self) -> int: ...

    def of(self, video: int, first: int | None = None, last: int | None = None) -> np.int64 | np.ndarray:
        """Return the label of a video, or that of its frames first..last (both included)."""

    def all(self) -> np.ndarray:
        """Return the labels of all videos: (N,) class numbers, or an (N, C) array of 0 and 1."""


class FrameChooser(Protocol):
    """A rule that chooses the frames of a clip. Each method returns T indices into the frames of the video."""

    def draw(self, rng: np.random.Generator, video: Frames, frames: int, strides: tuple[int, int]) -> np.ndarray:
        """Return a random clip of `frames` frames for training; `strides` is (lowest, highest), both included."""

    def middle(self, video: Frames, frames: int, stride: int) -> np.ndarray:
        """Return the clip in the middle of the video, for validation."""

    def view(self, video: Frames, frames: int, stride: int, i: int, num_clips: int) -> np.ndarray:
        """Return clip i of the `num_clips` that cover the video in testing."""
