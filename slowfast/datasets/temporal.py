"""Which frames of a video a clip shows: the three rules of the published recipes (see interfaces.FrameChooser).

Pure functions of plain numbers and a random generator. `video` is anything with `num_frames` and `fps`.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from slowfast.config.node import CfgNode
from slowfast.datasets.draws import draw_integer
from slowfast.datasets.interfaces import Frames
from slowfast.errors import UserError


@dataclass(frozen=True)
class TimedSpan:
    """T frames at equal distances in T strides of time, for video files.

    Attributes:
        target_fps: the frame rate that strides are counted at; 0 or less: that of the file.
        use_offset: the first of several test clips begins with the video and the last one ends with it.
        jitter_fps: in training, a number drawn uniformly from 0 to this is added to `target_fps`.
    """

    target_fps: float = 30
    use_offset: bool = False
    jitter_fps: float = 0.0

    @classmethod
    def from_cfg(cls, cfg: CfgNode) -> "TimedSpan":
        """Return the rule of a config. Raises UserError."""
        data = cfg.DATA
        if data.TRAIN_JITTER_FPS and data.TARGET_FPS <= 0:
            raise UserError(
                f"DATA.TRAIN_JITTER_FPS: {data.TRAIN_JITTER_FPS:g} is added to DATA.TARGET_FPS, which is "
                f"{data.TARGET_FPS:g}, the rate of the file; give a rate above 0, or DATA.TRAIN_JITTER_FPS 0"
            )
        return cls(data.TARGET_FPS, data.USE_OFFSET_SAMPLING, data.TRAIN_JITTER_FPS)

    def draw(self, rng: np.random.Generator, video: Frames, frames: int, strides: tuple[int, int]) -> np.ndarray:
        stride = draw_integer(rng, *strides)
        added = self.jitter_fps * rng.random() if self.jitter_fps else 0.0
        span = replace(self, target_fps=self.target_fps + added).span(video, frames, stride)
        start = rng.random() * max(video.num_frames - span, 0)
        return _equally_spaced(start, span, frames, video.num_frames)

    def middle(self, video: Frames, frames: int, stride: int) -> np.ndarray:
        span = self.span(video, frames, stride)
        return _equally_spaced(max(video.num_frames - span, 0) // 2, span, frames, video.num_frames)

    def view(self, video: Frames, frames: int, stride: int, i: int, num_clips: int) -> np.ndarray:
        if self.use_offset and num_clips == 1:
            return self.middle(video, frames, stride)
        span = self.span(video, frames, stride)
        delta = max(video.num_frames - span, 0)
        start = i * (delta // (num_clips - 1)) if self.use_offset else delta * i / num_clips
        return _equally_spaced(start, span, frames, video.num_frames)

    def span(self, video: Frames, frames: int, stride: int) -> float:
        """Return how many frames of the file a clip spans: `frames` strides, a real number."""
        span = stride * frames
        return max(1, span / self.target_fps * video.fps if self.target_fps > 0 else span)


def _equally_spaced(start: float, span: float, frames: int, num_frames: int) -> np.ndarray:
    """Return `frames` indices from `start` to `start` + `span` - 1, truncated to integers.

    In single precision, as the published code computes them: one clip in a hundred has an index that is a whole
    number but for rounding, and would be truncated to its neighbor in double precision.
    """
    indices = torch.linspace(start, start + span - 1, frames, dtype=torch.float32)
    return indices.clamp(0, num_frames - 1).long().numpy()


@dataclass(frozen=True)
class FrameSpan:
    """Every stride-th frame of a frame list. Beyond the ends of a video its first or last frame is repeated."""

    def draw(self, rng: np.random.Generator, video: Frames, frames: int, strides: tuple[int, int]) -> np.ndarray:
        stride = draw_integer(rng, *strides)
        margin = _margin(video, frames, stride)
        return _strided(draw_integer(rng, min(margin, 0), max(margin, 0)), stride, frames, video)

    def middle(self, video: Frames, frames: int, stride: int) -> np.ndarray:
        return _strided(max(_margin(video, frames, stride), 0) // 2, stride, frames, video)

    def view(self, video: Frames, frames: int, stride: int, i: int, num_clips: int) -> np.ndarray:
        """The first clip begins with the video, the last one ends with it; a single one is in the middle."""
        if num_clips == 1:
            return self.middle(video, frames, stride)
        start = round(max(_margin(video, frames, stride), 0) / (num_clips - 1) * i)
        return _strided(start, stride, frames, video)


def _margin(video: Frames, frames: int, stride: int) -> int:
    """The frames of the video that a clip leaves over; negative where the video is shorter than the clip."""
    return video.num_frames - ((frames - 1) * stride + 1)


def _strided(start: int, stride: int, frames: int, video: Frames) -> np.ndarray:
    return np.clip(start + stride * np.arange(frames), 0, video.num_frames - 1)


@dataclass(frozen=True)
class Segments:
    """One frame from each of T equal parts of the video, T being the frames of the clip. Strides have no effect."""

    def draw(self, rng: np.random.Generator, video: Frames, frames: int, strides: tuple[int, int]) -> np.ndarray:
        ends = _segment_ends(video.num_frames, frames)
        return np.array([draw_integer(rng, *ends[i : i + 2]) for i in range(frames)])

    def middle(self, video: Frames, frames: int, stride: int) -> np.ndarray:
        ends = _segment_ends(video.num_frames, frames)
        return (ends[:-1] + ends[1:]) // 2

    def view(self, video: Frames, frames: int, stride: int, i: int, num_clips: int) -> np.ndarray:
        return self.middle(video, frames, stride)


def _segment_ends(num_frames: int, frames: int) -> np.ndarray:
    return np.round((num_frames - 1) / frames * np.arange(frames + 1)).astype(np.int64)
