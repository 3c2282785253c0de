"""How the frames of a clip are chosen: the three ways of the published recipes, behind the same three verbs.

    draw(rng, source, frames, strides)          a random clip; strides = (lowest, highest)
    middle(source, frames, stride)              the clip in the middle
    view(source, frames, stride, i, num_clips)  clip i of `num_clips` that cover the video

Each returns the places of `frames` frames in a video: `source` has `num_frames` of them, `fps` a second.
"""

from dataclasses import dataclass

import numpy as np

from slowfast.datasets import sampling


@dataclass(frozen=True)
class TimedSpan:
    """Equally spaced in time, strides counted at `target_fps` (0 or less: in frames of the file)."""

    target_fps: float = 30
    use_offset: bool = False

    def draw(self, rng, source, frames, strides) -> np.ndarray:
        return sampling.train_span(rng, source, frames, strides, self.target_fps)

    def middle(self, source, frames, stride) -> np.ndarray:
        return sampling.test_span(source, frames, stride, self.target_fps, 0, 1, use_offset=True)

    def view(self, source, frames, stride, i, num_clips) -> np.ndarray:
        return sampling.test_span(source, frames, stride, self.target_fps, i, num_clips, self.use_offset)


@dataclass(frozen=True)
class FrameSpan:
    """Every stride-th frame of a list."""

    def draw(self, rng, source, frames, strides) -> np.ndarray:
        return sampling.frame_list_train_span(rng, source.num_frames, frames, strides)

    def middle(self, source, frames, stride) -> np.ndarray:
        return sampling.frame_list_test_span(source.num_frames, frames, stride, 0, 1)

    def view(self, source, frames, stride, i, num_clips) -> np.ndarray:
        return sampling.frame_list_test_span(source.num_frames, frames, stride, i, num_clips)


@dataclass(frozen=True)
class Segments:
    """One frame from each of as many equal parts of the video as the clip has frames; strides do not matter."""

    def draw(self, rng, source, frames, strides) -> np.ndarray:
        return sampling.segments_train(rng, source.num_frames, frames)

    def middle(self, source, frames, stride) -> np.ndarray:
        return sampling.segments_middle(source.num_frames, frames)

    def view(self, source, frames, stride, i, num_clips) -> np.ndarray:
        return sampling.segments_middle(source.num_frames, frames)
